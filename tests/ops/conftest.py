"""Ports and processes for tests of the local networks. Each xdist worker has 100 of its own: room for an installation,
which takes 50, and for another beside it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.chain import LocalChain

FIRST_PORT, PORTS_EACH = 23000, 100


@pytest.fixture(scope="session")
def port_base() -> int:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return FIRST_PORT + PORTS_EACH * (int(worker) % 4)


@pytest.fixture(scope="session")
def held_chain(tmp_path_factory: pytest.TempPathFactory, port_base: int) -> Iterator[LocalChain]:
    """One chain for all tests of rules and faults; blocks come only when a test asks for them."""
    chain = LocalChain(tmp_path_factory.mktemp("held"), port_base + 14, block_time_s=1, kept=False).start()
    yield chain
    chain.stop()


@pytest.fixture
def chain(held_chain: LocalChain) -> LocalChain:
    """The same chain with all faults taken back, blocks held, and the base fee where the network usually has it."""
    held_chain.control(reset=True, hold_blocks=True, seed=1)
    held_chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    held_chain.control(mine=1)
    return held_chain


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"
