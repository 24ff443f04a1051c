"""Payouts on a real Bitcoin node through all that happens to them there. At the end Bitcoin Core's own consensus code
judges every block that was made.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.chains.bitcoin import tx
from adapters.chains.bitcoin.adapter import BitcoinChain
from adapters.chains.bitcoin.rpc import open_nodes
from domain.coin import Coin
from domain.errors import Refused, Unavailable
from domain.payout import Facts, Fee, Slot, Version, consumption
from tests.adapters.chains.bitcoin_world import (
    ASSETS,
    COIN,
    COIN_SATS,
    NETWORK,
    BitcoinWorld,
    Key,
    LocalBitcoin,
    bitcoin_world,
    concluded,
    draft_on_pool,
    known,
    new_address,
    payment,
    raw,
    seen,
    sent,
    sign_bitcoin,
    signed,
    slot_of,
)
from tests.adapters.chains.worlds import K
from tests.bitcoin_kernel import kernel_replay


@pytest_asyncio.fixture(scope="module")
async def local(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalBitcoin]:
    folder = tmp_path_factory.mktemp("bitcoin")
    local = LocalBitcoin(lambda: bitcoind, folder / "node")
    yield local
    node = await local.node()
    assert await kernel_replay(node, folder / "kernel") == await node.tip()
    await local.close()


@pytest_asyncio.fixture
async def world(local: LocalBitcoin) -> AsyncIterator[BitcoinWorld]:
    async with bitcoin_world(local) as world:
        assert isinstance(world, BitcoinWorld)
        yield world


# ---------------------------------------------------------------- many payments in one transaction
async def test_a_batch_pays_each_of_its_payments_the_same_address_twice_included(world: BitcoinWorld) -> None:
    twice = new_address()
    others = [payment(20_000 + at) for at in range(20)]
    batch = [payment(50_000, twice), *others, payment(50_000, twice), payment(70_000, twice)]
    fee = await world.chain.quote(batch, world.wallet)
    coins = await world.chain.fund(batch, world.wallet, fee)
    slot = slot_of(world.wallet, coins, batch)
    version = world.sign(await world.chain.draft(slot, fee), 1)
    assert version.fee == fee, "the quote was for this very transaction"
    await world.chain.broadcast(version)
    await world.mine(K)

    facts = await world.chain.observe(slot, [version])
    final = concluded(slot, [version], facts)
    assert final is not None
    assert final.paid
    transaction = await world.node.rpc("getrawtransaction", version.txid, 1)
    paid = [(int(out["value"] * COIN_SATS), out["scriptPubKey"]["address"]) for out in transaction["vout"]]
    assert paid[:-1] == [(int(p.amount), p.recipient) for p in batch]
    assert paid[-1][1] == world.wallet
    assert int(final.fee_units) == fee.most
    assert 0 <= fee.weight - transaction["vsize"] <= len(coins), "the estimate is tight"
    assert transaction["vsize"] / len(batch) < 40, "vbytes for each payment"
    assert (await world.chain.balance(COIN, twice)).units == 170_000


async def test_fifty_coins_in_one_transaction_are_drafted_in_good_time(world: BitcoinWorld) -> None:
    await world.fill(50, 1_000_000)
    slot = slot_of(world.wallet, sorted(world.purse[12:], key=lambda coin: coin.outpoint), [payment(40_000_000)])
    began = time.process_time()
    draft = await world.chain.draft(slot, Fee(0, 5, 0))
    spent_s = time.process_time() - began
    assert spent_s < 1, f"{spent_s:.2f} s of this process"
    version = world.sign(draft, 1)
    await world.chain.broadcast(version)
    await world.mine(K)
    assert concluded(slot, [version], await world.chain.observe(slot, [version])) is not None


async def test_no_more_coins_are_taken_than_one_transaction_may_spend(world: BitcoinWorld) -> None:
    world.coins.taken.update(coin.outpoint for coin in world.purse)
    await world.fill(60, 1_000_000)
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await world.chain.quote([payment(55_000_000)], world.wallet)
    coins = await world.chain.fund([payment(45_000_000)], world.wallet, Fee(0, 5, 0))
    assert len(coins) <= NETWORK.inputs_max


async def test_dust_is_refused_before_anything_is_bound(world: BitcoinWorld) -> None:
    with pytest.raises(Refused, match="PAYMENT_DUST"):
        await world.chain.quote([payment(100_000), payment(293)], world.wallet)
    slot = slot_of(world.wallet, world.purse[:1], [payment(294)])
    await sent(world, slot)


async def test_a_payment_that_would_cost_too_large_a_share_waits(local: LocalBitcoin, world: BitcoinWorld) -> None:
    stingy = replace(NETWORK, fees=replace(NETWORK.fees, share_cap_percent=5))
    async with open_nodes([local.url], stingy) as nodes:
        chain = BitcoinChain(stingy, ASSETS, nodes, [], world.coins)
        with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
            await chain.quote([payment(20_000)], world.wallet)
        assert await chain.quote([payment(60_000)], world.wallet)


# ---------------------------------------------------------------- which coins
async def test_only_coins_as_deep_as_a_final_payment_are_spent(world: BitcoinWorld) -> None:
    world.coins.taken.update(coin.outpoint for coin in world.purse)
    await world.fill(1, confirmations=K - 1)
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await world.chain.fund([payment()], world.wallet, world.fee)
    await world.mine(1)
    assert await world.chain.fund([payment()], world.wallet, world.fee) == (world.purse[-1],)


async def test_a_coin_that_a_stranger_is_about_to_spend_is_left_alone(world: BitcoinWorld) -> None:
    left, *others = world.purse
    world.coins.taken.update(coin.outpoint for coin in others[1:])
    await sent(world, slot_of(world.wallet, [left], [payment()]))  # nobody's slot: it only waits in the pool
    assert await world.chain.fund([payment()], world.wallet, world.fee) == (others[0],)


async def test_a_coin_that_a_slot_has_is_not_taken_again(world: BitcoinWorld) -> None:
    first = await world.chain.fund([payment()], world.wallet, world.fee)
    world.coins.taken.update(coin.outpoint for coin in first)
    second = await world.chain.fund([payment()], world.wallet, world.fee)
    assert not set(first) & set(second)


async def test_a_stranger_who_spends_any_coin_of_a_slot_has_consumed_it(world: BitcoinWorld) -> None:
    """Every version spends them all: with one gone at final depth none can be in a block any more."""
    slot = slot_of(world.wallet, world.purse[:2], [payment()])
    version = await signed(world, slot)
    stranger = await world.stranger_spends(slot_of(world.wallet, [world.purse[1]], [payment()]))
    assert consumption([version], await world.chain.observe(slot, [version]), stranger) == "CONSUMPTION_UNPROVEN"
    await world.mine(K - 1)
    facts = await world.chain.observe(slot, [version])
    assert facts.consumer == stranger
    assert consumption([version], facts, stranger) == "PROVEN"


# ---------------------------------------------------------------- fees
async def test_the_price_is_the_estimate_bounded_from_below_by_pool_and_floor(world: BitcoinWorld) -> None:
    faults = world.faults
    assert (await world.chain.market(141)).price == 10, "a node that knows too little"
    faults.fee_rate = 37
    assert (await world.chain.market(141)).price == 37
    faults.mempool_fee_rate = 52
    assert (await world.chain.market(141)).price == 52
    faults.fee_rate, faults.mempool_fee_rate = 1, None
    assert (await world.chain.market(141)).price == NETWORK.fees.price_floor
    faults.fee_rate = NETWORK.fees.price_cap + 1
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.market(141)


async def test_a_bump_pays_for_the_child_that_it_pushes_out(world: BitcoinWorld) -> None:
    friend = Key.new()
    slot = slot_of(world.wallet, world.purse[:1], [payment(400_000, friend.address)])
    one = await sent(world, slot)
    handed_on = slot_of(friend.address, [Coin(f"{one.txid}:0", "400000")], [payment(300_000)])
    child = await draft_on_pool(world, handed_on, Fee(0, 200, 0))
    await world.chain.broadcast(sign_bitcoin(child, 1, friend))

    facts = await world.chain.observe(slot, [one])
    fee = world.chain.bump(slot, one.fee, await world.chain.market(one.fee.weight))
    assert fee is not None
    assert fee.most >= one.fee.most + child.fee.most
    two = world.sign(await world.chain.draft(slot, fee), 2)
    await world.chain.broadcast(two)
    facts = await world.chain.observe(slot, [one, two])
    assert (known(facts, one), known(facts, two)) == (False, True)


async def test_bumps_go_on_until_the_change_is_used_up_and_each_takes_the_others_place(world: BitcoinWorld) -> None:
    slot = slot_of(world.wallet, world.purse[:1], [payment(COIN_SATS - 12_000)])
    versions = [await sent(world, slot, price=20)]
    world.faults.fee_rate = 39
    while fee := world.chain.bump(slot, versions[-1].fee, await world.chain.market(versions[-1].fee.weight)):
        versions.append(world.sign(await world.chain.draft(slot, fee), len(versions) + 1))
        await world.chain.broadcast(versions[-1])
        world.faults.fee_rate += 13
    assert len(versions) > 2
    assert world.chain.bump(slot, versions[-1].fee, Fee(141, 400, 0)) is None
    facts = await world.chain.observe(slot, versions)
    assert [known(facts, version) for version in versions] == [False] * (len(versions) - 1) + [True]
    await world.mine(K)
    final = concluded(slot, versions, await world.chain.observe(slot, versions))
    assert final is not None
    assert final.txid == versions[-1].txid


async def test_a_batch_of_a_hundred_is_voided_at_the_node(world: BitcoinWorld) -> None:
    """The node's own guard lets through what outbids it, and still stops a paying version that dear."""
    batch = [payment(50_000) for _ in range(100)]
    slot = slot_of(world.wallet, world.purse[:1], batch)
    one = await sent(world, slot, price=40)
    two = replace(world.sign(await world.chain.void(slot, one.fee), 2), void=True)
    assert two.fee.price > 2 * NETWORK.fees.price_cap, "or the guard was not tried"
    with pytest.raises(Refused):
        await world.chain.broadcast(replace(two, void=False))
    await world.chain.broadcast(two)
    facts = await world.chain.observe(slot, [one, two])
    assert (known(facts, one), known(facts, two)) == (False, True)
    await world.mine(K)
    final = concluded(slot, [one, two], await world.chain.observe(slot, [one, two]))
    assert final is not None
    assert (final.txid, final.paid, int(final.fee_units)) == (two.txid, False, two.fee.most)


