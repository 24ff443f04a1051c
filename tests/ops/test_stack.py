"""The local networks as one: started together, healed, found by others, never twice."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.settings import ROOT, Settings
from domain.errors import Unavailable
from ops.devnet import parts as rows
from ops.devnet import temporal
from ops.devnet.ports import raise_if_taken
from ops.devnet.running import RunningStack, end_orphans, is_held, orphans, read
from ops.devnet.stack import Stack, open_stack
from ops.devnet.treasury import fill, usdt_balance
from workers.processes import birth

PARTS = ("postgres", "temporal", "ethereum_node", "node_proxy")
STRANGER = "0x00000000000000000000000000000000DeaDBeef"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, port_base: int) -> Settings:
    return Settings(
        state_dir=tmp_path_factory.mktemp("stack") / "state",
        port_base=port_base,
        block_time_s=0.2,
        networks=("ethereum",),
    )


@pytest.fixture(scope="module")
async def stack(settings: Settings) -> AsyncIterator[Stack]:
    async with Stack(settings, parts=PARTS, provisioned=False) as running:
        yield running


async def healed(stack: Stack, name: str, restarts: int) -> None:
    until = time.monotonic() + 20
    while (row := stack.parts[name])["life"] != "ready" or row["restarts"] < restarts:
        assert time.monotonic() < until, f"{name} did not come back"
        await asyncio.sleep(0.05)


async def test_every_part_comes_back_after_kill_9(stack: Stack) -> None:
    for name in PARTS:
        before = stack.parts[name]["restarts"]
        stack.kill(name)
        await healed(stack, name, before + 1)
    await stack.wait_ready(timeout_s=10)


async def test_a_part_is_exchanged_for_another_one_of_its_name(stack: Stack, settings: Settings) -> None:
    before = stack.parts["node_proxy"]["pid"]
    proxy = {row.name: row for row in rows.rows(settings)}["node_proxy"].build(settings)
    await stack.exchange(replace(proxy, env={"STRONGROOM_LOG_LEVEL": "DEBUG"}))
    await stack.wait_ready(timeout_s=20)
    after = stack.parts["node_proxy"]["pid"]
    assert after != before
    environment = await asyncio.to_thread(Path(f"/proc/{after}/environ").read_bytes)
    assert b"STRONGROOM_LOG_LEVEL=DEBUG" in environment


async def test_money_given_from_the_treasury_survives_a_crash_of_node_and_proxy(stack: Stack) -> None:
    node = stack.endpoints.nodes["ethereum"]
    sent = await fill(node, STRANGER, wei=10**18, usdt_units=5_000_000)
    assert len(sent) == 2
    before = {name: stack.parts[name]["restarts"] for name in ("ethereum_node", "node_proxy")}
    for name in before:
        stack.kill(name)
    for name, count in before.items():
        await healed(stack, name, count + 1)
    assert await usdt_balance(node, STRANGER) == 5_000_000
    assert await fill(node, STRANGER, wei=10**18, usdt_units=5_000_000) == []


async def test_the_namespace_keeps_a_year_and_knows_our_attributes(stack: Stack, settings: Settings) -> None:
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

    for _ in range(2):  # the second time it changes nothing
        await temporal.configure(settings)
    client = await temporal.connect(settings)
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert namespace.config.workflow_execution_retention_ttl.ToTimedelta() == temporal.RETENTION
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    assert set(temporal.SEARCH_ATTRIBUTES) <= set(known.custom_attributes)


async def test_a_new_namespace_is_made_when_it_is_not_there(
    stack: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal, "NAMESPACE_SETTLES_S", 1.0)
    other = settings.model_copy(update={"temporal_namespace": "another"})
    assert stack.parts["temporal"]["life"] == "ready"
    for _ in range(2):
        await temporal.configure(other)


async def test_a_second_start_of_the_same_installation_is_refused(stack: Stack, settings: Settings) -> None:
    with pytest.raises(Unavailable) as caught:
        await Stack(settings, parts=PARTS).start()
    assert caught.value.code == "ALREADY_RUNNING"
    assert read(settings) is not None
    assert stack.parts["postgres"]["life"] == "ready"


async def test_another_process_finds_joins_and_hurts_what_runs(stack: Stack, settings: Settings) -> None:
    async with open_stack(settings) as found:
        assert isinstance(found, RunningStack)
        assert found.endpoints == stack.endpoints
        assert found.networks == stack.networks == ("ethereum",)
        before = stack.parts["ethereum_node"]["restarts"]
        found.kill("ethereum_node")
        await healed(stack, "ethereum_node", before + 1)
        await found.wait_ready(timeout_s=10)
    assert is_held(settings)


async def test_another_checkout_on_the_same_ports_is_told_so(stack: Stack, settings: Settings, tmp_path: Path) -> None:
    assert stack.parts
    other = Settings(state_dir=tmp_path / "other", port_base=settings.port_base)
    with pytest.raises(Unavailable) as caught:
        await Stack(other, parts=("postgres",)).start()
    assert caught.value.code == "PORT_IN_USE"
    assert f"Port {settings.port_base}" in caught.value.message
    assert "STRONGROOM_PORT_BASE" in caught.value.message


def test_a_port_in_use_is_named_with_its_part_and_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"Port {port}, meant for temporal, is in use"):
            raise_if_taken({"temporal": port})


def test_a_part_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="no part is called chimney"):
        Stack(parts=("chimney",))


async def test_what_a_killed_keeper_left_behind_is_known_and_ended(tmp_path: Path, port_base: int) -> None:
    settings = Settings(state_dir=tmp_path / "state", port_base=port_base + 50)
    program = (
        "import asyncio, sys\n"
        "from ops.devnet.stack import Stack\n"
        "async def main():\n"
        "    async with Stack(parts=('postgres',), provisioned=False):\n"
        "        print('up', flush=True)\n"
        "        await asyncio.sleep(100)\n"
        "asyncio.run(main())\n"
    )
    keeper = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, **settings.environment()},
        cwd=ROOT,
    )
    assert keeper.stdout is not None
    assert await asyncio.to_thread(keeper.stdout.readline) == b"up\n"
    keeper.send_signal(signal.SIGKILL)
    await asyncio.to_thread(keeper.wait)
    keeper.stdout.close()
    left = orphans(settings)
    assert set(left) == {"postgres"}
    assert await asyncio.to_thread(end_orphans, settings) == left
    assert birth(left["postgres"]) is None
    assert not is_held(settings)
