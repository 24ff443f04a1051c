"""Books to try a contract on: the fake, and PostgreSQL with a fresh database for every test. And the local networks."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from tests.adapters.chains.bitcoin_world import LocalBitcoin
from tests.adapters.chains.tron_world import LocalTron
from tests.adapters.store.world import World, fake_world, postgres_world
from tests.cluster import Cluster
from tests.ops.chain import FURTHER_NETWORKS, LocalChain, LocalChains


@pytest.fixture(scope="session")
def further_chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChains]:
    """Every EVM network but the first, on which everything is tried: anvils behind one proxy."""
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    chains = LocalChains(tmp_path_factory.mktemp("further"), 18600 + 20 * turn, 0.5, FURTHER_NETWORKS)
    try:
        yield chains.start()
    finally:
        chains.stop()


@pytest.fixture(scope="session")
def local_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    folder: Path = tmp_path_factory.mktemp("chain")
    local = LocalChain(folder, 18300 + 4 * turn, block_time_s=0.5, kept=False)
    try:
        yield local.start()
    finally:
        local.stop()


@pytest.fixture(scope="session")
def local_tron(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTron]:
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with LocalTron.running(19700 + 2 * turn, tmp_path_factory.mktemp("tron")) as local:
        yield local


@pytest_asyncio.fixture(scope="module")
async def local_bitcoin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalBitcoin]:
    """Begun by the first test that asks for it."""
    local = LocalBitcoin(lambda: cast(Path, request.getfixturevalue("bitcoind")), tmp_path_factory.mktemp("bitcoin"))
    yield local
    await local.close()


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
