"""A failing schedule is made shorter as long as it still fails, and never for ever."""

from ops.chaos.schedule import Event, Schedule, What
from ops.chaos.shrink import shortest

LONG = Schedule(1, ("ethereum",), 1, tuple(Event(float(n), What.KILL, f"part-{n}") for n in range(40)))


def test_only_what_is_needed_for_the_failure_is_left() -> None:
    def fails(schedule: Schedule) -> bool:
        return {"part-7", "part-23"} <= {event.target for event in schedule.events}

    short = shortest(LONG, fails, 500)
    assert [event.target for event in short.events] == ["part-7", "part-23"]
    assert (short.seed, short.networks) == (LONG.seed, LONG.networks)


def test_the_number_of_runs_is_bounded_and_what_is_left_still_fails() -> None:
    runs: list[Schedule] = []

    def fails(schedule: Schedule) -> bool:
        runs.append(schedule)
        return any(event.target == "part-39" for event in schedule.events)

    short = shortest(LONG, fails, 4)
    assert len(runs) == 4
    assert len(short.events) < 40
    assert any(event.target == "part-39" for event in short.events)
