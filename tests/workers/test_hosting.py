"""How a worker process lives: it waits for Temporal and says so, finishes what it has, never lives on half dead."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.books import BooksActivities
from adapters.codec import create
from tests.workflows.world import World
from workers.hosting import Hosted, Hosting, activities_of, patiently, running
from workflows.options import BOOKS_QUEUE

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = 18520


async def test_waiting_says_what_for_and_ends_when_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    failures = [RuntimeError("connection refused\nand a long trace"), RuntimeError("connection refused")]

    async def connect() -> str:
        if failures:
            raise failures.pop()
        return "connected"

    with caplog.at_level(logging.WARNING):
        assert await patiently("Temporal", connect, (RuntimeError,)) == "connected"
    assert caplog.messages == ["waiting for Temporal: connection refused"] * 2


async def test_another_failure_is_not_waited_out() -> None:
    async def connect() -> str:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await patiently("Temporal", connect, (RuntimeError,))


async def test_a_patrol_that_dies_ends_the_process_instead_of_leaving_it_half_dead(world: World) -> None:
    async def patrol(client: Client) -> None:
        raise RuntimeError("the patrol is broken")

    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(10), running(world.client, Hosting([world.hosted("signer")], patrol)):
            await asyncio.Event().wait()
    assert ended.group_contains(RuntimeError, match="the patrol is broken")


async def test_what_is_in_hand_is_finished_before_it_leaves(env: WorkflowEnvironment) -> None:
    begun, finished = asyncio.Event(), asyncio.Event()

    @activity.defn(name="slow")
    async def slow() -> str:
        begun.set()
        await asyncio.sleep(0.5)
        finished.set()
        return "done"

    async with running(env.client, Hosting([Hosted("hosting-test", activities=(slow,))])):
        job: Any = await env.client.start_activity(
            "slow", id="slow-1", task_queue="hosting-test", start_to_close_timeout=timedelta(minutes=1)
        )
        await asyncio.wait_for(begun.wait(), 10)
    assert finished.is_set()
    assert await job.result() == "done"


def test_every_activity_of_an_object_is_hosted() -> None:
    names = {method.__name__ for method in activities_of(BooksActivities)}
    assert {"judge", "settle", "concluded", "take_procedure"} <= names
    assert not any(name.startswith("_") for name in names)


# ---------------------------------------------------------------- the process itself
def test_an_unknown_kind_is_a_wrong_call() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "workers", "cook"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "orchestrator,books,chain,signer" in run.stderr


def test_a_process_without_temporal_waits_says_so_and_leaves_when_told(tmp_path: Path) -> None:
    create(tmp_path / "codec.json", date(2026, 11, 21))
    environment = {
        **os.environ,
        "STRONGROOM_STATE_DIR": str(tmp_path),
        "STRONGROOM_PORT_BASE": str(PORT_BASE),
        "STRONGROOM_CODEC_KEY_FILE": str(tmp_path / "codec.json"),
        "STRONGROOM_DATABASE_URL": "postgresql://strongroom:canary-password@127.0.0.1:18590/none",
        "TEMPORAL_ADDRESS": "127.0.0.1:18591",
    }
    command = [sys.executable, "-m", "workers", BOOKS_QUEUE]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert line["service"] == "books"
        assert line["message"].startswith("waiting for Temporal")
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(60) == 0
    assert "canary-password" not in rest
