"""One look at a slot: the facts of all of its versions by all nodes.

Every version spends all coins of the slot, the anchor first, so whoever spends one of them takes the slot. Who did, and
where, comes from blocks that we read whole: a transaction counts as included only there,
never because a node can show it, which it also does with one that sits in an abandoned block. What the version does is
in the bytes that its txid commits to, so no receipt is asked for. An anchor that nobody spent in those blocks is not
used, whatever a node says of it: its funding may have gone, and a pool proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.chains.bitcoin.blocks import read_transaction
from adapters.chains.bitcoin.follow import Follower
from adapters.chains.bitcoin.rpc import NOT_FOUND, OUT_OF_RANGE, Call, Nodes, sats
from adapters.chains.bitcoin.tx import judge_delivery
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, why_silent
from domain.coin import BlockMark, Fate
from domain.payout import Facts, Inclusion, Sighting, Slot, Version
from domain.ports import Coins

SLOTS_KEPT_MAX = 4096


@dataclass(frozen=True, slots=True)
class View:
    """One node's answers: which versions wait in its pool, what others built on them pays (base units), and the name of
    its block where the anchor was spent (None: its chain does not reach, or nobody spent it).
    """

    pooled: frozenset[str]
    evicted: int
    hash: str | None


class Lookout:
    """Looks at slots of one network."""

    def __init__(self, nodes: Nodes, coins: Coins, follow: Follower) -> None:
        self._nodes = nodes
        self._coins = coins
        self._follow = follow
        self._evicted: dict[str, int] = {}

    def evicted(self, slot_id: str) -> int:
        """Fees of what others had built on a version of the slot when it was last looked at: a replacement must pay
        them too. Forgetting them costs no more than one bump that nodes call too small.
        """
        return self._evicted.get(slot_id, 0)

    async def look(self, slot: Slot, versions: Sequence[Version]) -> Facts:
        """See `domain.ports.Chain.observe`. Raises Unavailable when no node answers or the blocks cannot be read."""
        at = datetime.now(UTC)
        stands = await self._follow()
        spent = await self._coins.fates([coin.outpoint for coin in slot.inputs] or [slot.scarce])
        fate = _first_spent(spent)  # the one source of `used` and of every inclusion
        views = await self._views(versions, fate.spent)
        self._remember(slot.id, views)
        complete = stands.complete and None not in views
        final_block = stands.final_block(slot.confirmations)
        names = [view.hash for view in views if view]
        deep = fate.spent is not None and fate.spent.height <= final_block
        used = complete and deep and fate.spent is not None and set(names) == {fate.spent.hash}
        canonical = fate.spent is not None and _canonical(fate.spent, names, deep)
        sightings = tuple(_sighting(slot, v, views, fate if canonical else None) for v in versions)
        return Facts(
            head=stands.head,
            final_block=final_block,
            used=used,
            consumer=fate.spender if used else None,
            sightings=sightings,
            at=at,
            complete=complete,
        )

    async def _views(self, versions: Sequence[Version], spent: BlockMark | None) -> list[View | None]:
        calls = [Call("getmempoolentry", (version.txid,)) for version in versions]
        if spent is not None:
            calls.append(Call("getblockhash", (spent.height,)))
        if not calls:
            return []
        said = await self._nodes.ask_all(*calls)
        views = [_view(answers, versions) for answers in said]
        if all(view is None for view in views):
            raise why_silent(said)
        return views

    def _remember(self, slot_id: str, views: Sequence[View | None]) -> None:
        if len(self._evicted) >= SLOTS_KEPT_MAX:
            self._evicted.clear()
        self._evicted[slot_id] = max((view.evicted for view in views if view), default=0)


def _first_spent(fates: Sequence[Fate]) -> Fate:
    """The fate of the coin that was spent first, of the anchor among equals and while none is."""
    spent = [fate for fate in fates if fate.spent is not None]
    return min(spent, key=lambda fate: fate.spent.height if fate.spent else 0, default=fates[0])


def _sighting(slot: Slot, version: Version, views: Sequence[View | None], fate: Fate | None) -> Sighting:
    """`fate`: of the coin that was spent first, when a block that counts spent it."""
    pooled = any(version.txid in view.pooled for view in views if view)
    if fate is None or fate.spender != version.txid or fate.spent is None:
        return Sighting(version.txid, known=pooled, inclusion=None)
    delivered, strayed, fee = _effect(slot, version)
    block = fate.spent
    seen = Inclusion(block.height, block.hash, True, delivered, str(fee), strayed)
    return Sighting(version.txid, known=True, inclusion=seen)


def _effect(slot: Slot, version: Version) -> tuple[bool, bool, int]:
    """(delivered, strayed, fee), from the stored bytes: they must hash to the txid that was found in the block."""
    try:
        found = read_transaction(bytes.fromhex(version.raw.removeprefix("0x")))
    except ValueError:
        return False, True, 0
    return judge_delivery(slot, found) if found.txid == version.txid else (False, True, 0)


def _canonical(spent: BlockMark, names: Sequence[str | None], deep: bool) -> bool:
    """Whether no node has another block at that height; at final depth none may be without it either."""
    if spent.hash not in names or any(name not in (None, spent.hash) for name in names):
        return False
    return not deep or None not in names


def _view(answers: list[Answer] | NodeSilent, versions: Sequence[Version]) -> View | None:
    if isinstance(answers, NodeSilent):
        return None
    entries, [*name] = answers[: len(versions)], answers[len(versions) :]
    refusals = [answer for answer in entries if isinstance(answer, NodeSaysNo)]
    if any(refusal.number != NOT_FOUND for refusal in refusals):
        return None
    hash_ = name[0] if name else None
    if isinstance(hash_, NodeSaysNo):
        if hash_.number != OUT_OF_RANGE:
            return None
        hash_ = None
    try:
        pooled = {
            version.txid: entry["fees"]
            for version, entry in zip(versions, entries, strict=True)
            if not isinstance(entry, NodeSaysNo)
        }
        evicted = sum(sats(fees["descendant"]) - sats(fees["base"]) for fees in pooled.values())
    except (KeyError, TypeError, ValueError):
        return None
    return View(frozenset(pooled), max(0, evicted), hash_)
