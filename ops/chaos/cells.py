"""The cells of the crash matrix: every crash point, on every network, on a clear day and on two bad ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.crash_points import STEPS, CrashPoint
from domain.network import Network
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
TOGETHER = 2
# Points that are passed only when a version is not included, the first of them because somebody says that it takes too
# long; those that wait for approvers; the one that needs a slot from before the start; and the one that is passed all
# the time, so that the death waits for a payment that is out.
_HASTENED = (CrashPoint.PROCEDURE_TAKEN,)
_BUMPED = (
    *_HASTENED,
    CrashPoint.BUMP_DECIDED,
    CrashPoint.BUMP_DRAFTED,
    CrashPoint.BUMP_SIGNED,
    CrashPoint.BUMP_STORED,
)
_ASKED = (CrashPoint.DECISION_RECORDED, CrashPoint.PAYOUT_QUEUED)
_OPEN_BEFORE = (CrashPoint.PAYOUT_RESUMED,)
_OUT_BEFORE = (CrashPoint.BLOCKS_APPLIED,)


@dataclass(frozen=True, slots=True)
class Cell:
    """One withdrawal, or one batch, that meets one death."""

    point: CrashPoint
    network: str
    family: str
    fault: Fault
    together: int = 1  # so many withdrawals at once: where several are paid together, that is what must hold

    @property
    def name(self) -> str:
        return f"{self.point}/{self.family}/{self.fault}"

    @property
    def process(self) -> str:
        """Whose death it is."""
        return STEPS[self.point].process

    @property
    def people(self) -> People:
        if self.point in _HASTENED:
            return People.SPEED_UP
        return People.APPROVE if self.point in _ASKED else People.NOTHING

    @property
    def resumed(self) -> bool:
        """Whether somebody new must find the slot open."""
        return self.point in _OPEN_BEFORE

    @property
    def late(self) -> bool:
        """Whether the death is ordered only when the payment is out."""
        return self.point in (*_OPEN_BEFORE, *_OUT_BEFORE)

    @property
    def harms(self) -> Mapping[str, float]:
        """What the node does until the death: what is swallowed is not included, and so asks for another version."""
        if self.point in _BUMPED or self.resumed:
            return {Harm.SWALLOW.value: 1.0}
        return self.harms_after

    @property
    def harms_after(self) -> Mapping[str, float]:
        """What the node does from then on, until it has struck."""
        return {Harm.LOSE_REPLY.value: 1.0} if self.fault is Fault.LOST_REPLY else {}


def cells(networks: Mapping[str, Network], points: Sequence[CrashPoint] = tuple(CrashPoint)) -> Iterator[Cell]:
    """All cells; `networks` gives one network of each family, by family. A step that a network never takes has none."""
    for point in points:
        for family, network in networks.items():
            step = STEPS[point]
            if (network.inputs_max or not step.coins) and not (network.window_s and step.priced):
                for fault in Fault:
                    yield Cell(point, network.id, family, fault, min(network.batch_max, TOGETHER))
