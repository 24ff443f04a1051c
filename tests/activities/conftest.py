"""The small house without a Temporal: activities are run by themselves."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

import activities.pulse
from activities.stories import PayoutOrder
from domain.errors import Unavailable
from domain.payout import Slot
from domain.ports import Conclusion
from domain.procedure import Endorsed
from tests.workflows.world import World, make_world

PATIENCE_S = 20  # what is waited for comes within moments, on a machine that has nothing else to do


class Clock:
    """Time in hand: it stands still until it is set forward."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self._now

    def later(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Recorder:
    """`activities.stories.Stories` that keeps what it was told. `down` counts calls that find nobody."""

    def __init__(self) -> None:
        self.begun: dict[str, PayoutOrder] = {}
        self.concluded: list[Conclusion] = []
        self.resumed: list[Slot] = []
        self.handed: list[tuple[Slot, Endorsed]] = []
        self.looked_first: list[bool] = []
        self.down = 0

    async def begin_payout(self, order: PayoutOrder, *, planned_before: bool = False) -> None:
        self._reach()
        self.begun.setdefault(order.slot.id, order)
        self.looked_first.append(planned_before)

    async def conclude(self, conclusion: Conclusion) -> None:
        self._reach()
        self.concluded.append(conclusion)

    async def hand_over(self, slot: Slot, endorsed: Endorsed) -> None:
        self._reach()
        self.handed.append((slot, endorsed))

    async def look_again(self, slot: Slot) -> None:
        self._reach()
        self.resumed.append(slot)

    def _reach(self) -> None:
        if self.down:
            self.down -= 1
            raise Unavailable("TEMPORAL_UNAVAILABLE", "Temporal did not answer.")


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> World:
    return await make_world(cast(Client, None))


@pytest_asyncio.fixture(loop_scope="session")
async def slow_world() -> World:
    return await make_world(cast(Client, None), instant=False, confirmations=3)


@pytest.fixture
def stories() -> Recorder:
    return Recorder()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inside() -> ActivityEnvironment:
    """What an activity sees of the worker around it."""
    return ActivityEnvironment()


@pytest.fixture
def quick_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities beat fifty times a second, so that a test need not wait for what they say."""
    monkeypatch.setattr(activities.pulse, "BEAT_S", 0.02)
