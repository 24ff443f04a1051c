"""How a long activity shows that it lives, rests, and leaves when its worker is told to stop."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Self

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

BEAT_S = 1.0


class Pulse:
    """Beats every second with what was last said, from a task of its own: a slow call never looks like death."""

    def __init__(self) -> None:
        self._says: dict[str, str | int] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def say(self, **says: str | int) -> None:
        """Replaces what the next beats show to an operator."""
        self._says = says

    @property
    def says(self) -> Mapping[str, str | int]:
        return self._says

    async def rest(self, seconds: float) -> None:
        """Sleeps, or raises `leaving()` as soon as the worker is asked to stop."""
        if activity.is_worker_shutdown():
            raise leaving()
        with suppress(TimeoutError):
            await asyncio.wait_for(activity.wait_for_worker_shutdown(), seconds)
            raise leaving()

    async def _beat(self) -> None:
        """The first beat comes after a second: work that is done by then costs the server none."""
        while True:
            await asyncio.sleep(BEAT_S)
            activity.heartbeat(self._says)


def leaving() -> ApplicationError:
    """What a drained activity raises: the next worker takes it up at once."""
    return ApplicationError(
        "this worker is leaving",
        type="WORKER_LEAVING",
        category=ApplicationErrorCategory.BENIGN,
        next_retry_delay=timedelta(milliseconds=10),
    )
