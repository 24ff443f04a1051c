"""Solid history, read by ourselves: is a transaction absent from every solid block it could have been in?

A version can be included only after its reference block, on the branch of that block, and only above a parent that is
older than its expiration. So the solid blocks from its reference through the first one that reaches its expiration
are all there is to read; each must name the one before as its parent, or the run proves nothing.

Bytes whose reference block is on no branch that all nodes know are refused in every block, so there is no run to read:
that the solid chain has another block there is their proof, once its time has reached their expiration.
"""

import logging
from collections.abc import Sequence

from adapters.chains.nodes import Answer, NodeSilent, Speaker, ask_one, why_silent
from adapters.chains.tron.nodes import Call, Nodes
from adapters.chains.tron.results import Block, read_block, read_scanned
from adapters.chains.tron.tx import Window

PASS_BLOCKS = 20
RUN_BLOCKS_MAX = 40_000  # a day and a half of blocks: more than any version of ours can live
KEPT_MAX = 1024
REFERENCES = 2**16  # as many blocks, the newest, may be named; by the low bits of their height
FOREIGN_MAX_MS = 86_400_000  # so long after an expiration the blocks that could be named before it are still told apart
_log = logging.getLogger("strongroom.chains.tron")


class History:
    """Runs of solid blocks of one network. What a run once proved stays proven: solid blocks do not change."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._proven: dict[str, int] = {}
        self._blocks: dict[int, Block] = {}

    async def absent_through(self, txid: str, window: Window, solid: Block) -> int | None:
        """The time of the block that ends a complete run without `txid` through its expiration. None while solid time
        has not reached that, when no node can show such a run (it forgets, it lies, it is silent), when nodes disagree
        about its end, and when the run does hold `txid`.
        """
        if txid in self._proven:
            return self._proven[txid]
        if solid.at_ms < window.expires_at_ms:
            return None
        for node in self._nodes.each:
            run = await self._run(node, window, solid)
            if run is None:
                continue
            if any(txid in block.txids for block in run):
                return None
            if await agreed(self._nodes, run[-1]):
                self._keep(txid, run[-1].at_ms)
                return run[-1].at_ms
        return await self._excluded(txid, window, solid)

    async def _excluded(self, txid: str, window: Window, solid: Block) -> int | None:
        """The time of `solid`, when it has reached the expiration and no block through it may hold what names a block
        as this window does: every node has the same blocks at the heights that could be meant, all of others' names
        (java-tron, `validateTapos`: the newest block below with these low bits of the height decides).
        """
        newest = solid.number - (solid.number - window.low_height) % REFERENCES
        heights = [height for height in (newest, newest - REFERENCES) if height >= 0]
        calls = [Call("walletsolidity/getblockbynum", {"num": height}) for height in (*heights, solid.number)]
        views = [_scanned(answers) for answers in await self._nodes.ask_all(*calls)]
        if len({view and tuple(block.id for block in view) for view in views}) != 1 or not views[0]:
            return None
        [*meant, end] = views[0]
        if [block.number for block in meant] != heights or end.id != solid.id:
            return None
        if any(window.names(block.number, block.id) for block in meant):
            return None
        if not window.expires_at_ms <= end.at_ms <= window.expires_at_ms + FOREIGN_MAX_MS:
            return None
        _log.warning("a version names a block of no chain", extra={"txid": txid, "height": newest})
        self._keep(txid, end.at_ms)
        return end.at_ms

    async def _run(self, node: Speaker[Call], window: Window, solid: Block) -> list[Block] | None:
        """One node's solid blocks from the reference block through the first that reaches the expiration."""
        first = solid.number - (solid.number - window.low_height) % REFERENCES
        run: list[Block] = []
        while len(run) < RUN_BLOCKS_MAX:
            at = first + len(run)
            last = min(at + PASS_BLOCKS - 1, solid.number)
            blocks = await self._read(node, at, last) if at <= last else None
            if not blocks or [block.number for block in blocks] != list(range(at, last + 1)):
                return None
            for block in blocks:
                if not (window.names(block.number, block.id) if not run else block.parent == run[-1].id):
                    _log.warning("solid blocks do not link", extra={"block": block.number, "node": node.host})
                    self._blocks.clear()
                    return None
                run.append(block)
                if block.at_ms >= window.expires_at_ms:
                    return run
        return None

    async def _read(self, node: Speaker[Call], first: int, last: int) -> Sequence[Block] | None:
        if all(number in self._blocks for number in range(first, last + 1)):
            return [self._blocks[number] for number in range(first, last + 1)]
        said = await ask_one(node, [blocks_from(first, last)])
        if isinstance(said, NodeSilent):
            return None
        try:
            blocks = [read_scanned(row) for row in said[0].get("block", ())]
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        if len(self._blocks) + len(blocks) > KEPT_MAX:
            self._blocks.clear()
        self._blocks.update((block.number, block) for block in blocks)
        return blocks

    def _keep(self, txid: str, at_ms: int) -> None:
        if len(self._proven) >= KEPT_MAX:
            self._proven.clear()
        self._proven[txid] = at_ms


async def reach(nodes: Nodes) -> tuple[int, Block, bool]:
    """(lowest head, lowest solid block, every node answered). Raises NodeSilent when none did."""
    said = await nodes.ask_all(Call("wallet/getnowblock"), Call("walletsolidity/getnowblock"))
    tips = [_tips(answers) for answers in said]
    found = [tip for tip in tips if tip is not None]
    if not found:
        raise why_silent(said)
    solid = min((solid for _, solid in found), key=lambda block: block.number)
    return min(head.number for head, _ in found), solid, None not in tips


async def agreed(nodes: Nodes, end: Block) -> bool:
    """Every node has this very block as solid."""
    said = await nodes.ask_all(Call("walletsolidity/getblockbynum", {"num": end.number}))
    return all(
        not isinstance(row, NodeSilent) and isinstance(row[0], dict) and row[0].get("blockID") == end.id for row in said
    )


def blocks_from(first: int, last: int) -> Call:
    """The solid blocks of these numbers, both included."""
    return Call("walletsolidity/getblockbylimitnext", {"startNum": first, "endNum": last + 1})


def _scanned(answers: list[Answer] | NodeSilent) -> list[Block] | None:
    if isinstance(answers, NodeSilent):
        return None
    try:
        return [read_scanned(answer) for answer in answers]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _tips(answers: list[Answer] | NodeSilent) -> tuple[Block, Block] | None:
    if isinstance(answers, NodeSilent):
        return None
    try:
        return read_block(answers[0]), read_block(answers[1])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
