"""A B A B: ours and the reference take turns, so that what the machine does meanwhile falls on both alike.

A single figure says little on a shared machine; the ratio within a pair does. Reported are every pair's ratio, and
their median, least and greatest.
"""

import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from domain.errors import Refused

PAIRS_MIN = 7


@dataclass(frozen=True, slots=True)
class Pair:
    """One measurement of each, in the same unit, one right after the other."""

    ours: float
    reference: float

    @property
    def ratio(self) -> float:
        return self.ours / self.reference


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure, and what the work left behind: ours and the reference must leave the same."""

    figure: float
    left: object


Round = Callable[[int], Awaitable[Measured]]


async def interleave(name: str, ours: Round, reference: Round, pairs: int = PAIRS_MIN) -> list[Pair]:
    """`pairs` rounds of each in turn; a round is given its number and begins on fresh state of its own making.

    Raises Refused BENCH_DISAGREES when the two did not do the same work, BENCH_TOO_SHORT below PAIRS_MIN pairs.
    """
    if pairs < PAIRS_MIN:
        raise Refused("BENCH_TOO_SHORT", f"Fewer than {PAIRS_MIN} pairs say nothing; ask for more.")
    done: list[Pair] = []
    for number in range(pairs):
        one, other = await ours(number), await reference(number)
        if one.left != other.left:
            raise Refused("BENCH_DISAGREES", f"{name}: the two left {one.left!r} and {other.left!r} behind.")
        done.append(Pair(one.figure, other.figure))
        say(
            f"{name}, pair {number + 1}: ours {one.figure:,.1f}, reference {other.figure:,.1f}, "
            f"ratio {done[-1].ratio:.2f}"
        )
    return done


def report(pairs: Sequence[Pair], unit: str, goal: str) -> dict[str, Any]:
    """What is printed of a row. `goal` is ">= X" or "<= X" for the median of the ratios."""
    sign, _, limit = goal.partition(" ")
    ratios = [round(pair.ratio, 3) for pair in pairs]
    median = statistics.median(ratios)
    return {
        "unit": unit,
        "ours": [round(pair.ours, 3) for pair in pairs],
        "reference": [round(pair.reference, 3) for pair in pairs],
        "ratio": {"pairs": ratios, "median": median, "min": min(ratios), "max": max(ratios)},
        "goal": goal,
        "met": median >= float(limit) if sign == ">=" else median <= float(limit),
    }


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)
