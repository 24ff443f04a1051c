"""The schema goes up, down and up again, and is what tables.py says it is."""

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.store import migrate
from adapters.store.tables import APPEND_ONLY, metadata
from tests.cluster import Cluster

FUNCTIONS = Path(migrate.FOLDER) / "sql"


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    return cluster.empty()


async def test_up_check_down_up_leaves_nothing_behind_and_nothing_to_do(url: str) -> None:
    assert await migrate.current(url) is None
    migrate.upgrade(url)
    migrate.check(url)
    assert await migrate.current(url) == migrate.head()
    migrate.downgrade(url)
    assert await _names(url) == (set(), set()), "a downgrade leaves tables or functions behind"
    migrate.upgrade(url)
    migrate.check(url)
    tables, functions = await _names(url)
    assert tables == set(metadata.tables)
    assert functions == {path.stem for path in FUNCTIONS.rglob("*.sql")}


async def test_two_processes_that_upgrade_at_once_do_it_once(cluster: Cluster) -> None:
    url = await asyncio.to_thread(cluster.empty)
    code = f"from adapters.store.migrate import upgrade; upgrade({url!r})"
    both = [await asyncio.create_subprocess_exec(sys.executable, "-c", code) for _ in range(2)]
    assert await asyncio.gather(*(process.wait() for process in both)) == [0, 0]
    assert await migrate.current(url) == migrate.head()


async def test_every_append_only_table_has_its_trigger(database_url: str) -> None:
    triggers = await _rows(
        database_url, "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%\\_append\\_only'"
    )
    assert triggers == set(APPEND_ONLY)


async def _names(url: str) -> tuple[set[str], set[str]]:
    def tables(connection: Connection) -> set[str]:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(tables)
    finally:
        await engine.dispose()
    return found, await _rows(url, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")


async def _rows(url: str, sql: str) -> set[str]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            return {str(row[0]) for row in await connection.execute(text(sql))}
    finally:
        await engine.dispose()
