"""A measurement takes turns, compares what was done, and says every ratio."""

import pytest

from domain.errors import Refused
from ops.bench.harness import Measured, Pair, interleave, report
from ops.cli.bench import measure


async def test_ours_and_the_reference_take_turns_and_every_pair_is_kept() -> None:
    order: list[str] = []

    async def ours(number: int) -> Measured:
        order.append(f"A{number}")
        return Measured(3.0, "same")

    async def reference(number: int) -> Measured:
        order.append(f"B{number}")
        return Measured(2.0, "same")

    pairs = await interleave("test", ours, reference, 7)
    assert order == [f"{side}{number}" for number in range(7) for side in "AB"]
    assert pairs == [Pair(3.0, 2.0)] * 7
    assert pairs[0].ratio == 1.5


async def test_two_that_did_not_do_the_same_work_are_not_compared() -> None:
    async def one(number: int) -> Measured:
        return Measured(1.0, ("balances", number))

    async def other(number: int) -> Measured:
        return Measured(1.0, ("balances", number + (number == 3)))

    with pytest.raises(Refused) as caught:
        await interleave("test", one, other)
    assert caught.value.code == "BENCH_DISAGREES"


async def test_a_handful_of_pairs_says_nothing() -> None:
    async def one(number: int) -> Measured:
        return Measured(1.0, None)

    with pytest.raises(Refused) as caught:
        await interleave("test", one, one, 6)
    assert caught.value.code == "BENCH_TOO_SHORT"


@pytest.mark.parametrize(("goal", "met"), [(">= 2", True), (">= 2.1", False), ("<= 2", True), ("<= 1.9", False)])
def test_a_report_says_each_ratio_and_whether_the_median_meets_the_goal(goal: str, met: bool) -> None:
    row = report([Pair(4, 2), Pair(9, 3), Pair(1, 1)], "1/s", goal)
    assert row["ratio"] == {"pairs": [2.0, 3.0, 1.0], "median": 2.0, "min": 1.0, "max": 3.0}
    assert (row["goal"], row["met"]) == (goal, met)


@pytest.mark.parametrize(
    ("name", "options", "code"), [("nothing", {}, "BENCH_UNKNOWN"), ("ledger", {"colour": 1}, "BENCH_OPTION")]
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    name: str, options: dict[str, int], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        measure(name, **options)
    assert caught.value.code == code
