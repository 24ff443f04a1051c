"""Two-phase holds: money is set aside first, and then settled or released, at most once."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.errors import Refused
from domain.ledger.chart import Account
from domain.ledger.entry import Entry, entry_of


class HoldState(StrEnum):
    PENDING = "PENDING"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Hold:
    """`units` base units that left `available` for `held`. Its key is the key of the entry that placed it."""

    key: str
    available: Account
    held: Account
    units: int
    state: HoldState = HoldState.PENDING

    def __post_init__(self) -> None:
        if self.units <= 0:
            raise ValueError("a hold holds something")
        if self.available.asset != self.held.asset:
            raise ValueError("a hold is of one asset")

    def place(self) -> "Move":
        """Sets the money aside."""
        lines = ((self.available, self.units), (self.held, -self.units))
        return Move(entry_of(self.key, "hold", lines), self, HoldState.PENDING)

    def release(self, key: str) -> "Move":
        """Gives all of it back."""
        lines = ((self.held, self.units), (self.available, -self.units))
        return Move(entry_of(key, "release", lines), self, HoldState.RELEASED)

    def settle(self, key: str, credits: Iterable[tuple[Account, int]]) -> "Move":
        """Uses all of it: `credits` say where its units went (positive numbers that add up to `units`)."""
        lines = ((self.held, self.units), *((account, -units) for account, units in credits))
        return Move(entry_of(key, "settle", lines), self, HoldState.SETTLED)

    def closed(self, state: HoldState) -> "Hold":
        """The hold after it was settled or released. Raises Refused HOLD_CLOSED when that had happened before."""
        if self.state is not HoldState.PENDING or state is HoldState.PENDING:
            raise Refused("HOLD_CLOSED", f"This hold is {self.state} already.", hold=self.key)
        return replace(self, state=state)


@dataclass(frozen=True, slots=True)
class Move:
    """An entry and what it does to a hold, as one thing: placed (PENDING), SETTLED, RELEASED, or no hold at all."""

    entry: Entry
    hold: Hold | None = None
    becomes: HoldState | None = None
