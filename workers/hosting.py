"""Runs what the registry lists: one process, one client, a worker for each queue, drained when it is told to stop."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.worker import Worker

from activities.failures import Translation
from workers.sandbox import sandbox
from workflows.options import TURN

log = logging.getLogger(__name__)
T = TypeVar("T")

GRACEFUL_STOP_S = 10
CACHED_WORKFLOWS_MAX = 1000
BEATS_APART_S = 1
PATIENCE_FIRST_S = 0.25
PATIENCE_MAX_S = 5.0


@dataclass(frozen=True)
class Hosted:
    """One queue and who works on it. `at_once` bounds the activities in progress."""

    queue: str
    workflows: Sequence[type] = ()
    activities: Sequence[Callable[..., Any]] = ()
    at_once: int = 100


@dataclass(frozen=True)
class Hosting:
    """All that one process hosts, and what it looks after beside it for as long as it runs."""

    hosted: Sequence[Hosted]
    patrol: Callable[[Client], Coroutine[Any, Any, None]] | None = None


def activities_of(*workers: object) -> list[Callable[..., Any]]:
    """Every activity that these objects define."""
    methods = (getattr(one, name) for one in workers for name in dir(one) if not name.startswith("_"))
    return [method for method in methods if hasattr(method, "__temporal_activity_definition")]


def identity(kind: str) -> str:
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"


def worker(client: Client, hosted: Hosted) -> Worker:
    """A worker with the house's rules: sandbox on, failures translated, ten seconds to finish what it has."""
    return Worker(
        client,
        task_queue=hosted.queue,
        workflows=hosted.workflows,
        activities=hosted.activities,
        interceptors=[Translation()],
        workflow_runner=sandbox(),
        max_cached_workflows=CACHED_WORKFLOWS_MAX,
        sticky_queue_schedule_to_start_timeout=TURN,
        max_concurrent_activities=hosted.at_once if hosted.activities else None,
        max_heartbeat_throttle_interval=timedelta(seconds=BEATS_APART_S),
        default_heartbeat_throttle_interval=timedelta(seconds=BEATS_APART_S),
        graceful_shutdown_timeout=timedelta(seconds=GRACEFUL_STOP_S),
    )


@asynccontextmanager
async def running(client: Client, hosting: Hosting) -> AsyncIterator[None]:
    """Everything hosted is at work inside, and drained on the way out. A patrol or a worker that fails ends it."""
    async with AsyncExitStack() as stack:
        for hosted in hosting.hosted:
            await stack.enter_async_context(worker(client, hosted))
            log.info("working on queue %s", hosted.queue)
        if hosting.patrol is not None:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(group.create_task(hosting.patrol(client)).cancel)
        yield


async def patiently(what: str, attempt: Callable[[], Awaitable[T]], errors: tuple[type[Exception], ...]) -> T:
    """The result of `attempt`, tried until it succeeds; says each time what it waits for."""
    pause = PATIENCE_FIRST_S
    while True:
        try:
            return await attempt()
        except errors as error:
            log.warning("waiting for %s: %s", what, str(error).splitlines()[0] if str(error) else type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(pause * 2, PATIENCE_MAX_S)
