"""Our coins are those of the chain, to the unit, whatever becomes of its blocks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.chains.bitcoin.adapter import BitcoinChain
from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.follow import Follower
from adapters.chains.bitcoin.rpc import open_nodes
from adapters.store.coins import PostgresCoins
from adapters.store.database import open_database
from adapters.store.wallets import wallet_id
from domain.coin import BlockMark, Coin
from domain.errors import Unavailable
from domain.payout import Fee
from ops.devnet.bitcoin.rpc import RpcError
from tests.adapters.chains.bitcoin_liar import EASIER_BITS, REGTEST_BITS, lying
from tests.adapters.chains.bitcoin_world import (
    ASSETS,
    NETWORK,
    BitcoinWorld,
    Key,
    LocalBitcoin,
    bitcoin_world,
    draft_on_pool,
    payment,
    slot_of,
)
from tests.adapters.chains.scripted import serving
from tests.adapters.chains.worlds import K
from tests.fakes.coins import FakeCoins

_OPEN_WALLET = "INSERT INTO wallet (id, network, address, next_scarce) VALUES ($1, 'bitcoin', $2, 0)"


@pytest_asyncio.fixture(scope="module")
async def local(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalBitcoin]:
    local = LocalBitcoin(lambda: bitcoind, tmp_path_factory.mktemp("bitcoin"))
    yield local
    await local.close()


@pytest_asyncio.fixture
async def world(local: LocalBitcoin) -> AsyncIterator[BitcoinWorld]:
    async with bitcoin_world(local) as world:
        assert isinstance(world, BitcoinWorld)
        yield world


async def follow(world: BitcoinWorld) -> None:
    await world.chain.observe(world.slot(0), [])


async def spend(world: BitcoinWorld, price: int = 10, *, old: bool = False) -> str:
    """Some coin of the wallet pays somebody, with change; the raw transaction, which no node was told. `old`: one of
    the coins that no reorganisation here takes away.
    """
    await follow(world)
    first = {coin.outpoint for coin in world.purse}
    unspent = {n: u for n, u in world.coins.unspent(world.wallet).items() if u > 10**6 and (n in first or not old)}
    name = random.choice(sorted(unspent))
    slot = slot_of(world.wallet, [Coin(name, str(unspent[name]))], [payment(300_000)])
    return world.sign(await world.chain.draft(slot, Fee(0, price, 0)), 1).raw.removeprefix("0x")


async def happens(world: BitcoinWorld) -> None:
    """One of the things that happen to a wallet and its chain."""
    match random.choice(("mine", "fund", "spend", "spend", "reorganise", "swap")):
        case "mine":
            await world.mine(random.randint(1, 3))
        case "fund":
            await world.node.fund([(world.wallet, random.randint(300, 10**7))] * random.randint(1, 5))
        case "spend":
            with suppress(RpcError):  # the pool may have something dearer
                await world.node.rpc("sendrawtransaction", await spend(world, random.randint(5, 50)))
        case "reorganise":
            await world.node.reorganise(random.randint(1, K - 1))
        case "swap":
            await world.node.reorganise(random.randint(1, K - 1), [[await spend(world, old=True)]])


@pytest.mark.parametrize("seed", range(4))
async def test_through_payments_and_reorganisations_our_coins_are_the_node_s(world: BitcoinWorld, seed: int) -> None:
    random.seed(seed)
    await follow(world)
    for _ in range(14):
        await happens(world)
        if random.random() < 0.7:
            await follow(world)
            assert world.coins.unspent(world.wallet) == await world.really_unspent()
    await world.mine(1)
    await follow(world)
    assert world.coins.unspent(world.wallet) == await world.really_unspent()


async def test_the_same_holds_of_the_coins_in_the_store(world: BitcoinWorld, database_url: str) -> None:
    random.seed(4)
    async with open_database(database_url, 4) as database:
        await database.write("open", _OPEN_WALLET, wallet_id("bitcoin", world.wallet), world.wallet)
        stored = PostgresCoins(database, "bitcoin")
        follow_stored = Follower(world.chain._nodes, stored, NETWORK)
        for _ in range(14):
            await follow_stored()
            free = await stored.free(world.wallet, 10**9)
            assert {coin.outpoint: int(coin.units) for coin in free} == await world.really_unspent()
            await happens(world)


async def test_a_coin_that_was_made_and_spent_in_blocks_read_together_is_gone(world: BitcoinWorld) -> None:
    await follow(world)
    await world.fill(1, confirmations=1)
    handed_on = slot_of(world.wallet, world.purse[-1:], [payment()])
    spend = world.sign(await draft_on_pool(world, handed_on, Fee(0, 10, 0)), 1)
    await world.node.mine_exactly([spend.raw.removeprefix("0x")])
    await follow(world)
    assert handed_on.scarce not in world.coins.unspent(world.wallet)
    assert world.coins.unspent(world.wallet) == await world.really_unspent()


async def test_a_reorganisation_below_what_is_final_stops_everything_and_changes_nothing(world: BitcoinWorld) -> None:
    await follow(world)
    await world.mine(K)
    await follow(world)
    before, tip = world.coins.unspent(world.wallet), await world.coins.tip()
    await world.node.reorganise(K)
    for call in (follow(world), world.chain.fund([payment()], world.wallet, world.fee)):
        with pytest.raises(Unavailable, match="REORG_BEYOND_FINALITY"):
            await call
    assert (world.coins.unspent(world.wallet), await world.coins.tip()) == (before, tip)


async def test_a_fork_below_all_that_we_know_stops_everything(world: BitcoinWorld) -> None:
    height = await world.node.height() - 1
    await world.coins.seed(BlockMark(height, "ab" * 32), {world.wallet: []})
    with pytest.raises(Unavailable, match="REORG_BEYOND_KNOWN"):
        await follow(world)


@pytest.mark.parametrize(("bits", "worked"), [(REGTEST_BITS, False), (EASIER_BITS, False), (EASIER_BITS, True)])
async def test_blocks_that_cost_their_maker_too_little_are_never_read(
    world: BitcoinWorld, bits: int, worked: bool
) -> None:
    """Alone it stops us while it is there; afterwards we are at the honest tip."""
    await follow(world)
    before, tip = world.coins.unspent(world.wallet), await world.coins.tip()
    liar = await lying(world.node, script_of(world.wallet), K + 2, bits=bits, worked=worked)
    async with serving(liar) as urls, open_nodes(urls, NETWORK) as nodes:
        with pytest.raises(Unavailable, match="NODE_GARBLED"):
            await Follower(nodes, world.coins, NETWORK)()
    assert (world.coins.unspent(world.wallet), await world.coins.tip()) == (before, tip)
    await honest_again(world)


@pytest.mark.parametrize("worked", [True, False])
async def test_a_node_that_claims_most_work_and_is_alone_with_its_blocks_moves_nothing(
    local: LocalBitcoin, world: BitcoinWorld, worked: bool
) -> None:
    """Here blocks cost nothing, so even those with work are free."""
    await follow(world)
    height = await world.node.height()
    liar = await lying(world.node, script_of(world.wallet), K + 2, worked=worked)
    async with serving(liar) as urls, open_nodes([local.url, *urls], NETWORK) as nodes:
        both = Follower(nodes, world.coins, NETWORK)
        stands = await both()
        assert stands.best[0] == 1, "the liar must be the one that is followed, or this shows nothing"
        assert stands.head == height
        await world.mine(2)
        assert (await both()).head == height, "the two differ from here on"
        assert world.coins.unspent(world.wallet) == await world.really_unspent()
    await honest_again(world)


async def honest_again(world: BitcoinWorld) -> None:
    """Without the liar, payments are read as if it had never been."""
    await world.node.fund([(world.wallet, 424_242)], K + 3)
    await follow(world)
    tip = await world.coins.tip()
    assert tip is not None
    assert tip.hash == await world.node.tip()
    assert world.coins.unspent(world.wallet) == await world.really_unspent()


async def test_a_wallet_begins_with_all_it_has_and_an_early_reorganisation_finds_its_way(world: BitcoinWorld) -> None:
    """Spends in the very last blocks before the first look are undone like any other."""
    await follow(world)
    spends = [await spend(world) for _ in range(2)]
    await world.node.mine_exactly(spends[:1])
    await world.node.fund([(world.wallet, 777_777)])
    fresh = FakeCoins([world.wallet])
    anew = Follower(world.chain._nodes, fresh, NETWORK)
    await anew()
    assert fresh.unspent(world.wallet) == await world.really_unspent()
    await world.node.reorganise(K - 1)
    await anew()
    assert fresh.unspent(world.wallet) == await world.really_unspent()


async def test_a_wallet_that_joins_later_begins_where_we_are(world: BitcoinWorld) -> None:
    await follow(world)
    joined = Key.new().address
    await world.node.fund([(joined, 123_456)])
    world.coins.open_wallet(joined)
    await follow(world)
    assert list(world.coins.unspent(joined).values()) == [123_456]
    await world.node.fund([(joined, 654_321)])
    await follow(world)
    assert sorted(world.coins.unspent(joined).values()) == [123_456, 654_321]


async def test_many_may_follow_at_once(local: LocalBitcoin, world: BitcoinWorld) -> None:
    """Each as a process of its own would: the coins come out once."""
    await follow(world)
    async with open_nodes([local.url], NETWORK) as one, open_nodes([local.url], NETWORK) as other:
        chains = [BitcoinChain(NETWORK, ASSETS, nodes, [], world.coins) for nodes in (one, other)]
        for depth in (0, 1, 3, 2):
            if depth:
                await world.node.reorganise(depth)
            await world.node.fund([(world.wallet, 1_000_000 + depth)])
            slot = world.slot(0)
            await asyncio.gather(*(chain.observe(slot, []) for chain in chains for _ in range(3)))
            assert world.coins.unspent(world.wallet) == await world.really_unspent()


async def test_a_store_that_does_not_answer_makes_no_facts(world: BitcoinWorld) -> None:
    await follow(world)
    world.coins.down = True
    with pytest.raises(Unavailable, match="STORE_DOWN"):
        await follow(world)


async def test_mined_money_is_not_spent_before_its_time(world: BitcoinWorld) -> None:
    key = Key.new()
    world.coins.open_wallet(key.address)
    await follow(world)
    await world.node.mine(1, key.address)
    await world.mine(50)
    await follow(world)
    assert sum(world.coins.unspent(key.address).values()) > 0
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await world.chain.fund([payment(10_000)], key.address, world.fee)
    await world.mine(50)
    assert await world.chain.fund([payment(10_000)], key.address, world.fee)
