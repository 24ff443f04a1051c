"""What serving a wallet promises where one slot pays many and a wallet is many coins."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.hot_wallet import HotWalletActivities, ServeNote, ServeOrder
from domain.coin import BlockMark, Coin, units_of
from domain.errors import Refused, Unavailable
from domain.ledger import chart
from domain.payout import Draft, Fee, Payment, Slot
from domain.withdrawal import Stage
from tests.activities.conftest import PATIENCE_S, Clock, Recorder
from tests.fakes.chain import FakeChain
from tests.workflows.world import ETHEREUM, USDT, World

WEIGHT = 100
COIN_UNITS = 100 * 10**6


class BatchChain(FakeChain):
    """A network whose wallet is many coins and whose transactions carry many payouts. `bad`: the payouts (withdrawal
    ids) it would reject; `capped`: everything costs more than the caps allow; `asked`: the size of each quote.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.model, [world.wallet])
        self.coins = world.books.coins[ETHEREUM]
        self.bad: set[str] = set()
        self.capped = False
        self.asked: Counter[int] = Counter()

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        self.asked[len(payments)] += 1
        if self.bad & {payment.withdrawal_id for payment in payments}:
            raise Refused("PAYMENT_REVERTS", "The network would reject this payment.")
        if self.capped:
            raise Refused("FEE_ABOVE_CAP", "The network costs more now than its caps allow.")
        fee = Fee(WEIGHT, 1, 0)
        await self.fund(payments, wallet, fee)
        return fee

    async def fund(self, payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        wanted, chosen = sum(int(payment.amount) for payment in payments), list[Coin]()
        for coin in await self.coins.free(wallet, 10**6):
            if units_of(chosen) < wanted:
                chosen.append(coin)
        if units_of(chosen) < wanted:
            raise Unavailable("WALLET_SHORT", "The hot wallet is short.")
        return tuple(chosen)

    async def draft(self, slot: Slot, fee: Fee) -> Draft:
        return Draft(slot.id, "0x00", replace(fee, weight=WEIGHT))


class House:
    """A small house with a batching network, where time stands still until `later` sets the clock forward."""

    def __init__(self, world: World, stories: Recorder, inside: ActivityEnvironment, clock: Clock) -> None:
        self.world, self.stories, self.inside = world, stories, inside
        self.now, self.later = clock, clock.later
        self.chain = BatchChain(world)
        world.model.network = replace(
            world.model.network, batch_max=5, inputs_max=50, batch_wait_s=60, batch_urgent_s=3600
        )

    async def coins(self, count: int) -> None:
        rows = [(Coin(f"{'c' * 64}:{n}", str(COIN_UNITS)), 1) for n in range(count)]
        await self.chain.coins.seed(BlockMark(9, "h9"), {self.world.wallet: rows})

    async def queued(self, *coins: str) -> list[str]:
        ids = []
        for amount in coins:
            ids.append(await self.world.ask(amount))
            await self.world.books.judge(ids[-1], self.now())
        return ids

    def serve(self) -> "asyncio.Task[ServeNote]":
        desk = HotWalletActivities(
            self.world.books, self.world.books, self.chain, self.stories, self.world.catalogue.assets, self.now
        )
        note: Any = self.inside.run(desk.serve, ServeOrder(ETHEREUM, self.world.wallet))
        return asyncio.ensure_future(note)

    async def begun(self, count: int) -> list[Slot]:
        await self.world.until(lambda: len(self.stories.begun) >= count, f"{count} payouts begun")
        return [order.slot for order in self.stories.begun.values()]

    def planned(self, ids: Sequence[str]) -> set[str]:
        return {id for id in ids if self.world.stage(id) is Stage.PLANNED}


@pytest_asyncio.fixture(loop_scope="session")
async def house(world: World, stories: Recorder, inside: ActivityEnvironment, clock: Clock) -> AsyncIterator[House]:
    yield House(world, stories, inside, clock)


async def ended(running: "asyncio.Task[ServeNote]", house: House) -> ServeNote:
    house.inside.worker_shutdown()
    return await asyncio.wait_for(running, PATIENCE_S)


def payees(slot: Slot) -> set[str]:
    return {payment.withdrawal_id for payment in slot.payments}


# ---------------------------------------------------------------- when a batch goes
async def test_a_full_batch_goes_at_once_as_one_slot_with_its_coins(house: House) -> None:
    await house.coins(3)
    ids = await house.queued("25", "25", "25", "25", "25")
    running = house.serve()
    [slot] = await house.begun(1)
    note = await ended(running, house)
    assert payees(slot) == set(ids)
    assert [coin.units for coin in slot.inputs] == [str(COIN_UNITS)] * 2
    assert slot.scarce == slot.inputs[0].outpoint
    assert (note.planned, note.waiting) == (5, {})
    [order] = house.stories.begun.values()
    assert [item.intent.withdrawal_id for item in order.items] == [p.withdrawal_id for p in slot.payments]


async def test_a_batch_that_is_not_full_waits_for_its_age_and_not_a_round_longer(house: House) -> None:
    await house.coins(3)
    ids = await house.queued("25", "25")
    running = house.serve()
    await house.world.again("queued")
    assert not house.stories.begun
    ids += await house.queued("25")
    house.later(61)
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids), "who came meanwhile goes with the first"
    await ended(running, house)


