"""Books to try a contract on: the fake, and PostgreSQL with a fresh database for every test. And local EVM networks."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.adapters.store.world import World, fake_world, postgres_world
from tests.cluster import Cluster
from tests.ops.chain import FURTHER_NETWORKS, LocalChains


@pytest.fixture(scope="session")
def further_chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChains]:
    """Every EVM network but the first, on which everything is tried: anvils behind one proxy."""
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    chains = LocalChains(tmp_path_factory.mktemp("further"), 18600 + 20 * turn, 0.5, FURTHER_NETWORKS)
    try:
        yield chains.start()
    finally:
        chains.stop()


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
