"""What the cold wallet holds, asked of one node: it is opened a few times a year, and nobody follows it by blocks."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.chains.bitcoin.blocks import read_transaction
from adapters.chains.bitcoin.cold import ColdCoin
from adapters.chains.bitcoin.descriptors import CHANGE, Wallet
from adapters.chains.bitcoin.rpc import Call, Nodes, garbled
from adapters.chains.nodes import NodeSaysNo
from domain.coin import COINBASE_DEPTH
from domain.errors import Refused, Unavailable
from domain.network import Network

SCAN_INDEXES = 1000  # addresses of each branch that are looked at
_INDEX = re.compile(r"/([0-9]+)\]")
_IN_CHAIN = -27
_MISSING = -25


async def coins(nodes: Nodes, wallet: Wallet, confirmations: int) -> tuple[list[ColdCoin], int]:
    """The wallet's coins that are `confirmations` deep, and the first index of the change branch that no coin lies at.

    Takes minutes on the main chain. Raises Unavailable NODE_*.
    """
    found: list[tuple[int, int, Mapping[str, Any]]] = []
    for branch, text in enumerate(wallet.single_paths()):
        wanted = [{"desc": text, "range": SCAN_INDEXES - 1}]
        [answer] = await nodes.ask(Call("scantxoutset", ("start", wanted), long=True))
        if isinstance(answer, NodeSaysNo):
            raise Unavailable("NODE_BUSY", f"The node cannot scan now: {answer.message}.")
        found += [(branch, _index(row), row) for row in _rows(answer)]
    deep = [(branch, index, row) for branch, index, row in found if _is_deep(row, confirmations)]
    names = {(row["txid"], row["blockhash"]) for _, _, row in deep}
    raws = await _transactions(nodes, sorted(names))
    made = [ColdCoin(raws[row["txid"]], int(row["vout"]), branch, index) for branch, index, row in deep]
    return made, 1 + max((index for branch, index, _ in found if branch == CHANGE), default=-1)


async def send(nodes: Nodes, raw: bytes, txid: str, network: Network) -> None:
    """Offers the transaction to the node; one that is there already is as good. Raises Refused COLD_NOT_TAKEN."""
    most = min(Decimal(2 * network.fees.price_cap * 1000) / 10**8, Decimal(1))
    [answer] = await nodes.each[0].post([Call("sendrawtransaction", (raw.hex(), f"{most:.8f}"))])
    if answer == txid or (isinstance(answer, NodeSaysNo) and answer.number == _IN_CHAIN):
        return
    if not isinstance(answer, NodeSaysNo):
        raise garbled()
    hint = "a coin of it is spent: look whether by this very transaction" if answer.number == _MISSING else "mend that"
    raise Refused("COLD_NOT_TAKEN", f"The node does not take it ({answer.message}); {hint}.", txid=txid)


def _rows(answer: Any) -> Sequence[Mapping[str, Any]]:
    try:
        return [row for row in answer["unspents"] if row["txid"] and row["blockhash"]]
    except (KeyError, TypeError):
        raise garbled() from None


def _index(row: Mapping[str, Any]) -> int:
    """Which address it lies at, by the descriptor that found it."""
    place = _INDEX.search(str(row["desc"]))
    if place is None:
        raise garbled()
    return int(place[1])


def _is_deep(row: Mapping[str, Any], confirmations: int) -> bool:
    depth = max(confirmations, COINBASE_DEPTH) if row.get("coinbase") else confirmations
    return int(row["confirmations"]) >= depth


async def _transactions(nodes: Nodes, names: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """By txid; each is checked by its hash."""
    if not names:
        return {}
    raws = await nodes.ask(*(Call("getrawtransaction", (txid, False, block)) for txid, block in names))
    try:
        found = {txid: bytes.fromhex(raw) for (txid, _), raw in zip(names, raws, strict=True)}
        if any(read_transaction(raw).txid != txid for txid, raw in found.items()):
            raise ValueError("it answers about something else")
    except (TypeError, ValueError):
        raise garbled() from None
    return found
