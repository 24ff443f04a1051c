"""Procedures at the command line: what is shown is what is endorsed, and files that disagree are handed to nobody."""

import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters import roster
from adapters.roster import Roster
from domain.errors import Refused
from domain.procedure import Endorsement, Kind, Procedure
from ops.cli import approver, payout
from ops.cli.approver import make_key
from ops.cli.procedures import gathered, propose

SLOT = "ethereum/0xaa/7"
VOID = Procedure(Kind.VOID, SLOT, "the client asked for it", "", "2026-11-22T12:00:00+00:00")


@pytest.fixture
def people(tmp_path: Path) -> Roster:
    for name in ("anna", "boris"):
        person = make_key(name, tmp_path / f"{name}.key")
        roster.enrol(tmp_path / "roster.toml", name, person.public_key, date(2026, 11, 22))
    return Roster(tmp_path / "roster.toml")


def endorse(folder: Path, name: str, content: Any, said: str | None = None) -> Result:
    path = folder / "procedure.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    words = ["endorse", str(path), "--key-file", str(folder / f"{name}.key"), *([] if said else ["--yes"])]
    return CliRunner().invoke(approver.app, words, input=said)


def kept(folder: Path, name: str, procedure: Procedure = VOID) -> Path:
    path = folder / f"{name}-{procedure.hash()[:8]}.json"
    path.write_text(endorse(folder, name, asdict(procedure)).stdout)
    return path


def test_a_procedure_is_read_in_plain_words_and_the_endorsement_is_all_of_stdout(
    tmp_path: Path, people: Roster
) -> None:
    done = endorse(tmp_path, "anna", asdict(VOID), said="y\n")
    for words in ("pays nobody", SLOT, VOID.reason, VOID.hash(), "2 must endorse", "Endorse this as anna?"):
        assert words in done.stderr
    rows = json.loads(done.stdout)
    assert Procedure(**rows["procedure"]) == VOID
    assert people.verify(Endorsement(**rows["endorsement"])) == ""
    assert rows["endorsement"]["procedure_hash"] == VOID.hash()


def test_without_a_yes_nothing_is_signed(tmp_path: Path, people: Roster) -> None:
    done = endorse(tmp_path, "anna", asdict(VOID), said="n\n")
    assert (done.exit_code, done.stdout) == (4, "")


@pytest.mark.parametrize(
    "content",
    [
        "nonsense",
        {},
        [],
        asdict(VOID) | {"kind": "PAY"},
        asdict(VOID) | {"more": "x"},
        asdict(VOID) | {"reason": 7},
        asdict(VOID) | {"reason": "harmless\u202eevil"},
    ],
)
def test_what_is_no_procedure_or_hides_something_is_not_signed(tmp_path: Path, people: Roster, content: Any) -> None:
    done = endorse(tmp_path, "anna", content)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "PROCEDURE_MALFORMED" in done.stderr


def test_the_words_of_several_people_for_one_procedure_go_together(tmp_path: Path, people: Roster) -> None:
    endorsed = gathered(Kind.VOID, SLOT, [kept(tmp_path, "anna"), kept(tmp_path, "boris")])
    assert endorsed.procedure == VOID
    assert [word.approver for word in endorsed.endorsements] == ["anna", "boris"]


def test_words_for_different_procedures_or_for_another_slot_are_handed_to_nobody(
    tmp_path: Path, people: Roster
) -> None:
    other = kept(tmp_path, "boris", replace(VOID, reason="another reason"))
    with pytest.raises(Refused, match="ENDORSEMENTS_DIFFER"):
        gathered(Kind.VOID, SLOT, [kept(tmp_path, "anna"), other])
    with pytest.raises(Refused, match="PROCEDURE_OTHER"):
        gathered(Kind.VOID, SLOT + "8", [kept(tmp_path, "anna")])
    with pytest.raises(Refused, match="PROCEDURE_OTHER"):
        gathered(Kind.SPEED_UP, SLOT, [kept(tmp_path, "anna")])


def test_a_file_that_holds_no_endorsement_is_named_and_nothing_else_is_said(tmp_path: Path, people: Roster) -> None:
    broken, sound = tmp_path / "broken.json", json.loads(kept(tmp_path, "anna").read_text())
    numbers = {**sound, "endorsement": sound["endorsement"] | {"signature": 7}}
    for content in ("", "{", "{}", "[]", "[" * 100_000, json.dumps({**sound, "endorsement": []}), json.dumps(numbers)):
        broken.write_text(content)
        with pytest.raises(Refused, match="ENDORSEMENT_MALFORMED") as refused:
            gathered(Kind.VOID, SLOT, [broken])
        assert refused.value.message == f"{broken} is no endorsement, as `strongroom approver endorse` prints them."
    broken.write_text(json.dumps({**sound, "procedure": {}}))
    with pytest.raises(Refused, match="PROCEDURE_MALFORMED"):
        gathered(Kind.VOID, SLOT, [broken])
    broken.write_text(json.dumps(asdict(VOID)))
    with pytest.raises(Refused, match=r"ENDORSEMENT_MALFORMED.*nobody endorsed"):
        gathered(Kind.VOID, SLOT, [broken])
    with pytest.raises(Refused, match="FILE_NOT_FOUND"):
        gathered(Kind.VOID, SLOT, [tmp_path / "nope.json"])


def test_what_is_endorsed_already_is_not_endorsed_but_handed_over(tmp_path: Path, people: Roster) -> None:
    done = endorse(tmp_path, "boris", kept(tmp_path, "anna").read_text())
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr.startswith("PROCEDURE_MALFORMED: This is an endorsement already")
    assert "pydantic" not in done.stderr


def test_nothing_is_proposed_without_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="REASON_MISSING"):
        propose(Kind.VOID, SLOT, "  ")
    propose(Kind.VOID, SLOT, "stuck")
    assert Procedure(**json.loads(capsys.readouterr().out)).reason == "stuck"


def test_giving_a_slot_up_takes_the_name_of_the_transaction_that_consumed_it() -> None:
    done = CliRunner().invoke(payout.app, ["replan", SLOT, "--reason", "the old desk had the key"])
    assert done.exit_code == 4
    assert "STRANGER_MISSING" in done.stderr


def test_who_gives_a_slot_up_reads_whose_transaction_it_is_about(tmp_path: Path, people: Roster) -> None:
    stranger = "0x" + "5e" * 32
    done = endorse(tmp_path, "anna", asdict(replace(VOID, kind=Kind.REPLAN, rests_on=stranger)), said="y\n")
    for words in (stranger, "which a stranger's transaction consumed", "2 must endorse"):
        assert words in done.stderr
