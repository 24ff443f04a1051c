"""What every set of books promises where a wallet is many coins and one slot pays many; the fake and PostgreSQL keep
it alike.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from domain.coin import BlockMark, Coin, CoinBlock, Created, Spent
from domain.errors import Refused
from domain.ledger import chart
from domain.ledger.entry import KEY_CHARS_MAX
from domain.ledger.withdrawal import dispatch_key
from domain.payout import Slot
from domain.ports import PayoutItem, PlanRefusal
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, ETH, USDT, WALLET, World, final_of

HELD, FLYING = chart.held("acme", USDT), chart.in_flight("ethereum", USDT)
HOT, HOT_GAS = chart.hot_wallet("ethereum", WALLET, USDT), chart.hot_wallet("ethereum", WALLET, ETH)
FEE = chart.network_fee("ethereum", ETH)
OTHER_WALLET = "0x8617E340B3D01FA5F11F306F4090FD50E238070D"
FIRST = BlockMark(100, "h100")
TXID = "c0" * 32
ONE, TWO, THREE = (Coin(f"{TXID}:{n}", str(1000 * (n + 1))) for n in range(3))
FOREIGN = Coin("f0" * 32 + ":0", "5000")


@pytest.fixture
def world(any_books: World) -> World:
    return any_books


async def with_coins(world: World) -> World:
    """The hot wallet has the coins ONE, TWO and THREE, another wallet of ours has FOREIGN."""
    await world.fund_wallet()
    await world.fund_wallet(wallet=OTHER_WALLET)
    await world.coins.seed(FIRST, {WALLET: [(coin, 90) for coin in (ONE, TWO, THREE)], OTHER_WALLET: [(FOREIGN, 90)]})
    return world


async def items_of(world: World, count: int) -> list[PayoutItem]:
    asked = {(await world.queued(COIN + n)).id for n in range(count)}
    return [i for i in await world.books.queued("ethereum", WALLET, 500) if i.payment.withdrawal_id in asked]


async def planned(world: World, count: int, *inputs: Coin) -> Slot:
    slot = await world.plan(await items_of(world, count), inputs=inputs)
    assert isinstance(slot, Slot), slot
    return slot


async def stages(world: World, items: Sequence[PayoutItem]) -> set[Stage]:
    return {(await world.books.concluded(item.payment.withdrawal_id)).stage for item in items}


# ---------------------------------------------------------------- coins of a slot
async def test_the_anchor_is_the_scarce_thing_of_a_slot_and_no_number_is_taken(world: World) -> None:
    await with_coins(world)
    slot = await planned(world, 1, TWO, ONE)
    assert slot.inputs == (TWO, ONE)
    assert slot.scarce == TWO.outpoint
    assert slot.id == f"ethereum/{WALLET.lower()}/{TWO.outpoint}"
    assert [coin.outpoint for coin in await world.coins.free(WALLET, 100)] == [THREE.outpoint]
    without = await world.planned(await world.queued())
    assert (without.scarce, without.inputs) == ("0", ())


async def test_a_slot_is_read_back_with_its_coins(world: World) -> None:
    await with_coins(world)
    slot, plain = await planned(world, 2, THREE, ONE), await world.planned(await world.queued())
    found = {open_slot.slot.id: open_slot for open_slot in await world.books.open_slots("ethereum", WALLET)}
    assert {open_slot.slot for open_slot in found.values()} == {slot, plain}
    assert [item.payment for item in found[slot.id].items] == list(slot.payments)


@pytest.mark.parametrize("wrong", [Coin(TXID + ":9", "1000"), FOREIGN], ids=["unknown", "of another wallet"])
async def test_a_coin_that_the_wallet_does_not_have_plans_nothing(world: World, wrong: Coin) -> None:
    await with_coins(world)
    items = await items_of(world, 2)
    assert await world.plan(items, inputs=[ONE, wrong]) == PlanRefusal("COIN_TAKEN", wrong.outpoint)
    assert await stages(world, items) == {Stage.QUEUED}
    assert await world.books.open_slots("ethereum", WALLET) == []
    assert ONE in await world.coins.free(WALLET, 100)
    assert isinstance(await world.plan(items, inputs=[ONE]), Slot)


async def test_a_coin_counts_only_while_canonical_blocks_make_it_and_do_not_spend_it(world: World) -> None:
    await with_coins(world)
    fresh = Coin("d0" * 32 + ":0", "7000")
    one = CoinBlock(BlockMark(101, "h101"), "h100", (Created(WALLET, fresh),), (Spent(ONE.outpoint, "d0" * 32),))
    await world.coins.apply(FIRST, [one])
    items = await items_of(world, 1)
    assert await world.plan(items, inputs=[ONE]) == PlanRefusal("COIN_TAKEN", ONE.outpoint)
    await world.coins.apply(FIRST, [CoinBlock(BlockMark(101, "fork101"), "h100")])
    assert await world.plan(items, inputs=[fresh]) == PlanRefusal("COIN_TAKEN", fresh.outpoint)
    slot = await world.plan(items, inputs=[ONE])
    assert isinstance(slot, Slot)
    assert slot.inputs == (ONE,)


async def test_a_coin_belongs_to_one_slot_for_ever(world: World) -> None:
    await with_coins(world)
    slot = await planned(world, 1, ONE)
    items = await items_of(world, 1)
    assert await world.plan(items, inputs=[TWO, ONE]) == PlanRefusal("COIN_TAKEN", ONE.outpoint)
    await world.books.settle(slot, final_of(await world.broadcast(slot)), world.later(9))
    assert await world.plan(items, inputs=[ONE]) == PlanRefusal("COIN_TAKEN", ONE.outpoint)
    assert isinstance(await world.plan(items, inputs=[TWO]), Slot)


async def test_planners_that_want_the_same_coin_have_one_winner(world: World) -> None:
    await with_coins(world)
    items = await items_of(world, 6)
    wishes = [(ONE, TWO), (TWO,), (THREE, TWO), (TWO, ONE), (ONE, TWO, THREE), (TWO, THREE)]
    said = await asyncio.gather(*(world.plan([item], inputs=wish) for item, wish in zip(items, wishes, strict=True)))
    slots = [answer for answer in said if isinstance(answer, Slot)]
    assert len(slots) == 1
    assert {answer.code for answer in said if isinstance(answer, PlanRefusal)} == {"COIN_TAKEN"}
    assert [open_slot.slot for open_slot in await world.books.open_slots("ethereum", WALLET)] == slots
    assert sorted(map(str, await stages(world, items))) == ["PLANNED", "QUEUED"]


async def test_the_longest_names_still_fit_where_ids_and_keys_are_kept(world: World) -> None:
    wallet = "bcrt1p" + "q" * 58
    await world.fund_wallet(wallet=wallet)
    anchor = Coin("ab" * 32 + ":4294967295", "9000")
    await world.coins.seed(FIRST, {wallet: [(anchor, 1)]})
    slot = await world.plan(await items_of(world, 1), wallet, [anchor])
    assert isinstance(slot, Slot)
    assert len(dispatch_key(slot.id)) < KEY_CHARS_MAX
    (ended,) = await world.books.settle(slot, final_of(await world.broadcast(slot)), world.later(9))
    assert ended.stage is Stage.SETTLED


# ---------------------------------------------------------------- many payments in one slot
async def test_a_slot_of_a_hundred_ends_as_one_and_each_has_its_own_end(world: World) -> None:
    await with_coins(world)
    slot = await planned(world, 100, ONE)
    assert len({payment.withdrawal_id for payment in slot.payments}) == 100
    version = await world.broadcast(slot)
    await world.books.record_facts(slot, world.facts(version, 80))
    for payment in slot.payments:
        standing = await world.books.concluded(payment.withdrawal_id)
        assert (standing.stage, standing.txid) == (Stage.CONFIRMING, version.txid)
    fee = 10**15 + 7
    ended = await world.books.settle(slot, final_of(version, fee=fee), world.later(9))
    assert {(one.stage, one.txid) for one in ended} == {(Stage.SETTLED, version.txid)}
    assert sorted(one.withdrawal_id for one in ended) == sorted(p.withdrawal_id for p in slot.payments)
    shares = [int(await world.network_fee(p.withdrawal_id) or -1) for p in slot.payments]
    assert sum(shares) == fee
    assert set(shares) == {10**13, 10**13 + 1}
    assert await world.balance(FEE) == fee
    assert await world.balance(HELD) == await world.balance(FLYING) == 0
    assert await world.balance(HOT_GAS) == 10**19 - fee
    again = await world.books.settle(slot, final_of(version, fee=fee), world.later(10))
    assert sorted(again, key=lambda one: one.withdrawal_id) == sorted(ended, key=lambda one: one.withdrawal_id)


async def test_a_payment_alone_bears_the_whole_fee(world: World) -> None:
    await with_coins(world)
    slot = await planned(world, 1, ONE)
    await world.books.settle(slot, final_of(await world.broadcast(slot), fee=333), world.later(9))
    assert await world.network_fee(slot.payments[0].withdrawal_id) == "333"


async def test_a_batch_that_failed_gives_every_client_the_hold_back(world: World) -> None:
    await with_coins(world)
    slot = await planned(world, 7, ONE)
    ended = await world.books.settle(slot, final_of(await world.broadcast(slot), paid=False, fee=100), world.later(9))
    assert {one.stage for one in ended} == {Stage.FAILED}
    assert sum([int(await world.network_fee(one.withdrawal_id) or 0) for one in ended]) == 100
    assert await world.balance(HELD) == await world.balance(FLYING) == 0
    assert await world.balance(HOT) == 10**12


async def test_a_batch_with_one_that_was_cancelled_names_it_and_the_others_can_go(world: World) -> None:
    await with_coins(world)
    items = await items_of(world, 5)
    gone = items[3].payment.withdrawal_id
    await world.books.return_hold(gone, Stage.CANCELLED, "CLIENT", "olga", world.now)
    assert await world.plan(items, inputs=[ONE]) == PlanRefusal("NOT_QUEUED", gone)
    others = [item for item in items if item.payment.withdrawal_id != gone]
    assert await stages(world, others) == {Stage.QUEUED}
    slot = await world.plan(others, inputs=[ONE])
    assert isinstance(slot, Slot)
    assert len(slot.payments) == 4


async def test_a_cancellation_and_a_plan_of_its_batch_have_one_winner(world: World) -> None:
    await with_coins(world)
    for coin in (ONE, TWO, THREE):
        items = await items_of(world, 8)
        wanted = items[5].payment.withdrawal_id
        plan, cancel = await asyncio.gather(
            world.plan(items, inputs=[coin]),
            world.books.return_hold(wanted, Stage.CANCELLED, "CLIENT", "olga", world.now),
            return_exceptions=True,
        )
        if isinstance(plan, Slot):
            assert isinstance(cancel, Refused)
            assert cancel.code == "TOO_LATE"
            assert await stages(world, items) == {Stage.PLANNED}
        else:
            assert plan == PlanRefusal("NOT_QUEUED", wanted)
            assert await stages(world, items) == {Stage.QUEUED, Stage.CANCELLED}
            for item in items:
                if item.payment.withdrawal_id != wanted:
                    await world.books.return_hold(
                        item.payment.withdrawal_id, Stage.CANCELLED, "CLIENT", "olga", world.now
                    )
    in_slots = [p for o in await world.books.open_slots("ethereum", WALLET) for p in o.slot.payments]
    assert await world.balance(FLYING) == sum(int(payment.amount) for payment in in_slots)


async def test_a_wallet_too_short_for_all_of_a_batch_leaves_all_of_it_queued(world: World) -> None:
    await world.fund_wallet(usdt=5 * COIN)
    await world.coins.seed(FIRST, {WALLET: [(ONE, 90)]})
    items = await items_of(world, 10)
    assert await world.plan(items, inputs=[ONE]) == PlanRefusal("HOT_WALLET_SHORT", HOT.code)
    assert await stages(world, items) == {Stage.QUEUED}
    assert isinstance(await world.plan(items[:4], inputs=[ONE]), Slot)


async def test_an_item_says_when_it_was_asked_for_and_since_when_it_may_be_paid(world: World) -> None:
    await world.fund_wallet()
    before = datetime.now(UTC)
    asked = await world.queued()
    item = await world.item(asked)
    assert item.requested_at is not None
    assert before <= item.requested_at <= datetime.now(UTC)
    assert item.queued_at == world.now
    await world.planned(asked)
    (open_slot,) = await world.books.open_slots("ethereum", WALLET)
    assert open_slot.items == (item,)