async def test_a_payout_that_was_asked_for_long_ago_takes_the_others_along(house: House) -> None:
    await house.coins(3)
    ids = await house.queued("25", "25")
    house.world.row(ids[1]).requested_at = house.now() - timedelta(hours=2)
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids)
    await ended(running, house)


# ---------------------------------------------------------------- one that cannot be paid
async def test_one_bad_payout_does_not_stall_the_others_of_its_batch(house: House) -> None:
    await house.coins(3)
    ids = await house.queued("25", "25", "25", "25", "25")
    house.chain.bad.add(ids[2])
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids) - {ids[2]}
    assert (await ended(running, house)).waiting == {"PAYMENT_REVERTS": 1}


async def test_a_bad_payout_hastens_nobody_and_is_paid_once_it_can_be(house: House) -> None:
    await house.coins(3)
    [bad] = await house.queued("25")
    house.chain.bad.add(bad)
    running = house.serve()
    house.later(61)
    await house.world.until(lambda: house.chain.asked[1] > 0, "the bad one refused")
    house.later(-61)
    young = await house.queued("25", "25")
    house.later(20)
    before = house.chain.asked[1]
    await house.world.again("queued")
    assert not house.stories.begun, "the young wait for their own age"
    house.later(45)
    [slot] = await house.begun(1)
    assert payees(slot) == set(young)
    assert house.chain.asked[1] > before, "the bad one was asked for again, by itself"
    house.chain.bad.clear()
    house.later(6)
    slots = await house.begun(2)
    assert [bad] in [sorted(payees(slot)) for slot in slots]
    await ended(running, house)


async def test_a_fee_above_the_cap_is_no_payments_fault(house: House) -> None:
    await house.coins(3)
    await house.queued("25", "25", "25", "25", "25")
    house.chain.capped = True
    running = house.serve()
    await house.world.again("queued")
    assert (await ended(running, house)).waiting == {"FEE_ABOVE_CAP": 5}
    assert house.chain.asked[1] == 0


# ---------------------------------------------------------------- a short wallet
async def test_a_large_payout_that_the_coins_cannot_pay_keeps_no_small_one_waiting(house: House) -> None:
    await house.coins(2)
    [large] = await house.queued("900")
    small = await house.queued("25", "50", "25", "50")
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(small), "all that can be paid goes together"
    assert (await ended(running, house)).waiting == {"WALLET_SHORT": 1}
    assert house.world.stage(large) is Stage.QUEUED


async def test_a_wallet_that_can_pay_nobody_says_so_of_everybody(house: House) -> None:
    await house.coins(0)
    await house.queued("25", "25", "25", "25", "25")
    running = house.serve()
    await house.world.again("queued")
    assert (await ended(running, house)).waiting == {"WALLET_SHORT": 5}
    assert not house.stories.begun
    assert house.world.books.calls["plan_slot"] == 0


async def test_a_ledger_that_knows_of_less_than_the_chain_pays_the_smaller_ones(house: House) -> None:
    await house.coins(80)
    hot = chart.hot_wallet(ETHEREUM, house.world.wallet, USDT)
    house.world.books.credit(hot, 130 * 10**6 - house.world.books.balances[hot], "moved away")
    ids = await house.queued("60", "50", "40", "30", "20")
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids[3:])
    house.later(61)
    await house.begun(2)
    await house.world.again("queued")
    assert (await ended(running, house)).waiting == {"HOT_WALLET_SHORT": 2}
    assert house.planned(ids) == set(ids[2:])


