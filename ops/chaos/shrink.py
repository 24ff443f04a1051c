"""A shorter schedule that fails as well: events are left out, half of them first, as long as it still fails."""

from collections.abc import Callable
from dataclasses import replace

from ops.chaos.schedule import Event, Schedule

Fails = Callable[[Schedule], bool]


def shortest(schedule: Schedule, fails: Fails, runs_max: int) -> Schedule:
    """The shortest failing schedule found in at most `runs_max` runs (Zeller's ddmin, complements only). The moments
    of what is left stay as they are.
    """
    left, pieces, runs = list(schedule.events), 2, 0
    while len(left) > 1 and runs < runs_max:
        size = -(-len(left) // pieces)
        for first in range(0, len(left), size):
            if runs >= runs_max:
                break
            rest = left[:first] + left[first + size :]
            runs += 1
            if rest and fails(replace(schedule, events=tuple(rest))):
                left, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), pieces * 2)
    return replace(schedule, events=_ordered(left))


def _ordered(events: list[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: event.at_s))
