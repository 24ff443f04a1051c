"""Who may approve, and whose signature really is theirs."""

import dataclasses
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import roster
from adapters.roster import Roster
from domain.errors import Refused, Unavailable
from domain.intent import Decision, Ruling, statement

TODAY = date(2026, 11, 21)
HASH = "ab" * 32
ANNA, BORIS = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    roster.enrol(tmp_path / "roster.toml", "anna", public(ANNA), TODAY)
    return tmp_path / "roster.toml"


def test_an_enrolled_approvers_signature_is_theirs(path: Path) -> None:
    assert Roster(path).verify(decide("anna", ANNA)) == ""
    assert Roster(path).verify(decide("anna", ANNA, Ruling.REJECT)) == ""


def test_a_stranger_is_a_stranger(path: Path) -> None:
    assert Roster(path).verify(decide("boris", BORIS)) == "STRANGER"
    assert Roster(path).verify(decide("ANNA", ANNA)) == "STRANGER"
    assert Roster(path.parent / "none.toml").verify(decide("anna", ANNA)) == "STRANGER"


def test_a_signature_over_anything_else_is_bad(path: Path) -> None:
    word = decide("anna", ANNA)
    for other in (
        dataclasses.replace(word, intent_hash="cd" * 32),
        dataclasses.replace(word, ruling=Ruling.REJECT),
        dataclasses.replace(word, ruling="whatever"),  # type: ignore[arg-type]
        dataclasses.replace(word, signature=""),
        dataclasses.replace(word, signature="zz" * 64),
        dataclasses.replace(word, signature=word.signature.upper()),
        dataclasses.replace(word, signature=word.signature + "00"),
        dataclasses.replace(word, signature=word.signature + "\n"),
        decide("anna", BORIS),
    ):
        assert Roster(path).verify(other) == "BAD_SIGNATURE", other


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(bit=st.integers(0, 511))
def test_no_bit_of_a_signature_is_free(path: Path, bit: int) -> None:
    word = decide("anna", ANNA)
    raw = bytearray.fromhex(word.signature)
    raw[bit // 8] ^= 1 << bit % 8
    assert Roster(path).verify(dataclasses.replace(word, signature=raw.hex())) == "BAD_SIGNATURE"


def test_a_change_of_the_file_counts_at_once(path: Path) -> None:
    book = Roster(path)
    assert book.verify(decide("boris", BORIS)) == "STRANGER"
    roster.enrol(path, "boris", public(BORIS), TODAY)
    assert book.verify(decide("boris", BORIS)) == ""
    roster.revoke(path, "boris", TODAY)
    assert book.verify(decide("boris", BORIS)) == "STRANGER"
    assert book.verify(decide("anna", ANNA)) == ""


def test_a_broken_file_clears_nobody_and_accuses_nobody(path: Path) -> None:
    book = Roster(path)
    assert book.verify(decide("anna", ANNA)) == ""
    path.write_text("approvers = 5")
    with pytest.raises(Unavailable, match="ROSTER_UNREADABLE"):
        book.verify(decide("anna", ANNA))


def test_a_person_stays_readable_after_they_left(path: Path) -> None:
    roster.revoke(path, "anna", TODAY)
    again = roster.revoke(path, "anna", date(2027, 1, 1))
    assert again.revoked == TODAY, "the first date stands"
    assert roster.read(path)["anna"].public_key == public(ANNA)
    with pytest.raises(Refused, match="APPROVER_EXISTS"):
        roster.enrol(path, "Anna", public(BORIS), TODAY)
    with pytest.raises(Refused, match="APPROVER_EXISTS"):
        roster.enrol(path, "anna", public(ANNA), TODAY)
    with pytest.raises(Refused, match="PUBLIC_KEY_TAKEN"):
        roster.enrol(path, "anna2", public(ANNA), TODAY)


def test_enrolling_the_same_again_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    roster.enrol(path, "anna", public(ANNA), date(2027, 1, 1))
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "a b", "anna\nboris", 'anna"]', "ä", "x" * 65, "-anna", "role:anna"])
def test_a_name_that_could_be_read_otherwise_is_refused(path: Path, name: str) -> None:
    with pytest.raises(Refused, match="APPROVER_NAME_INVALID"):
        roster.enrol(path, name, public(BORIS), TODAY)


@pytest.mark.parametrize("key", ["", "ab" * 31, "AB" * 32, "zz" * 32, "ab" * 32 + "\n"])
def test_a_key_in_another_form_is_refused(path: Path, key: str) -> None:
    with pytest.raises(Refused, match="PUBLIC_KEY_INVALID"):
        roster.enrol(path, "boris", key, TODAY)


def test_one_key_never_has_two_names(path: Path) -> None:
    with pytest.raises(Refused, match="PUBLIC_KEY_TAKEN"):
        roster.enrol(path, "boris", public(ANNA), TODAY)
    path.write_text(path.read_text() + f'[approvers.boris]\npublic_key = "{public(ANNA)}"\nadded = 2026-11-21\n')
    with pytest.raises(Refused, match="ROSTER_INVALID"):
        roster.read(path)


@pytest.mark.parametrize(
    "row",
    [
        "public_key = 5",
        f'public_key = "{"ab" * 32}"',
        f'public_key = "{"ab" * 32}"\nadded = "today"',
        f'public_key = "{"ab" * 32}"\nadded = 2026-11-21\nrevoked = true',
    ],
)
def test_a_half_written_row_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(f"[approvers.anna]\n{row}\n")
    with pytest.raises(Refused):
        roster.read(path)


def test_nobody_is_revoked_who_was_never_there(path: Path) -> None:
    with pytest.raises(Refused, match="APPROVER_UNKNOWN"):
        roster.revoke(path, "boris", TODAY)


def decide(name: str, key: Ed25519PrivateKey, ruling: Ruling = Ruling.APPROVE) -> Decision:
    return Decision(name, ruling, HASH, key.sign(statement(name, ruling, HASH)).hex())


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()
