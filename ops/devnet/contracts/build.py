"""Makes the first chain anew: `python -m ops.devnet.contracts.build`. Only needed when an artifact has changed.

Both tokens are deployed by the treasury, so their addresses follow from its first nonces and never change. The contract
of EIP-2935 is taken away: it writes a slot per block, which a snapshot would carry for ever.
"""

import gzip
import json
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eth_abi.abi import encode
from eth_account import Account

from ops.devnet.anvil import FALSE_CONTRACT, FIRST_CHAIN, FIRST_DECIMALS, USDT, call
from ops.devnet.contracts.artifacts import load
from ops.devnet.tools import anvil
from ops.devnet.treasury import ADDRESS, FIRST_SUPPLY, KEY

PORT = 18189
CHAIN_ID = 31337  # no trace of it stays in the file: any network starts from it
BLOCK_HASHES = "0x0000F90827F1C53a10cb7A02335B175320002935"
DEPLOY_GAS = 3_000_000


def build(target: Path = FIRST_CHAIN) -> None:
    """Writes the first chain to `target`."""
    with TemporaryDirectory() as folder:
        command = (str(anvil()), "--quiet", "--no-mining", "--port", str(PORT), "--chain-id", str(CHAIN_ID))
        node = subprocess.Popen((*command, "--cache-path", folder))
        try:
            _wait()
            _rpc("anvil_setCode", BLOCK_HASHES, "0x")
            _deploy(0, "UsdtLike", USDT, FIRST_SUPPLY, FIRST_DECIMALS)
            _deploy(1, "FalseToken", FALSE_CONTRACT, FIRST_SUPPLY)
            chain = json.loads(gzip.decompress(bytes.fromhex(_rpc("anvil_dumpState")[2:])))
        finally:
            node.terminate()
            node.wait()
    target.write_text(json.dumps(chain, separators=(",", ":"), sort_keys=True) + "\n")


def _deploy(nonce: int, contract: str, address: str, *words: int) -> None:
    data = load(contract).bytecode + encode(["uint256"] * len(words), words).hex()
    fields = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "value": 0, "data": data, "gas": DEPLOY_GAS}
    fees = {"maxFeePerGas": 10 * 10**9, "maxPriorityFeePerGas": 10**9}
    signed = Account.sign_transaction(fields | fees, KEY)
    txid = _rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    _rpc("evm_mine")
    receipt = _rpc("eth_getTransactionReceipt", txid)
    if receipt["status"] != "0x1" or receipt["contractAddress"].lower() != address.lower():
        raise SystemExit(f"{contract} was not deployed at {address} by {ADDRESS}: {receipt}")


def _rpc(method: str, *params: Any) -> Any:
    return call(PORT, method, *params)


def _wait() -> None:
    for _ in range(100):
        try:
            _rpc("eth_chainId")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("anvil did not start")


if __name__ == "__main__":
    build()
