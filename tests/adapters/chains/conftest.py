"""A TRON of its own for every file of tests that asks."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.adapters.chains.tron_world import LocalTron, TronWorld, tron_world


@pytest.fixture(scope="module")
def local(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTron]:
    """At the file's own FIRST_PORT, and two further on for each process that runs tests beside this one."""
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with LocalTron.running(request.module.FIRST_PORT + 2 * turn, tmp_path_factory.mktemp("tron")) as local:
        yield local


@pytest_asyncio.fixture
async def world(local: LocalTron) -> AsyncIterator[TronWorld]:
    async with tron_world(local) as world:
        assert isinstance(world, TronWorld)
        yield world
