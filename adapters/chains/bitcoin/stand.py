"""Where every node stands, and which of them has the chain with the most work."""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.chains.bitcoin.rpc import Call, Nodes
from adapters.chains.nodes import Answer, NodeSilent, why_silent
from domain.coin import BlockMark


@dataclass(frozen=True, slots=True)
class Stand:
    """A node's head and the work in its chain."""

    head: BlockMark
    work: int


@dataclass(frozen=True, slots=True)
class Stands:
    """In the order of the nodes; None for one that did not answer. `read`: how far our coins are."""

    each: Sequence[Stand | None]
    read: int | None = None

    @property
    def head(self) -> int:
        """The lowest head: what every answering node has, and we have read."""
        heights = [stand.head.height for stand in self.each if stand]
        return min(heights) if self.read is None else min(*heights, self.read)

    @property
    def complete(self) -> bool:
        return None not in self.each

    @property
    def best(self) -> tuple[int, Stand]:
        """Which node has the most work, the first of equals, and where it stands."""
        return max(((at, stand) for at, stand in enumerate(self.each) if stand), key=lambda row: (row[1].work, -row[0]))

    def final_block(self, confirmations: int) -> int:
        """The highest block that `confirmations` make final, by the slowest node's word; below zero when none is."""
        return self.head - confirmations + 1


async def ask_where(nodes: Nodes) -> Stands:
    """Raises NodeSilent when no node says where it stands."""
    said = await nodes.ask_all(Call("getblockchaininfo"))
    stands = Stands([_stand(answers) for answers in said])
    if all(stand is None for stand in stands.each):
        raise why_silent(said)
    return stands


def _stand(answers: list[Answer] | NodeSilent) -> Stand | None:
    if isinstance(answers, NodeSilent):
        return None
    try:
        [about] = answers
        return Stand(BlockMark(int(about["blocks"]), str(about["bestblockhash"])), int(about["chainwork"], 16))
    except (KeyError, TypeError, ValueError):
        return None
