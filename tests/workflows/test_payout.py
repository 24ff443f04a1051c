"""The promises of a slot's story: whatever the network, the signer or a worker does, nobody is paid twice."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError

import activities.open_slots
from activities.chain import DeliverOrder
from domain.errors import Refused, Unavailable, Uncertain
from domain.payout import Delivery, Draft, Fee, SigningOrder, Slot, Version, hot_wallet_workflow_id
from domain.ports import Conclusion
from domain.procedure import Kind
from domain.withdrawal import Stage
from tests.fakes.chain import Tx
from tests.workflows.world import ETHER, ETHEREUM, RECIPIENT, USDT, World
from workers.hosting import Hosted, worker
from workflows.hot_wallet import HotWalletWorkflow
from workflows.options import ORCHESTRATOR_QUEUE, chain_queue
from workflows.payout import PayoutWorkflow
from workflows.slot_story import REDRAFTS_MAX
from workflows.withdrawal import WithdrawalWorkflow

COINS = 25 * 10**6


async def sent(world: World) -> tuple[str, WorkflowHandle[Any, Conclusion]]:
    """A withdrawal of 25 USDT whose bytes were offered."""
    await world.serve()
    handle = await world.withdraw("25")
    id = handle.id.removeprefix("withdrawal/")
    await world.stands_at(id, Stage.BROADCAST)
    await world.until(lambda: bool(world.chain.sent), "the first bytes at a node")
    return id, handle


async def test_a_lost_acknowledgement_never_pays_twice(slow_world: World) -> None:
    world = slow_world
    world.chain.faults.lost_replies = 2
    async with world.at_work():
        _, handle = await sent(world)
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    assert len(set(world.chain.sent)) == 1
    assert len(world.vault.orders) == 1
    world.assert_books_agree()


async def test_bytes_that_went_stale_before_they_were_signed_are_drafted_anew(slow_world: World) -> None:
    world = slow_world
    world.vault.failures = [Refused("SIGNER_DRAFT_STALE", "The bytes expired before they were signed.")]
    async with world.at_work():
        _, handle = await sent(world)
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert len(world.vault.orders) == 2
    assert world.arrived() == COINS


async def test_bytes_that_are_always_stale_halt_the_wallet_because_a_clock_is_wrong(slow_world: World) -> None:
    world = slow_world
    stale = Refused("SIGNER_DRAFT_STALE", "The bytes expired before they were signed.")
    world.vault.failures = [stale] * (REDRAFTS_MAX + 1)
    async with world.at_work():
        await world.serve()
        await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "a halt")
    assert "SIGNER_DRAFT_STALE" in str(world.halted())
    assert len(world.vault.orders) == REDRAFTS_MAX + 1
    assert not world.chain.sent


async def test_a_redraft_that_is_refused_halts_the_wallet_and_ends_no_story(slow_world: World) -> None:
    world = slow_world
    draft, asked = world.chain.draft, 0

    async def dearer(slot: Slot, fee: Fee) -> Draft:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Refused("FEE_ABOVE_CAP", "The fee passes the cap of its slot.")
        return await draft(slot, fee)

    world.chain.draft = dearer  # type: ignore[method-assign]
    world.vault.failures = [Refused("SIGNER_DRAFT_STALE", "The bytes expired before they were signed.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "a halt")
        assert "FEE_ABOVE_CAP" in str(world.halted())
        await world.resume("looked")
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def test_beside_dead_versions_a_refused_signature_halts_until_people_looked(slow_world: World) -> None:
    world = slow_world
    world.chain.faults.black_holes = 10**6
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: bool(world.chain.sent), "the first bytes out")
        world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
        world.first_version_ends()
        await world.until(lambda: world.halted() is not None, "a halt")
        assert "SIGNER_QUORUM" in str(world.halted())
        world.model.base_fee *= 2
        world.chain.faults.black_holes = 0
        await world.resume("the roster is mended")
        await world.until(lambda: len(world.vault.orders) == 3, "the order in the dead one's place")
        assert len(world.vault.orders[-1].draft.after) == 1, "the signer is told which version is dead"
        await world.until(lambda: bool(world.model.pool), "the second version in the pool")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def test_bytes_that_a_node_swallowed_are_offered_again(slow_world: World) -> None:
    world = slow_world
    world.chain.faults.black_holes = 2
    async with world.at_work():
        _, handle = await sent(world)
        await world.until(lambda: len(world.chain.sent) >= 3, "the same bytes offered again")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert len(set(world.chain.sent)) == 1
    assert world.arrived() == COINS


async def test_a_payment_that_waits_too_long_is_bumped_on_the_same_slot(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        world.model.base_fee *= 40  # nobody takes the first version any more
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "a second version")
        world.model.base_fee //= 40
        world.model.mine(3)
        conclusion = await handle.result()
    first, second = await world.books.versions(f"{ETHEREUM}/{world.wallet.lower()}/0")
    assert second.fee.price > first.fee.price
    assert conclusion.txid == second.txid
    assert world.arrived() == COINS
    assert world.model.count(world.wallet) == 1
    world.assert_books_agree()


async def test_an_old_version_may_still_win_and_is_settled_as_the_one_that_paid(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "a second version")
        first = (await world.books.versions(f"{ETHEREUM}/{world.wallet.lower()}/0"))[0]
        world.model.mine(1, extra=[Tx.read(first.raw)])
        world.model.mine(2)
        conclusion = await handle.result()
    assert (conclusion.stage, conclusion.txid) == (Stage.SETTLED, first.txid)
    assert world.arrived() == COINS


async def test_a_revert_on_chain_fails_it_returns_the_hold_and_books_the_fee(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        world.model.broken.add(USDT)
        world.model.mine(3)
        conclusion = await handle.result()
    assert conclusion.stage is Stage.FAILED
    assert world.arrived() == 0
    assert world.available() == 10_000 * 10**6
    assert world.books.entries[f"slot/{ETHEREUM}/{world.wallet.lower()}/0/close"]
    world.assert_books_agree()


async def test_a_reorganisation_before_finality_is_looked_at_again(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        id, handle = await sent(world)
        world.model.mine(1)
        await world.stands_at(id, Stage.CONFIRMING)
        world.model.reorg(1)
        await world.stands_at(id, Stage.BROADCAST)
        await world.until(lambda: bool(world.model.pool), "the same bytes in the pool again")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert len(set(world.chain.sent)) == 1
    assert world.arrived() == COINS


async def test_a_strangers_transaction_on_our_nonce_halts_until_people_resume(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        hot_wallet = await world.serve()
        world.model.pool["stranger"] = world.foreign(0)
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.QUEUED)
        assert "the key is used elsewhere" in str(world.halted())
        del world.model.pool["stranger"]
        await hot_wallet.signal("procedure", "just do it")
        await world.resume("the key is safe")
        await world.stands_at(id, Stage.BROADCAST)
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert [what for what, _ in _events(world)] == ["HALTED", "RESUMED"]
    assert world.arrived() == COINS


async def test_a_slot_that_a_stranger_used_is_never_called_paid(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        id, handle = await sent(world)
        world.model.mine(1, extra=[world.foreign(0)])
        world.model.mine(3)
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        assert "none of our versions" in str(world.halted())
        status = await handle.query(WithdrawalWorkflow.status)
        assert status.slot is not None
        assert status.slot.halted == world.halted()
        assert world.stage(id) in (Stage.BROADCAST, Stage.CONFIRMING)
        assert world.held() == COINS + 1_500_000
        await handle.cancel()
        await handle.signal("resume", args=[1, 2])
        await world.until(lambda: world.books.calls["halt_wallet"] >= 2, "looked at again, and halted again")
    assert world.arrived() == 0


def _events(world: World) -> list[tuple[str, str]]:
    return world.books._wallet(ETHEREUM, world.wallet).events


# ---------------------------------------------------------------- the signer says no
async def test_a_signer_that_refuses_halts_the_wallet_and_signs_after_people_looked(world: World) -> None:
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        assert "SIGNER_QUORUM" in str(world.halted())
        assert not world.chain.sent
        await world.resume("roster mended")
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def test_after_people_looked_the_signer_gets_fresh_bytes_not_the_ones_it_refused(world: World) -> None:
    draft, asked = world.chain.draft, 0

    async def poisoned_at_first(slot: Slot, fee: Fee) -> Draft:
        nonlocal asked
        asked += 1
        good = await draft(slot, fee)
        return replace(good, unsigned=good.unsigned + "00") if asked == 1 else good

    world.chain.draft = poisoned_at_first  # type: ignore[method-assign]
    world.vault.failures = [Refused("SIGNER_PAYMENT_MISMATCH", "The amount in the bytes is not the slot's.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.resume("the node was replaced")
        assert (await handle.result()).stage is Stage.SETTLED
    first, second = world.vault.orders
    assert first.draft != second.draft
    assert world.arrived() == COINS


async def test_a_refused_bump_halts_the_wallet_but_the_version_that_is_out_still_wins(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        world.vault.failures = [Refused("SIGNER_FEE_ABOVE_CAP", "The transaction may cost more than allowed.")]
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    assert len(set(world.chain.sent)) == 1


async def test_a_refused_bump_is_tried_again_by_itself_once_the_wallet_is_resumed(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        world.vault.failures = [Refused("SIGNER_FEE_DAY_CAP", "What may be offered in 24 hours is spent.")]
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        assert "SIGNER_FEE_DAY_CAP" in str(await _halted(handle))
        await world.looks()
        assert len(world.vault.orders) == 2, "nothing is asked of the signer before people looked"
        await world.resume("the day is over")
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "the second version")
        assert await _halted(handle) is None
        assert world.halted() is None
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    world.assert_books_agree()


async def test_a_bump_that_is_refused_again_halts_again(slow_world: World) -> None:
    world = slow_world
    spent = Refused("SIGNER_FEE_DAY_CAP", "What may be offered in 24 hours is spent.")
    async with world.at_work():
        _, handle = await sent(world)
        world.vault.failures = [spent, spent]
        for asked in (2, 3):
            await world.until(lambda: world.halted() is not None, "the wallet halted")
            await world.looks()
            assert len(world.vault.orders) == asked, "one try for each time that people looked"
            await world.resume(f"looked, after {asked} orders")
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "the second version")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def _halted(handle: WorkflowHandle[Any, Any]) -> str | None:
    """Why the story that a withdrawal tells stands still."""
    status = await handle.query(WithdrawalWorkflow.status)
    return status.slot.halted if status.slot else None


async def test_an_end_that_the_books_refuse_halts_and_is_settled_after_people_looked(world: World) -> None:
    world.books.failures["settle"] = [Refused("ENTRY_CONFLICT", "The entry stands with other lines.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        assert "ENTRY_CONFLICT" in str(world.halted())
        await world.resume("entry mended")
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    world.assert_books_agree()


# ---------------------------------------------------------------- parts that break
async def test_nodes_that_are_down_for_a_while_only_delay_it(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        world.chain.faults.down = 5
        await world.until(lambda: not world.chain.faults.down, "the nodes back")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def test_books_that_break_after_their_commits_change_nothing(world: World) -> None:
    for method in ("plan_slot", "begin_delivery", "settle"):
        world.books.lost_answers[method] = 1
    world.books.failures["begin_delivery"] = [Uncertain("DATABASE_UNCERTAIN", "The answer to COMMIT was lost.")]
    world.books.failures["record_facts"] = [Unavailable("DATABASE_UNAVAILABLE", "The database does not answer.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    assert world.model.count(world.wallet) == 1
    world.assert_books_agree()


async def test_a_worker_that_dies_after_the_broadcast_is_replaced_and_nothing_is_paid_anew(slow_world: World) -> None:
    world = slow_world
    fell_silent = asyncio.Event()

    @activity.defn(name="deliver")
    async def dies(order: DeliverOrder) -> Delivery:
        """A worker killed between its broadcast and its first look: no heartbeat, no result, no goodbye."""
        await world.books.begin_delivery(order.version, datetime.now(UTC))
        await world.chain.broadcast(order.version)
        fell_silent.set()
        activity.raise_complete_async()

    (serve,) = (does for does in world.hosted("chain").activities if does.__name__ == "serve")
    async with world.at_work("orchestrator", "books", "signer"):
        await world.serve()
        handle = await world.withdraw("25")
        async with worker(world.client, Hosted(chain_queue(ETHEREUM), activities=(dies, serve))):
            await asyncio.wait_for(fell_silent.wait(), 30)
        async with world.at_work("chain"):
            world.model.mine(3)
            assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    assert len(set(world.chain.sent)) == 1
    world.assert_books_agree()


async def test_a_drained_worker_hands_over_at_once(slow_world: World) -> None:
    world = slow_world
    async with world.at_work("orchestrator", "books", "signer"):
        async with world.at_work("chain"):
            _, handle = await sent(world)
        assert await _left(handle) == "WORKER_LEAVING", "it did not stay until it was torn away"
        world.model.mine(3)
        async with world.at_work("chain"):
            assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def _left(handle: WorkflowHandle[Any, Any]) -> str:
    """Why the attempt before this one at the story's open activity ended."""
    (delivery,) = (await handle.describe()).raw_description.pending_activities
    return str(delivery.last_failure.application_failure_info.type)


