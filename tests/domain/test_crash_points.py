"""Every step that can be the last one has a name; the names are those in the code, each in one place."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain import crash_points
from domain.crash_points import STEPS, CrashPoint, parse, passing

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("activities", "adapters", "api", "workers")
PROCESSES = {"api", "orchestrator", "books", "chain", "signer"}


@pytest.fixture
def disarmed() -> Iterator[None]:
    yield
    crash_points.die_by(None)


def passed_in_code() -> Counter[str]:
    """The names given to `passing`, counted over all rooms that may call it."""
    found: Counter[str] = Counter()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "passing":
                [argument] = node.args
                assert ast.unparse(argument).startswith("CrashPoint."), f"{path}: name the point where it is passed"
                found[ast.unparse(argument).removeprefix("CrashPoint.")] += 1
    return found


def test_every_point_is_passed_in_exactly_one_place_and_every_place_is_registered() -> None:
    assert passed_in_code() == Counter(point.name for point in CrashPoint)


def test_every_point_says_whose_death_it_is_and_what_it_leaves() -> None:
    assert list(STEPS) == list(CrashPoint), "the registry is in the order of the way"
    assert {step.process for step in STEPS.values()} <= PROCESSES
    assert all(step.leaves.endswith(".") for step in STEPS.values())


def test_passing_a_point_does_nothing_until_somebody_armed_it(disarmed: None) -> None:
    seen: list[CrashPoint] = []
    passing(CrashPoint.SENT)
    crash_points.die_by(seen.append)
    passing(CrashPoint.SENT)
    assert seen == [CrashPoint.SENT]


def test_a_point_is_named_alone_or_with_the_passing_that_kills() -> None:
    assert parse("sent") == (CrashPoint.SENT, 1)
    assert parse("sent:3") == (CrashPoint.SENT, 3)


@pytest.mark.parametrize("text", ["", "send", "sent:", "sent:0", "sent:x", "SENT"])
def test_a_slip_of_the_pen_is_told_the_names_or_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"there are request-committed, .*conclusion-told|write sent or sent:2"):
        parse(text)
