"""The ledger in PostgreSQL says of every batch what a few lines of Python say, and changes nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.store.database import Database, open_database
from adapters.store.ledger import Ledger, Verdict
from adapters.store.tables import APPEND_ONLY, metadata
from domain.errors import Unavailable
from domain.ledger import chart
from domain.ledger.chart import Account
from domain.ledger.entry import Posted, entry_of
from domain.ledger.hold import Hold, Move
from tests.fakes.ledger import ModelLedger

ASSET = "USDT-ETHEREUM"
FLYING, REVENUE, OPENING = chart.in_flight("ethereum", ASSET), chart.withdrawal_fee(ASSET), chart.opening(ASSET)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, 12) as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def deposit(key: str, account: Account, units: int) -> Move:
    debit = units * account.kind.normal_sign
    return Move(entry_of(key, "opening", ((account, debit), (OPENING, -debit))))


def hold_of(key: str, client: str, units: int) -> Hold:
    return Hold(key, chart.available(client, ASSET), chart.held(client, ASSET), units)


async def post_all(ledger: Ledger, database: Database, moves: Sequence[Move]) -> list[Verdict]:
    """The moves as one batch, in their order."""
    async with database.transaction("test") as connection:
        return list(await ledger.post_within(connection, moves, datetime.now(UTC)))


async def balance(database: Database, account: Account) -> int:
    sql = "SELECT b.units::text FROM balance b JOIN account a ON a.id = b.account_id WHERE a.code = $1"
    row = await database.fetchrow("balance", sql, account.code)
    return int(row["units"]) if row else 0


# ---------------------------------------------------------------- verdicts
async def test_an_entry_is_posted_once_and_another_under_its_key_never(ledger: Ledger) -> None:
    move = deposit("once", chart.available("once", ASSET), 5)
    assert (await ledger.post(move)).posted is Posted.POSTED
    assert (await ledger.post(move)).posted is Posted.DUPLICATE
    assert (await ledger.post(deposit("once", chart.available("once", ASSET), 6))).posted is Posted.CONFLICT
    assert (await ledger.post(deposit("once", chart.available("twice", ASSET), 5))).posted is Posted.CONFLICT


async def test_a_hold_closes_at_most_once_whoever_is_faster(ledger: Ledger, database: Database) -> None:
    await ledger.post(deposit("d-close", chart.available("close", ASSET), 100))
    for i in range(20):
        hold = hold_of(f"close-{i}", "close", 5)
        assert (await ledger.post(hold.place())).posted is Posted.POSTED
        elsewhere = Ledger(database)
        verdicts = await asyncio.gather(
            ledger.post(hold.release(f"close-{i}-r")),
            elsewhere.post(hold.settle(f"close-{i}-s", ((FLYING, 5),))),
            Ledger(database).post(hold.release(f"close-{i}-r2")),
        )
        closed = [v.posted for v in verdicts if v.posted is not Posted.INSUFFICIENT]
        assert closed.count(Posted.POSTED) == 1
        assert set(closed) <= {Posted.POSTED, Posted.HOLD_CLOSED}
    assert await balance(database, chart.held("close", ASSET)) == 0


async def test_a_hold_that_is_not_there_or_holds_other_units_is_not_closed(ledger: Ledger) -> None:
    await ledger.post(deposit("d-fit", chart.available("fit", ASSET), 100))
    placed = hold_of("fit", "fit", 50)
    missing = hold_of("fit-nothing", "fit", 50)
    assert (await ledger.post(missing.release("fit-nothing-r"))).posted is Posted.HOLD_MISSING
    await ledger.post(placed.place())
    less = hold_of("fit", "fit", 49)
    other = hold_of("fit", "other", 50)
    for i, wrong in enumerate((less, other)):
        assert (await ledger.post(wrong.release(f"fit-wrong-{i}"))).posted is Posted.CONFLICT
    assert (await ledger.post(placed.release("fit-r"))).posted is Posted.POSTED


async def test_a_refused_hold_in_a_batch_refuses_only_itself(ledger: Ledger, database: Database) -> None:
    for client, units in (("rich", 1000), ("poor", 10)):
        await ledger.post(deposit(f"d-{client}", chart.available(client, ASSET), units))
    moves = [hold_of(f"{client}-{i}", client, 10).place() for i in range(10) for client in ("rich", "poor")]
    verdicts = await asyncio.gather(*map(ledger.post, moves))
    assert [v.posted for v in verdicts[::2]] == [Posted.POSTED] * 10
    poor = verdicts[1::2]
    assert sorted(v.posted for v in poor) == [Posted.INSUFFICIENT] * 9 + [Posted.POSTED]
    assert {v.short_of for v in poor if not v.stands} == {chart.available("poor", ASSET).code}


# ---------------------------------------------------------------- against the model
CLIENTS = ("m0", "m1", "m2")


@st.composite
def batches(draw: st.DrawFn) -> list[list[tuple[str, int, int, int]]]:
    """Batches of (what, whose, which key, units): few keys and small balances, so that everything goes wrong."""
    step = st.tuples(
        st.sampled_from(["deposit", "move", "place", "place", "release", "settle", "settle"]),
        st.integers(0, 2),
        st.integers(0, 5),
        st.sampled_from([1, 2, 5, 5, 40]),
    )
    return draw(st.lists(st.lists(step, min_size=1, max_size=8), min_size=1, max_size=5))


def move_of(run: int, step: tuple[str, int, int, int]) -> Move:
    what, whose, key, units = step
    client = f"{run}-{CLIENTS[whose]}"
    hold = hold_of(f"{run}/hold/{key}", client, units)
    match what:
        case "deposit":
            return deposit(f"{run}/deposit/{key}", hold.available, 10 * units)
        case "move":
            other = chart.available(f"{run}-{CLIENTS[(whose + 1) % 3]}", ASSET)
            return Move(entry_of(f"{run}/move/{key}", "move", ((hold.available, units), (other, -units))))
        case "place":
            return hold.place()
        case "release":
            return hold.release(f"{run}/close/{key}")
        case _:
            fee = ((chart.withdrawal_fee(ASSET), 1),) if units > 1 else ()
            away = (chart.available(f"{run}-elsewhere", ASSET), units - len(fee))
            return hold.settle(f"{run}/settle/{key}", (away, *fee))


_RUN = iter(range(10**9))


async def test_every_batch_is_judged_as_one_after_the_other(ledger: Ledger, database: Database) -> None:
    loop, fast_and_slow = asyncio.get_running_loop(), set()

    @given(batches())
    @settings(max_examples=120)
    def property_(script: list[list[tuple[str, int, int, int]]]) -> None:
        run, model = next(_RUN), ModelLedger()

        async def check() -> None:
            for batch in script:
                moves = [move_of(run, step) for step in batch]
                said = await post_all(ledger, database, moves)
                expected = model.post_all(moves)
                assert [(v.posted, v.short_of) for v in said] == expected
                fast_and_slow.add(all(posted is Posted.POSTED for posted, _ in expected))
            for account, units in model.balances.items():
                if str(run) in account.code:
                    assert await balance(database, account) == units
            rows = await database.fetch("holds", "SELECT key, state FROM hold WHERE key LIKE $1", f"{run}/%")
            assert {row["key"]: row["state"] for row in rows} == {k: h[0].value for k, h in model.holds.items()}

        asyncio.run_coroutine_threadsafe(check(), loop).result()

    await asyncio.to_thread(property_)
    assert fast_and_slow == {True, False}, "the examples took both ways through post_entries"


async def test_large_random_batches_agree_with_the_model_too(ledger: Ledger, database: Database) -> None:
    dice = random.Random(7)
    run, model = next(_RUN), ModelLedger()
    for _ in range(12):
        steps = [
            (
                dice.choice(["deposit", "move", "place", "place", "settle", "release"]),
                dice.randrange(3),
                dice.randrange(300),
                5,
            )
            for _ in range(128)
        ]
        moves = [move_of(run, step) for step in steps]
        said = await post_all(ledger, database, moves)
        assert [(v.posted, v.short_of) for v in said] == model.post_all(moves)


# ---------------------------------------------------------------- many at once
async def test_processes_that_post_at_once_in_any_order_never_deadlock_and_agree(database: Database) -> None:
    """Eight ledgers (as eight processes have), each moving money back and forth between the same few accounts."""
    ledgers = [Ledger(database) for _ in range(8)]
    clients = [chart.available(f"ring{i}", ASSET) for i in range(5)]
    for i, account in enumerate(clients):
        await ledgers[0].post(deposit(f"ring-{i}", account, 50))

    async def play(number: int) -> list[Verdict]:
        dice, verdicts = random.Random(number), []
        for i in range(40):
            batch = []
            for j in range(dice.randint(1, 6)):
                one, two = dice.sample(clients, 2)
                key = f"ring/{i}/{j}" if dice.random() < 0.2 else f"ring/{number}/{i}/{j}"
                batch.append(Move(entry_of(key, "move", ((one, 7), (two, -7)))))
            verdicts += await asyncio.gather(*map(ledgers[number].post, batch))
        return verdicts

    said = [v for verdicts in await asyncio.gather(*(play(i) for i in range(8))) for v in verdicts]
    assert {v.posted for v in said} >= {Posted.POSTED, Posted.INSUFFICIENT}
    assert sum([await balance(database, account) for account in clients]) == 250
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    row = await database.fetchrow("deadlocks", deadlocks)
    assert row is not None
    assert row["deadlocks"] == 0


async def test_accounts_opened_by_two_at_once_are_one(database: Database) -> None:
    ledgers = [Ledger(database) for _ in range(4)]
    new = [chart.available(f"new{i}", ASSET) for i in range(20)]
    await asyncio.gather(*(ledger.know(database, dice(new, i)) for i, ledger in enumerate(ledgers)))
    moves = [deposit(f"new-{i}", account, 1) for i, account in enumerate(new)]
    assert all(v.posted is Posted.POSTED for v in await asyncio.gather(*map(ledgers[0].post, moves)))


def dice(accounts: list[Account], seed: int) -> list[Account]:
    return random.Random(seed).sample(accounts, len(accounts))


async def test_an_account_id_of_another_database_is_forgotten_and_found_anew(database: Database) -> None:
    ledger = Ledger(database)
    account = chart.available("moved", ASSET)
    await ledger.post(deposit("moved-1", account, 5))
    for number in (2, 3):
        ledger._ids[account.code] = 10**12
        move = deposit(f"moved-{number}", account, 5)
        with pytest.raises(Unavailable):
            await (ledger.post(move) if number == 2 else post_all(ledger, database, [move]))
        assert (await ledger.post(move)).posted is Posted.POSTED


# ---------------------------------------------------------------- what the tables refuse by themselves
@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_history_is_only_ever_added_to(database_url: str, ledger: Ledger, table: str) -> None:
    await ledger.post(deposit("some", chart.available("some", ASSET), 5))
    connection: Any = await asyncpg.connect(database_url)  # type: ignore[no-untyped-call]
    try:
        column = list(metadata.tables[table].columns)[-1].name
        update = f"UPDATE {table} SET {column} = {column}"  # noqa: S608 - tables of ours
        for sql in (update, f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):  # noqa: S608
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await connection.execute(sql)
    finally:
        await connection.close()


async def test_a_balance_below_zero_is_refused_by_the_table_itself(database_url: str, ledger: Ledger) -> None:
    account = chart.available("floor", ASSET)
    await ledger.post(deposit("floor", account, 5))
    connection: Any = await asyncpg.connect(database_url)  # type: ignore[no-untyped-call]
    try:
        sql = "UPDATE balance SET units = -1 FROM account a WHERE a.id = account_id AND a.code = $1"
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(sql, account.code)
        await connection.execute(sql, OPENING.code)
    finally:
        await connection.close()


async def test_units_of_any_size_a_network_knows_are_kept_exactly(ledger: Ledger, database: Database) -> None:
    account, units = chart.available("whale", ASSET), 2**256 - 1
    assert (await ledger.post(deposit("whale", account, units))).posted is Posted.POSTED
    assert await balance(database, account) == units
