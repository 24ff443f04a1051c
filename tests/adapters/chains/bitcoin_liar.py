"""A Bitcoin node that claims more work than anybody, and on top of true blocks gives some of its own making."""

import hashlib
from typing import Any

from adapters.chains.bitcoin.blocks import merkle_root, shown
from ops.devnet.bitcoin.node import RegtestNode
from tests.adapters.chains.scripted import Said, ScriptedNode

REGTEST_BITS = 0x207FFFFF
EASIER_BITS = 0x2100FFFF  # whatever hashes to 256 bits, less one time in 65,536
KNOWN_BLOCKS = 40


async def lying(
    node: RegtestNode, script: bytes, count: int, *, bits: int = REGTEST_BITS, worked: bool
) -> ScriptedNode:
    """It knows the newest true names that `node` does. Each of its own `count` blocks pays 50 coins to `script`."""
    tip = await node.height()
    heights = [0, *range(max(1, tip - KNOWN_BLOCKS), tip + 1)]
    names = {height: str(await node.rpc("getblockhash", height)) for height in heights}
    headers = {names[tip]: await node.rpc("getblockheader", names[tip], False)}
    blocks: dict[str, str] = {}
    for height in range(tip + 1, tip + count + 1):
        name, raw = forged(names[height - 1], height, script, bits, worked=worked)
        names[height], headers[name], blocks[name] = name, raw[:80].hex(), raw.hex()
    about = {"blocks": tip + count, "bestblockhash": names[tip + count], "chainwork": "ff" * 31}
    return ScriptedNode(
        getnetworkinfo={"subversion": "/Satoshi:29.0.0/"},
        getblockchaininfo=about,
        getblockhash=lambda height: _known(names, height),
        getblockheader=lambda name, _: _known(headers, name),
        getblock=lambda name, _: _known(blocks, name),
    )


def forged(parent: str, height: int, script: bytes, bits: int, *, worked: bool) -> tuple[str, bytes]:
    """(name, bytes) of a block that holds nothing but its coinbase. `worked`: its hash is below regtest's target."""
    number = height.to_bytes(4, "little")
    spends = b"\1" + bytes(32) + b"\xff" * 4 + b"\4" + number + b"\xff" * 4
    pays = b"\1" + (50 * 10**8).to_bytes(8, "little") + bytes([len(script)]) + script
    coinbase = (1).to_bytes(4, "little") + spends + pays + bytes(4)
    root = merkle_root([_hash(coinbase)])
    promise = (4).to_bytes(4, "little") + bytes.fromhex(parent)[::-1] + root + number + bits.to_bytes(4, "little")
    headers = (promise + nonce.to_bytes(4, "little") for nonce in range(2**32))
    header = next(header for header in headers if (_hash(header)[-1] < 0x7F) is worked)
    return shown(_hash(header)), header + b"\1" + coinbase


def _known(rows: dict[Any, str], name: Any) -> str:
    if name not in rows:
        raise Said(-8, "Block height out of range")
    return rows[name]


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()
