"""One look at a slot: the facts of all of its versions by all nodes, in the one order that makes them safe.

First the nonce at the pinned final block, then the receipts. A version mined in between can then only look unproven,
never like a stranger's. A receipt counts when its block is canonical by its hash on every node that has that height.

No single node's word ends a slot. At final depth every node must show the same receipt, or the version in the block
that all of them have; a consumer is named when no node shows a receipt of ours, in whatever block, and every node shows
the consumer's transaction in the same block.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from adapters.chains.evm.receipts import Expected, expected, number, read_inclusion
from adapters.chains.evm.rpc import Call, Nodes
from adapters.chains.evm.tx import is_void
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, Shared, Speaker, ask_one, why_silent
from domain.asset import Asset
from domain.money import Amount
from domain.network import Network
from domain.payout import Facts, Inclusion, Sighting, Slot, Version

SEEN_MAX = 4096


@dataclass(slots=True)
class Pulse:
    """Where every node stands, in the order of the nodes; None for one that did not answer. `finalized`: the height of
    its finalized block, where the network has that tag; `latest`: how many transactions of the wallet it counts at its
    head; `pinned`: the same at a height, read once.
    """

    heads: Sequence[int | None]
    finalized: Sequence[int | None]
    latest: Sequence[int | None]
    pinned: dict[int, Sequence[int | None]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def head(self) -> int:
        """The lowest head: what every answering node has."""
        return min(head for head in self.heads if head is not None)

    def final_block(self, confirmations: int, by_tag: bool) -> int:
        """The highest block that is final by the slowest node's word; below zero when nothing is."""
        deep = self.head - confirmations + 1
        return min([deep, *(at for at in self.finalized if at is not None)]) if by_tag else deep


@dataclass(frozen=True, slots=True)
class Block:
    """One node's block: its hash, and which of our versions are in it."""

    hash: str
    holds: frozenset[str]


@dataclass(frozen=True, slots=True)
class View:
    """One node's answers: the inclusion its receipts claim and which versions it knows, by txid; blocks by height, None
    where it has none.
    """

    claims: Mapping[str, Inclusion]
    known: frozenset[str]
    blocks: Mapping[int, Block | None]


