"""Keeps our coins up to the chain: whole blocks, read raw and checked by their hashes, applied in bounded passes.

The chain followed is that of the node with the most work, by its own word: so each block must have its work, and while
several nodes answer, a second one has to have it too. What only one of them has waits. Where that chain leaves the
blocks we know, they are undone and the others applied in one transaction. A fork below what is final, or below all we
know, is never guessed about: it stops everything on this network until people have looked. Any number of processes may
follow at once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from adapters.chains.bitcoin.address import knows_easy_blocks, script_of
from adapters.chains.bitcoin.blocks import Header, RawBlock, outpoints, read_block, read_header
from adapters.chains.bitcoin.rpc import Call, Nodes, garbled
from adapters.chains.bitcoin.seed import first_seed, later_seed
from adapters.chains.bitcoin.stand import Stands, ask_where
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, Shared, Speaker, ask_one
from domain.coin import BlockMark, Coin, CoinBlock, Created, Spent
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused, Unavailable
from domain.network import Network
from domain.ports import Coins

APPLY_BLOCKS_MAX = 20
PASS_BLOCKS_MAX = 200
FETCH_BLOCKS_MAX = 4
TURNS_MAX = 8  # how often others may be quicker before we rest


class Follower:
    """Brings `coins` up to the nodes. One that is asked by many at once reads once for all who wait."""

    def __init__(self, nodes: Nodes, coins: Coins, network: Network) -> None:
        self._nodes = nodes
        self._coins = coins
        self._network = network
        self._shared = Shared(self._follow)

    async def __call__(self) -> Stands:
        """Where the nodes stood when it began, and how far the coins are: at least at `head`.

        Raises Unavailable: REORG_BEYOND_FINALITY, REORG_BEYOND_KNOWN, COINS_BEHIND (much is left to read),
        SEED_DIFFERS, COINS_CONTESTED, or what nodes and store say.
        """
        return await self._shared()

    async def _follow(self) -> Stands:
        wallets = await self._coins.wallets()
        stands = await ask_where(self._nodes)
        if wallets and await self._coins.tip() is None:
            await self._seed(wallets, first=True)
            wallets = await self._coins.wallets()
        scripts = {script_of(address): address for address, seeded in wallets.items() if seeded}
        if scripts:
            stands = replace(stands, read=await self._catch_up(stands, scripts))
            wallets = await self._coins.wallets()  # a reorganisation may have undone where one began
        if not all(wallets.values()):
            await self._seed(wallets, first=False)
        return stands

    async def _seed(self, wallets: Mapping[str, bool], *, first: bool) -> None:
        """Gives each wallet that has none its beginning. Somebody else may have done so, or moved on, meanwhile."""
        fresh = [address for address, seeded in wallets.items() if not seeded]
        if first:
            mark, found = await first_seed(self._nodes, fresh, self._network.confirmations)
        else:
            tip = await self._coins.tip()
            assert tip is not None
            mark, found = tip, await later_seed(self._nodes, fresh, tip)
        try:
            await self._coins.seed(mark, found)
        except Refused as why:
            _moved_on(why)

    # ------------------------------------------------------------ catching up
    async def _catch_up(self, stands: Stands, scripts: Mapping[bytes, str]) -> int:
        """The height at which our coins are afterwards."""
        best, goal = stands.best
        node = self._nodes.each[best]
        others = [self._nodes.each[at] for at, stand in enumerate(stands.each) if stand and at != best]
        turns, read = 0, 0
        while turns < TURNS_MAX:
            tip = await self._coins.tip()
            assert tip is not None
            keep = await self._fork(node, goal.head, tip)
            if keep is None:
                return tip.height
            if read >= PASS_BLOCKS_MAX:
                raise Unavailable(
                    "COINS_BEHIND",
                    f"{goal.head.height - keep.height} blocks are still to be read: ask again.",
                    network=self._network.id,
                )
            blocks = await self._read(node, others, keep, goal.head, scripts)
            if not blocks:
                return tip.height
            try:
                await self._coins.apply(keep, blocks)
                passing(CrashPoint.BLOCKS_APPLIED)
                read += len(blocks)
            except Refused as why:
                _moved_on(why)
                turns += 1
        raise Unavailable("COINS_CONTESTED", "Others keep moving these coins on: ask again.", network=self._network.id)

    async def _fork(self, node: Speaker[Call], goal: BlockMark, tip: BlockMark) -> BlockMark | None:
        """The last block that we and the node have in common; None when there is nothing to read."""
        if goal == tip:
            return None
        if goal.height >= tip.height:
            if await _hashes(node, [tip.height]) == [tip.hash]:
                return tip if goal.height > tip.height else None
        else:
            ours = {mark.height: mark.hash for mark in await self._coins.marks(goal.height - 1)}
            if ours.get(goal.height, goal.hash) == goal.hash:
                return None  # the node is only behind
        depth = self._network.confirmations
        marks = await self._coins.marks(tip.height - depth)
        theirs = await _hashes(node, [mark.height for mark in marks])
        for mark, hash_ in zip(marks, theirs, strict=True):
            if mark.hash == hash_:
                return mark
        code, what = (
            ("REORG_BEYOND_FINALITY", "has other blocks than ours where ours were final")
            if len(marks) >= depth
            else ("REORG_BEYOND_KNOWN", "shares no block with those we know")
        )
        raise Unavailable(
            code,
            f"The node at {node.host} {what}: nothing is done here until people have looked.",
            network=self._network.id,
            node=node.host,
            height=tip.height,
            ours=tip.hash,
        )

    async def _read(
        self,
        node: Speaker[Call],
        others: Sequence[Speaker[Call]],
        keep: BlockMark,
        goal: BlockMark,
        scripts: Mapping[bytes, str],
    ) -> list[CoinBlock]:
        """The node's blocks after `keep`, linked to it and to each other: some, when there are many, and none that none
        of the others has.
        """
        last = min(goal.height, keep.height + APPLY_BLOCKS_MAX)
        heights = range(keep.height + 1, last + 1)
        before, names = await _after(node, keep.hash, heights)
        if others:
            names = names[: await _shared(others, heights, names)]
        blocks: list[CoinBlock] = []
        born = set[str]()
        for start in range(0, len(names), FETCH_BLOCKS_MAX):
            for raw in await _blocks(node, names[start : start + FETCH_BLOCKS_MAX]):
                height = heights[len(blocks)]
                if raw.header.parent != before.hash:
                    raise NodeSilent("NODE_MOVED", f"The node at {node.host} changed its chain while it was read.")
                if not raw.header.may_follow(before, height) and not knows_easy_blocks(self._network.chain_id):
                    raise garbled(node.host)
                blocks.append(await self._digest(raw, height, scripts, born))
                before = raw.header
        return blocks

    async def _digest(self, raw: RawBlock, height: int, scripts: Mapping[bytes, str], born: set[str]) -> CoinBlock:
        """What a block did to our coins. `born`: coins of ours made by blocks that are not applied yet; grows."""
        created = [
            Created(scripts[script], Coin(name, str(units)), transaction.coinbase)
            for transaction in raw.transactions
            for name, units, script in outpoints(transaction)
            if script in scripts
        ]
        born.update(row.coin.outpoint for row in created)
        spends = [
            Spent(name, transaction.txid)
            for transaction in raw.transactions
            if not transaction.coinbase
            for name in transaction.spends
        ]
        fates = await self._coins.fates([row.outpoint for row in spends]) if spends else []
        ours = born.union(fate.outpoint for fate in fates if fate.created is not None)
        spent = tuple(row for row in spends if row.outpoint in ours)
        return CoinBlock(BlockMark(height, raw.header.hash), raw.header.parent, tuple(created), spent)


def _moved_on(why: Refused) -> None:
    """Somebody else being quicker is no failure. Raises anything else."""
    if why.code != "COINS_MOVED_ON":
        raise why


async def _hashes(node: Speaker[Call], heights: Sequence[int]) -> list[str | None]:
    """The names of the node's blocks at these heights; None where its chain does not reach."""
    if not heights:
        return []
    said = await node.post([Call("getblockhash", (height,)) for height in heights])
    return _names(said)


