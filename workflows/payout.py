"""The workflow of one slot: of one that pays several withdrawals, and of one whose withdrawal's own workflow is gone.

The story itself is `workflows.slot_story`. Names for its callers: signal `resume` (sent by resuming the wallet), query
`status`; signal `procedure` (sent by the books: a procedure that people endorsed).
"""

import asyncio
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.letters as letters  # noqa: PLR0402 - the sandbox loads `from workflows import` anew for each run
    from activities.stories import PayoutOrder
    from domain.payout import Final
    from workflows.slot_story import SlotStory
    from workflows.state import PayoutStatus


@workflow.defn(name="Payout")
class PayoutWorkflow:
    """Tells one slot's story to its end; settling tells each of its withdrawals."""

    @workflow.init
    def __init__(self, order: PayoutOrder) -> None:
        self._order = order
        self._slot = SlotStory(order, self._detail)

    @workflow.run
    async def run(self, order: PayoutOrder) -> Final | None:
        """The proven end; None when the slot was given up to a stranger. Cancelling it in the UI does nothing: the
        coins may already be moving.
        """
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise

    async def _story(self) -> Final | None:
        told = await self._slot.tell()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return told.final if told else None

    @workflow.signal(description="The wallet was resumed: look at the slot again.")
    def resume(self, *words: Any) -> None:
        self._slot.look_again()

    @workflow.signal(description="Sent by the books: a procedure about the slot, with its endorsements.")
    def procedure(self, *words: Any) -> None:
        try:
            self._slot.heed(letters.endorsed(words))
        except letters.Unreadable as why:
            workflow.logger.warning("a procedure was not understood: %s", why)

    @workflow.query(description="Versions signed so far and why it stands still, if it does.")
    def status(self) -> PayoutStatus:
        return self._slot.status

    def _detail(self, says: str) -> None:
        paid = ", ".join(f"`{payment.withdrawal_id}`" for payment in self._order.slot.payments)
        workflow.set_current_details(f"Pays {paid}.\n\n{says}")
