"""The story of one slot: signed, delivered, bumped where the network asks for more, settled once its end is proven.

A payout has no way to fail: it ends with proof, or it waits for people. Names for its callers: signal `resume` (sent by
resuming the wallet), query `status`.
"""

import asyncio
from dataclasses import replace
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.books import BooksActivities, Halt, Settlement
    from activities.chain import ChainActivities, DeliverOrder, RedraftOrder
    from activities.failures import refusal
    from activities.signing import SigningActivities
    from activities.stories import PayoutOrder
    from domain.payout import Act, Delivery, Draft, Final, SigningOrder, Version
    from workflows.options import BOOKS, SIGNING, on
    from workflows.state import PayoutState, PayoutStatus

REDRAFTS_MAX = 3


@workflow.defn(name="Payout")
class PayoutWorkflow:
    """One slot from its first signature to the proof of its end."""

    @workflow.init
    def __init__(self, order: PayoutOrder) -> None:
        self._order = order
        self._state = PayoutState()

    @workflow.run
    async def run(self, order: PayoutOrder) -> Final:
        """The proven end. Cancelling it in the UI does nothing: the coins may already be moving."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise

    async def _story(self) -> Final:
        version = await self._signed(self._order.draft)
        while True:
            delivery = await self._delivered(version)
            if delivery.act is Act.BUMP and delivery.draft is not None:
                version = await self._bumped(delivery.draft) or version
            elif delivery.final is None:
                await self._halt(delivery.reason)
            elif not (refused := await self._settled(delivery.final)):
                return delivery.final
            else:
                await self._halt(refused)

    async def _signed(self, draft: Draft) -> Version:
        """The first version. While the signer refuses it nothing moves, and nothing behind it can: people must look.
        Afterwards it is asked for fresh bytes: those it refused may have been what was wrong.
        """
        while True:
            version, refused = await self._ask_signer(draft)
            if version is not None:
                return version
            await self._halt(refused)
            if workflow.patched("fresh-after-resume"):
                draft = await self._fresh(draft)

    async def _fresh(self, draft: Draft) -> Draft:
        """The same payment in bytes of today; people are asked again while there can be none."""
        while True:
            try:
                return await self._redrafted(draft)
            except ActivityError as error:
                await self._halt(self._refused("redrafting", error))

    async def _bumped(self, draft: Draft) -> Version | None:
        """The next version. When the signer refuses a higher fee, those that are out may still win: watch on. Beside
        versions that are all dead nothing can win: people must look, and then the chain again.
        """
        version, refused = await self._ask_signer(draft)
        if version is None and draft.after:
            await self._halt(refused)
        elif version is None:
            self._state.may_bump = False
            await self._close_wallet(refused)
        return version

    async def _ask_signer(self, draft: Draft) -> tuple[Version | None, str]:
        """(version, "") or (None, why not). Bytes that went stale on the way are drafted anew, a few times."""
        redrafts = 0
        while True:
            order = SigningOrder(self._order.slot, draft, self._order.items)
            try:
                version = await workflow.execute_activity_method(SigningActivities.sign, order, **SIGNING)
            except ActivityError as error:
                stale = (why := refusal(error)) is not None and why.code == "SIGNER_DRAFT_STALE"
                if not stale or redrafts == REDRAFTS_MAX:
                    return None, self._refused("the signer", error)
            else:
                self._state.version = version
                return version, ""
            redrafts += 1
            try:
                draft = await self._redrafted(draft)
            except ActivityError as error:
                return None, self._refused("redrafting", error)

    async def _redrafted(self, draft: Draft) -> Draft:
        order = RedraftOrder(self._order.slot, draft)
        return await workflow.execute_activity_method(ChainActivities.redraft, order, **on(self._order.slot.network))

    async def _delivered(self, version: Version) -> Delivery:
        self._detail(f"version {version.number} is out as `{version.txid}`")
        order = DeliverOrder(self._order.slot, version, self._state.may_bump)
        try:
            return await workflow.execute_activity_method(
                ChainActivities.deliver, order, **on(self._order.slot.network)
            )
        except ActivityError as error:
            return Delivery(Act.HALT, reason=self._refused("delivering", error))

    async def _settled(self, final: Final) -> str:
        """Empty once the books hold the end, else why they refused it."""
        settlement = Settlement(self._order.slot, final, workflow.now())
        try:
            await workflow.execute_activity_method(BooksActivities.settle, settlement, **BOOKS)
        except ActivityError as error:
            return self._refused("the books", error)
        self._detail(f"final in block {final.block} as `{final.txid}`: {'paid' if final.paid else 'failed on chain'}")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return ""

    def _refused(self, who: str, error: ActivityError) -> str:
        """What people must look into. Anything but a refusal is a bug of ours and raised again."""
        if (why := refusal(error)) is None:
            raise error
        return f"{who} refused slot {self._order.slot.id}: {why}"

    async def _halt(self, reason: str) -> None:
        """Closes the wallet and waits for people; afterwards the slot is looked at again."""
        before = self._state.resumed
        await self._close_wallet(reason)
        self._detail(f"**HALTED**: {reason}\n\nSignal `resume` to the hot wallet when it is understood.")
        await workflow.wait_condition(lambda: self._state.resumed > before)
        self._state = replace(self._state, halted=None, may_bump=True)

    async def _close_wallet(self, reason: str) -> None:
        self._state.halted = reason
        slot = self._order.slot
        halt = Halt(slot.network, slot.wallet, reason, workflow.now())
        await workflow.execute_activity_method(BooksActivities.halt_wallet, halt, **BOOKS)

    @workflow.signal(description="The wallet was resumed: look at the slot again.")
    def resume(self, *words: Any) -> None:
        self._state.resumed += 1

    @workflow.query(description="Versions signed so far and why it stands still, if it does.")
    def status(self) -> PayoutStatus:
        version = self._state.version
        return PayoutStatus(version.number if version else 0, version.txid if version else None, self._state.halted)

    def _detail(self, says: str) -> None:
        slot = self._order.slot
        paid = ", ".join(f"`{payment.withdrawal_id}`" for payment in slot.payments)
        workflow.set_current_details(f"Slot {slot.scarce} of `{slot.wallet}` on {slot.network} pays {paid}.\n\n{says}")
