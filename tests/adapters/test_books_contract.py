"""What every set of books promises to doors and workflows; the fake and PostgreSQL keep it alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from domain.errors import Refused
from domain.intent import Decision, Ruling
from domain.ledger import chart
from domain.payout import Slot
from domain.policy import Outcome
from domain.ports import PlanRefusal
from domain.withdrawal import Stage
from tests.adapters.store.world import (
    COIN,
    ETH,
    T0,
    USDT,
    WALLET,
    World,
    fake_world,
    final_of,
    postgres_world,
    version_of,
)
from tests.cluster import Cluster

AVAILABLE, HELD = chart.available("acme", USDT), chart.held("acme", USDT)
HOT, FLYING = chart.hot_wallet("ethereum", WALLET, USDT), chart.in_flight("ethereum", USDT)
HOT_GAS, FLYING_GAS = chart.hot_wallet("ethereum", WALLET, ETH), chart.in_flight("ethereum", ETH)
FEE_CAP = 3 * 10**16


@pytest.fixture(params=["fake", "postgres"])
def fresh_dsn(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "fake":
        yield None
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    dsn = cluster.migrated()
    yield dsn
    cluster.drop(dsn)


@pytest_asyncio.fixture
async def world(fresh_dsn: str | None) -> AsyncIterator[World]:
    async with fake_world() if fresh_dsn is None else postgres_world(fresh_dsn) as world:
        yield world
        assert not any((await world.sums()).values()), "the sum of all postings of an asset is zero"


async def refused(code: str, call: Callable[[], Awaitable[object]]) -> Refused:
    with pytest.raises(Refused) as caught:
        await call()
    assert caught.value.code == code
    return caught.value


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


# ---------------------------------------------------------------- planning
async def test_a_plan_takes_the_next_number_and_binds_coins_and_gas(world: World) -> None:
    await world.fund_wallet(usdt=100 * COIN)
    first, second = await world.queued(), await world.queued(30 * COIN)
    one, two = await world.planned(first), await world.planned(second)
    assert (one.scarce, two.scarce) == ("0", "1")
    assert one.id == f"ethereum/{WALLET.lower()}/0"
    assert (one.wallet, one.fee_cap, one.confirmations) == (WALLET, str(FEE_CAP), 3)
    assert (await world.books.concluded(first.id)).stage is Stage.PLANNED
    assert await world.balance(HOT) == 60 * COIN
    assert await world.balance(FLYING) == 40 * COIN
    assert await world.balance(FLYING_GAS) == 2 * FEE_CAP


async def test_a_payout_is_planned_once_however_often_it_is_asked(world: World) -> None:
    await world.fund_wallet()
    asked = await world.queued()
    item = await world.item(asked)
    results = await asyncio.gather(*(world.plan([item]) for _ in range(8)))
    assert sum(isinstance(result, Slot) for result in results) == 1
    assert {r.code for r in results if isinstance(r, PlanRefusal)} == {"NOT_QUEUED"}
    assert len(await world.books.open_slots("ethereum", WALLET)) == 1


async def test_a_short_wallet_leaves_the_payout_queued_and_says_so_once(world: World) -> None:
    await world.fund_wallet(usdt=5 * COIN)
    asked = await world.queued()
    for _ in range(3):
        refusal = await world.plan([await world.item(asked)])
        assert isinstance(refusal, PlanRefusal)
        assert (refusal.code, refusal.detail) == ("HOT_WALLET_SHORT", HOT.code)
    standing = await world.books.concluded(asked.id)
    assert (standing.stage, standing.reason) == (Stage.QUEUED, "HOT_WALLET_SHORT")
    assert await world.books.open_slots("ethereum", WALLET) == []
    await world.credit(HOT, 5 * COIN, "refill")
    assert (await world.planned(asked)).scarce == "0", "a refused plan takes no number"
    assert (await world.books.concluded(asked.id)).reason == ""


async def test_a_payout_the_wallet_cannot_afford_does_not_stop_the_smaller_ones(world: World) -> None:
    await world.fund_wallet(usdt=20 * COIN)
    large, small = await world.queued(500 * COIN), await world.queued(10 * COIN)
    head = (await world.books.queued("ethereum", WALLET, 1))[0]
    if head.payment.withdrawal_id == large.id:
        world.now = world.later(1)
        assert isinstance(await world.plan([head]), PlanRefusal)
        head = (await world.books.queued("ethereum", WALLET, 1))[0]
    assert head.payment.withdrawal_id == small.id


async def test_a_wallet_never_has_more_open_slots_than_the_network_bears(world: World) -> None:
    await world.fund_wallet()
    asked = [await world.queued() for _ in range(17)]
    items = [await world.item(a) for a in asked]
    results = await asyncio.gather(*(world.plan([item]) for item in items))
    assert sum(isinstance(result, Slot) for result in results) == 16
    assert [r.code for r in results if isinstance(r, PlanRefusal)] == ["IN_FLIGHT_FULL"]
    assert sorted(int(r.scarce) for r in results if isinstance(r, Slot)) == list(range(16))


async def test_a_halted_wallet_plans_nothing_until_people_resume_it(world: World) -> None:
    await world.fund_wallet()
    asked = await world.queued()
    await world.books.halt_wallet("ethereum", WALLET, "foreign transaction 0xabc", world.now)
    await world.books.halt_wallet("ethereum", WALLET, "foreign transaction 0xabc", world.later(1))
    assert await world.books.halted("ethereum", WALLET.lower()) == "foreign transaction 0xabc"
    refusal = await world.plan([await world.item(asked)])
    assert refusal == PlanRefusal("WALLET_HALTED", "foreign transaction 0xabc")
    await refused("ACTORS_MISSING", lambda: world.books.resume_wallet("ethereum", WALLET, "looked", [], world.later(2)))
    await world.books.resume_wallet("ethereum", WALLET, "looked", ["anna", "boris"], world.later(2))
    assert await world.books.halted("ethereum", WALLET) is None
    await world.planned(asked)
    await refused("WALLET_UNKNOWN", lambda: world.books.halted("ethereum", "0x00"))


async def test_a_cancellation_and_a_plan_have_one_winner(world: World) -> None:
    await world.fund_wallet()
    winners = set()
    for _ in range(12):
        asked = await world.queued()
        item = await world.item(asked)
        plan, cancel = await asyncio.gather(
            world.plan([item]),
            world.books.return_hold(asked.id, Stage.CANCELLED, "CLIENT", "olga", world.now),
            return_exceptions=True,
        )
        stage = (await world.books.concluded(asked.id)).stage
        winners.add(stage)
        if stage is Stage.PLANNED:
            assert isinstance(plan, Slot)
            assert isinstance(cancel, Refused)
            assert cancel.code == "TOO_LATE"
            await world.books.settle(plan, final_of(await world.broadcast(plan)), world.now)
        else:
            assert isinstance(plan, PlanRefusal)
            assert plan.code == "NOT_QUEUED"
            assert stage is Stage.CANCELLED
    assert await world.balance(HELD) == 0


# ---------------------------------------------------------------- versions and facts
async def test_signed_bytes_are_stored_once_and_never_replaced(world: World) -> None:
    await world.fund_wallet()
    slot = await world.planned(await world.queued())
    version = version_of(slot, 1)
    assert await world.books.store_version(version) == version
    assert await world.books.store_version(version) == version
    assert await world.books.store_version(version_of(slot, 1, "other bytes")) == version
    second = await world.books.store_version(version_of(slot, 2))
    assert list(await world.books.versions(slot.id)) == [version, second]
    (open_slot,) = await world.books.open_slots("ethereum", WALLET)
    assert open_slot.slot == slot
    assert open_slot.versions == (version, second)
    assert [item.payment for item in open_slot.items] == list(slot.payments)
    stray = version_of(replace(slot, id="ethereum/0x0/9"), 1)
    await refused("SLOT_UNKNOWN", lambda: world.books.store_version(stray))


async def test_facts_move_it_to_confirming_and_a_reorg_moves_it_back(world: World) -> None:
    await world.fund_wallet()
    asked = await world.queued()
    slot = await world.planned(asked)
    await refused("VERSION_UNKNOWN", lambda: world.books.record_broadcast(slot.id, version_of(slot, 1), world.now))
    version = await world.broadcast(slot)
    standing = await world.books.concluded(asked.id)
    assert (standing.stage, standing.txid) == (Stage.BROADCAST, version.txid)
    bumped = await world.broadcast(slot, 2)
    assert (await world.books.concluded(asked.id)).stage is Stage.BROADCAST
    for facts, stage in (
        (world.facts(bumped, None, 3), Stage.BROADCAST),
        (world.facts(version, 80, 4), Stage.CONFIRMING),
        (world.facts(version, 80, 5), Stage.CONFIRMING),
        (world.facts(bumped, None, 6), Stage.BROADCAST),
        (world.facts(bumped, 81, 7), Stage.CONFIRMING),
    ):
        await world.books.record_facts(slot, facts)
        assert (await world.books.concluded(asked.id)).stage is stage
    assert (await world.books.concluded(asked.id)).txid == bumped.txid


# ---------------------------------------------------------------- settlement
async def test_a_paid_slot_settles_hold_fee_and_gas_together_and_once(world: World) -> None:
    await world.fund_wallet(usdt=100 * COIN, eth=10**18)
    asked = await world.queued()
    slot = await world.planned(asked)
    version = await world.broadcast(slot)
    for _ in range(3):
        (ended,) = await world.books.settle(slot, final_of(version, fee=10**15), world.later(9))
        assert (ended.stage, ended.txid) == (Stage.SETTLED, version.txid)
    assert await world.balance(HELD) == await world.balance(FLYING) == await world.balance(FLYING_GAS) == 0
    assert await world.balance(HOT) == 90 * COIN
    assert await world.balance(HOT_GAS) == 10**18 - 10**15
    assert await world.balance(chart.withdrawal_fee(USDT)) == COIN
    assert await world.balance(chart.network_fee("ethereum", ETH)) == 10**15
    assert await world.books.open_slots("ethereum", WALLET) == []
    await refused("SLOT_CLOSED", lambda: world.books.settle(slot, final_of(version_of(slot, 2)), world.now))


async def test_an_unpaid_slot_returns_everything_but_the_gas(world: World) -> None:
    await world.fund_wallet(usdt=100 * COIN, eth=10**18)
    asked = await world.queued()
    slot = await world.planned(asked)
    version = await world.broadcast(slot)
    await world.books.record_facts(slot, world.facts(version, 80))
    (ended,) = await world.books.settle(slot, final_of(version, paid=False), world.later(9))
    assert (ended.stage, ended.reason) == (Stage.FAILED, "PAYMENT_REVERTED")
    assert await world.balance(AVAILABLE) == 11 * COIN
    assert await world.balance(HOT) == 100 * COIN
    assert await world.balance(HOT_GAS) == 10**18 - 10**15
    assert await world.balance(chart.network_fee("ethereum", ETH)) == 10**15
    assert await world.balance(HELD) == await world.balance(FLYING) == 0


async def test_a_proof_of_no_version_of_ours_settles_nothing(world: World) -> None:
    await world.fund_wallet()
    slot = await world.planned(await world.queued())
    await world.broadcast(slot)
    await refused("VERSION_UNKNOWN", lambda: world.books.settle(slot, final_of(version_of(slot, 7)), world.now))
    assert len(await world.books.open_slots("ethereum", WALLET)) == 1


async def test_parallel_settlements_of_one_slot_post_it_once(world: World) -> None:
    await world.fund_wallet()
    slot = await world.planned(await world.queued())
    final = final_of(await world.broadcast(slot))
    ended = await asyncio.gather(*(world.books.settle(slot, final, world.now) for _ in range(6)))
    assert {conclusion.stage for (conclusion,) in ended} == {Stage.SETTLED}
    assert await world.balance(chart.withdrawal_fee(USDT)) == COIN


async def test_the_fee_cap_people_approved_binds_the_slot(world: World) -> None:
    await world.fund_wallet()
    item = await world.item(await world.queued())
    network = world.catalogue.networks["ethereum"]
    dearer = replace(network, fees=replace(network.fees, network_fee_cap=2 * FEE_CAP))
    slot = await world.books.plan_slot(dearer, WALLET, [item], world.now)
    assert isinstance(slot, Slot)
    assert slot.fee_cap == str(FEE_CAP)


# ---------------------------------------------------------------- hints
async def test_a_wallet_is_woken_when_something_is_queued(world: World) -> None:
    await world.fund_wallet()
    woken = world.books.wake_ups("ethereum", WALLET)
    await anext(woken)
    loop = asyncio.get_running_loop()
    asked = await world.requested()
    began = loop.time()
    waiting = asyncio.ensure_future(anext(woken))
    await asyncio.sleep(0.02)
    await world.books.judge(asked.id, world.now)
    await waiting
    assert loop.time() - began < 0.9, "the hint came with the commit, not with the second's poll"
    await anext(woken)
    await woken.aclose()  # type: ignore[attr-defined]


async def test_opening_twice_changes_nothing(world: World) -> None:
    await world.fund(COIN)
    await world.fund_wallet(usdt=COIN)
    await world.books.ensure_account("acme")
    await world.books.ensure_wallet("ethereum", WALLET, 99)
    assert await world.balance(AVAILABLE) == COIN
    asked = await world.queued(COIN)
    assert (await world.planned(asked)).scarce == "0"


async def test_nothing_is_known_of_a_withdrawal_nobody_asked_for(world: World) -> None:
    decision = Decision("anna", Ruling.APPROVE, "00" * 32, "00" * 64)
    for call in (
        lambda: world.books.judge("wd_none", T0),
        lambda: world.books.concluded("wd_none"),
        lambda: world.books.queue_payout("wd_none", T0),
        lambda: world.books.record_decision("wd_none", decision, "signal", T0),
        lambda: world.books.record_malformed("wd_none", "signal", "x", T0),
        lambda: world.books.return_hold("wd_none", Stage.CANCELLED, "", "x", T0),
    ):
        await refused("WITHDRAWAL_UNKNOWN", call)
