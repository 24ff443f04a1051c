"""The story of one slot: signed, delivered, bumped where the network asks for more, settled once its end is proven.

It is told by the workflow of the withdrawal that the slot pays, or by a workflow of its own (`workflows.payout`). It
has no way to fail: it ends with proof, or the books gave the slot up, or it waits for people. Two tellers at once are
harmless: the signer gives the same bytes, delivering stands any number of attempts, and the books close a slot once.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.books import BooksActivities, Halt, Settlement
from activities.chain import ChainActivities, DeliverOrder, RedraftOrder, VoidOrder
from activities.failures import refusal
from activities.signing import SigningActivities
from activities.stories import PayoutOrder
from domain.payout import Act, Delivery, Draft, Final, SigningOrder, Version
from domain.ports import Conclusion
from domain.procedure import Endorsed, Kind
from workflows.options import BOOKS, SIGNING, on
from workflows.state import PayoutState, PayoutStatus

REDRAFTS_MAX = 3
# Runs that were resumed before this was known go on without bumps, as their histories say.
BUMPS_COME_BACK = "resuming brings bumps back"


@dataclass(frozen=True, slots=True)
class Told:
    """The proven end of a slot, and what it made of each withdrawal."""

    final: Final
    conclusions: Sequence[Conclusion]


class SlotStory:
    """One slot from its first signature to the proof of its end. `show` is given a line for people at each turn;
    `teller` is the withdrawal that tells it and needs to be told nothing, if one does.
    """

    def __init__(self, order: PayoutOrder, show: Callable[[str], None], teller: str = "") -> None:
        self._order = order
        self._show = show
        self._teller = teller
        self._state = PayoutState()
        self._draft = order.draft
        if order.void is not None:
            self.heed(order.void)

    async def tell(self) -> Told | None:
        """From the first signature on, to the end that the books took. What people order is done between two steps.
        None when the books gave the slot up, because a stranger's transaction had consumed it: nothing is paid from it.
        """
        while not self._state.given_up:
            if self._state.asked:
                await self._obey(self._state.asked.pop(0))
            elif self._state.version is None:
                await self._sign_first()
            elif isinstance(end := await self._turn(self._state.version), Told):
                return end
        self._say("a stranger's transaction consumed it; what it should have paid is queued again")
        return None

    def heed(self, endorsed: Endorsed) -> None:
        """A procedure that the books took. One about another slot, or heard before, changes nothing."""
        if endorsed.procedure.subject == self._order.slot.id and endorsed not in self._state.heard:
            self._state.heard.append(endorsed)
            self._state.asked.append(endorsed)

    def look_again(self) -> None:
        """The wallet was resumed: a story that stands still goes on, and one whose bump was refused may bump again."""
        self._state.resumed += 1
        self._state.halted = None
        if not self._state.may_bump and workflow.patched(BUMPS_COME_BACK):
            self._state.may_bump = True

    @property
    def slot_id(self) -> str:
        return self._order.slot.id

    @property
    def status(self) -> PayoutStatus:
        version = self._state.version
        number, txid = (version.number, version.txid) if version else (0, None)
        return PayoutStatus(number, txid, self._state.halted, self._state.unheeded)

    async def _turn(self, version: Version) -> Told | None:
        """One delivery, and what it asks for; the end of the story when it is proven."""
        delivery = await self._delivered(version)
        if delivery is None:
            return None
        if delivery.act is Act.BUMP and delivery.draft is not None:
            await self._bumped(delivery.draft)
        elif delivery.final is None:
            await self._halt(delivery.reason)
        elif isinstance(end := await self._settled(delivery.final), Told):
            return end
        else:
            await self._halt(end)
        return None

    async def _sign_first(self) -> None:
        """The first version. While the signer refuses it nothing moves, and nothing behind it can: people must look.
        Afterwards it is asked for fresh bytes: those it refused may have been what was wrong.
        """
        if self._state.refused:
            try:
                self._draft = await self._redrafted(self._draft)
            except ActivityError as error:
                return await self._halt(self._refused("redrafting", error))
        version, why = await self._ask_signer(self._draft)
        self._state.refused = version is None
        if version is None:
            await self._halt(why)
        return None

    async def _obey(self, endorsed: Endorsed) -> None:
        """Does what people ordered; what cannot be done is said until they order more, and all goes on as before."""
        self._state.unheeded = None
        if endorsed.procedure.kind == Kind.SPEED_UP and self._state.version is not None:
            self._state.hasten, self._state.may_bump = self._state.version.number, True
        elif endorsed.procedure.kind == Kind.VOID:
            await self._void(endorsed)
        elif endorsed.procedure.kind == Kind.REPLAN:
            await self._give_up()

    async def _give_up(self) -> None:
        """Whether the slot was given up is the books' word, whoever said so here."""
        slot = self._order.slot.id
        consumer = await workflow.execute_activity_method(BooksActivities.consumer, slot, **BOOKS)
        self._state.given_up = consumer is not None

    async def _void(self, endorsed: Endorsed) -> None:
        """Has a version signed that pays nobody. An older one may still win: only the facts say which did. One that was
        signed a moment ago is not in the books yet: it is named, for that is what the void has to outbid.
        """
        slot, last = self._order.slot, self._state.version
        try:
            step = await workflow.execute_activity_method(
                ChainActivities.draft_void, VoidOrder(slot, last), **on(slot.network)
            )
        except ActivityError as error:
            return self._not_voided(self._refused("drafting", error))
        before, self._state.void = self._state.void, endorsed
        if step.draft is None:
            self._state.version = step.version
            return None
        version, refused = await self._ask_signer(step.draft)
        if version is None:
            self._state.void = before
            self._not_voided(refused)
        return None

    def _not_voided(self, why: str) -> None:
        self._state.unheeded = f"**it cannot be voided**: {why}"
        self._say("it goes on as before")

    async def _bumped(self, draft: Draft) -> None:
        """The next version. When the signer refuses a higher fee, those that are out may still win: watch on. Beside
        versions that are all dead nothing can win: people must look, and then the chain again.
        """
        version, refused = await self._ask_signer(draft)
        if version is None and draft.after:
            await self._halt(refused)
        elif version is None:
            self._state.may_bump = False
            await self._close_wallet(refused)

    async def _ask_signer(self, draft: Draft) -> tuple[Version | None, str]:
        """(version, "") or (None, why not). Bytes that went stale on the way are drafted anew, a few times."""
        redrafts = 0
        while True:
            order = SigningOrder(self._order.slot, draft, self._order.items, self._state.void)
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

    async def _delivered(self, version: Version) -> Delivery | None:
        """What the delivery came to; None when people ordered something meanwhile, or by resuming gave back the bumps
        that it goes without: it is broken off, which may be done at any point of it.
        """
        self._say(f"version {version.number} is out as `{version.txid}`")
        order = DeliverOrder(self._order.slot, version, self._state.may_bump, self._state.hasten)
        running = workflow.start_activity_method(ChainActivities.deliver, order, **on(self._order.slot.network))
        await workflow.wait_condition(
            lambda: running.done() or bool(self._state.asked) or (self._state.may_bump and not order.may_bump)
        )
        if not running.done():
            running.cancel()
            with suppress(ActivityError, asyncio.CancelledError):
                await running
            return None
        try:
            return await running
        except ActivityError as error:
            if (why := refusal(error)) is not None and why.code == "SLOT_CONSUMED":
                self._state.given_up = True
                return None
            return Delivery(Act.HALT, reason=self._refused("delivering", error))

    async def _settled(self, final: Final) -> Told | str:
        """The end once the books hold it, else why they refused it."""
        settlement = Settlement(self._order.slot, final, workflow.now(), self._teller)
        try:
            conclusions = await workflow.execute_activity_method(BooksActivities.settle, settlement, **BOOKS)
        except ActivityError as error:
            return self._refused("the books", error)
        self._say(f"final in block {final.block} as `{final.txid}`: {'paid' if final.paid else 'failed on chain'}")
        return Told(final, conclusions)

    def _refused(self, who: str, error: ActivityError) -> str:
        """What people must look into. Anything but a refusal is a bug of ours and raised again."""
        if (why := refusal(error)) is None:
            raise error
        return f"{who} refused slot {self._order.slot.id}: {why}"

    async def _halt(self, reason: str) -> None:
        """Closes the wallet and waits for people; afterwards the slot is looked at again. What they ordered meanwhile
        is done first: it may be the answer to what stops it.
        """
        if self._state.asked:
            return
        before = self._state.resumed
        await self._close_wallet(reason)
        self._say(f"**HALTED**: {reason}\n\nResume the wallet when it is understood.")
        await workflow.wait_condition(lambda: self._state.resumed > before or bool(self._state.asked))
        if self._state.resumed > before:
            self._state.halted, self._state.may_bump = None, True

    async def _close_wallet(self, reason: str) -> None:
        self._state.halted = reason
        slot = self._order.slot
        halt = Halt(slot.network, slot.wallet, reason, workflow.now())
        await workflow.execute_activity_method(BooksActivities.halt_wallet, halt, **BOOKS)

    def _say(self, says: str) -> None:
        slot = self._order.slot
        unheeded = f"\n\n{self._state.unheeded}" if self._state.unheeded else ""
        self._show(f"Slot {slot.scarce} of `{slot.wallet}` on {slot.network}: {says}{unheeded}")