# ---------------------------------------------------------------- what happens on the chain
async def test_a_reorganisation_of_three_blocks_swaps_the_versions(world: BitcoinWorld) -> None:
    """The first version sits only in abandoned blocks afterwards: nodes still show it, and it does not exist."""
    slot = world.slot(0)
    one = await sent(world, slot)
    two = await signed(world, slot, price=20, number=2)
    await world.mine(3)
    before = await world.chain.observe(slot, [one, two])
    assert seen(before, one) is not None

    await world.node.reorganise(3, [[], [raw(two)]])
    after = await world.chain.observe(slot, [one, two])
    assert seen(after, one) is None
    assert not known(after, one)
    assert (await world.node.rpc("getrawtransaction", one.txid, 1))["blockhash"], "the node still shows it"
    swapped = seen(after, two)
    assert swapped is not None
    assert swapped.delivered
    assert world.coins.unspent(world.wallet) == await world.really_unspent()

    await world.mine(K)
    final = concluded(slot, [one, two], await world.chain.observe(slot, [one, two]))
    assert final is not None
    assert final.txid == two.txid
    assert (await world.chain.balance(COIN, slot.payments[0].recipient)).units == int(slot.payments[0].amount)


async def test_the_replaced_version_may_be_mined_and_is_the_one_that_counts(world: BitcoinWorld) -> None:
    slot = world.slot(0)
    one = await sent(world, slot)
    two = await sent(world, slot, price=20, number=2)
    await world.node.mine_exactly([raw(one)])
    with pytest.raises(Refused, match="BROADCAST_SLOT_USED"):
        await world.chain.broadcast(two)
    await world.mine(K - 1)
    final = concluded(slot, [one, two], await world.chain.observe(slot, [one, two]))
    assert final is not None
    assert final.txid == one.txid


