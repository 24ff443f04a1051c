"""When two addresses look alike to a person."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.address import ENDS_CHARS, ends, entry_id, looks_like

KNOWN = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.mark.parametrize(
    ("known", "poison"),
    [
        (KNOWN, "0x529aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaEE7"),
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "TR7NaaaaaaaaaaaaaaaaaaaaaaaaaaaaaJ6t"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa5mdq"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zaaaaaaaaaaaaaaaaaaaaaaaaaaafNa"),
    ],
)
def test_the_same_ends_and_another_middle_look_alike_on_every_network(known: str, poison: str) -> None:
    assert looks_like(poison, known)
    assert looks_like(known, poison)


def test_an_address_does_not_look_like_itself_however_its_letters_are_written() -> None:
    assert not looks_like(KNOWN, KNOWN)
    assert not looks_like(KNOWN.lower(), KNOWN)


@pytest.mark.parametrize("text", ["0x", "", "T", "bc1q", "0x1"])
def test_what_is_too_short_to_be_an_address_harms_nobody(text: str) -> None:
    assert not looks_like(text, KNOWN)


HEX = st.text("0123456789abcdef", min_size=40, max_size=40)


@given(HEX, HEX)
def test_two_addresses_look_alike_exactly_when_their_own_ends_are_the_same(one: str, other: str) -> None:
    n = ENDS_CHARS
    same_ends = one[:n] == other[:n] and one[-n:] == other[-n:]
    assert looks_like("0x" + one, "0x" + other) is (same_ends and one != other)
    assert (ends("0x" + one) == ends("0x" + other)) is same_ends


def test_the_id_of_an_entry_names_its_account_network_and_address() -> None:
    ids = {entry_id(a, n, KNOWN) for a in ("acme", "other") for n in ("ethereum", "polygon")}
    assert len(ids) == 4
    assert entry_id("acme", "ethereum", KNOWN) in ids
