"""What serving a wallet promises by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

import activities.hot_wallet
import activities.open_slots
from activities.hot_wallet import HotWalletActivities, ServeNote, ServeOrder
from domain.errors import Unavailable, Uncertain
from domain.payout import Slot
from domain.ports import OpenSlot
from domain.procedure import Kind
from domain.withdrawal import Stage
from tests.activities.conftest import PATIENCE_S, Clock, Recorder
from tests.activities.test_chain import planned, real_time
from tests.fakes import books as fakes
from tests.fakes.chain import Tx, signed
from tests.workflows.world import ETHER, ETHEREUM, USDT, World


def serve(
    world: World, stories: Recorder, inside: ActivityEnvironment, clock: Callable[[], datetime] | None = None
) -> "asyncio.Task[ServeNote]":
    assets = world.catalogue.assets
    desk = HotWalletActivities(world.books, world.books, world.chain, stories, assets, clock or real_time)
    note: Any = inside.run(desk.serve, ServeOrder(ETHEREUM, world.wallet))
    return asyncio.ensure_future(note)


async def ended(running: "asyncio.Task[ServeNote]", inside: ActivityEnvironment) -> ServeNote:
    inside.worker_shutdown()
    return await asyncio.wait_for(running, PATIENCE_S)


async def queued(world: World, coins: str = "25", *, asset: str = USDT) -> str:
    id = await world.ask(coins, asset=asset)
    await world.books.judge(id, datetime.now(UTC))
    return id


async def test_what_is_queued_gets_a_slot_and_a_story(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    running = serve(world, stories, inside)
    ids = [await queued(world) for _ in range(3)]
    await world.until(lambda: len(stories.begun) == 3, "three payouts begun")
    note = await ended(running, inside)
    assert (note.planned, note.halted, note.waiting) == (3, None, {})
    assert {world.stage(id) for id in ids} == {Stage.PLANNED}
    paid = sorted(order.items[0].intent.withdrawal_id for order in stories.begun.values())
    assert paid == sorted(ids)


async def test_a_story_that_could_not_begin_begins_with_the_next_sweep(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    stories.down = 1
    running = serve(world, stories, inside)
    await queued(world)
    await world.until(lambda: len(stories.begun) == 1, "the payout begun after all")
    assert (await ended(running, inside)).planned == 1
    assert world.books.calls["plan_slot"] == 1, "the slot that was planned is used, no second one is taken"


async def test_a_slot_whose_planning_was_left_in_doubt_is_found_and_begun(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    plan = world.books.plan_slot

    async def plans_and_breaks(*given: Any) -> Any:
        world.books.plan_slot = plan  # type: ignore[method-assign]
        await plan(*given)
        raise Uncertain("STORE_UNCERTAIN", "The answer to COMMIT was lost.")

    world.books.plan_slot = plans_and_breaks  # type: ignore[method-assign, assignment]
    running = serve(world, stories, inside)
    id = await queued(world)
    await world.until(lambda: len(stories.begun) == 1, "the payout of the slot in doubt")
    await ended(running, inside)
    assert world.stage(id) is Stage.PLANNED
    assert list(stories.begun) == [f"{ETHEREUM}/{world.wallet.lower()}/0"]


async def test_a_story_that_was_seen_to_begin_is_left_alone_for_a_while_and_then_looked_for(
    world: World, stories: Recorder, inside: ActivityEnvironment, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(activities.open_slots, "SWEEP_S", 0)
    running = serve(world, stories, inside, clock)
    await queued(world)
    await world.until(lambda: bool(stories.begun), "the story begun")
    await world.again("open_slots")
    assert stories.looked_first == [False], "a story that runs is not signalled again and again"
    clock.later(activities.open_slots.LOOK_FOR_STORY_S)
    await world.until(lambda: len(stories.looked_first) > 1, "the story looked for")
    assert stories.looked_first == [False, True]
    await ended(running, inside)


async def test_a_slot_that_was_planned_in_another_term_is_begun_after_a_look_who_tells_it(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    """Whoever planned it may have died before it could tell anybody."""
    await planned(world)
    running = serve(world, stories, inside)
    await world.until(lambda: bool(stories.begun), "the story begun")
    await ended(running, inside)
    assert stories.looked_first == [True]
    assert world.books.calls["plan_slot"] == 1


async def test_what_cannot_be_paid_now_is_counted_by_its_reason(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world.model.broken.add(USDT)
    running = serve(world, stories, inside)
    for _ in range(2):
        await queued(world)
    await world.again("queued")
    note = await ended(running, inside)
    assert note.waiting == {"PAYMENT_REVERTS": 2}
    assert not stories.begun


async def test_one_approved_with_a_lower_cap_than_today_s_price_takes_no_number_and_is_paid_when_that_falls(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    """People raised the network's cap while it waited; what it was approved with stays as it is."""
    id, other = await queued(world), await queued(world)
    approve_with(world, id, FEE_CAP_BEFORE)
    world.model.base_fee = SPIKE
    running = serve(world, stories, inside)
    await world.until(lambda: bool(stories.begun), "the other one begun")
    await world.again("queued")
    assert world.stage(id) is Stage.QUEUED
    assert [order.items[0].intent.withdrawal_id for order in stories.begun.values()] == [other]
    [wallet] = await world.books.wallets()
    assert wallet.next_scarce == 1, "no number is taken that nobody could use"
    world.model.base_fee = 10**9
    await world.until(lambda: len(stories.begun) == 2, "the payout begun once the price fell")
    note = await ended(running, inside)
    assert (note.planned, note.waiting) == (2, {})
    assert world.stage(id) is Stage.PLANNED


