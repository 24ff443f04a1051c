"""The promises of a hot wallet's story: one planner, no payment held up by another, no failure for want of coins."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowUpdateFailedError

import activities.open_slots
from domain.ledger import chart
from domain.payout import Slot
from domain.procedure import Kind
from domain.withdrawal import Stage
from tests.workflows.world import ETHER, ETHEREUM, USDT, World
from workflows import attributes
from workflows.hot_wallet import HotWalletWorkflow


async def test_a_short_wallet_leaves_it_queued_and_pays_after_the_refill(world: World) -> None:
    async with world.at_work():
        hot_wallet = await world.serve()
        short = await world.withdraw("900")
        await short.result()
        world.deposit(10**13)
        _spend(world)
        large, small = await world.withdraw("900"), await world.withdraw("10")
        assert (await small.result()).stage is Stage.SETTLED, "a small payment is not held up by a large one"
        id = large.id.removeprefix("withdrawal/")
        assert world.stage(id) is Stage.QUEUED
        world.model.fund(USDT, world.wallet, 10**9)
        world.books.credit(chart.hot_wallet(ETHEREUM, world.wallet, USDT), 10**9, "refill/1")
        assert (await large.result()).stage is Stage.SETTLED
        assert (await hot_wallet.describe()).typed_search_attributes[attributes.WALLET] == world.wallet
    world.assert_books_agree()


def _spend(world: World) -> None:
    """All but 100 USDT leave the wallet for the cold one."""
    ours = chart.hot_wallet(ETHEREUM, world.wallet, USDT)
    out = world.books.balances[ours] - 100 * 10**6
    world.books.credit(ours, -out, "to cold")
    world.model.fund(USDT, world.wallet, -out)


async def test_a_payment_that_would_revert_waits_and_holds_nobody_up(world: World) -> None:
    world.model.broken.add(USDT)
    async with world.at_work():
        await world.serve()
        blocked = await world.withdraw("25")
        id = blocked.id.removeprefix("withdrawal/")
        await world.again("queued")
        assert world.stage(id) is Stage.QUEUED
        assert not world.chain.sent
        other = await world.withdraw("0.01", asset=ETHER)
        assert (await other.result()).stage is Stage.SETTLED
        assert world.stage(id) is Stage.QUEUED
        world.model.broken.clear()
        assert (await blocked.result()).stage is Stage.SETTLED


async def test_no_more_slots_are_open_than_the_network_keeps(slow_world: World) -> None:
    world = slow_world
    world.model.network = replace(world.model.network, in_flight_max=2)
    async with world.at_work():
        await world.serve()
        handles = [await world.withdraw("10") for _ in range(4)]
        await world.until(lambda: len(set(world.chain.sent)) == 2, "two slots in flight")
        assert [row.stage for row in world.books.rows.values()].count(Stage.QUEUED) == 2
        await world.until(lambda: _mined(world), "all four paid")
        assert {(await handle.result()).stage for handle in handles} == {Stage.SETTLED}
    assert world.arrived() == 40 * 10**6
    world.assert_books_agree()


def _mined(world: World) -> bool:
    """One more block, with never more than two of ours in it; whether everybody is paid by now."""
    world.model.mine()
    assert len(world.model.blocks[-1].outcomes) <= 2
    return all(row.stage is Stage.SETTLED for row in world.books.rows.values())


async def test_a_halted_wallet_plans_nothing_and_says_why(world: World) -> None:
    async with world.at_work():
        await world.books.halt_wallet(ETHEREUM, world.wallet, "drill", world.books._clock())
        hot_wallet = await world.serve()
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.until(lambda: _says(world, "HALTED"), "the halt in the details")
        assert world.stage(id) is Stage.QUEUED
        assert (await hot_wallet.query(HotWalletWorkflow.status)).halted == "drill"
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await world.resume("nobody else looked", "ann")
        assert "Too few different people" in str(refused.value.cause)
        assert world.halted() == "drill"
        await world.resume("drill over")
        assert (await handle.result()).stage is Stage.SETTLED


@pytest.mark.parametrize("halted", [False, True], ids=["at work", "halted"])
async def test_a_slot_that_was_planned_and_cannot_be_drafted_is_ended_by_a_void(
    halted: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever planned it died, and since then its payment would be rejected: nobody has begun its story."""
    monkeypatch.setattr(activities.open_slots, "SWEEP_S", 0.1)
    async with world.at_work():
        handle = await world.withdraw("25")
        await world.stands_at(handle.id.removeprefix("withdrawal/"), Stage.QUEUED)
        items = await world.books.queued(ETHEREUM, world.wallet, 1)
        slot = await world.books.plan_slot(world.chain.network, world.wallet, items, datetime.now(UTC))
        assert isinstance(slot, Slot)
        world.model.broken.add(USDT)
        if halted:
            await world.books.halt_wallet(ETHEREUM, world.wallet, "drill", datetime.now(UTC))
        hot_wallet = await world.serve()
        await world.again("open_slots")
        assert not world.chain.sent
        await world.carry_out(world.endorsed(Kind.VOID, slot.id))
        assert (await handle.result()).reason == "VOIDED"
        [version] = await world.books.versions(slot.id)
        assert version.void, "no version that pays was ever signed"
        if halted:
            await world.until(lambda: _says(world, "HALTED"), "the halt in the details")
            assert (await hot_wallet.query(HotWalletWorkflow.status)).halted == "drill"
    assert world.arrived() == 0
    world.assert_books_agree()


async def _says(world: World, word: str) -> bool:
    handle = await world.serve()
    return word in (await handle.query("__temporal_workflow_metadata")).current_details
