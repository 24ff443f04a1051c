"""Bitcoin Core's own consensus code, in this process: what it accepts is valid, whatever wrote it."""

from collections.abc import Sequence
from pathlib import Path

import pbk
from pbk.script import PrecomputedTransactionData

from ops.devnet.bitcoin.regtest import Regtest


def kernel_check(raw: bytes, spent: Sequence[tuple[bytes, int]]) -> list[bool]:
    """Whether each input of a signed transaction may spend its coin. `spent`: (script, units) of ALL inputs."""
    transaction = pbk.Transaction(raw)
    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(script), units) for script, units in spent]
    known = PrecomputedTransactionData(transaction, outputs)
    flags = pbk.ScriptVerificationFlags.ALL
    return [
        bool(output.script_pubkey.verify(output.amount, transaction, known, at, flags))
        for at, output in enumerate(outputs)
    ]


async def kernel_replay(node: Regtest, folder: Path) -> str:
    """Has the kernel judge the node's whole chain from its first block on; returns the tip that it came to."""
    manager = pbk.load_chainman(folder, pbk.ChainType.REGTEST)
    for height in range(1, await node.height() + 1):
        raw = await node.rpc("getblock", await node.rpc("getblockhash", height), 0)
        assert manager.process_block(pbk.Block(bytes.fromhex(raw)))
    return str(manager.get_active_chain().block_tree_entries[-1].block_hash)
