"""A part has recovered when it answers again and something of its own work was done after that."""

import asyncio
import time
from typing import cast

import pytest

from adapters.store.database import Database
from ops.chaos.recovery import PATIENCE_S, Progress, Recovery, figures, measure


def progress(left: int) -> Progress:
    """With so much waiting for each part, as of a look that is always fresh."""
    marks = {"open": left, "unsigned": left}
    return Progress(cast(Database, None), lambda: left, marks=marks, looked_at=float("inf"))


async def test_up_is_not_yet_at_work() -> None:
    seen, begun = progress(left=3), time.monotonic()
    following = asyncio.create_task(measure("signer", 1.0, lambda: time.monotonic() - begun > 0.2, seen))
    await asyncio.sleep(0.4)
    seen.at["watched"] = time.monotonic()  # another part's work
    await asyncio.sleep(0.2)
    assert not following.done()
    seen.at["signed"] = time.monotonic()
    recovery = await following
    assert recovery.up_s is not None
    assert recovery.works_s is not None
    assert 0.2 <= recovery.up_s < 0.5 < recovery.works_s


@pytest.mark.parametrize("part", ["books", "api", "signer", "signer_2", "postgres"])
async def test_where_nothing_is_left_to_do_answering_is_enough(part: str) -> None:
    recovery = await measure(part, 1.0, lambda: True, progress(left=0))
    assert recovery.works_s == recovery.up_s


def test_a_part_that_never_came_back_is_not_left_out() -> None:
    told = figures([Recovery("api", 1, 1.0, 2.0), Recovery("chain", 2, None, None), Recovery("api", 3, 1.0, 3.0)])
    assert (told["kills"], told["p50"], told["max"]) == (3, 3.0, PATIENCE_S)
    assert told["by_part"]["api"] == {"p50": 2.5, "max": 3.0}
