"""Which Bitcoin addresses may be paid, and what is said of the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chains.bitcoin.address import MAINNET, REGTEST, check, script_of
from domain.errors import Refused

TESTNET = 0xD77F4943
KEY = "751e76e8199196d454941c45d1b3a323f1433bd6"  # the program of BIP173's example key
PAYABLE = [  # (chain, address, script): BIP173, BIP350, and the developer reference's Base58Check examples
    (MAINNET, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", f"0014{KEY}"),
    (REGTEST, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", f"0014{KEY}"),
    (TESTNET, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", f"0014{KEY}"),
    (
        MAINNET,
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
    (
        TESTNET,
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    ),
    (MAINNET, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "76a91477bff20c60e522dfaa3350c39b030a5d004e839a88ac"),
    (MAINNET, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "a914b472a266d0bd89c13706a4132ccfb16f7c3b9fcb87"),
    (REGTEST, "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"),
]
REFUSED = [
    (MAINNET, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "ADDRESS_CHECKSUM"),
    (MAINNET, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3tb", "ADDRESS_CHECKSUM"),  # b is no character of bech32
    (MAINNET, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "ADDRESS_CHECKSUM"),  # version 0 with bech32m (BIP350)
    (MAINNET, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "ADDRESS_CHECKSUM"),  # the other way
    (MAINNET, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "ADDRESS_CHECKSUM"),
    (MAINNET, "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "ADDRESS_MIXED_CASE"),
    (MAINNET, "bc1sw50qgdz25j", "ADDRESS_WITNESS_UNKNOWN"),  # version 16
    (MAINNET, "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y", "ADDRESS_WITNESS_UNKNOWN"),
    (MAINNET, "bc1pfeessrawgf", "ADDRESS_WITNESS_UNKNOWN"),  # pay to anchor: anybody may take it
    (MAINNET, "1111111111111111111114oLvT2", "ADDRESS_ZERO"),
    (REGTEST, "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202", "ADDRESS_ZERO"),
    (REGTEST, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "ADDRESS_WRONG_NETWORK"),
    (TESTNET, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "ADDRESS_WRONG_NETWORK"),
    (REGTEST, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "0x5FbDB2315678afecb367f032d93F642f64180aa3", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", "ADDRESS_WRONG_NETWORK"),
    (MAINNET, "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "ADDRESS_MALFORMED"),
    (MAINNET, " bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "ADDRESS_MALFORMED"),
    (MAINNET, "bc1", "ADDRESS_MALFORMED"),
]


def checked(text: str, chain: int = REGTEST, ours: frozenset[str] = frozenset()) -> str:
    return check(text, network="bitcoin", chain_id=chain, ours=ours)


@pytest.mark.parametrize(("chain", "address", "script"), PAYABLE)
def test_what_can_be_paid_is_taken_as_it_is_written_and_has_its_script(chain: int, address: str, script: str) -> None:
    assert checked(address, chain) == address
    assert script_of(address).hex() == script


@pytest.mark.parametrize(("chain", "address", "code"), REFUSED)
def test_what_cannot_be_paid_says_why(chain: int, address: str, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        checked(address, chain)
    assert refusal.value.code == code


def test_capitals_throughout_are_the_same_address() -> None:
    small = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
    assert checked(small.upper()) == small


def test_our_own_address_is_ours_however_it_is_written() -> None:
    own = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
    for written in (own, own.upper()):
        with pytest.raises(Refused, match="ADDRESS_OURS"):
            checked(written, ours=frozenset({own}))


def test_a_taproot_address_without_a_key_behind_it_is_refused() -> None:
    """x = 5 is no point of the curve (BIP340): nobody can ever sign for it."""
    with pytest.raises(Refused, match="ADDRESS_UNSPENDABLE"):
        checked("bc1pqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzs2jkusy", MAINNET)


@given(st.text(max_size=120))
def test_nothing_that_people_type_breaks_it_or_comes_back_in_the_error(text: str) -> None:
    with pytest.raises(Refused, match="ADDRESS_") as refusal:
        checked(text)  # that it drew an address with its checksum is not to be feared
    assert len(text) < 8 or text not in str(refusal.value)


@given(st.integers(0, 43), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_one_wrong_character_is_always_noticed(at: int, character: str) -> None:
    right = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
    wrong = f"{right[:at]}{character}{right[at + 1 :]}"
    if wrong != right:
        with pytest.raises(Refused):
            checked(wrong)
