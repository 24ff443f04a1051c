"""One look at a slot: the facts of all of its versions by all nodes, in the one order that makes them safe.

First how far every node's solid blocks reach, then (only once an expiration is behind that) a run of solid blocks
without a gap, and only then each node is asked for each version. A version that turns up in between can then only make
the look say less, never that it is dead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapters.chains.nodes import Answer, NodeSilent, why_silent
from adapters.chains.tron import tx
from adapters.chains.tron.history import History, reach
from adapters.chains.tron.nodes import Call, Nodes
from adapters.chains.tron.results import Expected, expected, read_inclusion
from domain.asset import Asset
from domain.payout import Facts, Inclusion, Sighting, Slot, Version

_ASKED = (
    "wallet/gettransactionbyid",
    "wallet/gettransactioninfobyid",
    "walletsolidity/gettransactionbyid",
    "walletsolidity/gettransactioninfobyid",
)


@dataclass(frozen=True, slots=True)
class View:
    """One node's answers: (transaction, info) of the versions it shows in a block; which it knows at all and which its
    solid blocks hold; ids of blocks by height.
    """

    claims: Mapping[str, tuple[Any, Any]]
    known: frozenset[str]
    solid: frozenset[str]
    ids: Mapping[int, str]


class Lookout:
    """Looks at slots of one network."""

    def __init__(self, nodes: Nodes, assets: Mapping[str, Asset]) -> None:
        self._nodes = nodes
        self._assets = assets
        self._history = History(nodes)

    async def look(self, slot: Slot, versions: Sequence[Version]) -> Facts:
        """See `domain.ports.Chain.observe`. Raises Unavailable when no node answers."""
        at = datetime.now(UTC)
        head, solid, complete = await reach(self._nodes)
        final_block = min(solid.number, head - slot.confirmations + 1)
        windows = {version.txid: tx.window(version.raw) for version in versions}
        absent = {txid: await self._history.absent_through(txid, window, solid) for txid, window in windows.items()}
        views = await self._views(list(windows))
        complete = complete and None not in views
        said = [view for view in views if view is not None]
        effect = expected(slot, self._assets)
        sightings = tuple(
            _sighting(txid, said, final_block, effect, window, absent[txid]) for txid, window in windows.items()
        )
        used, consumer = _used(sightings, said, final_block)
        return Facts(head, final_block, used and complete, consumer, sightings, at, complete)

    async def _views(self, txids: Sequence[str]) -> list[View | None]:
        """What each node says of the versions, in the order of the nodes; None for one that did not answer."""
        if not txids:
            return []
        first = await self._nodes.ask_all(*(Call(path, {"value": txid}) for txid in txids for path in _ASKED))
        views = [_view(answers, txids) for answers in first]
        if all(view is None for view in views):
            raise why_silent(first)
        heights = sorted({int(info["blockNumber"]) for view in views if view for _, info in view.claims.values()})
        if not heights:
            return views
        second = await self._nodes.ask_all(
            *(Call("wallet/getblock", {"id_or_num": str(height), "detail": False}) for height in heights)
        )
        return [_with_ids(view, answers, heights) for view, answers in zip(views, second, strict=True)]


def _sighting(
    txid: str, views: Sequence[View], final_block: int, effect: Expected, window: tx.Window, absent: int | None
) -> Sighting:
    known = any(txid in view.known or txid in view.claims for view in views)
    held = any(txid in view.claims or txid in view.solid for view in views)
    return Sighting(
        txid=txid,
        known=known,
        inclusion=_inclusion(txid, views, final_block, effect),
        expires_at_ms=window.expires_at_ms,
        absent_through_ms=None if held else absent,
    )


def _inclusion(txid: str, views: Sequence[View], final_block: int, effect: Expected) -> Inclusion | None:
    """Where the version is, if all nodes that show it agree and no node has another block at that height; at final
    depth none may be without that block, and the solid blocks of every node must hold the version: no node's word alone
    settles anything.
    """
    claims = set()
    for view in views:
        if txid in view.claims:
            transaction, info = view.claims[txid]
            claims.add(read_inclusion(transaction, info, view.ids.get(int(info["blockNumber"]), ""), effect))
    if len(claims) != 1:
        return None
    [claim] = claims
    ids = [view.ids.get(claim.block, "") for view in views]
    if not claim.block_hash or any(id_ not in ("", claim.block_hash) for id_ in ids):
        return None
    if claim.block > final_block:
        return claim
    return claim if "" not in ids and all(txid in view.solid for view in views) else None


def _used(sightings: Sequence[Sighting], views: Sequence[View], final_block: int) -> tuple[bool, str | None]:
    """(a version is in solid blocks by every node's word, which one if no node says how it ended)."""
    if any(s.inclusion is not None and s.inclusion.block <= final_block for s in sightings):
        return True, None
    bare = [s.txid for s in sightings if s.inclusion is None and views and all(s.txid in v.solid for v in views)]
    return bool(bare), bare[0] if bare else None


def _view(answers: list[Answer] | NodeSilent, txids: Sequence[str]) -> View | None:
    if isinstance(answers, NodeSilent) or not all(isinstance(answer, dict) for answer in answers):
        return None
    claims: dict[str, tuple[Any, Any]] = {}
    known, solid = set(), set()
    for at, txid in enumerate(txids):
        transaction, info, solid_transaction, solid_info = answers[4 * at : 4 * at + 4]
        if any(row and row.get("txID", row.get("id")) != txid for row in answers[4 * at : 4 * at + 4]):
            return None  # it answers about something else
        if transaction:
            known.add(txid)
        if solid_transaction or solid_info:
            solid.add(txid)
        transaction, info = solid_transaction or transaction, solid_info or info
        if transaction and info:
            try:
                read_inclusion(transaction, info, "", Expected(None, "", "", 0))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                return None
            claims[txid] = (transaction, info)
    return View(claims, frozenset(known), frozenset(solid), {})


def _with_ids(view: View | None, answers: list[Answer] | NodeSilent, heights: Sequence[int]) -> View | None:
    if view is None or isinstance(answers, NodeSilent):
        return None
    ids = {
        height: str(answer["blockID"])
        for height, answer in zip(heights, answers, strict=True)
        if isinstance(answer, dict) and "blockID" in answer
    }
    return View(view.claims, view.known, view.solid, ids)
