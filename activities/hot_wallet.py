"""Serving one hot wallet: bind queued payouts to its slots one after the other, and start the story of every open slot.

There is one server per wallet, and the books would serialise two: each slot is taken under the wallet's row lock.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from temporalio import activity

from activities.open_slots import WALLET_IS_SHORT, OpenSlots, shown
from activities.pulse import Pulse
from activities.stories import PayoutOrder, Stories
from domain.asset import Asset
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused, StrongroomError, Unavailable, Uncertain
from domain.hot_wallet import batches, fewer, smallest_first
from domain.payout import Fee, Payment, Slot, foreign_use
from domain.ports import Books, Chain, PayoutItem, WalletView

SERVE_MIN = 10
LOOK_S = 2
WAIT_MAX_S = 5
OUTAGE_PAUSE_S = 1.0
COIN_TRIES_MAX = 3
_WALLET_IS_FULL = frozenset({"IN_FLIGHT_FULL", "WALLET_HALTED"})
# Why a batch waits although nothing is wrong with any payment of it.
_NO_PAYMENTS_FAULT = frozenset({"FEE_ABOVE_CAP", "COIN_TAKEN", "NOT_QUEUED"})


class Wallets(Protocol):
    """The part of `domain.ports.Views` that shows hot wallets."""

    async def wallets(self) -> Sequence[WalletView]: ...


@dataclass(frozen=True, slots=True)
class ServeOrder:
    network: str
    wallet: str


@dataclass(frozen=True, slots=True)
class ServeNote:
    """What a term of serving came to. `waiting` counts the payouts that stayed queued, by reason code. `halted`: why no
    other term is to begin until people resume the wallet; None while an open slot of a halted one has no story yet.
    """

    planned: int
    in_flight: int
    balances: dict[str, str]
    waiting: dict[str, int]
    halted: str | None = None


class HotWalletActivities:
    """The single planner of a network's hot wallets. `assets` are those whose free balance is shown, by asset id."""

    def __init__(
        self,
        books: Books,
        views: Wallets,
        chain: Chain,
        stories: Stories,
        assets: Mapping[str, Asset],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._books = books
        self._views = views
        self._chain = chain
        self._stories = stories
        self._assets = assets
        self._clock = clock

    @activity.defn
    async def serve(self, order: ServeOrder) -> ServeNote:
        """Serves until its term is over, the worker leaves or the wallet is halted and every open slot of it has its
        story; waits for a part that is down.
        """
        desk = _Desk(self._books, self._views, self._chain, self._stories, self._assets, self._clock, order.wallet)
        until = self._clock() + timedelta(minutes=SERVE_MIN)
        async with Pulse() as pulse:
            while self._clock() < until and not activity.is_worker_shutdown():
                try:
                    async with _wake_ups(self._books, order) as wake_ups:
                        async for _ in wake_ups:
                            await desk.round()
                            pulse.say(**desk.says())
                            if desk.at_rest or self._clock() >= until or activity.is_worker_shutdown():
                                return desk.note()
                except (Unavailable, Uncertain) as outage:
                    desk.doubt()
                    pulse.say(waits_for=str(outage), **desk.says())
                    await asyncio.sleep(OUTAGE_PAUSE_S)
        return desk.note()


@asynccontextmanager
async def _wake_ups(books: Books, order: ServeOrder) -> AsyncIterator[AsyncIterator[None]]:
    wake_ups = books.wake_ups(order.network, order.wallet)
    try:
        yield wake_ups
    finally:
        if isinstance(wake_ups, AsyncGenerator):
            await wake_ups.aclose()


class _Desk:
    """One term of serving one wallet. All it remembers may be lost: the books know what is planned and open."""

    def __init__(
        self,
        books: Books,
        views: Wallets,
        chain: Chain,
        stories: Stories,
        assets: Mapping[str, Asset],
        clock: Callable[[], datetime],
        wallet: str,
    ) -> None:
        self._books = books
        self._views = views
        self._chain = chain
        self._assets = assets
        self._clock = clock
        self._wallet = wallet
        self._network = chain.network
        self._waiting: dict[str, _Wait] = {}
        self._view: WalletView | None = None
        self._open = OpenSlots(books, chain, stories, wallet, clock, self._waits)
        self._look_at = clock()
        self._planned = 0
        self.halted: str | None = None

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing left to do here until people resume the wallet."""
        return self.halted is not None and not self._open.untold

    async def round(self) -> None:
        """One turn: look whether the wallet is ours alone, start what is open, plan what is queued. A halted wallet
        plans nothing; what was bound before is signed, watched and settled all the same, or it would stop what is
        behind it.
        """
        if self._clock() >= self._look_at:
            await self._look()
        await self._open.sweep()
        if self.halted is None:
            await self._plan()

    def doubt(self) -> None:
        """Something broke off: a slot may have been planned whose story nobody started."""
        self._open.doubt()

    # ------------------------------------------------------------ whose wallet is it
    async def _look(self) -> None:
        """Halts the wallet when the network counts more of its transactions than we ever planned, or its final blocks
        hold one that is none of ours. The network is asked BEFORE the books: what is ours only grows there, so a slot
        planned or a version stored in between never looks like a stranger's.
        """
        latest, pending = await self._chain.next_scarce(self._wallet)
        self._view, before = await self._standing(), self.halted
        self.halted = self._view.halted
        if not self.halted and (evidence := foreign_use(self._view.next_scarce, latest, pending)):
            await self._books.halt_wallet(self._network.id, self._wallet, evidence, self._clock())
            self._alarm(evidence)
        if not self.halted:
            await self._compare(self._view)
        if self.halted and not before:
            self._open.doubt()
        self._look_at = self._clock() + timedelta(seconds=LOOK_S)
        self._measure(self._view)

    async def _compare(self, view: WalletView) -> None:
        """What the key has sent since the last look, against what we stored. A part of a long absence at a time."""
        outgoing = await self._chain.outgoing(self._wallet, view.read_through)
        if evidence := await self._books.record_outgoing(self._network.id, self._wallet, outgoing, self._clock()):
            self._alarm(evidence)

    def _alarm(self, evidence: str) -> None:
        activity.logger.error("hot wallet halted: %s", evidence, extra={"wallet": self._wallet})
        self.halted = evidence

    async def _standing(self) -> WalletView:
        for view in await self._views.wallets():
            if (view.network, view.address.lower()) == (self._network.id, self._wallet.lower()):
                return view
        raise Refused("WALLET_UNKNOWN", "The books hold no such hot wallet.", wallet=self._wallet)

    def _measure(self, view: WalletView) -> None:
        """Gauges for people's dashboards; a scraper knows only doubles, and nothing reads them back."""
        meter, labels = activity.metric_meter(), {"network": view.network, "wallet": view.address.lower()}
        halted = meter.create_gauge("strongroom_hot_wallet_halted", "1 while the hot wallet is halted")
        halted.set(1 if self.halted else 0, labels)
        if view.read_through is not None:
            read = meter.create_gauge(
                "strongroom_hot_wallet_read_through", "Final block through which what the key sent is known to be ours"
            )
            read.set(view.read_through, labels)
        free = meter.create_gauge_float("strongroom_hot_wallet_free", "Whole coins in the hot wallet that no slot took")
        for asset_id, units in view.balances.items():
            if asset := self._assets.get(asset_id):
                coins = Decimal(units).scaleb(-asset.decimals)
                free.set(float(coins), {**labels, "asset": asset_id})

    # ------------------------------------------------------------ what is queued
    async def _plan(self) -> None:
        """Takes as many payouts as there is room and money for. One that cannot be paid now never holds up another."""
        now = self._clock()
        self._waiting = {key: wait for key, wait in self._waiting.items() if wait.forget_at > now}
        begun: list[asyncio.Task[None]] = []
        tried: list[str] = []
        try:
            for batch in await self._closed(now):
                if activity.is_worker_shutdown():
                    break  # what is begun is finished, nothing is begun anew
                tried += map(_key, batch)
                try:
                    order = await self._planned_slot(batch)
                except _Full:
                    break
                if order is not None:
                    begun.append(asyncio.create_task(self._open.begin(order)))
            if rested := [key for key in tried if key in self._waiting]:
                await self._books.put_off(rested, now)
        finally:
            await self._begun(begun)

    async def _closed(self, now: datetime) -> list[tuple[PayoutItem, ...]]:
        """The batches to plan now, in the order of the queue. Those that had to wait before keep to themselves: their
        age would close the others' batches too early, time and again.
        """
        limit = self._network.in_flight_max * self._network.batch_max + len(self._waiting)
        queued = await self._books.queued(self._network.id, self._wallet, limit)
        place = {_key(item): at for at, item in enumerate(queued)}
        fresh = [item for item in queued if _key(item) not in self._waiting]
        again = [item for item in queued if _key(item) in self._waiting and self._waiting[_key(item)].until <= now]
        closed = [*batches(fresh, now, self._network), *batches(again, now, self._network)]
        return sorted(closed, key=lambda batch: place[_key(batch[0])])

    async def _planned_slot(self, batch: Sequence[PayoutItem]) -> PayoutOrder | None:
        """One slot for as many payouts of the batch as can be paid now, if any; why the others wait is noted. Nothing
        is bound but what was quoted as it is: a slot without a draft would have no story. Raises _Full.
        """
        items, taken = tuple(batch), 0
        while items:
            try:
                fee = await self._chain.quote(_payments(items), self._wallet)
                passing(CrashPoint.PAYOUT_QUOTED)
                if (within := self._within_their_caps(items, fee)) != items:
                    items = within
                    continue
                slot = await self._bound(items, fee)
            except (Refused, Unavailable) as why:
                taken += why.code == "COIN_TAKEN"
                if why.code != "COIN_TAKEN" or taken > COIN_TRIES_MAX:
                    items = await self._without_hindrance(items, why)
            else:
                return await self._ordered(slot, fee, items)
        return None

    def _within_their_caps(self, items: tuple[PayoutItem, ...], fee: Fee) -> tuple[PayoutItem, ...]:
        """Those that were approved with a cap which allows this fee, whatever the network's cap is by now. The others
        wait for a lower price.
        """
        dear = [item for item in items if fee.most > int(item.intent.fee_cap)]
        for item in dear:
            why = f"It was approved with a cap of {item.intent.fee_cap}, and the network costs {fee.most} now."
            self._waits(_key(item), Refused("FEE_ABOVE_CAP", why))
        return tuple(item for item in items if item not in dear)

    async def _bound(self, items: Sequence[PayoutItem], fee: Fee) -> Slot:
        """The slot of these payouts. Raises Refused or Unavailable WALLET_SHORT with the reason why it cannot be now
        (`at_fault` names whom or what it lies with), or _Full.
        """
        inputs = await self._chain.fund(_payments(items), self._wallet, fee)
        passing(CrashPoint.COINS_CHOSEN)
        slot = await self._books.plan_slot(self._network, self._wallet, items, self._clock(), inputs)
        if isinstance(slot, Slot):
            passing(CrashPoint.SLOT_PLANNED)
            return slot
        if slot.code in _WALLET_IS_FULL:
            self._look_at = self._clock()
            raise _Full
        raise Refused(slot.code, slot.detail or "The payout stays queued.", at_fault=slot.detail)

    async def _without_hindrance(
        self, items: tuple[PayoutItem, ...], why: Refused | Unavailable
    ) -> tuple[PayoutItem, ...]:
        """Those of the batch to try next, now that it was refused as a whole: fewer when the wallet is short, else
        those that nothing is wrong with. The others wait.
        """
        left: tuple[PayoutItem, ...] = ()
        if why.code == "WALLET_SHORT":
            left = await self._affordable(items)
        elif why.code in WALLET_IS_SHORT:
            left = fewer(items)
        elif why.code == "NOT_QUEUED":  # cancelled meanwhile: what is left is smaller, and costs something else
            others = tuple(item for item in items if _key(item) != why.facts.get("at_fault"))
            left = others if others != items else ()
        elif isinstance(why, Unavailable):
            raise why
        elif len(items) > 1 and why.code not in _NO_PAYMENTS_FAULT:
            return await self._sound(items, why)
        for key in {_key(item) for item in items} - {_key(item) for item in left}:
            self._waits(key, why)
        return left

    async def _affordable(self, items: Sequence[PayoutItem]) -> tuple[PayoutItem, ...]:
        """As many of them as the wallet's coins can pay, the smallest first; found by halving the doubt."""
        ordered = smallest_first(items)
        least, most = 0, len(ordered) - 1
        while least < most:
            count = (least + most + 1) // 2
            if await self._refusal(ordered[:count]) is None:
                least = count
            else:
                most = count - 1
        return ordered[:least]

    async def _sound(self, items: Sequence[PayoutItem], why: Refused) -> tuple[PayoutItem, ...]:
        """Those that would not be refused for themselves; none when that is true of all, for then it is not known whose
        fault it is. Each of the others waits for its own reason.
        """
        reasons: dict[str, StrongroomError] = {}
        for item in items:
            own = await self._refusal([item])
            if isinstance(own, Refused) and own.code not in _NO_PAYMENTS_FAULT:
                reasons[_key(item)] = own
        if not reasons:
            reasons = {_key(item): why for item in items}
        for key, reason in reasons.items():
            self._waits(key, reason)
        return tuple(item for item in items if _key(item) not in reasons)

    async def _refusal(self, items: Sequence[PayoutItem]) -> Refused | Unavailable | None:
        """Why the network or the wallet could not pay these together now; None when they could."""
        try:
            await self._chain.quote(_payments(items), self._wallet)
        except Refused as why:
            return why
        except Unavailable as why:
            if why.code not in WALLET_IS_SHORT:
                raise
            return why
        return None

    async def _ordered(self, slot: Slot, fee: Fee, items: Sequence[PayoutItem]) -> PayoutOrder | None:
        """The story that the slot begins with; None when it has to wait for the next sweep."""
        by_id = {_key(item): shown(item) for item in items}
        self._planned += len(slot.payments)
        for payment in slot.payments:
            self._waiting.pop(payment.withdrawal_id, None)
        try:
            draft = await self._chain.draft(slot, fee)
        except Refused as why:
            self._waits(slot.id, why)
            return None
        passing(CrashPoint.SLOT_DRAFTED)
        return PayoutOrder(slot, draft, tuple(by_id[payment.withdrawal_id] for payment in slot.payments))

    async def _begun(self, starts: list[asyncio.Task[None]]) -> None:
        """A payout that did not start is found by the next sweep, which then comes at once."""
        started = await asyncio.gather(*starts, return_exceptions=True)
        if starts:
            passing(CrashPoint.PAYOUT_BEGUN)
        failed = [answer for answer in started if isinstance(answer, BaseException)]
        if failed:
            self.doubt()
            raise failed[0]

    def _waits(self, key: str, why: StrongroomError) -> None:
        """Notes why a payout stays queued (or an open slot unstarted) and lets it rest, longer each time."""
        now, before = self._clock(), self._waiting.get(key)
        rest_s = min(before.rest_s * 2, WAIT_MAX_S) if before else 1
        self._waiting[key] = _Wait(why.code, rest_s, now + timedelta(seconds=rest_s))
        if before is None or before.code != why.code:
            activity.logger.warning("a payout waits: %s", why, extra={"payout": key, "code": why.code})

    # ------------------------------------------------------------ what people see
    def says(self) -> dict[str, str | int]:
        return {
            "planned": self._planned,
            "in_flight": self._view.open_slots if self._view else 0,
            "waiting": ", ".join(f"{count} {code}" for code, count in sorted(self._reasons().items())),
            "halted": self.halted or "",
        }

    def note(self) -> ServeNote:
        view = self._view
        balances = {asset: self._coins(asset, units) for asset, units in view.balances.items()} if view else {}
        halted = self.halted if self.at_rest else None
        return ServeNote(self._planned, view.open_slots if view else 0, balances, self._reasons(), halted)

    def _reasons(self) -> dict[str, int]:
        return dict(Counter(wait.code for wait in self._waiting.values()))

    def _coins(self, asset_id: str, units: str) -> str:
        asset = self._assets.get(asset_id)
        return format(Decimal(units).scaleb(-asset.decimals), "f") if asset else f"{units} base units"


@dataclass(frozen=True, slots=True)
class _Wait:
    """A payout left where it is: why, for how long it rests, and until when."""

    code: str
    rest_s: int
    until: datetime

    @property
    def forget_at(self) -> datetime:
        """Some time after its rest, so that one which was paid or cancelled meanwhile leaves no trace."""
        return self.until + timedelta(seconds=60)


class _Full(Exception):
    """The wallet takes nothing more now, whatever is asked."""


def _key(item: PayoutItem) -> str:
    return item.payment.withdrawal_id


def _payments(items: Sequence[PayoutItem]) -> list[Payment]:
    return [item.payment for item in items]
