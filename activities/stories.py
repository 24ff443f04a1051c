"""What activities ask of the workflows: a port, because activities know no workflow and tests need none."""

from dataclasses import dataclass
from typing import Protocol

from domain.payout import Draft, Item, Slot
from domain.ports import Conclusion


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """All that a payout begins with: its slot, the first bytes to sign, what the signer must see of each payment."""

    slot: Slot
    draft: Draft
    items: tuple[Item, ...]


class Stories(Protocol):
    """Each method is idempotent and raises Unavailable when the workflow service does not answer."""

    async def begin_payout(self, order: PayoutOrder) -> bool:
        """Starts the slot's payout unless it is running; says whether it started one now."""
        ...

    async def conclude(self, conclusion: Conclusion) -> None:
        """Tells a withdrawal how it ended. Nothing is told to one whose story is over already."""
        ...

    async def look_again(self, slot_id: str) -> None:
        """Tells a halted payout that its wallet was resumed."""
        ...
