"""Approvers speak in their own name and with their own key; a cancellation comes in time or not at all."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import httpx
import pytest

from domain.intent import Ruling
from domain.ledger import chart
from domain.ports import WithdrawalView
from tests.api.house import House, code_of


async def decide(
    house: House,
    view: WithdrawalView,
    name: str,
    ruling: Ruling = Ruling.APPROVE,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> httpx.Response:
    body = {**house.decision(name, view, ruling), **changes}
    return await house.post(f"/v1/withdrawals/{view.id}/{ruling.value}", body, name)


async def test_an_approval_is_answered_at_once_with_how_far_the_quorum_is(house: House) -> None:
    view = await house.referred()
    first, second = await decide(house, view, "ann"), await decide(house, view, "ben")
    assert first.json() == {
        "approver": "ann",
        "ruling": "approve",
        "counted": True,
        "code": first.json()["code"],
        "approvals": 1,
        "needed": 2,
    }
    assert (second.json()["approvals"], second.json()["needed"]) == (2, 2)
    row = (await house.get(f"/v1/withdrawals/{view.id}")).json()
    assert row["quorum"] == {"needed": 2, "approvals": ["ann", "ben"]}


async def test_a_rejection_is_one_persons_word(house: House) -> None:
    view = await house.referred()
    answer = await decide(house, view, "ann", Ruling.REJECT)
    assert (answer.status_code, answer.json()["counted"]) == (200, True)


async def test_a_decision_that_does_not_count_says_why(house: House) -> None:
    view = await house.referred()
    assert (await decide(house, view, "ann")).status_code == 200
    again = await decide(house, view, "ann")
    assert (again.status_code, code_of(again)) == (409, "REPEAT")
    forged = await decide(house, view, "ben", changes={"signature": house.decision("ann", view)["signature"]})
    assert (forged.status_code, code_of(forged)) == (403, "BAD_SIGNATURE")
    stranger = await decide(house, view, "dan")
    assert (stranger.status_code, code_of(stranger)) == (403, "STRANGER")
    other = await house.referred()
    elsewhere = await decide(house, view, "ben", changes=house.decision("ben", other))
    assert (elsewhere.status_code, code_of(elsewhere)) == (409, "INTENT_CHANGED")


async def test_the_requester_cannot_approve_the_own_request(house: House) -> None:
    house.tokens["olga-approves"] = (await house.store.keys.create("approver", "olga"))[1]
    view = await house.referred("olga", "acme")
    answer = await house.post(f"/v1/withdrawals/{view.id}/approve", house.decision("olga", view), "olga-approves")
    assert (answer.status_code, code_of(answer)) == (403, "FOUR_EYES")


async def test_a_key_speaks_for_its_owner_only(house: House) -> None:
    view = await house.referred()
    answer = await house.post(f"/v1/withdrawals/{view.id}/approve", house.decision("ben", view), "ann")
    assert (answer.status_code, code_of(answer)) == (403, "NOT_YOUR_NAME")


async def test_a_no_is_not_taken_at_the_page_for_yes(house: House) -> None:
    view = await house.referred()
    answer = await house.post(f"/v1/withdrawals/{view.id}/approve", house.decision("ann", view, Ruling.REJECT), "ann")
    assert (answer.status_code, code_of(answer)) == (422, "RULING_MISMATCH")


@pytest.mark.parametrize(
    "changes",
    [{"signature": "zz"}, {"signature": "ab" * 63}, {"intent_hash": "12"}, {"ruling": "maybe"}, {"extra": "x"}],
)
async def test_what_is_no_decision_is_refused_before_it_reaches_anybody(house: House, changes: dict[str, str]) -> None:
    view = await house.referred()
    answer = await decide(house, view, "ann", changes=changes)
    assert (answer.status_code, code_of(answer)) == (422, "VALIDATION")
    untouched = await house.store.views.withdrawal(view.id)
    assert untouched is not None
    assert untouched.decisions == ()


async def test_an_approval_that_nobody_answers_may_be_sent_again(house: House) -> None:
    view = await house.referred()
    house.stories.silent = True
    answer = await decide(house, view, "ann")
    house.stories.silent = False
    assert (answer.status_code, code_of(answer)) == (503, "DECISION_PENDING")
    assert (await decide(house, view, "ann")).status_code == 200


async def test_a_cancellation_in_time_returns_the_hold_and_may_be_repeated(house: House) -> None:
    view = await house.referred()
    held = await house.get("/v1/accounts/acme/balances")
    answer = await house.post(f"/v1/withdrawals/{view.id}/cancel", {"reason": "wrong address"})
    assert (answer.status_code, answer.json()["stage"]) == (200, "CANCELLED")
    assert (await house.get("/v1/accounts/acme/balances")).json() != held.json()
    again = await house.post(f"/v1/withdrawals/{view.id}/cancel")
    assert (again.status_code, again.json()["stage"]) == (200, "CANCELLED")
    late = await decide(house, view, "ann")
    assert (late.status_code, code_of(late)) == (409, "TOO_LATE")


async def test_a_cancellation_after_planning_comes_too_late(house: House) -> None:
    now = datetime.now(UTC)
    wallet = "0xde709f2102306220921060314715629080e2fb77"
    network = house.catalogue.networks["ethereum"]
    await house.store.books.post_opening(
        "hot",
        [
            (chart.hot_wallet("ethereum", wallet, "USDT-ETHEREUM"), 10**9),
            (chart.hot_wallet("ethereum", wallet, "ETH-ETHEREUM"), 10**18),
        ],
    )
    id_ = (await house.ask(amount="5")).json()["id"]
    await house.store.books.judge(id_, now)
    items = [i for i in await house.store.books.queued("ethereum", wallet, 100) if i.payment.withdrawal_id == id_]
    await house.store.books.plan_slot(network, wallet, items, now)
    answer = await house.post(f"/v1/withdrawals/{id_}/cancel")
    assert (answer.status_code, code_of(answer)) == (409, "TOO_LATE")
    assert (await house.get(f"/v1/withdrawals/{id_}")).json()["stage"] == "PLANNED"


async def test_of_many_cancellations_at_once_all_hear_the_same(house: House) -> None:
    view = await house.referred()
    answers = await asyncio.gather(
        *(house.post(f"/v1/withdrawals/{view.id}/cancel", who=who) for who in ("acme", "olga", "acme", "max"))
    )
    assert {answer.status_code for answer in answers} == {200}
