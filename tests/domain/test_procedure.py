"""A procedure is carried out for the people who endorsed that very one, once, while what it rests on still stands."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.intent import Ruling
from domain.intent import statement as decision_statement
from domain.procedure import (
    NEEDED,
    PROVEN,
    SENTENCE,
    WHY_NOT,
    Circumstances,
    Endorsed,
    Endorsement,
    Kind,
    Procedure,
    code,
    statement,
    worths,
)
from tests.fakes.people import People

SLOT, WALLET = "ethereum/0xaa/7", "ethereum/0xaa"
HALT = "a stranger used the key"
STUCK = Circumstances(WALLET, frozenset({SLOT}), None, only_time_decides=False, used=False)
HALTED = replace(STUCK, halted=HALT)
VOID = Procedure(Kind.VOID, SLOT, "the client asked for it", "", "2026-11-21T12:00:00+00:00")
RESUME = Procedure(Kind.RESUME, WALLET, "the key is safe", HALT, "2026-11-21T12:00:00+00:00")
STRANGER = "0x" + "ab" * 32
REPLAN = Procedure(Kind.REPLAN, SLOT, "our other desk used the key", STRANGER, "2026-11-21T12:00:00+00:00")
PROVED = replace(STUCK, halted=HALT, proof=PROVEN)
ROSTER = People("anna", "boris", "chen")


def weighed(endorsed: Endorsed, now: Circumstances = STUCK) -> str:
    return code(endorsed, worths(endorsed, ROSTER.verify), now)


def test_every_kind_has_its_sentence_and_its_number_of_people() -> None:
    assert set(NEEDED) == set(SENTENCE) == set(Kind)
    assert {kind for kind in Kind if NEEDED[kind] < 2} == {Kind.SPEED_UP}, "one person alone stays inside the caps"


@pytest.mark.parametrize("changed", [field.name for field in fields(Procedure)])
def test_whatever_is_changed_afterwards_voids_every_endorsement(changed: str) -> None:
    given = ROSTER.endorse(VOID, "anna", "boris")
    other = replace(given, procedure=replace(VOID, **{changed: "RESUME" if changed == "kind" else "something else"}))
    assert weighed(given) == "TAKEN"
    assert worths(other, ROSTER.verify) == ["OTHER_PROCEDURE"] * 2
    assert weighed(other) == "ENDORSEMENTS_MISSING"


def test_one_person_is_one_voice_however_often_they_say_it() -> None:
    [anna] = ROSTER.endorse(VOID, "anna").endorsements
    twice = Endorsed(VOID, (anna, anna))
    assert worths(twice, ROSTER.verify) == ["COUNTED", "REPEAT"]
    assert weighed(twice) == "ENDORSEMENTS_MISSING"


def test_strangers_and_other_peoples_signatures_count_for_nothing() -> None:
    given = ROSTER.endorse(VOID, "anna", "mallory")
    borrowed = replace(given.endorsements[0], approver="boris")
    assert worths(Endorsed(VOID, (*given.endorsements, borrowed)), ROSTER.verify) == [
        "COUNTED",
        "STRANGER",
        "BAD_SIGNATURE",
    ]


def test_an_approval_of_a_payment_is_never_an_endorsement() -> None:
    hash_ = VOID.hash()
    for ruling in Ruling:
        assert decision_statement("anna", ruling, hash_) != statement("anna", hash_)
        signed = ROSTER.decision("anna", ruling, hash_)
        assert ROSTER.verify(Endorsement("anna", hash_, signed.signature)) == "BAD_SIGNATURE"


@pytest.mark.parametrize(
    ("endorsed", "now", "found"),
    [
        (ROSTER.endorse(VOID, "anna", "boris"), replace(STUCK, used=True), "PROCEDURE_USED"),
        (ROSTER.endorse(VOID, "anna", "boris"), replace(STUCK, slots=frozenset()), "SLOT_NOT_OPEN"),
        (ROSTER.endorse(VOID, "anna", "boris"), replace(STUCK, only_time_decides=True), "ONLY_TIME_DECIDES"),
        (ROSTER.endorse(RESUME, "anna", "boris"), HALTED, "TAKEN"),
        (ROSTER.endorse(RESUME, "anna", "boris"), STUCK, "NOT_HALTED"),
        (ROSTER.endorse(RESUME, "anna", "boris"), replace(HALTED, halted="another one"), "EVIDENCE_CHANGED"),
        (ROSTER.endorse(RESUME, "anna", "boris"), replace(HALTED, wallet="tron/Tx"), "SUBJECT_UNKNOWN"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), PROVED, "TAKEN"),
        (ROSTER.endorse(REPLAN, "anna"), PROVED, "ENDORSEMENTS_MISSING"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), STUCK, "CONSUMPTION_UNPROVEN"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), replace(PROVED, proof="CONSUMER_OURS"), "CONSUMER_OURS"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), replace(PROVED, proof="CONSUMER_OTHER"), "CONSUMER_OTHER"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), replace(PROVED, used=True), "PROCEDURE_USED"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), replace(PROVED, slots=frozenset()), "SLOT_NOT_OPEN"),
        (ROSTER.endorse(REPLAN, "anna", "boris"), replace(PROVED, only_time_decides=True), "NOTHING_TO_CONSUME"),
        (ROSTER.endorse(replace(VOID, kind="PAY"), "anna", "boris"), STUCK, "PROCEDURE_MALFORMED"),
        (ROSTER.endorse(replace(VOID, reason=""), "anna", "boris"), STUCK, "PROCEDURE_MALFORMED"),
        (ROSTER.endorse(replace(VOID, reason="x" * 501), "anna", "boris"), STUCK, "PROCEDURE_MALFORMED"),
    ],
)
def test_what_it_rests_on_must_still_stand(endorsed: Endorsed, now: Circumstances, found: str) -> None:
    assert weighed(endorsed, now) == found
    assert found == "TAKEN" or found in WHY_NOT


@given(st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=10, max_size=10))
def test_two_procedures_with_one_hash_are_one(texts: list[str]) -> None:
    one, other = Procedure(*texts[:5]), Procedure(*texts[5:])
    assert (one.hash() == other.hash()) == (one == other)
