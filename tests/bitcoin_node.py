"""Real Bitcoin nodes for tests.

`bitcoin_node`: fresh for each test module, with a rich treasury: `await bitcoin_node.fund([(address, sats), ...])`.
`two_nodes`: a network of two, also fresh, to be parted and joined. `bitcoind`: the program. There is no skipping: where
none can be had the tests fail and say how to get one.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.devnet.bitcoin.node import RegtestNode, TwoNodes
from ops.devnet.bitcoin.package import VARIABLE
from ops.devnet.bitcoin.package import bitcoind as find_bitcoind
from tests.cluster import free_port


@pytest.fixture(scope="session")
def bitcoind() -> Path:
    """The program, fetched when it is not there."""
    given = os.environ.get(VARIABLE)
    return find_bitcoind(Path(given) if given else None)


@pytest.fixture(scope="module")
async def bitcoin_node(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegtestNode]:
    """One node, alone, with 170 blocks and the 2000 coins of its treasury."""
    node = RegtestNode(bitcoind, tmp_path_factory.mktemp("bitcoin"), free_port(), free_port())
    await node.start()
    await node.enrich()
    yield node
    await node.close()


@pytest.fixture(scope="module")
async def two_nodes(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoNodes]:
    """Two nodes on one chain of 170 blocks; the first has the treasury."""
    folder = tmp_path_factory.mktemp("bitcoin")
    nodes = TwoNodes(*(RegtestNode(bitcoind, folder / name, free_port(), free_port()) for name in ("one", "other")))
    await asyncio.gather(nodes.one.start(), nodes.other.start())
    await nodes.one.enrich()
    await nodes.join()
    yield nodes
    await asyncio.gather(nodes.one.close(), nodes.other.close())
