"""What a key has sent, read from solid blocks by ourselves: the network counts nothing that would show a foreign use.

A node can leave a transaction out of a block's list, but it cannot change a block under its id: every block read is a
hash of its own header and names the one before, and all nodes must have the last one. What any of those nodes lists in
these blocks counts.
"""

import logging
from collections.abc import Sequence
from typing import Any

from adapters.chains.nodes import NodeSilent, Speaker, ask_one
from adapters.chains.tron.address import bytes_of
from adapters.chains.tron.history import PASS_BLOCKS, agreed, blocks_from, reach
from adapters.chains.tron.nodes import Call, Nodes
from adapters.chains.tron.results import Block, read_scanned, sent_by
from domain.outgoing import Outgoing

PASSES_MAX = 2  # of PASS_BLOCKS blocks, in one call: a day that was missed is read in some twenty minutes
_log = logging.getLogger("strongroom.chains.tron")


class Outbox:
    """Reads what keys sent on one network."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def read(self, wallet: str, after: int | None) -> Outgoing:
        """See `domain.ports.Chain.outgoing`. Owner of a transaction is the account that its contract names, whoever's
        key signed it. Raises NodeSilent when no node answers.
        """
        _, solid, _ = await reach(self._nodes)
        if after is None:
            return Outgoing(None, solid.number)
        last = min(solid.number, after + PASSES_MAX * PASS_BLOCKS)
        if last <= after:
            return Outgoing(after, after)
        owner = bytes_of(wallet).hex()
        runs = [await self._run(node, owner, after, last) for node in self._nodes.each]
        whole = [run for run in runs if run is not None]
        if not whole or len({end.id for end, _ in whole}) != 1 or not await agreed(self._nodes, whole[0][0]):
            _log.info("no node shows solid blocks that all agree on", extra={"after": after, "through": last})
            return Outgoing(after, after)
        return Outgoing(after, last, tuple(dict.fromkeys(txid for _, txids in whole for txid in txids)))

    async def _run(self, node: Speaker[Call], owner: str, after: int, last: int) -> tuple[Block, list[str]] | None:
        """The last block of one node's solid blocks from `after` on and what `owner` sent above it; None with a gap."""
        end: Block | None = None
        txids: list[str] = []
        for first in range(after, last + 1, PASS_BLOCKS):
            rows = await _rows(node, first, min(first + PASS_BLOCKS - 1, last))
            for number, row in enumerate(rows, first):
                block = _block(row)
                if block is None or block.number != number or (end is not None and block.parent != end.id):
                    return None
                if number > after:
                    txids += sent_by(row, owner)
                end = block
        return (end, txids) if end is not None and end.number == last else None


async def _rows(node: Speaker[Call], first: int, last: int) -> Sequence[Any]:
    said = await ask_one(node, [blocks_from(first, last)])
    if isinstance(said, NodeSilent) or not isinstance(said[0], dict):
        return ()
    rows = said[0].get("block", ())
    return rows if isinstance(rows, list) and len(rows) == last + 1 - first else ()


def _block(row: Any) -> Block | None:
    try:
        return read_scanned(row)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
