"""Books to try a contract on: the fake, and PostgreSQL with a fresh database for every test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.adapters.store.world import World, fake_world, postgres_world
from tests.cluster import Cluster


@pytest.fixture(params=["fake", "postgres"])
def books_dsn(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "fake":
        yield None
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    dsn = cluster.migrated()
    yield dsn
    cluster.drop(dsn)


@pytest_asyncio.fixture
async def any_books(books_dsn: str | None) -> AsyncIterator[World]:
    async with fake_world() if books_dsn is None else postgres_world(books_dsn) as world:
        yield world
        assert not any((await world.sums()).values()), "the sum of all postings of an asset is zero"
