"""A slot that a stranger consumed: given up by two people and the proof of the chain, paid once from another one."""

from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.errors import Refused
from domain.ledger import chart
from domain.payout import payout_workflow_id
from domain.ports import Conclusion
from domain.procedure import Endorsed, Kind
from domain.withdrawal import Stage
from tests.workflows.test_payout import COINS, sent, slot_of
from tests.workflows.world import ETHER, ETHEREUM, World
from workflows.withdrawal import WithdrawalWorkflow


async def consumed(world: World) -> tuple[str, WorkflowHandle[Any, Conclusion], str]:
    """A withdrawal whose slot 0 a stranger's transaction has consumed at final depth, and that transaction."""
    id, handle = await sent(world)
    stranger = world.foreign(0)
    world.model.mine(1, extra=[stranger])
    world.model.mine(3)
    await world.until(lambda: world.halted() is not None, "the wallet halted")
    return id, handle, stranger.txid


def replan_of(world: World, txid: str, *people: str) -> Endorsed:
    return world.endorsed(Kind.REPLAN, slot_of(world), people=people, txid=txid)


async def test_what_a_stranger_consumed_is_paid_once_from_another_slot_after_two_people_gave_it_up(
    slow_world: World,
) -> None:
    world = slow_world
    async with world.at_work():
        id, handle, stranger = await consumed(world)
        with pytest.raises(WorkflowUpdateFailedError):
            await world.carry_out(replan_of(world, stranger, "ann"))
        assert world.stage(id) is not Stage.QUEUED
        assert (await world.carry_out(replan_of(world, stranger))).taken
        assert world.halted() is not None, "resuming is another act"
        await world.stands_at(id, Stage.QUEUED)
        await world.until(lambda: _shown_as(handle, Stage.QUEUED), "the story waits for another slot")
        await world.resume()
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the bytes of the second slot")
        world.model.mine(4)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS
    assert world.held() == 0
    assert [code for _, code, _ in world.books.procedures] == ["ENDORSEMENTS_MISSING", "TAKEN", "TAKEN"]
    assert [stage for stage, _, _ in world.row(id).timeline].count(Stage.PLANNED) == 2
    assert not any(world.books.trial_balance().values())
    unbooked = world.books.balances[chart.hot_wallet(ETHEREUM, world.wallet, ETHER)] - world.model.balance(
        ETHER, world.wallet
    )
    found = world.model.find(stranger)
    assert found is not None
    assert unbooked == found[1].cost + found[1].tx.amount, "what the stranger took, and nothing else"


async def test_without_the_proof_of_the_chain_people_give_nothing_up(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        id, handle = await sent(world)
        stranger = world.foreign(0)
        world.model.mine(1, extra=[stranger])
        for txid, code in ((stranger.txid, "CONSUMPTION_UNPROVEN"), (stranger.txid, "CONSUMPTION_UNPROVEN")):
            assert await _refusal(world, replan_of(world, txid)) == code
        world.model.mine(3)
        assert await _refusal(world, replan_of(world, "0x" + "66" * 32)) == "CONSUMER_OTHER"
        assert world.stage(id) in (Stage.BROADCAST, Stage.CONFIRMING)
        assert (await world.carry_out(replan_of(world, stranger.txid))).taken
        await world.stands_at(id, Stage.QUEUED)
        await handle.cancel()
        assert (await handle.result()).stage is Stage.CANCELLED
    assert world.arrived() == 0
    assert world.available() == 10_000 * 10**6


async def test_a_slot_that_we_used_ourselves_is_given_up_by_nobody(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        _, handle = await sent(world)
        world.model.mine(1)
        assert await _refusal(world, replan_of(world, world.chain.sent[0])) == "CONSUMER_OURS"
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
        assert await _refusal(world, replan_of(world, world.chain.sent[0])) == "SLOT_NOT_OPEN"
    assert world.arrived() == COINS


async def test_the_next_slot_passes_every_number_that_the_stranger_used(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        id, handle, stranger = await consumed(world)
        world.model.mine(1, extra=[world.foreign(1), world.foreign(2)])
        assert await _refusal(world, replan_of(world, stranger)) == "CONSUMPTION_UNPROVEN", "the last is not final"
        world.model.mine(3)
        await world.carry_out(replan_of(world, stranger))
        await world.stands_at(id, Stage.QUEUED)
        await world.resume()
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the bytes of the second slot")
        world.model.mine(4)
        assert (await handle.result()).stage is Stage.SETTLED
        assert [one.slot.scarce for one in world.vault.orders] == ["0", "3"]
    assert world.arrived() == COINS


async def test_a_forged_word_that_a_slot_was_given_up_is_checked_in_the_books(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        id, handle = await sent(world)
        await handle.signal("procedure", replan_of(world, "0x" + "66" * 32))
        await world.until(lambda: world.books.calls["consumer"] == 1, "the books asked")
        world.model.mine(4)
        assert (await handle.result()).stage is Stage.SETTLED
        assert world.row(id).txid in world.chain.sent
    assert world.arrived() == COINS


async def test_a_slot_given_up_before_its_first_signature_is_paid_from_another_one(slow_world: World) -> None:
    world = slow_world
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        stranger = world.foreign(0)
        world.model.mine(1, extra=[stranger])
        world.model.mine(3)
        await world.carry_out(replan_of(world, stranger.txid))
        await world.stands_at(handle.id.removeprefix("withdrawal/"), Stage.QUEUED)
        await world.resume()
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        world.model.mine(4)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def test_a_slot_that_should_have_paid_several_frees_each_of_them(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        handles = [await world.withdraw("25") for _ in range(2)]
        ids = [handle.id.removeprefix("withdrawal/") for handle in handles]
        for id in ids:
            await world.stands_at(id, Stage.QUEUED)
        slot = await world.pay_together(*ids)
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        stranger = world.foreign(0)
        world.model.mine(1, extra=[stranger])
        world.model.mine(3)
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.serve()
        await world.carry_out(replan_of(world, stranger.txid))
        assert await world.client.get_workflow_handle(payout_workflow_id(slot.id)).result() is None
        await world.resume()
        await world.until(lambda: len(set(world.chain.sent)) == 3, "two slots' bytes")
        world.model.mine(4)
        assert [(await handle.result()).stage for handle in handles] == [Stage.SETTLED] * 2
    assert world.arrived() == 2 * COINS


@pytest.mark.parametrize("lost", ["take_procedure", "consumer"])
async def test_answers_lost_after_the_commit_give_a_slot_up_once(slow_world: World, lost: str) -> None:
    world = slow_world
    async with world.at_work():
        id, handle, stranger = await consumed(world)
        world.books.lost_answers[lost] = 2
        await world.carry_out(replan_of(world, stranger))
        await world.stands_at(id, Stage.QUEUED)
        world.books.lost_answers[lost] = 0
        await world.resume()
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the bytes of the second slot")
        world.model.mine(4)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == COINS


async def _refusal(world: World, endorsed: Endorsed) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await world.carry_out(endorsed)
    assert isinstance(refused.value.cause, ApplicationError)
    return str(refused.value.cause.type)


async def _shown_as(handle: WorkflowHandle[Any, Conclusion], stage: Stage) -> bool:
    return (await handle.query(WithdrawalWorkflow.status)).stage is stage
