"""The cells of the crash matrix: every crash point, on every network, on a clear day and on two bad ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.crash_points import STEPS, CrashPoint
from ops.chaos.schedule import Harm, People


class Fault(StrEnum):
    """What else goes wrong in a cell."""

    CLEAN = "clean"
    REORG = "reorg"  # the block that holds the payment is replaced, as deep as finality allows
    LOST_REPLY = "lost-reply"  # a node takes the transaction and does not say so


SENTENCE: Mapping[Fault, str] = {
    Fault.CLEAN: "nothing else goes wrong",
    Fault.REORG: "blocks are replaced up to finality minus one as soon as one holds the payment",
    Fault.LOST_REPLY: "nodes take what they are sent and cut the connection before the answer",
}
# Points that are passed only when a version is not included; and the one that needs a slot from before the start.
_BUMPED = (CrashPoint.BUMP_DECIDED, CrashPoint.BUMP_DRAFTED, CrashPoint.BUMP_SIGNED, CrashPoint.BUMP_STORED)
_ASKED = (CrashPoint.DECISION_RECORDED, CrashPoint.PAYOUT_QUEUED)
_OPEN_BEFORE = (CrashPoint.PAYOUT_RESUMED,)


@dataclass(frozen=True, slots=True)
class Cell:
    """One withdrawal that meets one death."""

    point: CrashPoint
    network: str
    family: str
    fault: Fault

    @property
    def name(self) -> str:
        return f"{self.point}/{self.family}/{self.fault}"

    @property
    def process(self) -> str:
        """Whose death it is."""
        return STEPS[self.point].process

    @property
    def people(self) -> People:
        return People.APPROVE if self.point in _ASKED else People.NOTHING

    @property
    def armed_late(self) -> bool:
        """Whether the process is armed only when the slot is open already."""
        return self.point in _OPEN_BEFORE

    @property
    def harms(self) -> Mapping[str, float]:
        """What the node does until the death: what is swallowed is not included, and so asks for another version."""
        if self.point in _BUMPED or self.armed_late:
            return {Harm.SWALLOW.value: 1.0}
        return self.harms_after

    @property
    def harms_after(self) -> Mapping[str, float]:
        """What the node does from then on, until it has struck."""
        return {Harm.LOSE_REPLY.value: 1.0} if self.fault is Fault.LOST_REPLY else {}


def cells(networks: Mapping[str, str], points: Sequence[CrashPoint] = tuple(CrashPoint)) -> Iterator[Cell]:
    """All cells; `networks` gives one network of each family, by family."""
    for point in points:
        for family, network in networks.items():
            for fault in Fault:
                yield Cell(point, network, family, fault)