async def test_pools_that_lost_everything_are_offered_the_same_bytes(local: LocalBitcoin, world: BitcoinWorld) -> None:
    slot = world.slot(0)
    version = await sent(world, slot)
    assert known(await world.chain.observe(slot, [version]), version)
    await world.node.stop()
    await world.node.start("-persistmempool=0")
    facts = await _at_last(world, slot, version)
    assert not known(facts, version)
    assert not facts.used
    await world.chain.broadcast(version)
    await world.mine(K)
    assert concluded(slot, [version], await world.chain.observe(slot, [version])) is not None


async def _at_last(world: BitcoinWorld, slot: Slot, version: Version) -> Facts:
    while True:
        try:
            return await world.chain.observe(slot, [version])
        except Unavailable:
            await asyncio.sleep(0.1)


async def test_a_payment_whose_outputs_are_all_spent_is_refused_again_and_paid_all_the_same(
    world: BitcoinWorld,
) -> None:
    """The node says of it what it says of a double spend: only the blocks tell them apart."""
    friend = Key.new()
    slot = slot_of(world.wallet, world.purse[:1], [payment(COIN_SATS - 1_200, friend.address)])
    version = await sent(world, slot)
    await world.mine(1)
    await world.chain.broadcast(version)  # while an output is unspent the node says that the chain has it
    handed_on = slot_of(friend.address, [Coin(f"{version.txid}:0", slot.payments[0].amount)], [payment(90_000)])
    child = await draft_on_pool(world, handed_on, Fee(0, 10, 0))
    await world.chain.broadcast(sign_bitcoin(child, 1, friend))
    await world.mine(K - 1)
    with pytest.raises(Refused, match="BROADCAST_SLOT_USED"):
        await world.chain.broadcast(version)
    final = concluded(slot, [version], await world.chain.observe(slot, [version]))
    assert final is not None
    assert final.paid


async def test_a_slot_whose_coin_vanished_is_not_used_and_goes_on_when_it_is_back(world: BitcoinWorld) -> None:
    """gettxout calls it spent; nobody spent it, the block that made it is gone."""
    await world.fill(1, confirmations=1)
    slot = slot_of(world.wallet, world.purse[-1:], [payment()])
    await world.chain.observe(slot, [])
    version = await sent(world, slot)
    await world.node.reorganise(1)
    assert await world.node.rpc("gettxout", *tx.outpoint(slot.scarce), False) is None
    facts = await world.chain.observe(slot, [version])
    assert not facts.used
    assert facts.complete
    assert seen(facts, version) is None
    await world.mine(K)
    assert concluded(slot, [version], await world.chain.observe(slot, [version])) is not None


async def test_money_that_left_otherwise_than_ordered_is_told_apart(world: BitcoinWorld) -> None:
    slot = world.slot(0)
    wrong = replace(slot, payments=(replace(slot.payments[0], amount="4999999"),))
    version = await sent(world, wrong)
    await world.mine(K)
    inclusion = seen(await world.chain.observe(slot, [version]), version)
    assert inclusion is not None
    assert (inclusion.delivered, inclusion.strayed) == (False, True)
