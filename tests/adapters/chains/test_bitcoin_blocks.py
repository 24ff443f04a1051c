"""Raw blocks and transactions are read whole, or not at all."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chains.bitcoin.blocks import Header, _target, merkle_root, read_block, read_transaction

GENESIS_HASH = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
GENESIS = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c01010000000100000000000000000000000000000000000000000000000000"
    "00000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e"
    "206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe"
    "5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b"
    "6bf11d5fac00000000"
)
# BIP143's example of a signed P2WPKH spend beside an older input, and its txid without the witness.
SIGNED = bytes.fromhex(
    "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26b"
    "a6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecba"
    "b4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202c"
    "b206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2"
    "d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a95"
    "4c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253"
    "f62fc70f07aeee635711000000"
)


def test_the_first_block_of_all_is_read_whole() -> None:
    block = read_block(GENESIS, GENESIS_HASH)
    assert block.header.parent == "0" * 64
    [coinbase] = block.transactions
    assert coinbase.coinbase
    assert coinbase.txid == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert [units for units, _ in coinbase.pays] == [50 * 10**8]


@pytest.mark.parametrize("name", ["bits", "nonce"])
def test_a_block_that_lacks_the_work_it_claims_is_none(name: str) -> None:
    """The first block with a harder target, or another nonce, under its own new hash."""
    at = {"bits": 75, "nonce": 76}[name]
    raw = bytearray(GENESIS)
    raw[at] ^= 0x10
    with pytest.raises(ValueError, match=r"work|range"):
        read_block(bytes(raw), sha256(sha256(raw[:80]).digest()).digest()[::-1].hex())


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
        (0x2100FFFF, 0xFFFF << 240),
        (0x01123456, 0x12),
        (0x02123456, 0x1234),
        (0x03123456, 0x123456),
    ],
)
def test_a_target_is_read_from_its_short_form(bits: int, target: int) -> None:
    assert _target(bits) == target


@pytest.mark.parametrize("bits", [0, 0x00123456, 0x1D000000, 0x1D80FFFF, 0x04923456, 0x2200FFFF, 0xFF123456])
def test_a_target_that_is_nothing_negative_or_too_large_is_none(bits: int) -> None:
    with pytest.raises(ValueError, match="range"):
        _target(bits)


@pytest.mark.parametrize(
    ("height", "times", "may"),
    [(2015, 1, True), (2015, 2, False), (2017, 4, False), (2016, 4, True), (2016, 5, False)],
)
def test_a_target_grows_only_at_every_2016th_block_and_at_most_four_times(height: int, times: int, may: bool) -> None:
    before = Header("aa", "bb", b"", _target(0x1B0404CB))
    assert replace(before, target=times * before.target).may_follow(before, height) is may


def test_the_witness_is_no_part_of_a_txid() -> None:
    read = read_transaction(SIGNED)
    stripped = SIGNED[:4] + SIGNED[6 : SIGNED.index(bytes.fromhex("000247304402"))] + SIGNED[-4:]
    assert read == read_transaction(stripped)
    assert read.spends == (
        "9f96ade4b41d5433f4eda31e1738ec2b36f6e7d1420d94a6af99801a88f7f7ff:0",
        "8ac60eb9575db5b2d987e29f301b5b819ea83a5c6579d282d189cc04b8e151ef:1",
    )
    assert [units for units, _ in read.pays] == [112340000, 223450000]


@given(st.integers(0, len(GENESIS) - 1), st.integers(1, 255))
def test_one_wrong_byte_anywhere_makes_it_another_block(at: int, change: int) -> None:
    wrong = bytearray(GENESIS)
    wrong[at] ^= change
    with pytest.raises(ValueError, match=r"."):
        read_block(bytes(wrong), GENESIS_HASH)


@given(st.integers(0, len(GENESIS) - 1))
def test_a_block_that_was_cut_off_is_none(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_block(GENESIS[:length], GENESIS_HASH)


def test_what_stands_behind_the_last_transaction_is_not_overlooked() -> None:
    with pytest.raises(ValueError, match="behind"):
        read_block(GENESIS + b"\0", GENESIS_HASH)
    with pytest.raises(ValueError, match="behind"):
        read_transaction(SIGNED + b"\0")


@given(st.integers(0, len(SIGNED) - 1))
def test_a_transaction_that_was_cut_off_is_none(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_transaction(SIGNED[:length])


def test_an_odd_row_of_hashes_repeats_its_last() -> None:
    one, two, three = (bytes([n]) * 32 for n in (1, 2, 3))
    assert merkle_root([one]) == one
    assert merkle_root([one, two, three]) == merkle_root([one, two, three, three])
    assert merkle_root([one, two]) != merkle_root([two, one])