def _names(said: Sequence[Answer]) -> list[str | None]:
    return [None if isinstance(name, NodeSaysNo) else str(name) for name in said]


async def _after(node: Speaker[Call], keep: str, heights: Sequence[int]) -> tuple[Header, list[str | None]]:
    """The header of `keep`, whose bytes hash to that name (no node can make it easier), and what `_hashes` says."""
    calls = [Call("getblockhash", (height,)) for height in heights]
    header, *said = await node.post([Call("getblockheader", (keep, False)), *calls])
    try:
        return read_header(bytes.fromhex(header), keep), _names(said)
    except (TypeError, ValueError):
        raise garbled(node.host) from None


async def _shared(others: Sequence[Speaker[Call]], heights: Sequence[int], names: Sequence[str | None]) -> int:
    """How many of these blocks, without a gap, one of the others has at the same heights."""
    calls = [Call("getblockhash", (height,)) for height in heights]
    said = await asyncio.gather(*(ask_one(node, calls) for node in others))
    most = 0
    for answers in said:
        theirs = [] if isinstance(answers, NodeSilent) else _names(answers)
        pairs = takewhile(lambda pair: None is not pair[0] == pair[1], zip(names, theirs, strict=False))
        most = max(most, sum(1 for _ in pairs))
    return most


async def _blocks(node: Speaker[Call], names: Sequence[str | None]) -> list[RawBlock]:
    """Raises NodeSilent when the node does not give these very blocks."""
    said = await node.post([Call("getblock", (name, 0)) for name in names])
    try:
        return [
            await asyncio.to_thread(read_block, bytes.fromhex(answer), str(name))
            for answer, name in zip(said, names, strict=True)
        ]
    except (TypeError, ValueError):
        raise garbled(node.host) from None
