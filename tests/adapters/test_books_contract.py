"""What every set of books promises to the doors and to people; the fake and PostgreSQL keep it alike."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.errors import Refused
from domain.intent import Ruling
from domain.ledger import chart
from domain.policy import Outcome
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, RECIPIENT, T0, USDT, WALLET, World, refused

AVAILABLE, HELD = chart.available("acme", USDT), chart.held("acme", USDT)
FEE_CAP = 3 * 10**16


@pytest.fixture
def world(any_books: World) -> World:
    return any_books


# ---------------------------------------------------------------- the door
async def test_a_request_holds_amount_and_fee_at_once(world: World) -> None:
    asked = await world.requested(10 * COIN, COIN)
    assert await world.balance(AVAILABLE) == 0
    assert await world.balance(HELD) == 11 * COIN
    assert (await world.books.concluded(asked.id)).stage is Stage.REQUESTED


async def test_the_same_key_and_body_are_answered_again_and_hold_nothing_more(world: World) -> None:
    await world.fund(100 * COIN)
    request = world.request(world.ask())
    first = await world.books.request_withdrawal(request)
    again = await world.books.request_withdrawal(request)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.withdrawal_id == first.withdrawal_id
    assert await world.balance(HELD) == 11 * COIN


async def test_a_key_that_came_with_another_body_is_refused(world: World) -> None:
    await world.fund(100 * COIN)
    await world.books.request_withdrawal(world.request(world.ask(ref="one"), key="k"))
    other = world.request(world.ask(ref="two"), key="k")
    await refused("IDEMPOTENCY_KEY_REUSED", lambda: world.books.request_withdrawal(other))
    assert await world.balance(HELD) == 11 * COIN


async def test_a_client_ref_names_one_withdrawal_for_ever(world: World) -> None:
    await world.fund(100 * COIN)
    asked = world.ask(ref="rent")
    first = await world.books.request_withdrawal(world.request(asked, key="k1"))
    dearer_now = replace(asked, fee=str(2 * COIN))
    same = await world.books.request_withdrawal(world.request(dearer_now, key="k2"))
    assert same.withdrawal_id == first.withdrawal_id
    assert same.replayed
    other = world.request(replace(asked, amount=str(20 * COIN)), key="k3")
    await refused("CLIENT_REF_TAKEN", lambda: world.books.request_withdrawal(other))
    assert await world.balance(HELD) == 11 * COIN


async def test_lack_of_funds_is_refused_and_leaves_nothing_so_that_the_key_works_later(world: World) -> None:
    await world.fund(11 * COIN - 1)
    request = world.request(world.ask())
    await refused("INSUFFICIENT_FUNDS", lambda: world.books.request_withdrawal(request))
    assert await world.balance(HELD) == 0
    await refused("WITHDRAWAL_UNKNOWN", lambda: world.books.concluded(request.withdrawal.id))
    await world.fund(1)
    assert not (await world.books.request_withdrawal(request)).replayed


async def test_an_account_that_was_never_opened_is_refused(world: World) -> None:
    request = world.request(world.ask(account="nobody"))
    await refused("ACCOUNT_UNKNOWN", lambda: world.books.request_withdrawal(request))


async def test_200_parallel_withdrawals_never_take_available_below_zero(world: World) -> None:
    await world.fund(50 * 11 * COIN + 5 * COIN)
    requests = [world.request(world.ask()) for _ in range(200)]
    answers = await asyncio.gather(*map(world.books.request_withdrawal, requests), return_exceptions=True)
    codes = [answer.code if isinstance(answer, Refused) else "accepted" for answer in answers]
    assert codes.count("accepted") == 50
    assert codes.count("INSUFFICIENT_FUNDS") == 150
    assert await world.balance(AVAILABLE) == 5 * COIN
    assert await world.balance(HELD) == 50 * 11 * COIN


async def test_a_quote_is_honoured_once_until_it_expires(world: World) -> None:
    await world.fund(100 * COIN)
    now = T0 + timedelta(days=3650)  # the books judge expiry by their own clock
    quote = await world.books.make_quote("acme", USDT, str(10 * COIN), str(COIN), now, now + timedelta(seconds=60))
    wrong = world.request(world.ask(fee=2 * COIN), quote_id=quote.id)
    await refused("QUOTE_MISMATCH", lambda: world.books.request_withdrawal(wrong))
    unknown = world.request(world.ask(), quote_id="qt_nothing")
    await refused("QUOTE_UNKNOWN", lambda: world.books.request_withdrawal(unknown))
    right = world.request(world.ask(), quote_id=quote.id)
    assert not (await world.books.request_withdrawal(right)).replayed
    assert (await world.books.request_withdrawal(right)).replayed
    second = world.request(world.ask(), quote_id=quote.id)
    await refused("QUOTE_USED", lambda: world.books.request_withdrawal(second))

    past = T0 - timedelta(days=3650)
    old = await world.books.make_quote("acme", USDT, str(10 * COIN), str(COIN), past, past + timedelta(seconds=60))
    late = world.request(world.ask(), quote_id=old.id)
    await refused("QUOTE_EXPIRED", lambda: world.books.request_withdrawal(late))
    nobody = world.books.make_quote("nobody", USDT, "1", "1", now, now)
    await refused("ACCOUNT_UNKNOWN", lambda: nobody)


# ---------------------------------------------------------------- judgement
async def test_a_small_withdrawal_is_queued_by_its_verdict(world: World) -> None:
    asked = await world.requested()
    verdict = await world.books.judge(asked.id, world.now)
    assert (verdict.outcome, verdict.approvals) == (Outcome.ACCEPT, 0)
    item = await world.item(asked)
    assert item.payment.amount == asked.amount
    assert item.intent.hash() == verdict.intent_hash
    assert item.intent.requester == "olga"
    assert item.intent.fee_cap == str(FEE_CAP)
    assert item.decisions == ()


async def test_a_verdict_is_recorded_once_and_never_recomputed(world: World) -> None:
    asked = await world.requested()
    first = await world.books.judge(asked.id, world.now)
    assert await world.books.judge(asked.id, world.later(10**6)) == first
    assert (await world.books.concluded(asked.id)).stage is Stage.QUEUED


async def test_a_declined_withdrawal_gets_its_hold_back(world: World) -> None:
    asked = await world.requested(600_000 * COIN)
    verdict = await world.books.judge(asked.id, world.now)
    assert verdict.outcome is Outcome.DECLINE
    assert (await world.books.concluded(asked.id)).stage is Stage.DECLINED
    assert await world.balance(AVAILABLE) == 600_001 * COIN
    assert await world.balance(HELD) == 0


async def test_what_was_judged_before_its_cancellation_is_not_judged_after(world: World) -> None:
    asked = await world.requested()
    await world.books.return_hold(asked.id, Stage.CANCELLED, "CLIENT", "olga", world.now)
    await refused("WITHDRAWAL_STAGE", lambda: world.books.judge(asked.id, world.now))


async def test_caps_count_what_left_in_the_last_24_hours_and_not_what_came_back(world: World) -> None:
    """auto_day_max is 50,000: 55 of 900 fit."""
    asked = [await world.requested(900 * COIN) for _ in range(57)]
    verdicts = [await world.books.judge(a.id, world.now) for a in asked]
    assert [v.outcome for v in verdicts] == [Outcome.ACCEPT] * 55 + [Outcome.REFER] * 2
    assert verdicts[55].rule == "auto-day-cap"
    await world.books.return_hold(asked[0].id, Stage.CANCELLED, "CLIENT", "olga", world.later(1))
    again = await world.requested(900 * COIN)
    assert (await world.books.judge(again.id, world.later(2))).outcome is Outcome.ACCEPT
    full = await world.requested(900 * COIN)
    assert (await world.books.judge(full.id, world.later(3))).outcome is Outcome.REFER
    tomorrow = await world.requested(900 * COIN)
    assert (await world.books.judge(tomorrow.id, world.later(24 * 3600 + 1))).outcome is Outcome.ACCEPT


async def test_parallel_judgements_never_pass_a_cap_together(world: World) -> None:
    asked = [await world.requested(900 * COIN) for _ in range(60)]
    verdicts = await asyncio.gather(*(world.books.judge(a.id, world.now) for a in asked))
    assert sum(v.outcome is Outcome.ACCEPT for v in verdicts) == 55


# ---------------------------------------------------------------- decisions
async def test_a_quorum_of_signed_approvals_queues_the_payout(world: World) -> None:
    asked, intent = await world.referred()
    first = await world.says("anna", asked, intent)
    assert (first.counted, first.code, first.approvals, first.needed) == (True, "COUNTED", 1, 2)
    await refused("QUORUM_UNMET", lambda: world.books.queue_payout(asked.id, world.later(2)))
    assert (await world.says("boris", asked, intent)).approvals == 2
    assert (await world.books.queue_payout(asked.id, world.later(3))).stage is Stage.QUEUED
    assert (await world.books.queue_payout(asked.id, world.later(4))).stage is Stage.QUEUED
    item = await world.item(asked)
    assert {decision.approver for decision in item.decisions} == {"anna", "boris"}
    assert all(not world.people.verify(decision) for decision in item.decisions)


async def test_what_does_not_count_says_why_and_moves_nothing(world: World) -> None:
    asked, intent = await world.referred()
    forged = replace(world.people.decision("anna", Ruling.APPROVE, intent), approver="boris")
    wrong = [
        (world.people.decision("mallory", Ruling.APPROVE, intent), "STRANGER"),
        (forged, "BAD_SIGNATURE"),
        (world.people.decision("olga", Ruling.APPROVE, intent), "FOUR_EYES"),
        (world.people.decision("anna", Ruling.APPROVE, "00" * 32), "INTENT_CHANGED"),
    ]
    for decision, code in wrong:
        note = await world.books.record_decision(asked.id, decision, "signal", world.later(1))
        assert (note.code, note.counted, note.approvals) == (code, False, 0)
    await world.says("anna", asked, intent)
    repeat = await world.says("anna", asked, intent, after_s=5)
    assert (repeat.code, repeat.approvals) == ("REPEAT", 1)
    turned = await world.says("anna", asked, intent, Ruling.REJECT, after_s=6)
    assert (turned.code, turned.approvals) == ("REPEAT", 1)
    await world.books.record_malformed(asked.id, "signal", "not a decision \x00", world.later(7))
    assert (await world.books.concluded(asked.id)).stage is Stage.REFERRED


async def test_the_same_decision_told_again_by_a_retry_is_answered_as_before(world: World) -> None:
    asked, intent = await world.referred()
    first = await world.says("anna", asked, intent, after_s=1)
    again = await world.says("anna", asked, intent, after_s=1)
    assert first == again
    assert again.counted


async def test_after_the_deadline_the_quorum_or_a_rejection_nothing_counts(world: World) -> None:
    late, intent = await world.referred()
    assert (await world.says("anna", late, intent, after_s=24 * 3600)).code == "TOO_LATE"

    full, intent = await world.referred()
    for name in ("anna", "boris"):
        await world.says(name, full, intent)
    assert (await world.says("carla", full, intent, Ruling.REJECT)).code == "TOO_LATE"

    rejected, intent = await world.referred()
    assert (await world.says("carla", rejected, intent, Ruling.REJECT)).counted
    assert (await world.says("anna", rejected, intent)).code == "TOO_LATE"
    await refused("QUORUM_UNMET", lambda: world.books.queue_payout(rejected.id, world.later(2)))


# ---------------------------------------------------------------- holds returned
@pytest.mark.parametrize("stage", [Stage.REJECTED, Stage.EXPIRED, Stage.CANCELLED])
async def test_a_referred_withdrawal_returns_its_hold_once(world: World, stage: Stage) -> None:
    asked, _ = await world.referred()
    for _ in range(2):
        ended = await world.books.return_hold(asked.id, stage, "WHY", "anna", world.later(1))
        assert (ended.stage, ended.reason) == (stage, "WHY")
        assert await world.balance(AVAILABLE) == 1001 * COIN
    other = Stage.EXPIRED if stage is not Stage.EXPIRED else Stage.REJECTED
    await refused("TOO_LATE", lambda: world.books.return_hold(asked.id, other, "", "x", world.later(2)))
    await refused("TOO_LATE", lambda: world.books.queue_payout(asked.id, world.later(2)))


async def test_a_queued_withdrawal_can_be_cancelled_and_leaves_the_queue(world: World) -> None:
    asked = await world.queued()
    await world.books.return_hold(asked.id, Stage.CANCELLED, "CLIENT", "olga", world.now)
    assert await world.books.queued("ethereum", WALLET, 10) == []
    assert await world.balance(HELD) == 0
    assert (await world.books.queue_payout(asked.id, world.now)).stage is Stage.CANCELLED


# ---------------------------------------------------------------- recipients here
BOB = chart.available("bob", USDT)


async def bobs_address(world: World, address: str = RECIPIENT, account: str = "bob") -> None:
    await world.books.ensure_account(account)
    await world.addresses.assign(account, "ethereum", address, T0)


async def test_a_recipient_here_is_paid_by_the_verdict_and_no_payout_is_left(world: World) -> None:
    await bobs_address(world)
    asked = await world.requested(10 * COIN, 0)
    verdict = await world.books.judge(asked.id, world.now)
    assert (verdict.outcome, verdict.settled) == (Outcome.ACCEPT, True)
    assert await world.books.judge(asked.id, world.later(9)) == verdict, "a repeat is answered alike"
    ended = await world.books.concluded(asked.id)
    assert (ended.stage, ended.reason, ended.txid) == (Stage.SETTLED, "INTERNAL", None)
    assert (await world.balance(BOB), await world.balance(HELD), await world.balance(AVAILABLE)) == (10 * COIN, 0, 0)
    await world.fund_wallet()
    assert await world.books.queued("ethereum", WALLET, 10) == []
    cancel = world.books.return_hold(asked.id, Stage.CANCELLED, "CLIENT", "olga", world.now)
    await refused("TOO_LATE", lambda: cancel)


async def test_a_recipient_here_needs_the_same_quorum_as_any_other(world: World) -> None:
    await bobs_address(world)
    asked, intent = await world.referred()
    assert await world.balance(BOB) == 0
    await world.says("anna", asked, intent)
    await refused("QUORUM_UNMET", lambda: world.books.queue_payout(asked.id, world.later(2)))
    await world.says("boris", asked, intent)
    for after_s in (3, 4):
        ended = await world.books.queue_payout(asked.id, world.later(after_s))
        assert (ended.stage, ended.reason) == (Stage.SETTLED, "INTERNAL")
    assert await world.balance(BOB) == 1000 * COIN
    assert not (await world.books.judge(asked.id, world.now)).settled, "the verdict itself only asked for people"


async def test_a_recipient_here_counts_against_the_caps_like_any_other(world: World) -> None:
    await bobs_address(world)
    asked = [await world.requested(900 * COIN) for _ in range(57)]
    verdicts = await asyncio.gather(*(world.books.judge(a.id, world.now) for a in asked))
    assert sum(v.settled for v in verdicts) == 55
    assert await world.balance(BOB) == 55 * 900 * COIN


async def test_an_address_given_out_between_door_and_verdict_returns_the_fee(world: World) -> None:
    asked = await world.requested(10 * COIN, COIN)
    await bobs_address(world)
    assert (await world.books.judge(asked.id, world.now)).settled
    assert (await world.balance(BOB), await world.balance(HELD), await world.balance(AVAILABLE)) == (10 * COIN, 0, COIN)
    again = await world.books.request_withdrawal(world.request(asked))
    assert (again.replayed, again.stage) == (True, Stage.SETTLED)


async def test_an_address_given_out_after_the_verdict_changes_nothing(world: World) -> None:
    asked = await world.queued()
    await bobs_address(world)
    assert not (await world.books.judge(asked.id, world.now)).settled
    assert (await world.books.queue_payout(asked.id, world.now)).stage is Stage.QUEUED
    assert (await world.item(asked)).payment.recipient == RECIPIENT
    assert await world.balance(BOB) == 0


async def test_an_address_given_out_during_the_verdict_has_one_of_two_ends(world: World) -> None:
    await world.books.ensure_account("bob")
    await world.fund_wallet()
    await world.fund(20 * 11 * COIN)
    asked = [replace(world.ask(), recipient=f"0x{n:040x}") for n in range(2**100, 2**100 + 20)]
    for one in asked:
        await world.books.request_withdrawal(world.request(one))
    judged = asyncio.gather(*(world.books.judge(one.id, world.now) for one in asked))
    await asyncio.gather(*(world.addresses.assign("bob", "ethereum", one.recipient, T0) for one in asked))
    settled = sum(verdict.settled for verdict in await judged)
    waiting = await world.books.queued("ethereum", WALLET, 100)
    assert len(waiting) == 20 - settled
    assert await world.balance(BOB) == settled * 10 * COIN
    assert (await world.balance(HELD), await world.balance(AVAILABLE)) == (len(waiting) * 11 * COIN, settled * COIN)


async def test_an_address_given_to_the_sender_meanwhile_leaves_the_money_where_it_was(world: World) -> None:
    asked = await world.requested(10 * COIN, COIN)
    await bobs_address(world, account="acme")
    assert (await world.books.judge(asked.id, world.now)).settled
    assert (await world.balance(HELD), await world.balance(AVAILABLE)) == (0, 11 * COIN)


async def test_an_address_is_one_accounts_for_ever_on_every_network(world: World) -> None:
    await world.fund_wallet()
    await bobs_address(world)
    first = await world.addresses.addresses_of("bob")
    await bobs_address(world)
    assert await world.addresses.addresses_of("bob") == first
    await world.addresses.assign("bob", "polygon", RECIPIENT, world.later(1))
    assert [one.network for one in await world.addresses.addresses_of("bob")] == ["ethereum", "polygon"]
    for account, address, code in (
        ("acme", RECIPIENT, "ADDRESS_ASSIGNED"),
        ("bob", WALLET, "ADDRESS_OURS"),
        ("nobody", "0x" + "12" * 20, "ACCOUNT_UNKNOWN"),
    ):
        await world.books.ensure_account("acme")
        await refused(code, lambda a=account, b=address: world.addresses.assign(a, "bsc", b, T0))  # type: ignore[misc]


async def test_one_address_asked_for_by_many_at_once_goes_to_one_of_them(world: World) -> None:
    names = [f"client-{n}" for n in range(8)]
    for name in names:
        await world.books.ensure_account(name)
    asked = [
        world.addresses.assign(name, network, RECIPIENT, T0)
        for name, network in zip(names, ["ethereum", "polygon"] * 4, strict=True)
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Refused) and answer.code == "ADDRESS_ASSIGNED" for answer in answers) == 7


async def test_transfers_and_cancellations_of_one_account_never_wait_for_each_other(world: World) -> None:
    """One takes the caps and then the ledger, the other both ways round: in a circle the database would end one."""
    asked = [await world.requested(COIN, 0) for _ in range(30)]
    queued = [a for a in asked[:15] if (await world.books.judge(a.id, world.now)).outcome is Outcome.ACCEPT]
    await bobs_address(world)
    await asyncio.gather(
        *(world.books.judge(a.id, world.now) for a in asked[15:]),
        *(world.books.return_hold(a.id, Stage.CANCELLED, "CLIENT", "olga", world.now) for a in queued),
    )
    assert (await world.balance(BOB), await world.balance(AVAILABLE)) == (15 * COIN, 15 * COIN)