async def test_payouts_that_cannot_be_paid_keep_no_other_waiting_however_many_they_are(
    world: World, stories: Recorder, inside: ActivityEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "QUEUED_MAX", 4)
    world.model.broken.add(USDT)
    for _ in range(fakes.QUEUED_MAX + 1):
        await queued(world)
    ether = await queued(world, "0.01", asset=ETHER)
    running = serve(world, stories, inside)
    await world.until(lambda: bool(stories.begun), "the other asset's payout begun")
    rounds = world.books.calls["queued"]
    await ended(running, inside)
    assert world.stage(ether) is Stage.PLANNED
    assert rounds <= 3, "it is looked at as soon as those before it were"


# ---------------------------------------------------------------- an open slot that nobody tells of
SPIKE, FEE_CAP_BEFORE = 10**11, 8 * 10**15  # what pays a token costs more than that then, what pays nobody does not


def approve_with(world: World, id: str, fee_cap: int) -> None:
    row = world.row(id)
    assert row.intent is not None
    row.intent = replace(row.intent, fee_cap=str(fee_cap))


async def too_dear(world: World) -> Slot:
    """A slot that is open although today's price is above its cap."""
    approve_with(world, await queued(world), FEE_CAP_BEFORE)
    slot = (await planned_slot(world)).slot
    world.model.base_fee = SPIKE
    return slot


async def reverting(world: World) -> Slot:
    """A slot that is open although its payment would be rejected now."""
    await queued(world)
    slot = (await planned_slot(world)).slot
    world.model.broken.add(USDT)
    return slot


async def planned_slot(world: World) -> OpenSlot:
    """What was queued first, planned by somebody who died before it could tell anybody."""
    items = await world.books.queued(ETHEREUM, world.wallet, 1)
    await world.books.plan_slot(world.chain.network, world.wallet, items, datetime.now(UTC))
    [opened] = await world.books.open_slots(ETHEREUM, world.wallet)
    return opened


@pytest.mark.parametrize("halted", [False, True], ids=["at work", "halted"])
@pytest.mark.parametrize("stuck", [too_dear, reverting])
async def test_a_slot_whose_payment_cannot_be_drafted_gets_its_story_once_people_void_it(
    stuck: Callable[[World], Awaitable[Slot]],
    halted: bool,
    world: World,
    stories: Recorder,
    inside: ActivityEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activities.open_slots, "SWEEP_S", 0)
    slot = await stuck(world)
    if halted:
        await world.books.halt_wallet(ETHEREUM, world.wallet, "drill", datetime.now(UTC))
    running = serve(world, stories, inside)
    await world.again("open_slots")
    assert not stories.begun
    assert not running.done(), "somebody must still be there for it"
    void = world.endorsed(Kind.VOID, slot.id)
    assert (await world.books.take_procedure(ETHEREUM, world.wallet, void, datetime.now(UTC))).taken
    await world.until(lambda: bool(stories.begun), "its story begun")
    note = await (asyncio.wait_for(running, PATIENCE_S) if halted else ended(running, inside))
    assert note.halted == ("drill" if halted else None)
    order = stories.begun[slot.id]
    assert order.void == void
    assert Tx.read(order.draft.unsigned).amount == 0, "bytes that pay nobody"