# ---------------------------------------------------------------- who tells it
async def test_a_slot_that_pays_several_is_told_apart_and_each_of_them_hears_its_end(world: World) -> None:
    async with world.at_work():
        handles = [await world.withdraw(coins) for coins in ("25", "10")]
        ids = [handle.id.removeprefix("withdrawal/") for handle in handles]
        for id in ids:
            await world.stands_at(id, Stage.QUEUED)
        await world.pay_together(*ids)
        ends = [await handle.result() for handle in handles]
        final = await world.payout(0).result()
    assert [(end.withdrawal_id, end.stage, end.txid) for end in ends] == [
        (id, Stage.SETTLED, final["txid"]) for id in ids
    ]
    assert len(world.chain.sent) == 1
    assert world.arrived() == COINS + 10 * 10**6
    world.assert_books_agree()


async def test_a_slot_that_pays_several_goes_on_when_its_halted_wallet_is_resumed(world: World) -> None:
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        handles = [await world.withdraw("25") for _ in range(2)]
        for handle in handles:
            await world.stands_at(handle.id.removeprefix("withdrawal/"), Stage.QUEUED)
        await world.pay_together(*(handle.id.removeprefix("withdrawal/") for handle in handles))
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        assert (await world.payout(0).query(PayoutWorkflow.status)).halted == world.halted()
        await world.payout(0).cancel()
        await world.serve()
        await world.resume("roster mended")
        assert {(await handle.result()).stage for handle in handles} == {Stage.SETTLED}
    assert world.arrived() == 2 * COINS


