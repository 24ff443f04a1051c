"""What every set of books promises to the hot wallet and its payouts; the fake and PostgreSQL keep it alike."""

import asyncio
from dataclasses import replace

import pytest

from adapters.store import payouts
from adapters.store import wallets as store
from domain.errors import Refused
from domain.intent import Decision, Ruling
from domain.ledger import chart
from domain.outgoing import Outgoing
from domain.payout import Slot
from domain.ports import PlanRefusal
from domain.procedure import TEXT_CHARS_MAX, Kind
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, ETH, T0, USDT, WALLET, World, final_of, refused, version_of
from tests.fakes import books as fakes

AVAILABLE, HELD = chart.available("acme", USDT), chart.held("acme", USDT)
HOT, FLYING = chart.hot_wallet("ethereum", WALLET, USDT), chart.in_flight("ethereum", USDT)
HOT_GAS, FLYING_GAS = chart.hot_wallet("ethereum", WALLET, ETH), chart.in_flight("ethereum", ETH)
FEE_CAP = 3 * 10**16


@pytest.fixture
def world(any_books: World) -> World:
    return any_books


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


async def test_those_that_cannot_be_paid_go_behind_all_that_were_not_tried_since_however_many_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (payouts, fakes):
        monkeypatch.setattr(module, "QUEUED_MAX", 3)
    await world.fund_wallet()
    asked = []
    for _ in range(4):
        asked.append((await world.queued()).id)
        world.now = world.later(1)
    assert await _queued(world) == asked[:3], "first come, first served, and no more than the ceiling"
    await world.books.put_off([asked[2], asked[0], asked[1]], world.now)
    assert await _queued(world) == [asked[3], asked[0], asked[1]], "of those tried together the first to come is first"
    later = (await world.queued()).id
    assert await _queued(world) == [asked[3], *asked[:2]], "whoever comes next does not pass them"
    await world.books.put_off(asked, world.later(1))
    assert await _queued(world) == [later, *asked[:2]]


async def _queued(world: World) -> list[str]:
    return [item.payment.withdrawal_id for item in await world.books.queued("ethereum", WALLET, 10)]


async def test_what_is_put_off_is_moved_only_while_it_is_queued(world: World) -> None:
    await world.fund_wallet()
    asked, cancelled = await world.queued(), await world.queued()
    slot = await world.planned(asked)
    await world.books.return_hold(cancelled.id, Stage.CANCELLED, "CLIENT", "olga", world.now)
    await world.books.put_off([asked.id, cancelled.id], world.later(1))
    assert await _queued(world) == []
    assert [one.slot for one in await world.books.open_slots("ethereum", WALLET)] == [slot]


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
    resume = world.procedure(Kind.RESUME, f"ethereum/{WALLET.lower()}", rests_on="foreign transaction 0xabc")
    assert (await world.take(resume, "anna")).code == "ENDORSEMENTS_MISSING"
    assert (await world.take(resume, "anna", "boris")).taken
    assert await world.books.halted("ethereum", WALLET) is None
    await world.planned(asked)
    await refused("WALLET_UNKNOWN", lambda: world.books.halted("ethereum", "0x00"))


async def test_a_halt_is_resumed_whatever_a_node_put_into_its_reason(world: World) -> None:
    await world.fund_wallet()
    await world.books.halt_wallet("ethereum", WALLET, "foreign \x1b[2J\n" + "\u202e0xabc " * 100, world.now)
    reason = await world.books.halted("ethereum", WALLET)
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) <= TEXT_CHARS_MAX
    resume = world.procedure(Kind.RESUME, f"ethereum/{WALLET.lower()}", rests_on=reason)
    assert (await world.take(resume, "anna", "boris")).taken


async def test_what_the_key_sent_is_compared_with_what_we_stored(world: World) -> None:
    await world.fund_wallet()
    version = await world.broadcast(await world.planned(await world.queued()))
    read = world.books.record_outgoing
    assert await read("ethereum", WALLET, Outgoing(None, 100), world.now) is None
    assert await read("ethereum", WALLET, Outgoing(100, 120, (version.txid,)), world.now) is None
    assert await world.books.halted("ethereum", WALLET) is None
    evidence = await read("ethereum", WALLET, Outgoing(120, 130, (version.txid, "0xfeed")), world.now)
    assert evidence is not None
    assert "0xfeed" in evidence
    assert version.txid not in evidence
    assert await world.books.halted("ethereum", WALLET) == evidence
    resume = world.procedure(Kind.RESUME, f"ethereum/{WALLET.lower()}", "it was us", evidence)
    assert (await world.take(resume, "anna", "boris")).taken
    assert await read("ethereum", WALLET, Outgoing(130, 140), world.now) is None, "a stranger is reported once"


async def test_progress_is_kept_only_where_it_goes_on(world: World) -> None:
    await world.fund_wallet()

    async def read(after: int | None, through: int | None) -> int | None:
        assert await world.books.record_outgoing("ethereum", WALLET, Outgoing(after, through), world.now) is None
        [wallet] = await world.wallets()
        return wallet.read_through

    assert await read(None, None) is None, "the network's count says it all"
    assert await read(None, 100) == 100
    assert await read(None, 150) == 100, "nobody begins twice"
    assert await read(100, 100) == 100
    assert await read(100, 120) == 120
    assert await read(100, 130) == 120, "another one was quicker"
    assert await read(140, 150) == 120, "nothing is passed over"


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
    other, second = version_of(slot, 1, "other bytes"), version_of(slot, 2)
    for given, stored in ((version, [version]), (version, [version]), (other, [version])):
        assert list(await world.books.begin_delivery(given, world.now)) == stored
    for given in (second, version):
        assert list(await world.books.begin_delivery(given, world.now)) == [version, second]
    assert list(await world.books.versions(slot.id)) == [version, second]
    (open_slot,) = await world.books.open_slots("ethereum", WALLET)
    assert open_slot.slot == slot
    assert open_slot.versions == (version, second)
    assert [item.payment for item in open_slot.items] == list(slot.payments)
    stray = version_of(replace(slot, id="ethereum/0x0/9"), 1)
    await refused("SLOT_UNKNOWN", lambda: world.books.begin_delivery(stray, world.now))


async def test_facts_move_it_to_confirming_and_a_reorg_moves_it_back(world: World) -> None:
    await world.fund_wallet()
    asked = await world.queued()
    slot = await world.planned(asked)
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
async def test_a_wallet_is_woken_when_something_is_queued(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put_off(monkeypatch, 3600)
    await world.fund_wallet()
    woken = world.books.wake_ups("ethereum", WALLET)
    await anext(woken)
    asked = await world.requested()
    waiting = asyncio.ensure_future(anext(woken))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await world.books.judge(asked.id, world.now)
    await asyncio.wait_for(waiting, 30)  # the hint came with the commit: nothing else could wake it
    put_off(monkeypatch, 0.05)
    await anext(woken)  # and without one it wakes by itself in the end
    await woken.aclose()  # type: ignore[attr-defined]


def put_off(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long a wallet's server waits when it hears nothing."""
    for books in (store, fakes):
        monkeypatch.setattr(books, "WAKE_S", seconds)


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
