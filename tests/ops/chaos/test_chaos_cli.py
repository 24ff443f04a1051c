"""`strongroom chaos` at the command line: what cannot be played is said in a sentence before anything is started."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.catalogue import load
from ops.chaos import run as harness
from ops.chaos.cells import cells
from ops.cli.exits import Exit
from ops.cli.run import run

NETWORKS = {network.family: network for network in load("devnet").networks.values()}
KEPT = Path(__file__).parents[2] / "journeys/storms/simple-sender-lost-replies.json"
MATRIX: dict[str, Any] = {
    "seed": 7,
    "seconds": 1.0,
    "clean": True,
    "cells": {cell.name: "once" for cell in cells(NETWORKS)},
    "faults": [],
}
STORM: dict[str, Any] = {
    "seed": 8,
    "minutes": 3.0,
    "networks": ["tron"],
    "withdrawals": {"asked": 75},
    "kills": {"total": 20},
    "reorgs": {"total": 21},
    "faults_made": {"total": 22},
    "paid_twice": 0,
    "lost": 0,
    "stuck": 0,
    "naive": {"by_network": {"tron": {"family": "tron", "paid_twice": 9, "most_for_one": 3}}},
}

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs `strongroom chaos ...`; its exit code, stdout and stderr. Nothing that is said here may start anything."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("an installation was started")

    monkeypatch.setattr(harness, "house", started)
    monkeypatch.setattr("ops.chaos.matrix.house", started)
    monkeypatch.setenv("COLUMNS", "400")

    def said(*words: object) -> tuple[int, str, str]:
        code = run(["chaos", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, " ".join(err.split())

    return said


def written(folder: Path, content: Any, name: str = "given.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("words", [("payouts", "--replay"), ("matrix", "--again"), ("page",)])
def test_a_file_that_is_not_there_ends_with_3_and_what_is_no_such_file_with_2(
    say: Say, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, _, err = say(*words, tmp_path / "missing.json")
    assert (code, "FILE_NOT_FOUND" in err) == (Exit.NOT_FOUND, True)
    code, _, err = say(*words, tmp_path)
    assert (code, "Is a directory" in err) == (Exit.USAGE, True)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert say(*words, tmp_path / "bytes")[0] == Exit.USAGE
    for content in ("", "{", "[]", "null", "{}", "[" * 100_000, STORM):
        path = written(tmp_path, content)
        code, _, err = say(*words, path)
        assert (code, f"{path} is no" in err) == (Exit.USAGE, True), content


def test_a_kept_schedule_can_be_looked_at_again(say: Say, tmp_path: Path) -> None:
    code, _, err = say("payouts", "--replay", KEPT, "--dry", "--write", tmp_path / "again.json")
    assert (code, "10 events on ethereum, tron, bitcoin" in err) == (Exit.OK, True)
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(KEPT.read_text())


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"tron"', '"dogecoin"', "NETWORK_UNKNOWN"),
        ('"USDT"', '"DOGE"', "ASSET_UNKNOWN"),
        (
            '"what": "fault", "target": "bitcoin", "words": {"harms": {"lose_reply": 1.0},',
            '"what": "empty", "target": "bitcoin", "words": {',
            "CHAOS_NO_ISSUER",
        ),
    ],
)
def test_a_schedule_of_what_our_catalogue_does_not_know_starts_nothing(
    say: Say, tmp_path: Path, old: str, new: str, code: str
) -> None:
    text = KEPT.read_text()
    assert old in text
    ended, _, err = say("payouts", "--replay", written(tmp_path, text.replace(old, new)))
    assert (ended, code in err) == (Exit.REFUSED, True), err


@pytest.mark.parametrize("option", [("--seed", "3"), ("--network", "all"), ("--minutes", "3"), ("--withdrawals", "5")])
def test_a_schedule_that_is_replayed_takes_no_plan_beside_it(say: Say, option: tuple[str, str]) -> None:
    code, _, err = say("payouts", "--replay", KEPT, *option, "--dry")
    assert (code, f"leave {option[0]} out" in err) == (Exit.USAGE, True)


@pytest.mark.parametrize("words", [("payouts", "--dry"), ("matrix",)])
def test_networks_are_named_once_and_known(say: Say, words: tuple[str, ...]) -> None:
    for none in ("", ",", " , "):
        code, _, err = say(*words, "--network", none)
        assert (code, "name at least one" in err) == (Exit.USAGE, True)
    code, _, err = say(*words, "--network", "tron,dogecoin")
    assert (code, "NETWORK_UNKNOWN" in err) == (Exit.REFUSED, True)


def test_a_network_that_is_named_twice_is_hurt_once(say: Say) -> None:
    once, twice = (say("payouts", "--dry", "--seed", 1, "--network", names) for names in ("tron", "tron,tron"))
    assert once == twice


@pytest.mark.parametrize("words", [("payouts", "--dry"), ("matrix",)])
def test_where_nothing_can_be_written_nothing_is_begun(say: Say, tmp_path: Path, words: tuple[str, ...]) -> None:
    for path in (tmp_path / "nowhere" / "s.json", tmp_path):
        code, _, err = say(*words, "--write", path)
        assert (code, "cannot be written" in err) == (Exit.USAGE, True)


def test_a_step_that_is_never_taken_there_is_nothing_to_play(say: Say) -> None:
    code, _, err = say("matrix", "--network", "tron", "--points", "blocks-applied", "--fault", "clean")
    assert (code, "nothing to play" in err) == (Exit.USAGE, True)


def test_a_matrix_that_is_whole_needs_nothing_played_again(say: Say, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    code, out, err = say("matrix", "--again", written(tmp_path, MATRIX), "--json", "--write", page)
    assert (code, "nothing to play" in err) == (Exit.OK, True)
    assert json.loads(out)["cells"] == MATRIX["cells"]
    assert f"{len(MATRIX['cells'])} of {len(MATRIX['cells'])} cells are `once`" in page.read_text()
    faulty = written(tmp_path, MATRIX | {"faults": ["wd_1: paid twice"]})
    assert say("matrix", "--again", faulty, "--json")[0] == Exit.FAILED


def test_the_page_takes_a_matrix_and_storms_and_no_one_for_the_other(say: Say, tmp_path: Path) -> None:
    matrix, storm = written(tmp_path, MATRIX, "matrix.json"), written(tmp_path, STORM, "storm.json")
    code, out, _ = say("page", matrix, storm)
    assert (code, "| 8 | 3 | 1 | 75 | 20 | 21 | 22 |" in out) == (Exit.OK, True)
    code, _, err = say("page", storm)
    assert (code, "is not what `chaos matrix --json` printed" in err) == (Exit.USAGE, True)
    code, _, err = say("page", matrix, matrix)
    assert (code, "is not what `chaos payouts --json` printed" in err) == (Exit.USAGE, True)