async def test_a_teller_that_was_terminated_by_hand_is_followed_by_another_and_pays_once(
    slow_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = slow_world
    monkeypatch.setattr(activities.open_slots, "SWEEP_S", 1)
    monkeypatch.setattr(activities.open_slots, "LOOK_FOR_STORY_S", 1)
    async with world.at_work():
        id, handle = await sent(world)
        await handle.terminate("somebody meant well")
        await world.until(lambda: _runs(world, ""), "the slot's own workflow")
        first = await world.payout(0).describe()
        await world.payout(0).terminate("somebody meant well again")
        await world.until(lambda: _runs(world, first.run_id), "a new run of it")
        world.model.mine(3)
        await world.stands_at(id, Stage.SETTLED)
        await world.payout(0).result()
    assert world.arrived() == COINS
    assert len(set(world.chain.sent)) == 1
    world.assert_books_agree()


async def _runs(world: World, other_than: str) -> bool:
    try:
        found = await world.payout(0).describe()
    except RPCError:
        return False
    return found.status is WorkflowExecutionStatus.RUNNING and found.run_id != other_than


async def test_two_tellers_at_once_pay_once_and_both_end(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        (open_slot,) = await world.books.open_slots(ETHEREUM, world.wallet)
        payout = await world.client.start_workflow(
            PayoutWorkflow.run,
            await world.order_of(open_slot.slot),
            id=world.payout(0).id,
            task_queue=ORCHESTRATOR_QUEUE,
        )
        await world.until(lambda: len(world.vault.orders) == 2, "both at the signer")
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
        await payout.result()
    assert world.arrived() == COINS
    assert len(set(world.chain.sent)) == 1
    world.assert_books_agree()


async def test_a_plan_said_twice_or_garbled_changes_nothing(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        (open_slot,) = await world.books.open_slots(ETHEREUM, world.wallet)
        order = await world.order_of(open_slot.slot)
        stranger = replace(open_slot.slot.payments[0], withdrawal_id="wd_another")
        other = replace(order, slot=replace(order.slot, payments=(stranger,)))
        for words in ([], ["pay it"], [order, order], [{"slot": 1}], [other], [order]):
            await handle.signal("planned", args=words)
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert len(world.vault.orders) == 1
    assert world.arrived() == COINS


async def test_a_story_at_a_halt_ends_when_another_teller_settled_its_slot_and_not_because_somebody_says_so(
    world: World,
) -> None:
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        forged = Conclusion(id, Stage.SETTLED, "", "0x1")
        await handle.signal("concluded", forged)
        await world.until(lambda: world.books.calls["concluded"] >= 1, "a look at the books")
        assert (await handle.query(WithdrawalWorkflow.status)).stage is Stage.PLANNED
        (open_slot,) = await world.books.open_slots(ETHEREUM, world.wallet)
        await world.client.execute_workflow(
            PayoutWorkflow.run,
            await world.order_of(open_slot.slot),
            id=world.payout(0).id,
            task_queue=ORCHESTRATOR_QUEUE,
        )
        end = await handle.result()
    assert (end.stage, end.txid) == (Stage.SETTLED, world.chain.sent[0])
    assert world.arrived() == COINS


# ---------------------------------------------------------------- what people order
def patient(world: World) -> None:
    """Nothing is bumped by itself during a test."""
    network = world.model.network
    world.model.network = replace(network, fees=replace(network.fees, bump_after_s=3600))


def slot_of(world: World, scarce: int = 0) -> str:
    return f"{ETHEREUM}/{world.wallet.lower()}/{scarce}"


async def test_one_person_has_a_fee_raised_now_and_once(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        _, handle = await sent(world)
        note = await world.carry_out(world.endorsed(Kind.SPEED_UP, slot_of(world), people=["ann"]))
        assert (note.code, note.endorsers) == ("TAKEN", ("ann",))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the second version")
        await world.looks()
        first, second = await world.books.versions(slot_of(world))
        assert second.fee.price > first.fee.price
        world.model.mine(3)
        conclusion = await handle.result()
    assert (conclusion.stage, conclusion.txid) == (Stage.SETTLED, second.txid)
    assert len(world.vault.orders) == 2, "asked once, bumped once"
    assert world.arrived() == COINS
    world.assert_books_agree()


async def test_speeding_up_stays_within_the_caps_and_is_done_when_they_allow_it(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        await sent(world)
        world.model.base_fee = 10**15
        await world.carry_out(world.endorsed(Kind.SPEED_UP, slot_of(world), people=["ann"]))
        calls = world.books.calls["versions"] + len(world.chain.sent)
        await world.looks(6)
        assert len(await world.books.versions(slot_of(world))) == 1
        assert world.books.calls["versions"] + len(world.chain.sent) < calls + 3, "nobody is pestered meanwhile"
        world.model.base_fee = 10**9
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the second version")
    assert world.arrived() == 0


async def test_a_stranger_speeds_nothing_up(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        await sent(world)
        with pytest.raises(WorkflowUpdateFailedError):
            await world.carry_out(world.endorsed(Kind.SPEED_UP, slot_of(world), people=["mallory"]))
        hot_wallet = world.client.get_workflow_handle(hot_wallet_workflow_id(ETHEREUM, world.wallet))
        await hot_wallet.signal("procedure", {})
        await hot_wallet.query(HotWalletWorkflow.status)  # whoever answers has read the letter
        await world.looks()
        assert len(await world.books.versions(slot_of(world))) == 1
    assert [code for _, code, _ in world.books.procedures] == ["ENDORSEMENTS_MISSING"]


async def test_two_people_void_a_stuck_payment_and_its_money_goes_back(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        _, handle = await sent(world)
        with pytest.raises(WorkflowUpdateFailedError):
            await world.carry_out(world.endorsed(Kind.VOID, slot_of(world), people=["ann"]))
        await world.carry_out(world.endorsed(Kind.VOID, slot_of(world)))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the version that pays nobody")
        world.model.mine(3)
        conclusion = await handle.result()
    assert (conclusion.stage, conclusion.reason) == (Stage.FAILED, "VOIDED")
    assert world.arrived() == 0
    assert world.available() == 10_000 * 10**6
    assert world.held() == 0
    world.assert_books_agree()


async def test_what_pays_nobody_outbids_a_bump_that_was_being_signed_meanwhile(slow_world: World) -> None:
    """Coins of the network weigh the same paid or voided: a void beside the books' last version has the bump's fee."""
    world = slow_world
    patient(world)
    sign, reached, go = world.vault.sign, asyncio.Event(), asyncio.Event()

    async def held(order: SigningOrder) -> Version:
        if len(world.vault.orders) == 1:
            reached.set()
            await go.wait()
        return await sign(order)

    world.vault.sign = held  # type: ignore[method-assign]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("0.2", asset=ETHER)
        await world.until(lambda: bool(world.chain.sent), "the first bytes out")
        await world.carry_out(world.endorsed(Kind.SPEED_UP, slot_of(world), people=["ann"]))
        await asyncio.wait_for(reached.wait(), 30)
        assert (await world.carry_out(world.endorsed(Kind.VOID, slot_of(world)))).taken
        await world.until(lambda: _told_of(handle, 2), "the story told of both, before the bump is signed")
        go.set()
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the version that pays nobody")
        versions = await world.books.versions(slot_of(world))
        assert [(one.number, one.void) for one in versions] == [(1, False), (2, False), (3, True)]
        assert world.chain.sent[-1] == versions[2].txid
        assert versions[1].txid not in world.chain.sent, "what was being signed is kept, and offered to nobody"
        world.model.mine(3)
        end = await handle.result()
    assert (end.stage, end.reason) == (Stage.FAILED, "VOIDED")
    assert world.model.balance(ETHER, RECIPIENT) == 0
    world.assert_books_agree()


async def _told_of(handle: WorkflowHandle[Any, Any], procedures: int) -> bool:
    """Whether so many procedures stand in the history of a story."""
    events = (await handle.fetch_history()).events
    names = [event.workflow_execution_signaled_event_attributes.signal_name for event in events]
    return names.count("procedure") == procedures


async def test_why_a_void_was_refused_stays_in_sight_until_people_order_more(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        _, handle = await sent(world)
        world.vault.failures = [Refused("SIGNER_ENDORSEMENTS", "Two different people must endorse this procedure.")]
        await world.carry_out(world.endorsed(Kind.VOID, slot_of(world)))
        await world.until(lambda: len(world.vault.orders) == 2, "the void at the signer")
        await world.looks()
        assert "SIGNER_ENDORSEMENTS" in str(await _unheeded(handle))
        shown = (await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)).current_details
        assert "it cannot be voided" in shown
        assert "version 1 is out" in shown
        await world.carry_out(world.endorsed(Kind.VOID, slot_of(world), reason="the roster is mended"))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the version that pays nobody")
        assert await _unheeded(handle) is None
        world.model.mine(3)
        assert (await handle.result()).reason == "VOIDED"


async def _unheeded(handle: WorkflowHandle[Any, Any]) -> str | None:
    status = await handle.query(WithdrawalWorkflow.status)
    return status.slot.unheeded if status.slot else None


async def test_an_older_version_may_still_win_over_the_one_that_pays_nobody(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        _, handle = await sent(world)
        await world.carry_out(world.endorsed(Kind.VOID, slot_of(world)))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the version that pays nobody")
        first, second = await world.books.versions(slot_of(world))
        assert (first.void, second.void) == (False, True)
        world.model.mine(1, extra=[Tx.read(first.raw)])
        world.model.mine(2)
        conclusion = await handle.result()
    assert (conclusion.stage, conclusion.txid) == (Stage.SETTLED, first.txid)
    assert world.arrived() == COINS
    world.assert_books_agree()


async def test_what_voids_is_bumped_too_and_never_turns_into_a_payment(slow_world: World) -> None:
    world = slow_world
    patient(world)
    async with world.at_work():
        _, handle = await sent(world)
        await world.carry_out(world.endorsed(Kind.VOID, slot_of(world)))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the version that pays nobody")
        await world.carry_out(world.endorsed(Kind.SPEED_UP, slot_of(world), people=["cyd"]))
        await world.until(lambda: len(set(world.chain.sent)) == 3, "a dearer one")
        assert [version.void for version in await world.books.versions(slot_of(world))] == [False, True, True]
        world.model.mine(3)
        assert (await handle.result()).reason == "VOIDED"
    assert world.arrived() == 0
    world.assert_books_agree()


async def test_a_payment_that_the_signer_refuses_is_voided_while_the_wallet_is_halted(slow_world: World) -> None:
    world = slow_world
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.carry_out(world.endorsed(Kind.VOID, slot_of(world)))
        await world.until(lambda: len(set(world.chain.sent)) == 1, "the version that pays nobody")
        world.model.mine(3)
        assert (await handle.result()).reason == "VOIDED"
        assert world.halted() is not None, "the wallet is resumed by people, not by this"
    assert world.arrived() == 0


async def test_whoever_takes_a_story_up_goes_on_voiding_it(slow_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = slow_world
    patient(world)
    monkeypatch.setattr(activities.open_slots, "LOOK_FOR_STORY_S", 0.2)
    monkeypatch.setattr(activities.open_slots, "SWEEP_S", 0.2)
    async with world.at_work():
        id, handle = await sent(world)
    await handle.terminate("somebody was in a hurry")
    void = world.endorsed(Kind.VOID, slot_of(world))
    assert (await world.books.take_procedure(ETHEREUM, world.wallet, void, datetime.now(UTC))).taken
    async with world.at_work():
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the version that pays nobody")
        world.model.mine(3)
        await world.stands_at(id, Stage.FAILED)
    assert world.row(id).reason == "VOIDED"
    assert world.arrived() == 0
