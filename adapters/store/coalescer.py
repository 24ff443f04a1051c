"""Natural batching: while one batch is under way the next calls queue, and go together when it is back. No timer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from domain.errors import StrongroomError, Unavailable, Uncertain

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_MAX = 128
QUEUE_MAX = 4096
TRIES_MAX = 3
RETRY_S = 0.2
# SQLSTATE classes that one item's values cause (data, integrity): then the others go without it.
_ITEM_AT_FAULT = ("22", "23")


class Coalescer(Generic[Item, Result]):
    """Runs `work` over batches of items, at most `lanes` at a time, and gives each caller the result of its own item.

    `work` answers with as many results as it was given items, and is one transaction that a repeat does not do twice
    (derived keys): a batch whose answer was lost is sent again, TRIES_MAX times in all. Raises what `work` raised,
    or Unavailable STORE_BUSY when `queue_max` items wait already. A caller that is cancelled withdraws its item if it
    still waits, and otherwise just does not hear of it; the others notice nothing.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        batch_max: int = BATCH_MAX,
        queue_max: int = QUEUE_MAX,
        lanes: int = 1,
        retry_s: float = RETRY_S,
    ) -> None:
        self._work = work
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._lanes = lanes
        self._retry_s = retry_s
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._active = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        if len(self._waiting) >= self._queue_max:
            raise Unavailable("STORE_BUSY", "Too much is waiting to be written; try again shortly.")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._active < self._lanes:
            self._active += 1
            # A context of its own: a batch belongs to no single caller's trace.
            task = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _run(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while batch := self._take():
                outcomes = await self._outcomes([item for item, _ in batch])
                for (_, answer), outcome in zip(batch, outcomes, strict=True):
                    if answer.done():
                        continue
                    if isinstance(outcome, Exception):
                        answer.set_exception(_own(outcome))
                    else:
                        answer.set_result(outcome)
        finally:
            # In the same step as the last look into the queue: whoever comes later starts a lane again.
            self._active -= 1
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(Uncertain("STORE_UNCERTAIN", "The store was closed meanwhile; look first."))

    async def _outcomes(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            return await self._tried(items)
        except Unavailable as error:
            if len(items) > 1 and str(error.facts.get("sqlstate") or "")[:2] in _ITEM_AT_FAULT:
                return [outcome for item in items for outcome in await self._outcomes([item])]
            return [error] * len(items)
        except Exception as error:
            return [error] * len(items)

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._batch_max:
            item, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((item, answer))
        return batch

    async def _tried(self, items: list[Item]) -> Sequence[Result]:
        doubt: Uncertain | None = None
        for attempt in range(1, TRIES_MAX + 1):
            try:
                return await self._work(items)
            except Uncertain as error:
                doubt = error
            except Unavailable as error:
                hopeless = str(error.facts.get("sqlstate") or "")[:2] in _ITEM_AT_FAULT
                if doubt is None and (hopeless or attempt == TRIES_MAX):
                    raise
            if attempt < TRIES_MAX:
                await asyncio.sleep(self._retry_s * attempt)
        assert doubt is not None
        raise doubt


def _own(error: Exception) -> Exception:
    """The same failure as an object of its own, so that callers do not share one traceback."""
    if isinstance(error, StrongroomError):
        return type(error)(error.code, error.message, **error.facts)
    return error
