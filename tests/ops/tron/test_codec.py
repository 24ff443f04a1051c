"""The node's own codec against real transactions of the real network, and against rubbish."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.devnet.tron.jsonform import from_json, to_json
from ops.devnet.tron.keys import address_of, base58_of, digest_of, signer_of
from ops.devnet.tron.messages import CONTRACT_TYPES, CONTRACTS, RAW, decode, encode
from ops.devnet.tron.wire import TYPE_URL, WireError

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "vectors" / "tron.json").read_text())
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[f"{v['contract']}-{v['txID'][:8]}" for v in VECTORS])


@each_vector
def test_a_real_transaction_is_the_same_bytes_after_decoding_and_encoding(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw_data_hex"])
    assert encode(RAW, decode(RAW, raw)) == raw
    assert digest_of(raw).hex() == vector["txID"]


@each_vector
def test_a_real_transaction_is_told_and_understood_as_java_tron_writes_it(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw_data_hex"])
    for visible, name in ((False, "raw_data"), (True, "raw_data_visible")):
        assert to_json(RAW, decode(RAW, raw), visible) == vector[name]
        assert encode(RAW, from_json(RAW, vector[name], visible)) == raw


@each_vector
def test_the_signers_of_a_real_transaction_are_recovered(vector: dict[str, Any]) -> None:
    signatures = map(bytes.fromhex, vector["signature"] or [])
    found = [base58_of(signer_of(bytes.fromhex(vector["txID"]), signature)) for signature in signatures]
    assert found == (vector["recovered_signers"] or [])


@given(st.sampled_from(VECTORS), st.data())
def test_a_flipped_bit_is_refused_or_makes_another_transaction(vector: dict[str, Any], data: st.DataObject) -> None:
    raw = bytearray.fromhex(vector["raw_data_hex"])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decode(RAW, bytes(raw))
    except WireError:
        return
    assert digest_of(bytes(raw)).hex() != vector["txID"]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("an unknown field", lambda raw: raw + bytes.fromhex("f80101")),
        ("a known field twice", lambda raw: raw + bytes.fromhex("7001")),
        ("a default that is written", lambda raw: raw + bytes.fromhex("900100")),
        ("a number longer than needed", lambda raw: raw.replace(bytes.fromhex("7001"), bytes.fromhex("708100"))),
        ("the end is missing", lambda raw: raw[:-1]),
    ],
)
def test_every_other_way_to_write_a_transaction_is_refused(name: str, spoil: Any) -> None:
    value = {"owner_address": b"\x41" + bytes(20), "to_address": b"\x41" + bytes(20), "amount": 1}
    contract = {"type": "TransferContract", "parameter": {"type_url": TYPE_URL + "TransferContract", "value": value}}
    raw = encode(RAW, {"expiration": 1, "contract": [contract], "timestamp": 1})
    assert decode(RAW, raw)["timestamp"] == 1
    with pytest.raises(WireError):
        decode(RAW, spoil(raw))


def test_every_contract_type_that_is_served_has_its_number_and_its_fields() -> None:
    assert set(CONTRACTS) == set(CONTRACT_TYPES)


def test_an_address_survives_both_ways_of_writing_it() -> None:
    address = address_of("TPL66VK2gCXNCD7EJg9pgJRfqcRazjhUZY")
    assert base58_of(address) == "TPL66VK2gCXNCD7EJg9pgJRfqcRazjhUZY"
    assert address_of(address.hex()) == address
    with pytest.raises(ValueError, match="checksum"):
        address_of("TPL66VK2gCXNCD7EJg9pgJRfqcRazjhUZZ")


def test_the_node_shares_no_code_with_the_adapter_that_speaks_to_it() -> None:
    folder = Path(__file__).parents[3] / "ops" / "devnet" / "tron"
    borrowed = [path.name for path in folder.rglob("*.py") if re.search(r"(from|import) adapters", path.read_text())]
    assert not borrowed, f"{borrowed}: two codecs hold each other honest only while they are two"
