"""One Temporal for all workflow tests, whose timers skip ahead when a test says so, and a new world for each test."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from tests.workflows.world import World, make_world
from workflows import attributes

TEMPORAL = Path(sys.executable).parent / "temporal"
QUICK = {
    "frontend.WorkflowTimeSkippingEnabled": "true",
    "history.timerProcessorMaxTimeShift": '"20ms"',
    "history.transferProcessorMaxPollRPS": "2000",
}


@asynccontextmanager
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A development server with a clock for each workflow; none of them skips before `fast_forward` is asked to."""
    arguments = [word for key, value in QUICK.items() for word in ("--dynamic-config-value", f"{key}={value}")]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(TEMPORAL),
        dev_server_extra_args=arguments,
        dev_server_startup_timeout=timedelta(seconds=30),
        search_attributes=attributes.ALL,
        ui=False,
    ) as env:
        yield env


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with temporal() as env:
        yield env


@pytest_asyncio.fixture(loop_scope="session")
async def world(env: WorkflowEnvironment) -> AsyncIterator[World]:
    """Blocks come with each transaction and are final at once."""
    world = await make_world(env.client)
    yield world
    await world.close()


@pytest_asyncio.fixture(loop_scope="session")
async def slow_world(env: WorkflowEnvironment) -> AsyncIterator[World]:
    """Blocks come when the test mines them; three make a payment final."""
    world = await make_world(env.client, instant=False, confirmations=3)
    yield world
    await world.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """The SDK's engine may abort an interpreter that exits right after its last call (temporalio/sdk-python#300)."""
    time.sleep(0.5)
