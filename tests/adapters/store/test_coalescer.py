"""Calls that come while one batch is under way go together; each caller gets its own answer and nobody else's."""

import asyncio
from collections.abc import Sequence

import pytest

from adapters.store.coalescer import Coalescer
from domain.errors import Refused, Unavailable, Uncertain


class Work:
    """Doubles numbers, batch by batch, and fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return [2 * item for item in items]


@pytest.fixture
def work() -> Work:
    return Work()


async def test_what_waits_goes_together_and_no_timer_holds_anything_back(work: Work) -> None:
    coalescer = Coalescer(work, batch_max=4)
    work.gate.clear()
    first = asyncio.create_task(coalescer.submit(0))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(coalescer.submit(i)) for i in range(1, 7)]
    await asyncio.sleep(0.01)
    work.gate.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12]
    assert work.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_calls_of_one_moment_are_one_batch(work: Work) -> None:
    coalescer = Coalescer(work)
    for _ in range(3):
        await asyncio.gather(*(coalescer.submit(i) for i in range(8)))
    assert [len(batch) for batch in work.batches] == [8, 8, 8]


async def test_a_call_that_comes_just_as_the_last_batch_ends_is_not_forgotten(work: Work) -> None:
    coalescer = Coalescer(work)

    async def again_and_again() -> None:
        for i in range(200):
            assert await coalescer.submit(i) == 2 * i

    await asyncio.wait_for(asyncio.gather(*(again_and_again() for _ in range(3))), 10)


async def test_a_full_queue_refuses_at_once(work: Work) -> None:
    coalescer = Coalescer(work, batch_max=1, queue_max=2)
    work.gate.clear()
    taken = asyncio.create_task(coalescer.submit(0))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(coalescer.submit(i)) for i in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await coalescer.submit(3)
    assert caught.value.code == "STORE_BUSY"
    work.gate.set()
    assert await asyncio.gather(taken, *waiting) == [0, 2, 4]


async def test_a_cancelled_caller_takes_its_item_back_and_breaks_nobody_else(work: Work) -> None:
    coalescer = Coalescer(work)
    work.gate.clear()
    under_way = asyncio.create_task(coalescer.submit(0))
    await asyncio.sleep(0.01)
    waiting, other = asyncio.create_task(coalescer.submit(1)), asyncio.create_task(coalescer.submit(2))
    await asyncio.sleep(0)
    waiting.cancel()
    under_way.cancel()
    work.gate.set()
    assert await other == 4
    assert work.batches == [[0], [2]]
    assert waiting.cancelled()
    assert under_way.cancelled()


async def test_a_lost_answer_is_asked_again_with_the_same_batch(work: Work) -> None:
    coalescer = Coalescer(work, retry_s=0.001)
    work.failures = [Uncertain("STORE_UNCERTAIN", "?"), Unavailable("STORE_UNAVAILABLE", "down")]
    assert await asyncio.gather(*(coalescer.submit(n) for n in (1, 2))) == [2, 4]
    assert work.batches == [[1, 2]] * 3


async def test_doubt_stays_doubt_and_certainty_stays_certain(work: Work) -> None:
    coalescer = Coalescer(work, retry_s=0.001)
    down, doubt = Unavailable("STORE_UNAVAILABLE", "down"), Uncertain("STORE_UNCERTAIN", "?")
    work.failures = [down, down, down]
    with pytest.raises(Unavailable):
        await coalescer.submit(1)
    work.failures = [down, doubt, down]
    with pytest.raises(Uncertain):
        await coalescer.submit(1)
    assert await coalescer.submit(1) == 2


async def test_every_caller_of_a_failed_batch_gets_an_error_of_its_own(work: Work) -> None:
    coalescer = Coalescer(work)
    work.failures = [Refused("NO", "no", why="x")]
    one, two = await asyncio.gather(coalescer.submit(1), coalescer.submit(2), return_exceptions=True)
    assert isinstance(one, Refused)
    assert isinstance(two, Refused)
    assert one is not two
    assert one.facts == {"why": "x"}


async def test_an_item_whose_values_the_store_cannot_take_fails_alone() -> None:
    async def picky(items: Sequence[int]) -> Sequence[int]:
        if 13 in items:
            raise Unavailable("STORE_UNAVAILABLE", "no", sqlstate="22003")
        return list(items)

    coalescer = Coalescer(picky, retry_s=0.001)
    answers = await asyncio.gather(*(coalescer.submit(i) for i in (12, 13, 14)), return_exceptions=True)
    assert answers[0] == 12
    assert isinstance(answers[1], Unavailable)
    assert answers[2] == 14
