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

from activities.pulse import Pulse
from activities.stories import PayoutOrder, Stories
from domain.asset import Asset
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused, StrongroomError, Unavailable, Uncertain
from domain.payout import Item, foreign_use
from domain.ports import Books, Chain, OpenSlot, PayoutItem, PlanRefusal, WalletView

SERVE_MIN = 10
LOOK_S = 2
SWEEP_S = 15
WAIT_MAX_S = 5
OUTAGE_PAUSE_S = 1.0
_WALLET_IS_FULL = frozenset({"IN_FLIGHT_FULL", "WALLET_HALTED"})


class Wallets(Protocol):
    """The part of `domain.ports.Views` that shows hot wallets."""

    async def wallets(self) -> Sequence[WalletView]: ...


@dataclass(frozen=True, slots=True)
class ServeOrder:
    network: str
    wallet: str


@dataclass(frozen=True, slots=True)
class ServeNote:
    """What a term of serving came to. `waiting` counts the payouts that stayed queued, by reason code."""

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
        """Serves until its term is over, the worker leaves or the wallet is halted; waits for a part that is down."""
        desk = _Desk(self._books, self._views, self._chain, self._stories, self._assets, self._clock, order.wallet)
        until = self._clock() + timedelta(minutes=SERVE_MIN)
        async with Pulse() as pulse:
            while self._clock() < until and not activity.is_worker_shutdown():
                try:
                    async with _wake_ups(self._books, order) as wake_ups:
                        async for _ in wake_ups:
                            await desk.round()
                            pulse.say(**desk.says())
                            if desk.halted or self._clock() >= until or activity.is_worker_shutdown():
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
        self._stories = stories
        self._assets = assets
        self._clock = clock
        self._wallet = wallet
        self._network = chain.network
        self._waiting: dict[str, _Wait] = {}
        self._view: WalletView | None = None
        self._look_at = self._sweep_at = clock()
        self._planned = 0
        self.halted: str | None = None

    async def round(self) -> None:
        """One turn: look whether the wallet is ours alone, start what is open, plan what is queued."""
        if self._clock() >= self._look_at:
            await self._look()
        if self.halted:
            return
        if self._clock() >= self._sweep_at:
            await self._sweep()
        await self._plan()

    def doubt(self) -> None:
        """Something broke off: a slot may have been planned whose story nobody started."""
        self._sweep_at = self._clock()

    # ------------------------------------------------------------ whose wallet is it
    async def _look(self) -> None:
        """Halts the wallet when the network counts more of its transactions than we ever planned. The network is asked
        BEFORE the books: our own count only grows, so a slot planned in between never looks like a stranger's.
        """
        latest, pending = await self._chain.next_scarce(self._wallet)
        self._view = await self._standing()
        self.halted = self._view.halted
        if not self.halted and (evidence := foreign_use(self._view.next_scarce, latest, pending)):
            activity.logger.error("hot wallet halted: %s", evidence, extra={"wallet": self._wallet})
            await self._books.halt_wallet(self._network.id, self._wallet, evidence, self._clock())
            self.halted = evidence
        self._look_at = self._clock() + timedelta(seconds=LOOK_S)
        self._measure(self._view)

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
        free = meter.create_gauge_float("strongroom_hot_wallet_free", "Whole coins in the hot wallet that no slot took")
        for asset_id, units in view.balances.items():
            if asset := self._assets.get(asset_id):
                coins = Decimal(units).scaleb(-asset.decimals)
                free.set(float(coins), {**labels, "asset": asset_id})

    # ------------------------------------------------------------ what is open
    async def _sweep(self) -> None:
        """Every open slot has its payout running, whoever died in between."""
        self._sweep_at = self._clock() + timedelta(seconds=SWEEP_S)
        for open_slot in await self._books.open_slots(self._network.id, self._wallet):
            try:
                order = await self._resumed(open_slot)
                passing(CrashPoint.PAYOUT_RESUMED)
                await self._stories.begin_payout(order)
            except Refused as why:
                self._waits(open_slot.slot.id, why)

    async def _resumed(self, open_slot: OpenSlot) -> PayoutOrder:
        """The order of a slot that was planned before: at the fee last signed, else at today's."""
        slot, versions = open_slot.slot, open_slot.versions
        fee = versions[-1].fee if versions else await self._chain.quote(slot.payments, self._wallet)
        return PayoutOrder(slot, await self._chain.draft(slot, fee), tuple(_shown(item) for item in open_slot.items))

    # ------------------------------------------------------------ what is queued
    async def _plan(self) -> None:
        """Takes as many payouts as there is room and money for. One that cannot be paid now never holds up another."""
        now = self._clock()
        self._waiting = {key: wait for key, wait in self._waiting.items() if wait.forget_at > now}
        limit = self._network.in_flight_max + len(self._waiting)
        begun: list[asyncio.Task[bool]] = []
        try:
            for item in await self._books.queued(self._network.id, self._wallet, limit):
                wait = self._waiting.get(item.payment.withdrawal_id)
                if wait is not None and wait.until > now:
                    continue
                try:
                    order = await self._planned_slot(item)
                    begun.append(asyncio.create_task(self._stories.begin_payout(order)))
                except _Full:
                    break
                except (Refused, Unavailable) as why:
                    if isinstance(why, Unavailable) and why.code != "WALLET_SHORT":
                        raise
                    self._waits(item.payment.withdrawal_id, why)
        finally:
            await self._begun(begun)

    async def _planned_slot(self, item: PayoutItem) -> PayoutOrder:
        """One payout, bound to the wallet's next slot. Raises Refused with the reason that it waits, or _Full."""
        fee = await self._chain.quote([item.payment], self._wallet)
        passing(CrashPoint.PAYOUT_QUOTED)
        slot = await self._books.plan_slot(self._network, self._wallet, [item], self._clock())
        if isinstance(slot, PlanRefusal):
            if slot.code in _WALLET_IS_FULL:
                self._look_at = self._clock()
                raise _Full
            raise Refused(slot.code, slot.detail or "The payout stays queued.")
        self._planned += 1
        self._waiting.pop(item.payment.withdrawal_id, None)
        passing(CrashPoint.SLOT_PLANNED)
        draft = await self._chain.draft(slot, fee)
        passing(CrashPoint.SLOT_DRAFTED)
        return PayoutOrder(slot, draft, (_shown(item),))

    async def _begun(self, starts: list[asyncio.Task[bool]]) -> None:
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
        return ServeNote(self._planned, view.open_slots if view else 0, balances, self._reasons(), self.halted)

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


def _shown(item: PayoutItem) -> Item:
    return Item(item.intent, item.decisions)
