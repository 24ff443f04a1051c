"""The database dies at the worst moments: nothing that was acknowledged is lost, nothing is done twice, and what is
said of it is true and tells nobody our SQL.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import pytest_asyncio

from adapters.store.database import Database, open_database
from adapters.store.opening import Store, open_store
from domain.errors import Refused, StrongroomError, Unavailable, Uncertain
from domain.ledger import chart
from tests.adapters.store.world import COIN, USDT, World, postgres_world
from tests.cluster import Cluster


@pytest.fixture(scope="module")
def mortal(start_cluster: Callable[[], Cluster]) -> Cluster:
    """A server of this module's own, to be killed."""
    return start_cluster()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(mortal: Cluster) -> AsyncIterator[World]:
    async with postgres_world(await asyncio.to_thread(mortal.migrated)) as world:
        yield world


async def test_kill_9_in_mid_run_loses_nothing_acknowledged_and_does_nothing_twice(
    mortal: Cluster, world: World
) -> None:
    """Clients ask and ask again until they are answered, as the API tells them to; the server dies twice meanwhile."""
    await world.fund(300 * 11 * COIN)
    accepted: dict[str, str] = {}

    async def client(number: int) -> None:
        for i in range(10):
            request = world.request(world.ask(ref=f"kill-{number}-{i}"))
            while True:
                try:
                    receipt = await world.books.request_withdrawal(request)
                    break
                except (Unavailable, Uncertain):
                    await asyncio.sleep(0.05)
            accepted[request.withdrawal.id] = receipt.withdrawal_id

    async def reaper() -> None:
        for goal in (60, 150):
            while len(accepted) < goal:  # noqa: ASYNC110 - in the middle of the run, wherever that is
                await asyncio.sleep(0.001)
            await asyncio.to_thread(mortal.server.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(mortal.server.start)

    await asyncio.gather(reaper(), *(client(i) for i in range(30)))
    assert len(accepted) == 300
    assert all(asked == got for asked, got in accepted.items())
    assert await world.balance(chart.held("acme", USDT)) == 300 * 11 * COIN
    assert await world.balance(chart.available("acme", USDT)) == 0
    assert not any((await world.sums()).values())


async def test_while_it_is_down_every_call_says_so_and_works_again_when_it_is_back(
    mortal: Cluster, world: World
) -> None:
    await world.fund(100 * COIN)
    asked = await world.queued()
    await asyncio.to_thread(mortal.server.kill)
    try:
        for call in (
            world.books.concluded(asked.id),
            world.books.judge(asked.id, world.now),
            world.books.queued("ethereum", "0x1", 5),
            world.books.request_withdrawal(world.request(world.ask())),
        ):
            with pytest.raises((Unavailable, Uncertain)) as caught:
                await call
            assert caught.value.code in ("STORE_UNAVAILABLE", "STORE_UNCERTAIN")
    finally:
        await asyncio.to_thread(mortal.server.start)
    assert (await world.books.concluded(asked.id)).stage == "QUEUED"


async def test_wake_ups_go_on_by_the_second_while_it_is_down_and_by_notice_after(mortal: Cluster, world: World) -> None:
    hints = world.books.wake_ups("ethereum", "0x1")
    await anext(hints)
    await asyncio.to_thread(mortal.server.kill)
    await asyncio.wait_for(anext(hints), 5)
    await asyncio.wait_for(anext(hints), 10)
    await asyncio.to_thread(mortal.server.start)
    await asyncio.wait_for(anext(hints), 10)
    await hints.aclose()  # type: ignore[attr-defined]


async def test_a_process_starts_while_the_database_is_down() -> None:
    async with open_database("postgresql://nobody:wrong@127.0.0.1:1/none") as database:
        with pytest.raises(Unavailable):
            await database.fetch("anything", "SELECT 1")


# ---------------------------------------------------------------- what is said of it
@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, 2) as database:
        yield database


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with postgres_world(database_url) as world, open_store(database_url, world.catalogue, world.people) as store:
        yield store


async def test_an_error_tells_neither_sql_nor_values(database: Database) -> None:
    sql = "INSERT INTO client (name) VALUES ('secret-name'), ('secret-name')"
    with pytest.raises(Unavailable) as caught:
        await database.write("twice", sql)
    said = f"{caught.value} {caught.value.facts} {caught.value.__cause__} {caught.value.__context__ and ''}"
    assert "INSERT" not in said
    assert "secret-name" not in said
    assert caught.value.facts == {"sqlstate": "23505", "constraint": "pk_client"}
    assert caught.value.__suppress_context__


async def test_what_breaks_before_the_commit_left_nothing_and_what_breaks_in_it_is_uncertain(
    database: Database, database_url: str
) -> None:
    async def insert_and_be_cut(name: str, other: Database, *, before: bool) -> None:
        async with database.transaction(name) as connection:
            await connection.execute("INSERT INTO client (name) VALUES ($1)", name)
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await other.fetch("cut", "SELECT pg_terminate_backend($1, 5000)", pid)
            if before:
                await connection.fetchval("SELECT 1")

    async with open_database(database_url, 2) as other:
        with pytest.raises(Unavailable):
            await insert_and_be_cut("before", other, before=True)
        with pytest.raises(Uncertain):
            await insert_and_be_cut("in", other, before=False)
    with pytest.raises(Uncertain):
        await database.write("cut itself", "SELECT pg_terminate_backend(pg_backend_pid())")
    assert await database.fetch("clients", "SELECT name FROM client WHERE name IN ('before', 'in')") == []


async def test_a_refusal_inside_a_transaction_passes_as_it_is_and_rolls_back(database: Database) -> None:
    async def refuse() -> None:
        async with database.transaction("refused") as connection:
            await connection.execute("INSERT INTO client (name) VALUES ('refused')")
            raise Refused("NO", "no")

    with pytest.raises(Refused):
        await refuse()
    assert await database.fetch("clients", "SELECT name FROM client WHERE name = 'refused'") == []


async def test_a_pool_that_is_all_taken_refuses_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.store.database.ACQUIRE_S", 0.05)
    async with database.transaction("one"), database.transaction("two"):
        with pytest.raises(Unavailable):
            await database.fetch("three", "SELECT 1")
    assert await database.fetch("three", "SELECT 1")


async def test_every_failure_is_one_of_our_three(store: Store) -> None:
    """Text that PostgreSQL cannot take must not come out as its own error."""
    for call in (
        store.views.withdrawal("wd_\x00"),
        store.views.withdrawal_by_ref("\x00", "\x00"),
        store.views.timeline("\x00"),
        store.views.balances("\x00"),
        store.views.quote("\x00", "\x00"),
        store.keys.find("\x00"),
        store.books.concluded("\x00"),
        store.books.ensure_account("\x00"),
        store.books.halted("ethereum", "\x00"),
    ):
        with suppress(StrongroomError):
            await call
