"""What activities ask of the workflows: a port, because activities know no workflow and tests need none."""

from dataclasses import dataclass
from typing import Protocol

from domain.payout import Draft, Item, Slot
from domain.ports import Conclusion
from domain.procedure import Endorsed


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """All that a payout begins with: its slot, the first bytes to sign, what the signer must see of each payment.
    `void`: people endorsed that it ends unpaid.
    """

    slot: Slot
    draft: Draft
    items: tuple[Item, ...]
    void: Endorsed | None = None


class Stories(Protocol):
    """Each method is idempotent and raises Unavailable when the workflow service does not answer."""

    async def begin_payout(self, order: PayoutOrder, *, planned_before: bool = False) -> None:
        """Has the slot's story told, unless it is being told: by the workflow of the withdrawal that it pays, else by a
        workflow of its own. `planned_before`: somebody may have begun it, so whether its teller still lives is looked
        up first.
        """
        ...

    async def conclude(self, conclusion: Conclusion) -> None:
        """Tells a withdrawal how it ended. Nothing is told to one whose story is over already."""
        ...

    async def hand_over(self, slot: Slot, endorsed: Endorsed) -> None:
        """Gives a procedure about the slot to whoever tells its story. A repeat changes nothing."""
        ...

    async def look_again(self, slot: Slot) -> None:
        """Tells whoever tells the slot's story that its wallet was resumed."""
        ...
