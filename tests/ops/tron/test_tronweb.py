"""tronweb, TRON's own JavaScript client, works with the node, and its checks of what a node returns pass."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.devnet import tools
from ops.devnet.tron import treasury
from ops.devnet.tron.genesis import USDT
from tests.ops.tron.laboratory import Node

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "tools"
VECTORS = HERE.parents[1] / "vectors" / "tron.json"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node(18930, "--block-time", "0", "--time-skew", "-3600")
    node.start()
    yield node
    node.stop()


def test_tronweb_and_the_node_agree(node: Node) -> None:
    tools.install(TOOLS)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    words = (str(TOOLS), node.url, treasury.KEY.hex(), USDT, str(VECTORS))
    ran = subprocess.run(
        ["node", str(HERE / "tronweb_checks.mjs"), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert len(told) == 18
    assert {name: found for name, found in told.items() if found is not True} == {}
