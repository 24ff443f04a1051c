"""What delivering promises by itself: stored before it is sent, patient, alive, and quick to leave."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.chain import ChainActivities, DeliverOrder, ProofOrder, RedraftOrder, VoidOrder, VoidStep
from domain.errors import Unavailable
from domain.payout import Act, Consumption, Delivery, Draft, Facts, Fee, Slot, Version
from domain.withdrawal import Stage
from tests.activities.conftest import PATIENCE_S, Clock
from tests.fakes.chain import Tx, signed
from tests.workflows.world import ETHEREUM, World


async def planned(world: World) -> DeliverOrder:
    """A signed first version of a slot that pays 25 USDT, not yet stored."""
    id = await world.ask("25")
    await world.books.judge(id, datetime.now(UTC))
    items = await world.books.queued(ETHEREUM, world.wallet, 1)
    slot = await world.books.plan_slot(world.chain.network, world.wallet, items, datetime.now(UTC))
    assert isinstance(slot, Slot)
    fee = await world.chain.quote(slot.payments, world.wallet)
    return DeliverOrder(slot, signed(await world.chain.draft(slot, fee), 1))


def deliver(
    world: World, inside: ActivityEnvironment, order: DeliverOrder, clock: Callable[[], datetime] | None = None
) -> "asyncio.Task[Delivery]":
    delivery: Any = inside.run(ChainActivities(world.chain, world.books, clock or real_time).deliver, order)
    return asyncio.ensure_future(delivery)


def real_time() -> datetime:
    return datetime.now(UTC)


async def test_the_bytes_are_stored_and_the_stage_moved_before_a_node_hears_of_them(
    world: World, inside: ActivityEnvironment
) -> None:
    order = await planned(world)
    seen: list[tuple[int, Stage]] = []
    broadcast = world.chain.broadcast

    async def listening(version: Version) -> None:
        stored = await world.books.versions(order.slot.id)
        seen.append((len(stored), world.stage(order.slot.payments[0].withdrawal_id)))
        await broadcast(version)

    world.chain.broadcast = listening  # type: ignore[method-assign]
    delivery = await deliver(world, inside, order)
    assert seen[0] == (1, Stage.BROADCAST)
    assert delivery.act is Act.FINAL
    assert delivery.final is not None
    assert delivery.final.paid


async def test_nothing_is_sent_that_could_not_be_stored(world: World, inside: ActivityEnvironment) -> None:
    world.books.failures["begin_delivery"] = [Unavailable("STORE_UNAVAILABLE", "The database is away.")] * 3
    order, stored = await planned(world), list[int]()
    broadcast = world.chain.broadcast

    async def listening(version: Version) -> None:
        stored.append(len(await world.books.versions(order.slot.id)))
        await broadcast(version)

    world.chain.broadcast = listening  # type: ignore[method-assign]
    assert (await deliver(world, inside, order)).act is Act.FINAL
    assert world.books.calls["begin_delivery"] > 3, "it was tried until it could be stored"
    assert stored == [1], "nobody heard of it before"


async def test_an_operator_reads_in_the_heartbeat_what_it_waits_for(
    slow_world: World, inside: ActivityEnvironment, quick_pulse: None
) -> None:
    beats: list[dict[str, Any]] = []
    inside.on_heartbeat = lambda *details: beats.append(details[0])
    order = await planned(slow_world)
    slow_world.chain.faults.down = 4
    running = deliver(slow_world, inside, DeliverOrder(order.slot, order.version, may_bump=False))
    await slow_world.until(lambda: any("NODE_SILENT" in str(b.get("waits_for")) for b in beats), "the outage named")
    await slow_world.until(lambda: any("not included" in str(b.get("says")) for b in beats), "what the look said")
    slow_world.model.mine(3)
    assert (await running).act is Act.FINAL


async def test_a_second_attempt_finds_all_versions_and_sends_no_other_bytes(
    slow_world: World, inside: ActivityEnvironment
) -> None:
    order = await planned(slow_world)
    first = deliver(slow_world, inside, order)
    await slow_world.until(lambda: bool(slow_world.chain.sent), "the first attempt's bytes")
    second = deliver(slow_world, ActivityEnvironment(), order)
    slow_world.model.mine(3)
    assert (await first).final == (await second).final
    assert len(set(slow_world.chain.sent)) == 1


async def test_it_leaves_as_soon_as_its_worker_must(slow_world: World, inside: ActivityEnvironment) -> None:
    running = deliver(slow_world, inside, await planned(slow_world))
    await slow_world.until(lambda: bool(slow_world.chain.sent), "the bytes out")
    inside.worker_shutdown()
    with pytest.raises(ApplicationError) as left:
        await asyncio.wait_for(running, PATIENCE_S)
    assert left.value.type == "WORKER_LEAVING"
    assert not left.value.non_retryable, "the next worker takes it up"


async def test_where_no_higher_fee_may_be_tried_it_waits_for_the_version_that_is_out(
    slow_world: World, inside: ActivityEnvironment, clock: Clock
) -> None:
    order = await planned(slow_world)
    running = deliver(slow_world, inside, DeliverOrder(order.slot, order.version, may_bump=False), clock)
    await slow_world.until(lambda: bool(slow_world.chain.sent), "the bytes out")
    clock.later(slow_world.chain.network.fees.bump_after_s + 1)
    await slow_world.looks()
    assert not running.done()
    slow_world.model.mine(3)
    assert (await running).act is Act.FINAL


async def test_fresh_bytes_take_the_place_of_the_same_dead_versions_and_beat_while_nodes_are_slow(
    world: World, inside: ActivityEnvironment, quick_pulse: None
) -> None:
    order, beats = await planned(world), 0
    draft = world.chain.draft

    async def slow(slot: Slot, fee: Fee) -> Draft:
        await world.until(lambda: beats > 2, "the beats of one whose node does not answer")
        return await draft(slot, fee)

    def beat(*details: Any) -> None:
        nonlocal beats
        beats += 1

    stale = replace(await draft(order.slot, order.version.fee), after=("0x1", "0x2"))
    world.chain.draft = slow  # type: ignore[method-assign]
    inside.on_heartbeat = beat
    redraft: Any = ChainActivities(world.chain, world.books).redraft
    assert await inside.run(redraft, RedraftOrder(order.slot, stale)) == stale


# ---------------------------------------------------------------- voiding
async def void(world: World, inside: ActivityEnvironment, order: VoidOrder) -> VoidStep:
    draft_void: Any = ChainActivities(world.chain, world.books).draft_void
    step: VoidStep = await inside.run(draft_void, order)
    return step


async def test_a_void_outbids_what_was_signed_a_moment_ago_which_is_stored_and_not_forgotten(
    slow_world: World, inside: ActivityEnvironment
) -> None:
    world = slow_world
    order = await planned(world)
    first = order.version
    await world.books.begin_delivery(first, datetime.now(UTC))
    dearer = replace(first.fee, price=2 * first.fee.price, tip=2 * first.fee.tip)
    second = signed(await world.chain.draft(order.slot, dearer), 2)
    assert not world.chain.sent

    step = await void(world, inside, VoidOrder(order.slot, second))
    assert list(await world.books.versions(order.slot.id)) == [first, second]
    assert step.draft is not None
    assert step.draft.fee.price > second.fee.price
    assert step.draft.fee.tip > second.fee.tip
    assert not world.chain.sent, "nobody offers what is to be outbid"
    assert (await void(world, inside, VoidOrder(order.slot, first))).draft == step.draft, "an old word lowers nothing"

    third = replace(signed(step.draft, 3), void=True)
    assert (await void(world, inside, VoidOrder(order.slot, third))).version == third


# ---------------------------------------------------------------- a stranger's slot
async def proof(world: World, inside: ActivityEnvironment, order: DeliverOrder, txid: str) -> Consumption | None:
    prove: Any = ChainActivities(world.chain, world.books).prove_consumed
    found: Consumption | None = await inside.run(prove, ProofOrder(ETHEREUM, world.wallet, order.slot.id, txid))
    return found


async def test_the_proof_names_the_slot_the_stranger_and_how_far_the_key_was_used(
    slow_world: World, inside: ActivityEnvironment
) -> None:
    world = slow_world
    order, stranger = await planned(world), world.foreign(0)
    world.model.mine(1, extra=[stranger, world.foreign(1)])
    early = await proof(world, inside, order, stranger.txid)
    assert early is not None
    assert early.code == "CONSUMPTION_UNPROVEN"
    world.model.mine(3)
    found = await proof(world, inside, order, stranger.txid)
    assert found == Consumption(order.slot, stranger.txid, "PROVEN", world.model.head - 2, counted=2)


async def test_a_stranger_who_was_named_once_is_named_again_after_the_nodes_forgot_the_old_states(
    slow_world: World, inside: ActivityEnvironment
) -> None:
    world = slow_world
    order, stranger = await planned(world), world.foreign(0)
    world.model.mine(4, extra=[stranger])
    first = await deliver(world, inside, order)
    assert (first.act, stranger.txid in first.reason) == (Act.HALT, True)
    world.chain.faults.forgets_states = True
    again = await asyncio.wait_for(deliver(world, ActivityEnvironment(), order), PATIENCE_S)
    assert (again.act, again.reason) == (Act.HALT, first.reason)
    found = await proof(world, inside, order, stranger.txid)
    assert found is not None
    assert found.code == "PROVEN"


async def test_a_version_stored_while_the_nodes_were_asked_is_never_taken_for_a_stranger(
    slow_world: World, inside: ActivityEnvironment
) -> None:
    world = slow_world
    order = await planned(world)
    observe = world.chain.observe

    async def meanwhile(slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        """Another process signs, stores and sends, and it is final, before the answer is here."""
        await world.books.begin_delivery(order.version, datetime.now(UTC))
        world.model.mine(1, extra=[Tx.read(order.version.raw)])
        world.model.mine(3)
        return await observe(slot, versions, suspect)

    world.chain.observe = meanwhile  # type: ignore[method-assign]
    found = await proof(world, inside, order, order.version.txid)
    assert found is not None
    assert found.code == "CONSUMER_OURS"


async def test_nothing_is_asked_about_a_slot_that_is_not_open(world: World, inside: ActivityEnvironment) -> None:
    order = await planned(world)
    world.chain.faults.down = 10**6
    other = replace(order, slot=replace(order.slot, id=order.slot.id + "9"))
    assert await proof(world, inside, other, "0x00") is None
