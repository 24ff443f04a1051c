"""The local Bitcoin as parts of an installation: kept alive like the others, and left out where no program is."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from adapters.settings import Settings
from domain.errors import Unavailable
from ops.devnet import parts
from ops.devnet.bitcoin import treasury
from ops.devnet.bitcoin.rpc import Rpc
from ops.devnet.endpoints import endpoints
from ops.devnet.running import RunningStack
from ops.devnet.stack import Stack
from tests.ops.bitcoin.front import ADDRESS

FIRST_PORT, PORTS_EACH = 18320, 50
NOWHERE = Path("/nonexistent/bitcoind")


@pytest.fixture(scope="module")
def port_base() -> int:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return FIRST_PORT + PORTS_EACH * (int(worker) % 4)


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, port_base: int, bitcoind: Path) -> AsyncIterator[Stack]:
    state = tmp_path_factory.mktemp("stack") / "state"
    settings = Settings(
        state_dir=state, port_base=port_base, block_time_s=0.2, networks=("bitcoin",), bitcoind=bitcoind
    )
    async with Stack(settings, parts=("bitcoin_node", "bitcoin_proxy"), provisioned=False) as running:
        yield running


async def kept(url: str, height: int) -> None:
    """Waits until the node keeps its blocks up to `height` even when it is killed."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            async with session.get(f"{url}/_ctl") as answer:
                if (await answer.json())["saved"] >= height:
                    return
            await asyncio.sleep(0.05)


async def test_both_parts_come_back_after_kill_9_and_the_money_with_them(stack: Stack) -> None:
    url = stack.endpoints.nodes["bitcoin"]
    await treasury.fill(url, ADDRESS, 3 * 10**8)
    async with Rpc(url) as rpc:
        height = await rpc("getblockcount")
    await kept(url, height)
    for name in ("bitcoin_node", "bitcoin_proxy"):
        before = stack.parts[name]["restarts"]
        stack.kill(name)
        until = time.monotonic() + 20
        while (row := stack.parts[name])["life"] != "ready" or row["restarts"] <= before:
            assert time.monotonic() < until, f"{name} did not come back"
            await asyncio.sleep(0.05)
    async with Rpc(url) as rpc:
        assert await rpc("getblockcount") > 0
    assert await treasury.balance(url, ADDRESS) == 3 * 10**8
    assert stack.without == {}


def test_a_network_whose_program_cannot_be_had_is_named_with_the_way_out(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, bitcoind=NOWHERE)
    line = parts.missing(settings, parts.names(settings))["bitcoin"]
    assert str(NOWHERE) in line
    assert "\n" not in line
    assert parts.missing(settings, ("postgres",)) == {}, "nobody fetches what is not started"
    given = Settings(state_dir=tmp_path, bitcoind=NOWHERE, nodes={"bitcoin": ("http://127.0.0.1:1",)})
    assert parts.missing(given, parts.names(given)) == {}


async def test_an_installation_goes_on_without_it(tmp_path: Path, port_base: int) -> None:
    settings = Settings(
        state_dir=tmp_path / "state", port_base=port_base, networks=("tron", "bitcoin"), bitcoind=NOWHERE
    )
    asked = ("tron_node", "bitcoin_node", "bitcoin_proxy")
    async with Stack(settings, parts=asked, provisioned=False) as stack:
        assert stack.networks == ("tron",)
        assert set(stack.parts) == {"tron_node"}
        assert set(RunningStack(settings).without) == {"bitcoin"}
        assert "bitcoin" not in endpoints(stack.settings).nodes


async def test_an_installation_of_nothing_else_says_what_is_missing(tmp_path: Path, port_base: int) -> None:
    settings = Settings(state_dir=tmp_path / "state", port_base=port_base, networks=("bitcoin",), bitcoind=NOWHERE)
    with pytest.raises(Unavailable) as caught:
        await Stack(settings, parts=("bitcoin_node",), provisioned=False).start()
    assert caught.value.code == "NODE_MISSING"
