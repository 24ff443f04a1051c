"""The promises of the withdrawal's story, from its verdict to its end."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities.failures import refusal as refused_by
from domain.errors import Refused, Unavailable
from domain.intent import Decision, Ruling
from domain.ledger import chart
from domain.ports import Conclusion
from domain.withdrawal import Stage
from tests.workflows.world import NEIGHBOUR, USDT, World, decided, pleaded
from workflows import attributes
from workflows.state import Plea
from workflows.withdrawal import WithdrawalWorkflow

FOR_PEOPLE = "2000"  # policy asks for two approvals from 1000 on


async def refusal(update: Any) -> str:
    """The code with which an update is refused."""
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await update
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    return cause.type or ""


async def referred(world: World) -> tuple[str, WorkflowHandle[Any, Conclusion]]:
    """A withdrawal that waits for people."""
    handle = await world.withdraw(FOR_PEOPLE)
    id = handle.id.removeprefix("withdrawal/")
    await world.stands_at(id, Stage.REFERRED)
    return id, handle


# ---------------------------------------------------------------- nobody needs to look
async def test_an_auto_approved_withdrawal_is_paid_once_within_its_event_budget(world: World) -> None:
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        conclusion = await handle.result()
    assert conclusion.stage is Stage.SETTLED
    assert conclusion.txid == world.chain.sent[0]
    assert world.arrived() == 25 * 10**6
    assert len(world.chain.sent) == 1
    world.assert_books_agree()
    events = await world.events(handle)
    assert events <= 45, f"{events} history events; 45 are the budget of one auto-approved withdrawal"


async def test_one_to_an_account_here_ends_without_a_hot_wallet_or_a_chain(world: World) -> None:
    """No chain worker and no signer is at work, and nobody serves the wallet."""
    await world.open_neighbour()
    before = world.available()
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("25")
        conclusion = await handle.result()
        assert (conclusion.stage, conclusion.reason, conclusion.txid) == (Stage.SETTLED, "INTERNAL", None)
        assert "EVENT_TYPE_TIMER_STARTED" not in (await handle.fetch_history()).to_json(), "nothing is waited for"

        id, asked = await referred(world)
        for name in ("ann", "bob"):
            await decided(asked, world.decision(name, id))
        assert (await asked.result()).reason == "INTERNAL", "people are asked as for any other"
    assert world.books.balances[chart.available(NEIGHBOUR, USDT)] == 2025 * 10**6
    assert before - world.available() == 2025 * 10**6, "it is free"
    assert (world.held(), world.arrived(), world.chain.sent) == (0, 0, [])
    world.assert_books_agree()


async def test_people_can_search_for_it_and_read_what_it_is_about(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        await world.until(lambda: _searchable(handle, "REFERRED"), "its stage in the search attributes")
        found = (await handle.describe()).typed_search_attributes
        assert found[attributes.RISK_LEVEL] == "MEDIUM"
        assert found[attributes.ACCOUNT] == world.account
        await decided(handle, world.decision("ann", id))
        status = await handle.query(WithdrawalWorkflow.status)
        assert (status.stage, status.approvals, status.needed, status.decided) == (Stage.REFERRED, 1, 2, ("ann",))
        details = (await handle.query("__temporal_workflow_metadata")).current_details
        assert "1 of 2" in details
        assert "ann (approve)" in details
        assert "expires at" in details


async def _searchable(handle: WorkflowHandle[Any, Any], stage: str) -> bool:
    return (await handle.describe()).typed_search_attributes.get(attributes.STATE) == stage


async def test_what_policy_declines_ends_at_once_with_its_hold_returned(world: World) -> None:
    world.deposit(10**12)
    async with world.at_work("orchestrator", "books"):
        conclusion = await (await world.withdraw("600000")).result()
    assert (conclusion.stage, conclusion.reason) == (Stage.DECLINED, "account-day-cap")
    assert world.held() == 0


async def test_a_verdict_whose_answer_was_lost_is_asked_again_and_is_the_same(world: World) -> None:
    world.books.lost_answers["judge"] = 1
    world.books.failures["judge"] = [Unavailable("DATABASE_UNAVAILABLE", "The database does not answer.")]
    async with world.at_work():
        await world.serve()
        conclusion = await (await world.withdraw("25")).result()
    assert conclusion.stage is Stage.SETTLED
    assert world.books.calls["judge"] == 3
    assert world.arrived() == 25 * 10**6


async def test_a_withdrawal_that_the_books_do_not_know_fails_and_says_so(world: World) -> None:
    handle = await world.withdraw("25")
    del world.books.rows[handle.id.removeprefix("withdrawal/")]
    async with world.at_work("orchestrator", "books"):
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ActivityError)
    why = refused_by(failed.value.cause)
    assert why is not None
    assert why.code == "WITHDRAWAL_UNKNOWN"


# ---------------------------------------------------------------- people agree
async def test_a_quorum_of_a_signal_and_an_update_pays_it(world: World) -> None:
    async with world.at_work():
        await world.serve()
        id, handle = await referred(world)
        await handle.signal("approve", world.letter("ann", id))
        await world.until(lambda: bool(world.row(id).approvals), "ann's word in the books")
        note = await decided(handle, world.decision("bob", id))
        assert (note.counted, note.approvals, note.needed) == (True, 2, 2)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == 2000 * 10**6
    assert {decision.approver for decision in world.vault.orders[0].items[0].decisions} == {"ann", "bob"}
    world.assert_books_agree()


async def test_one_rejection_ends_it_and_returns_the_hold(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        await decided(handle, world.decision("ann", id))
        await handle.signal("reject", world.letter("bob", id, Ruling.REJECT))
        conclusion = await handle.result()
    assert conclusion.stage is Stage.REJECTED
    assert world.row(id).timeline[-1] == (Stage.REJECTED, "bob", "rejected")
    assert world.held() == 0


async def test_the_requester_a_stranger_a_repeat_and_a_forger_are_told_so_at_once(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        await decided(handle, world.decision("ann", id))
        forged = Decision("bob", Ruling.APPROVE, world.decision("bob", id).intent_hash, "00" * 64)
        other = world.people.decision("bob", Ruling.APPROVE, "00" * 32)
        assert await refusal(decided(handle, world.decision("carol", id))) == "FOUR_EYES"
        assert await refusal(decided(handle, world.decision("eve", id))) == "STRANGER"
        assert await refusal(decided(handle, world.decision("ann", id))) == "REPEAT"
        assert await refusal(decided(handle, forged)) == "BAD_SIGNATURE"
        assert await refusal(decided(handle, other)) == "INTENT_CHANGED"
        assert (await handle.query(WithdrawalWorkflow.status)).approvals == 1
    assert world.stage(id) is Stage.REFERRED


async def test_the_same_people_change_nothing_by_signal_but_are_recorded(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        for name in ("carol", "eve", "ann", "ann"):
            await handle.signal("approve", world.letter(name, id))
            await handle.signal("reject", world.letter("eve", id, Ruling.REJECT))
        await world.until(lambda: len(world.row(id).notes) == 8, "all eight letters in the books")
    assert world.stage(id) is Stage.REFERRED
    worth = {(note.approver, note.code) for note in world.row(id).notes}
    assert worth == {("carol", "FOUR_EYES"), ("eve", "STRANGER"), ("ann", "COUNTED"), ("ann", "REPEAT")}


async def test_letters_that_arrive_at_one_instant_are_each_recorded(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
    for _ in range(3):
        await handle.signal("approve", world.letter("ann", id))
        await handle.signal("approve", "noise")
    async with world.at_work("orchestrator", "books"):
        await world.until(lambda: len(world.row(id).notes) + len(world.row(id).malformed) == 6, "six letters")
    assert [note.code for note in world.row(id).notes] == ["COUNTED", "REPEAT", "REPEAT"]
    assert len(world.row(id).malformed) == 3


async def test_letters_that_are_none_are_recorded_and_change_nothing(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        good = world.letter("ann", id)
        for words in (
            [],
            [None],
            ["approve it, please"],
            [[good]],
            [{**good, "signature": "0x12"}],
            [{**good, "approver": 7}],
            [{**good, "ruling": "reject"}],
            [good, good],
        ):
            await handle.signal("approve", args=words)
        await handle.signal("aprove", good)
        await handle.signal("concluded", args=["nonsense", 2])
        await world.until(lambda: len(world.row(id).malformed) == 9, "nine notes of what was no decision")
        assert (await handle.query(WithdrawalWorkflow.status)).malformed == 9
        for name in ("ann", "bob"):
            await decided(handle, world.decision(name, id))
        await world.stands_at(id, Stage.QUEUED)
    assert len(world.row(id).notes) == 2


async def test_a_letter_that_the_books_refuse_ends_nothing(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        for method in ("record_decision", "record_malformed"):
            world.books.failures[method] = [Refused("WITHDRAWAL_UNKNOWN", "There is no such withdrawal.")]
        await handle.signal("approve", world.letter("ann", id))
        await handle.signal("approve", "noise")
        await world.until(lambda: _refused(handle, 2), "both refusals")
        assert (await handle.query(WithdrawalWorkflow.status)).stage is Stage.REFERRED


async def _refused(handle: WorkflowHandle[Any, Any], times: int) -> bool:
    """Whether so many activities came back to the story with a refusal."""
    return (await handle.fetch_history()).to_json().count("EVENT_TYPE_ACTIVITY_TASK_FAILED") == times


async def test_nobody_fills_the_books_by_shouting(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        for _ in range(120):
            await handle.signal("approve", "noise")
        await world.until(lambda: len(world.row(id).malformed) >= 100, "a hundred notes")
        note = await decided(handle, world.decision("ann", id))
        assert note.counted, "an update is heard, however many signals came"
    assert len(world.row(id).malformed) == 100


async def test_a_forged_conclusion_neither_pays_nor_ends_it(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        await handle.signal("concluded", {"withdrawal_id": id, "stage": "SETTLED", "reason": "", "txid": None})
        await world.until(lambda: world.books.calls["concluded"] >= 1, "a look at the books")
        assert (await handle.query(WithdrawalWorkflow.status)).stage is Stage.REFERRED
        await decided(handle, world.decision("ann", id))
    assert world.stage(id) is Stage.REFERRED


# ---------------------------------------------------------------- the clock
async def test_without_a_quorum_it_expires_at_the_recorded_deadline(world: World, env: WorkflowEnvironment) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        await decided(handle, world.decision("ann", id))
        await env.fast_forward(handle, timedelta(hours=23, minutes=59))
        assert world.stage(id) is Stage.REFERRED
        await env.fast_forward(handle, timedelta(minutes=2))
        conclusion = await handle.result()
        assert conclusion.stage is Stage.EXPIRED
        with pytest.raises(RPCError) as late:
            await decided(handle, world.decision("bob", id))
    assert late.value.status is RPCStatusCode.NOT_FOUND
    assert world.held() == 0
    assert world.available() == 10_000 * 10**6


async def test_an_approval_after_the_deadline_is_too_late_even_while_the_books_are_down(
    world: World, env: WorkflowEnvironment
) -> None:
    async with world.at_work("orchestrator"):
        async with world.at_work("books"):
            id, handle = await referred(world)
            await decided(handle, world.decision("ann", id))
        await env.fast_forward(handle, timedelta(hours=24, seconds=1))
        assert await refusal(decided(handle, world.decision("bob", id))) == "TOO_LATE"
        assert world.stage(id) is Stage.REFERRED
        async with world.at_work("books"):
            assert (await handle.result()).stage is Stage.EXPIRED


async def test_a_lost_conclusion_is_found_by_looking(world: World, env: WorkflowEnvironment) -> None:
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.QUEUED)
        await env.fast_forward(handle, timedelta(minutes=11))
        assert (await handle.query(WithdrawalWorkflow.status)).stage is Stage.QUEUED, "no timeout ends it"
        await world.settle_in_silence(id)
        await env.fast_forward(handle, timedelta(minutes=21))
        assert (await handle.result()).stage is Stage.SETTLED


# ---------------------------------------------------------------- cancelling
async def test_it_can_be_cancelled_while_people_decide_and_while_it_queues(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        _, people_decide = await referred(world)
        answer = await pleaded(people_decide, Plea("carol", "changed my mind"))
        assert (answer.stage, answer.reason) == (Stage.CANCELLED, "changed my mind")
        queues = await world.withdraw("25")
        await world.stands_at(queues.id.removeprefix("withdrawal/"), Stage.QUEUED)
        await queues.signal("cancel", {"actor": "carol"})
        assert (await queues.result()).stage is Stage.CANCELLED
        assert (await people_decide.result()).stage is Stage.CANCELLED
    assert world.held() == 0


async def test_the_cancel_button_of_the_ui_asks_and_breaks_nothing_off(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        id, handle = await referred(world)
        await handle.cancel(reason="wrong address")
        assert (await handle.result()).stage is Stage.CANCELLED
    assert world.row(id).timeline[-1] == (Stage.CANCELLED, "temporal", "wrong address")


async def test_after_planning_a_cancel_is_too_late_and_the_payment_goes_on(slow_world: World) -> None:
    world = slow_world
    async with world.at_work():
        await world.serve()
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.BROADCAST)
        assert await refusal(pleaded(handle, Plea("carol"))) == "TOO_LATE"
        await handle.cancel()
        world.model.mine(3)
        assert (await handle.result()).stage is Stage.SETTLED
    assert world.arrived() == 25 * 10**6


async def test_cancelling_against_planning_has_one_winner(world: World) -> None:
    async with world.at_work():
        handles = [await world.withdraw("10") for _ in range(6)]
        await world.serve()
        answers = await asyncio.gather(*map(_cancelled, handles))
        ends = [(await handle.result()).stage for handle in handles]
    assert answers == ["CANCELLED" if end is Stage.CANCELLED else "TOO_LATE" for end in ends]
    assert set(ends) <= {Stage.CANCELLED, Stage.SETTLED}
    assert world.arrived() == 10 * 10**6 * ends.count(Stage.SETTLED)
    assert world.held() == 0
    world.assert_books_agree()


async def _cancelled(handle: WorkflowHandle[Any, Conclusion]) -> str:
    """What a plea is answered: CANCELLED, or TOO_LATE, as also when the story was over before it was heard."""
    try:
        return (await pleaded(handle, Plea("carol"))).stage.value
    except WorkflowUpdateFailedError as refused:
        return str(getattr(refused.cause, "type", ""))
    except RPCError:
        return "TOO_LATE"