class Lookout:
    """Looks at slots. Slots of one wallet that are looked at together share the reads that are the same for all."""

    def __init__(self, nodes: Nodes, network: Network, assets: Mapping[str, Asset]) -> None:
        self._nodes = nodes
        self._network = network
        self._assets = assets
        self._pulses: dict[str, Shared[Pulse]] = {}
        self._seen: dict[str, int] = {}  # txid -> block of its last receipt: a guess that saves a round trip

    async def look(self, slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        """See `domain.ports.Chain.observe`. Raises Unavailable when no node answers."""
        at = datetime.now(UTC)
        pulse = await self._pulse(slot.wallet)
        final_block = pulse.final_block(slot.confirmations, self._by_tag(slot))
        used, complete = await self._used(pulse, slot, final_block)
        views = await self._views(pulse, slot, versions)
        if None in views:
            used = complete = False
        said = [view for view in views if view]
        sightings = tuple(self._sighting(version.txid, said, final_block) for version in versions)
        consumer = None
        if used and not any(view.claims for view in said):
            consumer = await self._consumer(slot, final_block, suspect)
        return Facts(pulse.head, final_block, used, consumer, sightings, at, complete)

    def _by_tag(self, slot: Slot) -> bool:
        amounts = (Amount(int(payment.amount), self._assets[payment.asset]) for payment in slot.payments)
        return any(self._network.needs_finalized(amount) for amount in amounts)

    async def _pulse(self, wallet: str) -> Pulse:
        shared = self._pulses.setdefault(wallet, Shared(lambda: self._read_pulse(wallet)))
        return await shared()

    async def _read_pulse(self, wallet: str) -> Pulse:
        calls = [Call("eth_blockNumber"), Call("eth_getTransactionCount", (wallet, "latest"))]
        if self._network.tells_finalized:
            calls.append(Call("eth_getBlockByNumber", ("finalized", False)))
        said = await self._nodes.ask_all(*calls)
        rows = [_quantities(answers) for answers in said]
        if all(row is None for row in rows):
            raise why_silent(said)
        tagged = _column(rows, 2) if self._network.tells_finalized else []
        return Pulse(heads=_column(rows, 0), finalized=tagged, latest=_column(rows, 1))

    async def _used(self, pulse: Pulse, slot: Slot, final_block: int) -> tuple[bool, bool]:
        """(every node says the nonce is used at `final_block`, every node answered about that depth)."""
        nonce = int(slot.scarce)
        if final_block < 0 or any(count is None or count <= nonce for count in pulse.latest):
            return False, False  # not even used at some node's head: the depth need not be asked for

        async with pulse.lock:
            if final_block not in pulse.pinned:
                said = await self._nodes.ask_all(Call("eth_getTransactionCount", (slot.wallet, hex(final_block))))
                pulse.pinned[final_block] = _column([_quantities(answers) for answers in said], 0)
        counts = pulse.pinned[final_block]
        return all(count is not None and count > nonce for count in counts), None not in counts

    async def _views(self, pulse: Pulse, slot: Slot, versions: Sequence[Version]) -> list[View | None]:
        """What each node says of the versions, in the order of the nodes; None for one that did not answer."""
        if not versions:
            return []
        paying, txids = expected(slot, self._assets), [version.txid for version in versions]
        effects = {version.txid: replace(paying, void=is_void(version.raw, slot.wallet)) for version in versions}
        guesses = {self._seen[txid] for txid in txids if txid in self._seen}
        if any(count is not None and count > int(slot.scarce) for count in pulse.latest):
            guesses.add(pulse.head)
        heights = sorted(guesses)
        first = await self._nodes.ask_all(
            *(Call("eth_getTransactionReceipt", (txid,)) for txid in txids),
            *(Call("eth_getTransactionByHash", (txid,)) for txid in txids),
            *_headers(heights),
        )
        views = [_view(answers, txids, heights, effects) for answers in first]
        if all(view is None for view in views):
            raise why_silent(first)
        claimed = {claim.block for view in views if view for claim in view.claims.values()}
        if missing := sorted(claimed - guesses):
            second = await self._nodes.ask_all(*_headers(missing))
            views = [_with_blocks(view, answers, missing, txids) for view, answers in zip(views, second, strict=True)]
        return views

    def _sighting(self, txid: str, views: Sequence[View], final_block: int) -> Sighting:
        claims = {view.claims[txid] for view in views if txid in view.claims}
        inclusion = next(iter(claims)) if len(claims) == 1 else None
        if inclusion is not None:
            self._remember(txid, inclusion.block)
            deep = inclusion.block <= final_block
            if not _canonical(inclusion, views, deep) or (deep and not _confirmed(txid, inclusion, views)):
                inclusion = None
        return Sighting(txid, known=bool(claims) or any(txid in view.known for view in views), inclusion=inclusion)

    def _remember(self, txid: str, block: int) -> None:
        if len(self._seen) >= SEEN_MAX:
            self._seen.clear()
        self._seen[txid] = block

    async def _consumer(self, slot: Slot, final_block: int, suspect: str) -> str | None:
        """The very transaction that used the nonce at or below `final_block`: every node shows it in the same block.
        None while that is unproven (old states pruned everywhere and nobody suspected, or nodes that contradict each
        other or themselves).
        """
        tried = set()
        async for height in self._proposed(slot, final_block, suspect):
            if height in tried:
                continue
            tried.add(height)
            said = await self._nodes.ask_all(Call("eth_getBlockByNumber", (hex(height), True)))
            users = {_user(answers, slot) for answers in said}
            if len(users) == 1 and (user := users.pop()) is not None:
                return user[1]
        return None

    async def _proposed(self, slot: Slot, final_block: int, suspect: str) -> AsyncIterator[int]:
        """Final blocks that may hold the slot's consumer: where any node has the suspect, which takes no old state, and
        where any node says that the nonce was used. Any of them may say where to look; all of them say what is there.
        """
        if suspect:
            for answers in await self._nodes.ask_all(Call("eth_getTransactionByHash", (suspect,))):
                height = _height(answers)
                if height is not None and height <= final_block:
                    yield height
        for node in self._nodes.each:
            used_at = await _used_at(node, slot, final_block)
            if used_at is not None:
                yield used_at


async def _used_at(node: Speaker[Call], slot: Slot, final_block: int) -> int | None:
    """The block, at most `final_block`, in which the nonce was used by one node's word; None when it does not say."""
    nonce = int(slot.scarce)
    try:
        low, high, stride = final_block - 1, final_block, 1
        while low >= 0 and await _count(node, slot.wallet, low) > nonce:
            low, high, stride = low - stride, low, stride * 2
        low = max(low, -1)  # at `low` the nonce was free (or nothing was there yet), at `high` it is used
        while high - low > 1:
            middle = (low + high) // 2
            if await _count(node, slot.wallet, middle) > nonce:
                high = middle
            else:
                low = middle
        return high
    except (NodeSilent, TypeError, ValueError):
        return None


async def _count(node: Speaker[Call], wallet: str, block: int) -> int:
    answers = await ask_one(node, [Call("eth_getTransactionCount", (wallet, hex(block)))])
    if isinstance(answers, NodeSilent):
        raise answers
    return number(answers[0])


def _height(answers: list[Answer] | NodeSilent) -> int | None:
    """The block that a transaction is in by one node's word."""
    if isinstance(answers, NodeSilent):
        return None
    try:
        return number(answers[0]["blockNumber"])
    except (KeyError, TypeError, ValueError):
        return None


def _user(answers: list[Answer] | NodeSilent, slot: Slot) -> tuple[str, str] | None:
    """(block hash, txid) of the transaction that used the nonce, if a node's block holds it."""
    if isinstance(answers, NodeSilent):
        return None
    [block] = answers
    try:
        return next(
            (
                (str(block["hash"]).lower(), str(tx["hash"]).lower())
                for tx in block["transactions"]
                if str(tx["from"]).lower() == slot.wallet.lower() and number(tx["nonce"]) == int(slot.scarce)
            ),
            None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _canonical(inclusion: Inclusion, views: Sequence[View], deep: bool) -> bool:
    """Whether no node has another block at that height; at final depth (`deep`) none may be without it either."""
    blocks = [view.blocks.get(inclusion.block) for view in views]
    hashes = {block.hash for block in blocks if block is not None}
    return hashes == {inclusion.block_hash} and not (deep and None in blocks)


def _confirmed(txid: str, inclusion: Inclusion, views: Sequence[View]) -> bool:
    """Whether every node stands by the inclusion: by the same receipt, or by its block, which holds the version."""
    if all(view.claims.get(txid) == inclusion for view in views):
        return True
    blocks = [view.blocks.get(inclusion.block) for view in views]
    return all(block is not None and txid in block.holds for block in blocks)


def _headers(heights: Sequence[int]) -> list[Call]:
    return [Call("eth_getBlockByNumber", (hex(height), False)) for height in heights]


def _view(
    answers: list[Answer] | NodeSilent, txids: Sequence[str], heights: Sequence[int], effects: Mapping[str, Expected]
) -> View | None:
    if isinstance(answers, NodeSilent) or any(isinstance(answer, NodeSaysNo) for answer in answers):
        return None
    count = len(txids)
    receipts = zip(txids, answers[:count], strict=True)
    transactions = zip(txids, answers[count : 2 * count], strict=True)
    try:
        claims = {txid: read_inclusion(receipt, effects[txid]) for txid, receipt in receipts if receipt is not None}
        known = frozenset(txid for txid, transaction in transactions if transaction is not None)
        return View(claims, known, _blocks(answers[2 * count :], heights, txids))
    except (KeyError, TypeError, ValueError):
        return None


def _with_blocks(
    view: View | None, answers: list[Answer] | NodeSilent, heights: Sequence[int], txids: Collection[str]
) -> View | None:
    if view is None or isinstance(answers, NodeSilent):
        return None
    try:
        return View(view.claims, view.known, {**view.blocks, **_blocks(answers, heights, txids)})
    except (KeyError, TypeError, ValueError):
        return None


def _blocks(blocks: Sequence[Answer], heights: Sequence[int], txids: Collection[str]) -> dict[int, Block | None]:
    return {
        height: None if block is None else Block(str(block["hash"]).lower(), _ours_in(block, txids))
        for height, block in zip(heights, blocks, strict=True)
    }


def _ours_in(block: Mapping[str, Answer], txids: Collection[str]) -> frozenset[str]:
    """A block that lists nothing confirms nothing."""
    return frozenset(txids).intersection(str(txid).lower() for txid in block.get("transactions") or ())


def _column(rows: Sequence[list[int] | None], at: int) -> list[int | None]:
    return [None if row is None else row[at] for row in rows]


def _quantities(answers: list[Answer] | NodeSilent) -> list[int] | None:
    """Each answer as a number (a block: its height), or None when the node did not answer them all."""
    if isinstance(answers, NodeSilent):
        return None
    try:
        return [number(answer["number"] if isinstance(answer, dict) else answer) for answer in answers]
    except (KeyError, TypeError, ValueError):
        return None
