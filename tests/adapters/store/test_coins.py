"""What PostgreSQL keeps of coins beyond the contract: nothing that a block did is ever lost."""

from collections.abc import AsyncIterator

import pytest_asyncio

from adapters.store.coins import PostgresCoins
from adapters.store.database import Database, open_database
from domain.coin import BlockMark, Coin, CoinBlock, Created, Spent
from tests.adapters.store.world import refused

OURS = "bcrt1qours"
FIRST = BlockMark(100, "h100")
ONE = CoinBlock(
    BlockMark(101, "h101"), "h100", (Created(OURS, Coin("a:0", "7")),), (Spent("old:0", "a"), Spent("stranger:5", "a"))
)
TWO = CoinBlock(BlockMark(102, "h102"), "h101")
FORK = CoinBlock(BlockMark(101, "fork101"), "h100")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, 2) as database:
        yield database


@pytest_asyncio.fixture
async def coins(database: Database) -> PostgresCoins:
    """Of a network of its own, seeded with "old:0"."""
    row = await database.fetchrow("count", "SELECT count(*) AS networks FROM coin_tip")
    assert row is not None
    network = f"network-{row['networks']}"
    opened = "INSERT INTO wallet (id, network, address, next_scarce) VALUES ($1, $2, $3, 0)"
    await database.write("open", opened, f"{network}/{OURS}", network, OURS)
    coins = PostgresCoins(database, network)
    await coins.seed(FIRST, {OURS: [(Coin("old:0", "5"), 90)]})
    return coins


async def facts(database: Database, coins: PostgresCoins) -> set[tuple[str, str, str, str]]:
    sql = "SELECT block, what, outpoint, txid FROM coin_fact WHERE network = $1"
    rows = await database.fetch("facts", sql, coins._network)
    return {(row["block"], row["what"], row["outpoint"], row["txid"]) for row in rows}


async def test_what_an_orphaned_block_did_stays_written_down(database: Database, coins: PostgresCoins) -> None:
    await coins.apply(FIRST, [ONE, TWO])
    did = {
        ("h101", "CREATED", "a:0", "a"),
        ("h101", "SPENT", "old:0", "a"),
        ("h101", "SPENT", "stranger:5", "a"),
    }
    assert await facts(database, coins) == did
    await coins.apply(FIRST, [FORK])
    assert await facts(database, coins) == did
    sql = "SELECT hash, parent, orphaned_at IS NOT NULL AS orphaned FROM coin_block WHERE network = $1"
    blocks = {r["hash"]: (r["parent"], r["orphaned"]) for r in await database.fetch("blocks", sql, coins._network)}
    assert blocks == {
        "h100": ("", False),
        "h101": ("h100", True),
        "h102": ("h101", True),
        "fork101": ("h100", False),
    }
    await coins.apply(FIRST, [ONE, TWO])
    assert await facts(database, coins) == did, "a block that comes back did nothing new"
    assert await coins.marks(100) == [TWO.mark, ONE.mark]


async def test_blocks_that_do_not_link_are_refused_whole(database: Database, coins: PostgresCoins) -> None:
    for blocks in ([TWO], [ONE, FORK], [ONE, CoinBlock(BlockMark(103, "h103"), "h101")]):
        await refused("COINS_UNLINKED", lambda blocks=blocks: coins.apply(FIRST, blocks))  # type: ignore[misc]
    assert await coins.tip() == FIRST
    assert await facts(database, coins) == set()


async def test_the_coins_of_one_network_are_no_other_ones(database: Database, coins: PostgresCoins) -> None:
    other = PostgresCoins(database, "elsewhere")
    await coins.apply(FIRST, [ONE])
    assert await other.tip() is None
    assert await other.wallets() == {}
    (fate,) = await other.fates(["a:0"])
    assert fate.created is None
    await refused("COINS_MOVED_ON", lambda: other.apply(FIRST, [ONE]))
