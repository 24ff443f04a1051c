"""Which TRON addresses may be paid, each refusal with a code of its own."""

import json
from pathlib import Path

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chains.tron import address
from domain.errors import Refused

USDT = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
OURS = "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"
CLIENT = "THTR75o8xXAgCTQqpiot2AFRAjvW1tSbVV"
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tron.json").read_text())


def check(text: str) -> str:
    return address.check(text, network="tron", token_contracts={USDT.lower()}, ours={OURS.lower()})


def test_a_good_address_is_its_own_canonical_form() -> None:
    assert check(CLIENT) == CLIENT


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "ADDRESS_MALFORMED"),
        (CLIENT + "\n", "ADDRESS_MALFORMED"),
        (" " + CLIENT, "ADDRESS_MALFORMED"),
        (CLIENT[:-1], "ADDRESS_MALFORMED"),
        (CLIENT.replace("x", "0"), "ADDRESS_MALFORMED"),
        ("41521ea197907927725ef36d70f25f850d1659c7c7", "ADDRESS_HEX_FORM"),
        ("0x41521ea197907927725ef36d70f25f850d1659c7c7", "ADDRESS_HEX_FORM"),
        ("0x521ea197907927725ef36d70f25f850d1659c7c7", "ADDRESS_WRONG_NETWORK"),
        ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "ADDRESS_WRONG_NETWORK"),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "ADDRESS_WRONG_NETWORK"),
        ("27jbj4qgTM1hvReST6hEa8Ep8RDo2AM8TJo", "ADDRESS_WRONG_NETWORK"),
        (CLIENT[:-1] + "W", "ADDRESS_CHECKSUM"),
        (CLIENT.swapcase().replace("t", "T", 1), "ADDRESS_"),
        (address.text_of(b"\x41" + bytes(20)), "ADDRESS_ZERO"),
        (address.text_of(b"\x41" + bytes(19) + b"\x09"), "ADDRESS_PRECOMPILE"),
        (address.text_of(b"\x41" + (0x1000001).to_bytes(20, "big")), "ADDRESS_PRECOMPILE"),
        (USDT, "ADDRESS_TOKEN_CONTRACT"),
        (OURS, "ADDRESS_OURS"),
    ],
)
def test_what_may_not_be_paid_is_refused_with_its_own_code(text: str, code: str) -> None:
    with pytest.raises(Refused, match=code) as refused:
        check(text)
    assert not text or text not in str(refused.value)


@given(st.binary(min_size=20, max_size=20))
def test_the_three_forms_agree_with_an_independent_library(last: bytes) -> None:
    plain = b"\x41" + last
    text = address.text_of(plain)
    assert text == base58.b58encode_check(plain).decode()
    assert address.bytes_of(text) == plain


@given(st.text(alphabet=address._ALPHABET, min_size=33, max_size=33))
def test_noise_in_the_right_alphabet_fails_its_checksum(tail: str) -> None:
    with pytest.raises(Refused, match="ADDRESS_CHECKSUM"):
        check("T" + tail)


@pytest.mark.parametrize("owner", sorted({vector["owner"] for vector in VECTORS}))
def test_the_owners_of_real_transactions_are_addresses(owner: str) -> None:
    assert address.text_of(address.bytes_of(owner)) == owner
