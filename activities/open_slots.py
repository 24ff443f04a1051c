"""The open slots of one hot wallet: each has its story told, whoever died in between."""

from collections.abc import Callable
from datetime import datetime, timedelta

from activities.stories import PayoutOrder, Stories
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused, Unavailable
from domain.payout import Draft, Fee, Item, Slot
from domain.ports import Books, Chain, OpenSlot, PayoutItem

SWEEP_S = 15
# A story that was seen to begin is looked for again after this: somebody may have terminated its workflow.
LOOK_FOR_STORY_S = 60
WALLET_IS_SHORT = frozenset({"WALLET_SHORT", "HOT_WALLET_SHORT"})
# What keeps one slot from being drafted and no other: nobody is down.
_SLOT_WAITS = WALLET_IS_SHORT | {"COIN_GONE"}


class OpenSlots:
    """What was seen of them in one term of serving. `waits` is told of a slot that cannot be drafted now, and why.
    `untold`: how many had no story when it was last looked.
    """

    def __init__(
        self,
        books: Books,
        chain: Chain,
        stories: Stories,
        wallet: str,
        clock: Callable[[], datetime],
        waits: Callable[[str, Refused], None],
    ) -> None:
        self._books = books
        self._chain = chain
        self._stories = stories
        self._wallet = wallet
        self._clock = clock
        self._waits = waits
        self._believed: dict[str, datetime] = {}
        self._sweep_at = clock()
        self.untold = 0

    def doubt(self) -> None:
        """The next `sweep` is one."""
        self._sweep_at = self._clock()

    async def begin(self, order: PayoutOrder, *, planned_before: bool = False) -> None:
        """Has the slot's story told. A repeat changes nothing."""
        await self._stories.begin_payout(order, planned_before=planned_before)
        self._believed[order.slot.id] = self._clock()

    async def sweep(self) -> None:
        """Every SWEEP_S, and after a doubt: every open slot has its story told. Those begun a short while ago are
        believed to be; of the others the books know only that they were planned.
        """
        now = self._clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + timedelta(seconds=SWEEP_S)
        opened = await self._books.open_slots(self._chain.network.id, self._wallet)
        believed_from = now - timedelta(seconds=LOOK_FOR_STORY_S)
        still = {open_slot.slot.id for open_slot in opened}
        self._believed = {id: at for id, at in self._believed.items() if id in still and at > believed_from}
        self.untold = sum(id not in self._believed for id in still)
        for open_slot in opened:
            if open_slot.slot.id in self._believed:
                continue
            try:
                order = await self._resumed(open_slot)
                passing(CrashPoint.PAYOUT_RESUMED)
                await self.begin(order, planned_before=True)
                self.untold -= 1
            except Refused as why:
                self._waits(open_slot.slot.id, why)

    async def _resumed(self, open_slot: OpenSlot) -> PayoutOrder:
        """The order of a slot that was planned before. Raises Refused while it cannot be drafted."""
        try:
            draft = await self._drafted(open_slot)
        except Unavailable as why:
            if why.code not in _SLOT_WAITS:
                raise
            raise Refused(why.code, why.message) from why
        return PayoutOrder(open_slot.slot, draft, tuple(map(shown, open_slot.items)), open_slot.void)

    async def _drafted(self, open_slot: OpenSlot) -> Draft:
        """What its story begins with: the bytes at the fee last signed, else at today's. One that people want void
        needs no bytes that pay, which may be what cannot be had: the story voids it before it signs anything else.
        """
        slot, void = open_slot.slot, open_slot.void is not None
        if not open_slot.versions:
            if void:
                return await self._chain.void(slot, None)
            return await self._chain.draft(slot, await self._fee_today(slot))
        try:
            return await self._chain.draft(slot, open_slot.versions[-1].fee)
        except Refused:
            if not void:
                raise
            return await self._chain.void(slot, None)

    async def _fee_today(self, slot: Slot) -> Fee:
        """Where the slot has its coins, only the price is asked for: a quote would choose other coins, which the wallet
        may not have, and the draft knows the weight.
        """
        return await (self._chain.market(1) if slot.inputs else self._chain.quote(slot.payments, self._wallet))


def shown(item: PayoutItem) -> Item:
    """A payout as the signer is shown it."""
    return Item(item.intent, item.decisions, item.replans)
