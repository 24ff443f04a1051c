"""What a wallet had when we began to follow it, from the nodes' own sets of unspent outputs. Every node must agree.

The first wallets begin below the last blocks that may still be replaced, so that an early reorganisation finds its way.
A wallet that joins later begins at the block we have reached.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.rpc import Call, Nodes, garbled, sats
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, Speaker
from domain.coin import BlockMark, Coin
from domain.errors import Unavailable

Found: TypeAlias = Mapping[str, Sequence[tuple[Coin, int]]]


async def first_seed(nodes: Nodes, addresses: Sequence[str], confirmations: int) -> tuple[BlockMark, Found]:
    """What each wallet had at a block that `confirmations` others follow. Raises Unavailable SEED_DIFFERS."""
    scripts = {script_of(address): address for address in addresses}
    said = [await _before(node, scripts, confirmations) for node in nodes.each]
    return _agreed(said)


async def later_seed(nodes: Nodes, addresses: Sequence[str], tip: BlockMark) -> Found:
    """What each wallet has at `tip`. Raises Unavailable SEED_DIFFERS, also when a node stands elsewhere by now."""
    scripts = {script_of(address): address for address in addresses}
    said = [await _unspent(node, scripts) for node in nodes.each]
    mark, found = _agreed(said)
    if mark != tip:
        raise _differs("a node is at another block than we are")
    return found


async def unspent_units(node: Speaker[Call], address: str) -> int:
    """What the address has at the node's head, in base units."""
    _, found = await _unspent(node, {script_of(address): address})
    return sum(int(coin.units) for coin, _ in found[address])


async def _unspent(node: Speaker[Call], scripts: Mapping[bytes, str]) -> tuple[BlockMark, Found]:
    """The node's head and what is unspent there, with the height that made it."""
    wanted = [f"raw({script.hex()})" for script in scripts]
    [answer] = await node.post([Call("scantxoutset", ("start", wanted), long=True)])
    if isinstance(answer, NodeSaysNo):
        raise NodeSilent("NODE_BUSY", f"The node at {node.host} cannot scan now: {answer.message}.", node=node.host)
    found: dict[str, list[tuple[Coin, int]]] = {address: [] for address in scripts.values()}
    try:
        for row in answer["unspents"]:
            wallet = scripts[bytes.fromhex(row["scriptPubKey"])]
            coin = Coin(f"{row['txid']}:{int(row['vout'])}", str(sats(row["amount"])))
            found[wallet].append((coin, int(row["height"])))
        return BlockMark(int(answer["height"]), str(answer["bestblock"])), _in_order(found)
    except (KeyError, TypeError, ValueError):
        raise garbled(node.host) from None


async def _before(node: Speaker[Call], scripts: Mapping[bytes, str], confirmations: int) -> tuple[BlockMark, Found]:
    """The same some blocks earlier: what was made since is left out, what was spent since is put back."""
    head, found = await _unspent(node, scripts)
    height = max(0, head.height - confirmations)
    names = await node.post([Call("getblockhash", (at,)) for at in range(height, head.height + 1)])
    if names[-1] != head.hash:
        raise _differs("a node moved on while it was read")
    earlier = {wallet: [row for row in rows if row[1] <= height] for wallet, rows in found.items()}
    for name in names[1:]:
        [block] = await node.post([Call("getblock", (name, 3), long=True)])
        try:
            for wallet, coin, made_at in _spent_in(block, scripts):
                if made_at <= height:
                    earlier[wallet].append((coin, made_at))
        except (KeyError, TypeError, ValueError):
            raise garbled(node.host) from None
    return BlockMark(height, str(names[0])), _in_order(earlier)


def _spent_in(block: Answer, scripts: Mapping[bytes, str]) -> list[tuple[str, Coin, int]]:
    """(wallet, coin, the height that made it) of each coin of ours that a block spent."""
    found = []
    for transaction in block["tx"]:
        for spend in transaction["vin"]:
            before: Any = spend.get("prevout")
            if before is None:
                if "coinbase" in spend:
                    continue
                raise ValueError("the node no longer knows what this block spent")
            wallet = scripts.get(bytes.fromhex(before["scriptPubKey"]["hex"]))
            if wallet is not None:
                coin = Coin(f"{spend['txid']}:{int(spend['vout'])}", str(sats(before["value"])))
                found.append((wallet, coin, int(before["height"])))
    return found


def _agreed(said: Sequence[tuple[BlockMark, Found]]) -> tuple[BlockMark, Found]:
    if any(words != said[0] for words in said):
        raise _differs("two nodes do not say the same")
    return said[0]


def _in_order(found: Mapping[str, Sequence[tuple[Coin, int]]]) -> Found:
    return {wallet: sorted(rows, key=lambda row: row[0].outpoint) for wallet, rows in found.items()}


def _differs(why: str) -> Unavailable:
    return Unavailable("SEED_DIFFERS", f"What a wallet begins with is not certain, {why}: ask again.")