async def test_a_halted_wallet_leaves_no_open_slot_without_a_story_and_plans_nothing(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    await planned(world)
    id = await queued(world)
    await world.books.halt_wallet(ETHEREUM, world.wallet, "drill", datetime.now(UTC))
    stories.down = 1
    note = await asyncio.wait_for(serve(world, stories, inside), PATIENCE_S)
    assert (note.planned, note.halted) == (0, "drill")
    assert list(stories.begun) == [f"{ETHEREUM}/{world.wallet.lower()}/0"]
    assert world.stage(id) is Stage.QUEUED


async def test_a_key_that_is_used_elsewhere_halts_the_wallet(
    slow_world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world = slow_world
    world.model.pool["stranger"] = world.foreign(0)
    await queued(world)
    note = await asyncio.wait_for(serve(world, stories, inside), PATIENCE_S)
    assert note.halted is not None
    assert "used elsewhere" in note.halted
    assert world.halted() == note.halted
    assert not stories.begun


# ---------------------------------------------------------------- where the network counts nothing
@pytest.fixture
def uncounted(slow_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Where blocks are read instead, every few moments."""
    monkeypatch.setattr(activities.hot_wallet, "LOOK_S", 0.02)
    slow_world.chain.counts = False
    return slow_world


async def test_a_transaction_nobody_here_sent_halts_the_wallet_and_is_named(
    uncounted: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world = uncounted
    running = serve(world, stories, inside)
    await world.until(lambda: world.read_through() is not None, "where reading begins")
    stranger = world.foreign(0)
    world.model.mine(1, [stranger])
    await world.again("record_outgoing")
    assert world.halted() is None, "nothing is final yet"
    world.model.mine(3)
    note = await asyncio.wait_for(running, PATIENCE_S)
    assert note.halted is not None
    assert stranger.txid in note.halted
    assert world.halted() == note.halted


async def test_a_payment_of_ours_is_no_stranger_s(
    uncounted: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world = uncounted
    running = serve(world, stories, inside)
    await world.until(lambda: world.read_through() is not None, "where reading begins")
    await queued(world)
    await world.until(lambda: len(stories.begun) == 1, "a payout begun")
    [order] = stories.begun.values()
    version = signed(order.draft, 1)
    await world.books.begin_delivery(version, datetime.now(UTC))
    await world.chain.broadcast(version)
    world.model.mine(4)
    final = world.model.head - 2
    await world.until(lambda: (world.read_through() or 0) >= final, "its block read")
    assert (await ended(running, inside)).halted is None
    assert version.txid in world.sent_of_ours()


async def test_after_days_away_what_was_sent_meanwhile_is_still_found(
    uncounted: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world = uncounted
    world.model.mine(5)
    begin = await world.chain.outgoing(world.wallet, None)
    assert await world.books.record_outgoing(ETHEREUM, world.wallet, begin, datetime.now(UTC)) is None
    world.model.mine(50)
    stranger = world.foreign(0)
    world.model.mine(1, [stranger])
    world.model.mine(50)
    note = await asyncio.wait_for(serve(world, stories, inside), PATIENCE_S)
    assert stranger.txid in str(note.halted)
    assert world.books.calls["record_outgoing"] > 3, "part by part"


async def test_a_first_look_begins_at_the_present_whatever_the_key_did_before(
    uncounted: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world = uncounted
    world.model.mine(1, [world.foreign(0)])
    world.model.mine(10)
    running = serve(world, stories, inside)
    await world.again("record_outgoing")
    assert (await ended(running, inside)).halted is None


async def test_a_wallet_that_people_resumed_is_not_halted_again_by_the_same_transaction(
    uncounted: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    world = uncounted
    running = serve(world, stories, inside)
    await world.until(lambda: world.read_through() is not None, "where reading begins")
    world.model.mine(1, [world.foreign(0)])
    world.model.mine(5)
    assert (await asyncio.wait_for(running, PATIENCE_S)).halted is not None
    resume = world.endorsed(Kind.RESUME, f"{ETHEREUM}/{world.wallet}", "the cold wallet's own refund")
    assert (await world.books.take_procedure(ETHEREUM, world.wallet, resume, datetime.now(UTC))).taken
    running = serve(world, stories, inside)
    await world.again("record_outgoing")
    assert (await ended(running, inside)).halted is None


async def test_a_term_ends_by_itself_and_a_part_that_is_down_is_named(
    world: World,
    stories: Recorder,
    inside: ActivityEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    quick_pulse: None,
    clock: Clock,
) -> None:
    monkeypatch.setattr(activities.hot_wallet, "OUTAGE_PAUSE_S", 0.1)
    beats: list[dict[str, Any]] = []
    inside.on_heartbeat = lambda *details: beats.append(details[0])
    world.books.failures["queued"] = [Unavailable("STORE_UNAVAILABLE", "The database is away.")] * 8
    running = serve(world, stories, inside, clock)
    await world.until(lambda: any("STORE_UNAVAILABLE" in str(b.get("waits_for")) for b in beats), "the outage named")
    clock.later(60 * activities.hot_wallet.SERVE_MIN - 1)
    await world.again("queued")
    assert not running.done(), "neither an outage nor a long time ends a term early"
    clock.later(1)
    note = await asyncio.wait_for(running, PATIENCE_S)
    assert note.halted is None


async def test_a_server_that_is_told_to_leave_finishes_what_it_began_and_plans_no_more(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    for _ in range(4):
        await queued(world)
    plan = world.books.plan_slot

    async def plans_and_is_told_to_leave(*given: Any) -> Any:
        slot = await plan(*given)
        inside.worker_shutdown()
        return slot

    world.books.plan_slot = plans_and_is_told_to_leave  # type: ignore[method-assign, assignment]
    note = await asyncio.wait_for(serve(world, stories, inside), PATIENCE_S)
    assert note.planned == 1
    assert len(stories.begun) == 1, "the slot that was planned has its story"
    assert [row.stage for row in world.books.rows.values()].count(Stage.QUEUED) == 3
