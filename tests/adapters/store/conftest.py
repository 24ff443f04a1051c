"""A database of its own for every test that asks, and a second process on it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from adapters.store.opening import Store, open_store
from tests.adapters.store.world import World, postgres_world
from tests.cluster import Cluster


@pytest.fixture
def fresh_dsn(cluster: Cluster) -> Iterator[str]:
    dsn = cluster.migrated()
    yield dsn
    cluster.drop(dsn)


@pytest_asyncio.fixture
async def world(fresh_dsn: str) -> AsyncIterator[World]:
    async with postgres_world(fresh_dsn) as world:
        yield world


@pytest_asyncio.fixture
async def store(fresh_dsn: str, world: World) -> AsyncIterator[Store]:
    """Another process on the same database."""
    async with open_store(fresh_dsn, world.catalogue, world.people, pool_max=4) as store:
        yield store