# ---------------------------------------------------------------- races
async def test_coins_that_another_planner_took_are_chosen_anew(house: House) -> None:
    await house.coins(4)
    ids = await house.queued("25", "25", "25", "25", "25")
    fund, stale = house.chain.fund, await house.chain.coins.free(house.world.wallet, 10)
    calls = 0

    async def funds(payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first one is the quote's
            house.chain.coins.taken.add(stale[0].outpoint)
            return tuple(stale[:2])
        return await fund(payments, wallet, fee)

    house.chain.fund = funds  # type: ignore[method-assign]
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids)
    assert stale[0] not in slot.inputs
    assert (await ended(running, house)).waiting == {}


async def test_coins_that_are_always_gone_are_asked_for_a_few_times_a_round(house: House) -> None:
    await house.coins(4)
    await house.queued("25", "25", "25", "25", "25")
    gone = (Coin("d" * 64 + ":0", str(COIN_UNITS)),) * 2

    async def funds(payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        return gone

    house.chain.fund = funds  # type: ignore[method-assign]
    running = house.serve()
    await house.world.again("queued")
    assert (await ended(running, house)).waiting == {"COIN_TAKEN": 5}
    assert house.world.books.calls["plan_slot"] == 4


async def test_one_that_is_cancelled_while_its_batch_is_planned_is_left_out(house: House) -> None:
    await house.coins(4)
    ids = await house.queued("25", "25", "25", "25", "25")
    plan = house.world.books.plan_slot

    async def cancels_and_plans(*given: Any) -> Any:
        if house.world.stage(ids[3]) is Stage.QUEUED:
            await house.world.books.return_hold(ids[3], Stage.CANCELLED, "CLIENT", "carol", datetime.now(UTC))
        return await plan(*given)

    house.world.books.plan_slot = cancels_and_plans  # type: ignore[method-assign, assignment]
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids) - {ids[3]}
    assert house.world.stage(ids[3]) is Stage.CANCELLED
    await ended(running, house)


async def test_what_is_left_of_a_batch_that_lost_its_largest_payment_is_quoted_anew(house: House) -> None:
    """By itself it is too small for what the network costs now, so nothing may be bound to pay it."""
    await house.coins(4)
    large, *small = await house.queued("80", "5", "5", "5", "5")
    plan, quote = house.world.books.plan_slot, house.chain.quote

    async def cancels_and_plans(*given: Any) -> Any:
        if house.world.stage(large) is Stage.QUEUED:
            await house.world.books.return_hold(large, Stage.CANCELLED, "CLIENT", "carol", datetime.now(UTC))
        return await plan(*given)

    async def quotes(payments: Sequence[Payment], wallet: str) -> Fee:
        if sum(int(payment.amount) for payment in payments) < 80 * 10**6:
            raise Refused("FEE_ABOVE_CAP", "The fee is more than the share of the payments it may be.")
        return await quote(payments, wallet)

    house.world.books.plan_slot = cancels_and_plans  # type: ignore[method-assign, assignment]
    house.chain.quote = quotes  # type: ignore[method-assign]
    running = house.serve()
    await house.world.until(lambda: house.world.stage(large) is Stage.CANCELLED, "the large one cancelled")
    await house.world.again("queued")
    note = await ended(running, house)
    assert note.waiting == {"NOT_QUEUED": 1, "FEE_ABOVE_CAP": 4}
    assert (note.planned, house.planned(small)) == (0, set())
    assert not await house.world.books.open_slots(ETHEREUM, house.world.wallet)


async def test_those_of_a_batch_that_were_approved_with_a_lower_cap_wait_and_the_others_go(house: House) -> None:
    await house.coins(3)
    ids = await house.queued("25", "25", "25", "25", "25")
    row = house.world.row(ids[1])
    assert row.intent is not None
    row.intent = replace(row.intent, fee_cap=str(WEIGHT - 1))
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids) - {ids[1]}
    assert (await ended(running, house)).waiting == {"FEE_ABOVE_CAP": 1}


async def test_a_slot_whose_story_did_not_begin_goes_on_with_its_own_coins(house: House) -> None:
    """The wallet has no other coins left, and a quote would look for others."""
    await house.coins(2)
    ids = await house.queued("40", "40", "40", "40", "40")
    house.stories.down = 1
    running = house.serve()
    [slot] = await house.begun(1)
    assert payees(slot) == set(ids)
    assert house.world.books.calls["plan_slot"] == 1
    assert (await ended(running, house)).halted is None
