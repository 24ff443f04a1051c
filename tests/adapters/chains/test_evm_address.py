"""Which recipients are taken on an EVM network, and under which code the others are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chains.evm.address import check
from domain.errors import Refused

TOKEN = "0xdac17f958d2ee523a2206206994597c13d831ec7"
OURS = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
# The examples of EIP-55: all capitals, all small, and mixed.
EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


def accept(text: str) -> str:
    return check(text, network="ethereum", token_contracts={TOKEN}, ours={OURS})


def code_of(text: str) -> str:
    with pytest.raises(Refused) as refused:
        accept(text)
    assert text not in str(refused.value) or len(text) < 4, "what was typed may be a secret and is not repeated"
    return refused.value.code


@pytest.mark.parametrize("text", EIP_55)
def test_the_examples_of_eip_55_are_taken_as_they_are(text: str) -> None:
    assert accept(text) == text


@pytest.mark.parametrize("text", EIP_55)
def test_small_letters_carry_no_checksum_and_get_one(text: str) -> None:
    assert accept(text.lower()) == text


@pytest.mark.parametrize("text", EIP_55[4:])
def test_a_wrong_capital_is_a_wrong_checksum(text: str) -> None:
    assert code_of(text[:2] + text[2:].swapcase()) == "ADDRESS_CHECKSUM"
    assert code_of("0x" + text[2:].upper()) == "ADDRESS_CHECKSUM"


@given(st.sampled_from(EIP_55[4:]), st.integers(2, 41))
def test_any_one_letter_in_the_wrong_case_is_noticed(text: str, at: int) -> None:
    if text[at].isalpha():
        assert code_of(text[:at] + text[at].swapcase() + text[at + 1 :]) == "ADDRESS_CHECKSUM"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        EIP_55[4][2:],
        "0X" + EIP_55[4][2:],
        EIP_55[4] + "0",
        EIP_55[4] + "\n",
        " " + EIP_55[4],
        EIP_55[4][:-1] + "g",
        "0x" + "ab" * 32,
        "vitalik.eth",
        "0x" + "٠" * 40,
        "0x" + "1" * 100_000,
    ],
)
def test_whatever_else_is_malformed(text: str) -> None:
    assert code_of(text) == "ADDRESS_MALFORMED"


def test_a_name_is_told_that_names_are_not_looked_up() -> None:
    with pytest.raises(Refused, match="Names are not looked up"):
        accept("vitalik.eth")


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "TRON"),
        ("41a614f803b6fd780986a42c78ec9c7f77e6ded13c", "TRON"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "Bitcoin"),
        ("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "Bitcoin"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "Bitcoin"),
        ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "Bitcoin"),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "Bitcoin"),
    ],
)
def test_an_address_of_another_network_is_told_which(text: str, network: str) -> None:
    with pytest.raises(Refused, match="ADDRESS_WRONG_NETWORK") as refused:
        accept(text)
    assert refused.value.facts["looks_like"] == network


def test_nobody_owns_the_zero_address() -> None:
    assert code_of("0x" + "0" * 40) == "ADDRESS_ZERO"


@pytest.mark.parametrize("number", [*range(1, 0x12), 0x100])
def test_precompiles_are_not_paid(number: int) -> None:
    assert code_of(f"0x{number:040x}") == "ADDRESS_PRECOMPILE"


@pytest.mark.parametrize("number", [0x12, 0xFF, 0x101])
def test_their_neighbours_are_addresses(number: int) -> None:
    assert accept(f"0x{number:040x}")


def test_token_contracts_and_our_own_wallets_are_not_paid() -> None:
    assert code_of("0xdAC17F958D2ee523a2206206994597C13D831ec7") == "ADDRESS_TOKEN_CONTRACT"
    assert code_of(TOKEN) == "ADDRESS_TOKEN_CONTRACT"
    assert code_of(OURS) == "ADDRESS_OURS"


@given(st.text(max_size=60))
def test_no_text_does_anything_but_pass_or_be_refused(text: str) -> None:
    try:
        taken = accept(text)
    except Refused as refused:
        code = refused.code
    else:
        code = "ADDRESS_" if accept(taken) == taken else "taken, but not in its canonical form"
    assert code.startswith("ADDRESS_")
