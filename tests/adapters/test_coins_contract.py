"""What every keeper of coins promises; the fake and PostgreSQL keep it alike."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from adapters.store.coins import PostgresCoins
from adapters.store.database import Database, open_database
from adapters.store.wallets import wallet_id
from domain.coin import COINBASE_DEPTH, BlockMark, Coin, CoinBlock, Created, Fate, Spent
from domain.ports import Coins
from tests.adapters.store.world import refused
from tests.fakes.coins import FakeCoins

T = TypeVar("T")
OURS, OTHER = "bcrt1qours", "bcrt1qother"
FIRST = BlockMark(100, "h100")
_networks = (f"coins-{number}" for number in itertools.count())

_OPEN_WALLET = "INSERT INTO wallet (id, network, address, next_scarce) VALUES ($1, $2, $3, 0)"
_TAKE = """
WITH planned AS (
    INSERT INTO slot (id, wallet_id, network, wallet, scarce, fee_cap, confirmations, planned_at, state)
    VALUES ($1 || '/' || $2, $3, $1, $4, $2, 1, 1, now(), 'OPEN') RETURNING id
)
INSERT INTO slot_input (slot_id, line, network, outpoint, units) SELECT id, 1, $1, $2, 1 FROM planned
"""


@dataclass
class Keeper:
    """The coins of a network of its own with two wallets; `take` is what planning a slot does to a coin of OURS."""

    coins: Coins
    take: Callable[[str], Awaitable[object]]


def fake_keeper() -> Keeper:
    coins = FakeCoins([OURS, OTHER])

    async def take(outpoint: str) -> None:
        coins.taken.add(outpoint)

    return Keeper(coins, take)


async def postgres_keeper(database: Database) -> Keeper:
    network = next(_networks)
    for address in (OURS, OTHER):
        await database.write("open", _OPEN_WALLET, wallet_id(network, address), network, address)

    async def take(outpoint: str) -> None:
        await database.write("take", _TAKE, network, outpoint, wallet_id(network, OURS), OURS)

    return Keeper(PostgresCoins(database, network), take)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, 6) as database:
        yield database


@pytest.fixture(params=["fake", "postgres"])
def new_keeper(request: pytest.FixtureRequest) -> Callable[[], Coroutine[Any, Any, Keeper]]:
    if request.param == "postgres":
        database: Database = request.getfixturevalue("database")
        return lambda: postgres_keeper(database)

    async def fake() -> Keeper:
        return fake_keeper()

    return fake


@pytest_asyncio.fixture
async def keeper(new_keeper: Callable[[], Coroutine[Any, Any, Keeper]]) -> Keeper:
    return await new_keeper()


@pytest_asyncio.fixture
async def coins(keeper: Keeper) -> Coins:
    """Seeded at FIRST: OURS had the coins "old:0" of 50 and "old:1" of 70, OTHER had none."""
    await keeper.coins.seed(FIRST, {OURS: [(Coin("old:0", "50"), 90), (Coin("old:1", "70"), 95)], OTHER: []})
    return keeper.coins


def block(
    parent: BlockMark, name: str = "h", created: Sequence[Created] = (), spent: Sequence[Spent] = ()
) -> CoinBlock:
    mark = BlockMark(parent.height + 1, f"{name}{parent.height + 1}")
    return CoinBlock(mark, parent.hash, tuple(created), tuple(spent))


def made(outpoint: str, units: int = 10, wallet: str = OURS, coinbase: bool = False) -> Created:
    return Created(wallet, Coin(outpoint, str(units)), coinbase)


async def outpoints(coins: Coins, through: int = 10**6, wallet: str = OURS) -> list[str]:
    """What is free, by name."""
    return sorted(coin.outpoint for coin in await coins.free(wallet, through))


# ---------------------------------------------------------------- the beginning
async def test_before_the_seed_nothing_is_known_and_nothing_can_be_applied(keeper: Keeper) -> None:
    assert await keeper.coins.tip() is None
    assert await keeper.coins.wallets() == {OURS: False, OTHER: False}
    assert list(await keeper.coins.free(OURS, 10**6)) == []
    await refused("COINS_MOVED_ON", lambda: keeper.coins.apply(FIRST, [block(FIRST)]))
    assert await keeper.coins.tip() is None


async def test_a_seed_is_where_a_wallet_begins(coins: Coins) -> None:
    assert await coins.tip() == FIRST
    assert await coins.wallets() == {OURS: True, OTHER: True}
    assert await coins.marks(0) == [FIRST]
    assert set(await coins.free(OURS, 100)) == {Coin("old:0", "50"), Coin("old:1", "70")}
    assert await outpoints(coins, through=94) == ["old:0"]
    assert await outpoints(coins, through=89) == []
    (fate,) = await coins.fates(["old:1"])
    assert (fate.created, fate.spent, fate.spender) == (BlockMark(95, ""), None, None)


async def test_a_wallet_that_was_seeded_keeps_what_it_has(coins: Coins) -> None:
    await coins.seed(FIRST, {OURS: [(Coin("new:0", "1"), 99)]})
    assert await outpoints(coins) == ["old:0", "old:1"]


async def test_a_seed_at_another_block_than_the_tip_is_refused(coins: Coins) -> None:
    elsewhere = BlockMark(100, "another")
    await refused("COINS_MOVED_ON", lambda: coins.seed(elsewhere, {OTHER: [(Coin("x:0", "1"), 99)]}))
    assert await coins.tip() == FIRST
    assert await outpoints(coins, wallet=OTHER) == []


async def test_a_wallet_that_joins_later_is_seeded_at_the_tip(keeper: Keeper) -> None:
    await keeper.coins.seed(FIRST, {OURS: []})
    one = block(FIRST)
    await keeper.coins.apply(FIRST, [one])
    assert await keeper.coins.wallets() == {OURS: True, OTHER: False}
    await keeper.coins.seed(one.mark, {OTHER: [(Coin("here:0", "5"), 101), (Coin("before:0", "6"), 7)]})
    assert (await keeper.coins.wallets())[OTHER]
    here, before = await keeper.coins.fates(["here:0", "before:0"])
    assert (here.created, before.created) == (one.mark, BlockMark(7, ""))


async def test_a_reorganisation_below_a_seed_asks_for_another_one(keeper: Keeper) -> None:
    """What such a wallet spent between the fork and its seed is free again, and nobody here knows of it."""
    await keeper.coins.seed(FIRST, {OURS: []})
    one = block(FIRST)
    await keeper.coins.apply(FIRST, [one])
    await keeper.coins.seed(one.mark, {OTHER: [(Coin("late:0", "5"), 101), (Coin("early:0", "6"), 7)]})
    other = block(FIRST, "fork")
    await keeper.coins.apply(FIRST, [other])
    assert await keeper.coins.wallets() == {OURS: True, OTHER: False}
    assert await outpoints(keeper.coins, wallet=OTHER) == ["early:0"]
    await keeper.coins.seed(other.mark, {OTHER: [(Coin("late:0", "5"), 101), (Coin("spent:0", "9"), 50)]})
    assert (await keeper.coins.wallets())[OTHER]
    assert await outpoints(keeper.coins, wallet=OTHER) == ["early:0", "late:0", "spent:0"]
    (late,) = await keeper.coins.fates(["late:0"])
    assert late.created == other.mark


# ---------------------------------------------------------------- blocks
async def test_blocks_make_and_spend_coins_together(coins: Coins) -> None:
    one = block(FIRST, created=[made("a:0", 7), made("a:1", 8, OTHER)], spent=[Spent("old:0", "a")])
    two = block(one.mark, created=[made("b:0", 9)], spent=[Spent("a:0", "b")])
    await coins.apply(FIRST, [one, two])
    assert await coins.tip() == two.mark
    assert await coins.marks(100) == [two.mark, one.mark]
    assert set(await coins.free(OURS, 102)) == {Coin("old:1", "70"), Coin("b:0", "9")}
    assert list(await coins.free(OTHER, 102)) == [Coin("a:1", "8")]
    assert list(await coins.fates(["b:0", "what:9", "a:0", "old:0"])) == [
        Fate("b:0", two.mark, None, None),
        Fate("what:9", None, None, None),
        Fate("a:0", one.mark, "b", two.mark),
        Fate("old:0", BlockMark(90, ""), "a", one.mark),
    ]


async def test_a_coin_may_be_made_and_spent_in_one_block(coins: Coins) -> None:
    one = block(FIRST, created=[made("a:0"), made("b:0")], spent=[Spent("a:0", "b")])
    await coins.apply(FIRST, [one])
    assert await outpoints(coins) == ["b:0", "old:0", "old:1"]
    assert list(await coins.fates(["a:0"])) == [Fate("a:0", one.mark, "b", one.mark)]


async def test_spenders_are_named_once_within_their_heights(coins: Coins) -> None:
    one = block(FIRST, created=[made("c:0", wallet=OTHER)], spent=[Spent("old:0", "a")])
    two = block(one.mark, created=[made("b:0")], spent=[Spent("old:1", "b"), Spent("c:0", "elsewhere")])
    three = block(two.mark, created=[made("d:0"), made("d:1")])
    four = block(three.mark, spent=[Spent("d:0", "e"), Spent("d:1", "e")])
    await coins.apply(FIRST, [one, two, three, four])
    assert list(await coins.spenders(OURS, 100, 104)) == ["a", "b", "e"]
    assert list(await coins.spenders(OURS, 101, 103)) == ["b"]
    assert list(await coins.spenders(OTHER, 0, 104)) == ["elsewhere"]
    assert list(await coins.spenders(OURS, 104, 200)) == []


async def test_mined_money_is_free_once_it_is_deep_enough(coins: Coins) -> None:
    chain = [block(FIRST, created=[made("mined:0", coinbase=True)])]
    while len(chain) < COINBASE_DEPTH - 1:
        chain.append(block(chain[-1].mark))
    await coins.apply(FIRST, chain)
    assert "mined:0" not in await outpoints(coins)
    await coins.apply(chain[-1].mark, [block(chain[-1].mark)])
    assert "mined:0" in await outpoints(coins)


# ---------------------------------------------------------------- reorganisations
async def test_what_an_orphaned_block_did_counts_no_more_and_comes_back_with_it(coins: Coins) -> None:
    one = block(FIRST, created=[made("a:0")], spent=[Spent("old:0", "a")])
    two = block(one.mark, created=[made("b:0")], spent=[Spent("a:0", "b")])
    rival = block(FIRST, "rival", spent=[Spent("old:1", "r")])
    await coins.apply(FIRST, [one, two])
    for _ in range(2):
        await coins.apply(FIRST, [rival])
        assert await coins.tip() == rival.mark
        assert await coins.marks(100) == [rival.mark]
        assert await outpoints(coins) == ["old:0"]
        assert list(await coins.fates(["a:0", "b:0"])) == [Fate("a:0", None, None, None), Fate("b:0", None, None, None)]
        assert list(await coins.spenders(OURS, 0, 200)) == ["r"]
        await coins.apply(FIRST, [one, two])
        assert await outpoints(coins) == ["b:0", "old:1"]
        assert list(await coins.fates(["a:0"])) == [Fate("a:0", one.mark, "b", two.mark)]


async def test_the_same_transaction_in_another_block_makes_the_same_coin_there(coins: Coins) -> None:
    one = block(FIRST, created=[made("a:0")], spent=[Spent("old:0", "a")])
    await coins.apply(FIRST, [one])
    empty = block(FIRST, "fork")
    again = block(empty.mark, "fork", created=[made("a:0")], spent=[Spent("old:0", "a")])
    await coins.apply(FIRST, [empty, again])
    assert list(await coins.fates(["a:0", "old:0"])) == [
        Fate("a:0", again.mark, None, None),
        Fate("old:0", BlockMark(90, ""), "a", again.mark),
    ]


async def test_a_coin_that_a_slot_took_is_never_free_again(keeper: Keeper, coins: Coins) -> None:
    one = block(FIRST, created=[made("a:0")])
    await coins.apply(FIRST, [one])
    await keeper.take("a:0")
    assert await outpoints(coins) == ["old:0", "old:1"]
    await coins.apply(FIRST, [block(FIRST, "fork")])
    assert await outpoints(coins) == ["old:0", "old:1"]
    await coins.apply(FIRST, [one])
    assert await outpoints(coins) == ["old:0", "old:1"]


async def test_who_comes_late_with_blocks_is_told_to_look_again(coins: Coins) -> None:
    one = block(FIRST, created=[made("a:0")])
    two = block(one.mark)
    await coins.apply(FIRST, [one, two])
    await refused("COINS_MOVED_ON", lambda: coins.apply(FIRST, [one, two]))
    await refused("COINS_MOVED_ON", lambda: coins.apply(one.mark, [two]))
    await coins.apply(FIRST, [block(FIRST, "fork")])
    await refused("COINS_MOVED_ON", lambda: coins.apply(two.mark, [block(two.mark)]))
    await refused("COINS_MOVED_ON", lambda: coins.apply(BlockMark(99, "h99"), [block(BlockMark(99, "h99"))]))
    assert await coins.tip() == BlockMark(101, "fork101")
    assert await outpoints(coins) == ["old:0", "old:1"]


async def test_two_processes_with_the_same_blocks_apply_them_once(coins: Coins) -> None:
    tip, last = FIRST, "old:0"
    for height in range(10):
        one = block(tip, created=[made(f"a{height}:0")], spent=[Spent(last, f"a{height}")])
        two = block(one.mark)
        said = await asyncio.gather(*(coins.apply(tip, [one, two]) for _ in range(4)), return_exceptions=True)
        assert [getattr(answer, "code", None) for answer in said].count(None) == 1
        assert {getattr(answer, "code", None) for answer in said} == {None, "COINS_MOVED_ON"}
        tip, last = two.mark, f"a{height}:0"
        assert await coins.tip() == tip
        assert await outpoints(coins) == [last, "old:1"]


async def test_two_processes_that_seed_at_once_give_one_beginning(keeper: Keeper) -> None:
    seeds = [{OURS: [(Coin(f"seed{n}:0", "5"), 90)], OTHER: []} for n in range(4)]
    await asyncio.gather(*(keeper.coins.seed(FIRST, seed) for seed in seeds))
    assert await keeper.coins.tip() == FIRST
    assert len(await outpoints(keeper.coins)) == 1
    elsewhere = [BlockMark(100, f"else{n}") for n in range(3)]
    said = await asyncio.gather(*(keeper.coins.seed(mark, {OTHER: []}) for mark in elsewhere), return_exceptions=True)
    assert {getattr(answer, "code", None) for answer in said} == {"COINS_MOVED_ON"}


# ---------------------------------------------------------------- against a replay
class Reorganising(RuleBasedStateMachine):
    """Blocks come, go and come back at random; what is said is always what a replay of the canonical chain says."""

    wait: Callable[[Coroutine[Any, Any, T]], T]
    new_keeper: Callable[[], Coroutine[Any, Any, Keeper]]

    def __init__(self) -> None:
        super().__init__()
        self.keeper = self.call(self.new_keeper())
        self.coins = self.keeper.coins
        self.seeds = {"old:0": (OURS, "50", BlockMark(90, "")), "old:1": (OURS, "70", BlockMark(95, ""))}
        self.call(self.coins.seed(FIRST, {OURS: [(Coin("old:0", "50"), 90), (Coin("old:1", "70"), 95)]}))
        self.known: dict[str, CoinBlock] = {}
        self.chain: list[CoinBlock] = []
        self.taken: set[str] = set()
        self.numbers = itertools.count()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return type(self).wait(coroutine)

    # ------------------------------------------------------------ what happens
    @rule(depth=st.integers(0, 4), contents=st.lists(st.integers(0, 2**32), min_size=0, max_size=3))
    def new_blocks(self, depth: int, contents: list[int]) -> None:
        """New blocks after the block `depth` below the tip; without any, the tip just goes back."""
        kept = self.chain[: max(0, len(self.chain) - depth)]
        keep = kept[-1].mark if kept else FIRST
        chain = list(kept)
        for seed in contents:
            chain.append(self.mined(chain, seed))
        self.call(self.coins.apply(keep, chain[len(kept) :]))
        self.chain = chain

    @precondition(lambda self: self.orphans)
    @rule(which=st.integers(0, 10**6))
    def an_old_branch_comes_back(self, which: int) -> None:
        branch = [self.orphans[which % len(self.orphans)]]
        canonical = {block.mark.hash for block in self.chain}
        while branch[0].parent not in canonical and branch[0].parent != FIRST.hash:
            branch.insert(0, self.known[branch[0].parent])
        kept = [block for block in self.chain if block.mark.height < branch[0].mark.height]
        self.call(self.coins.apply(kept[-1].mark if kept else FIRST, branch))
        self.chain = kept + branch

    @precondition(lambda self: self.orphans)
    @rule(which=st.integers(0, 10**6))
    def somebody_builds_on_an_orphan(self, which: int) -> None:
        mark = self.orphans[which % len(self.orphans)].mark
        self.refused(mark, [block(mark, "late")])

    @precondition(lambda self: self.chain)
    @rule(depth=st.integers(1, 3))
    def somebody_was_slower(self, depth: int) -> None:
        above = self.chain[-depth:]
        kept = self.chain[: len(self.chain) - len(above)]
        self.refused(kept[-1].mark if kept else FIRST, above)

    @precondition(lambda self: self.free())
    @rule(which=st.integers(0, 10**6))
    def a_slot_takes_a_coin(self, which: int) -> None:
        free = self.free()
        outpoint = free[which % len(free)]
        self.call(self.keeper.take(outpoint))  # type: ignore[arg-type]
        self.taken.add(outpoint)

    # ------------------------------------------------------------ what is true
    @invariant()
    def all_that_is_said_is_what_the_chain_says(self) -> None:
        created, spent = replay(self.seeds, self.chain)
        marks = [FIRST, *(block.mark for block in self.chain)]
        every = sorted({*self.seeds, *(c.coin.outpoint for b in self.known.values() for c in b.created)})
        assert self.call(self.coins.tip()) == marks[-1]
        assert list(self.call(self.coins.marks(0))) == marks[::-1]
        for fate in self.call(self.coins.fates(every)):
            at = created[fate.outpoint][2] if fate.outpoint in created else None
            assert fate == Fate(fate.outpoint, at, *spent.get(fate.outpoint, (None, None)))
        for through in (94, marks[-1].height - 2, marks[-1].height):
            free = self.call(self.coins.free(OURS, through))
            assert sorted(coin.outpoint for coin in free) == self.free(through)
        after = marks[-1].height - 2
        said = self.call(self.coins.spenders(OURS, after, marks[-1].height))
        assert len(said) == len(set(said))
        assert set(said) == {txid for _, (txid, mark) in spent.items() if mark.height > after}

    @property
    def orphans(self) -> list[CoinBlock]:
        canonical = {block.mark.hash for block in self.chain}
        return [block for hash_, block in self.known.items() if hash_ not in canonical]

    def free(self, through: int = 10**6) -> list[str]:
        created, spent = replay(self.seeds, self.chain)
        return sorted(
            outpoint
            for outpoint, (_, _, mark) in created.items()
            if outpoint not in spent and outpoint not in self.taken and mark.height <= through
        )

    # ------------------------------------------------------------ how it is made to happen
    def mined(self, chain: list[CoinBlock], seed: int) -> CoinBlock:
        """A block that pays us anew or once more (what an orphan held), and spends what this chain has."""
        created, spent = replay(self.seeds, chain)
        parent = chain[-1].mark if chain else FIRST
        number = next(self.numbers)
        lost = [c for b in self.known.values() for c in b.created if c.coin.outpoint not in created]
        makes = [made(f"t{number}:{n}") for n in range(seed % 3)]
        if lost and seed % 2:
            makes.append(lost[seed % len(lost)])
        unspent = sorted(set(created) - set(spent)) + [one.coin.outpoint for one in makes]
        spends = [Spent(unspent[seed % len(unspent)], f"s{number}")] if unspent and seed % 5 else []
        mined = block(parent, f"n{number}-", makes, spends)
        self.known[mined.mark.hash] = mined
        return mined

    def refused(self, keep: BlockMark, blocks: Sequence[CoinBlock]) -> None:
        async def apply() -> None:
            await refused("COINS_MOVED_ON", lambda: self.coins.apply(keep, blocks))

        self.call(apply())


def replay(
    seeds: dict[str, tuple[str, str, BlockMark]], chain: Sequence[CoinBlock]
) -> tuple[dict[str, tuple[str, str, BlockMark]], dict[str, tuple[str, BlockMark]]]:
    """Each coin that the chain made (owner, units, where), and who spent it where."""
    created, spent = dict(seeds), {}
    for one in chain:
        for made_ in one.created:
            created[made_.coin.outpoint] = (made_.wallet, made_.coin.units, one.mark)
        for spend in one.spent:
            spent[spend.outpoint] = (spend.txid, one.mark)
    return created, spent


async def test_whatever_is_reorganised_the_canonical_chain_is_what_counts(
    new_keeper: Callable[[], Coroutine[Any, Any, Keeper]],
) -> None:
    loop = asyncio.get_running_loop()

    class Machine(Reorganising):
        wait = staticmethod(lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(30))

    Machine.new_keeper = staticmethod(new_keeper)
    thorough = settings(max_examples=25, stateful_step_count=20, deadline=None)
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=thorough)
