"""TRON's bytes: forty real transactions both ways, and no second spelling of any of them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.chains.tron import codec, wire
from adapters.chains.tron.address import text_of
from adapters.chains.tron.messages import BYTES, CONTRACT_TYPES, FLAG, MESSAGES, NUMBER, TEXT, TYPE_URL, Choice, Field
from adapters.chains.tron.wire import Malformed

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "vectors" / "tron.json").read_text())
RAWS = [bytes.fromhex(vector["raw_data_hex"]) for vector in VECTORS]
NAMES = [f"{vector['contract']}-{vector['txID'][:6]}" for vector in VECTORS]
vectors = pytest.mark.parametrize("vector", VECTORS, ids=NAMES)


def plain(value: Any) -> Any:
    """A decoded message as java-tron's JSON has it: bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def without_defaults(value: Any) -> Any:
    """java-tron prints the contract's type even when it is the default, and empty bytes here and there."""
    if isinstance(value, dict):
        kept = {name: without_defaults(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in ("", 0, False, "AccountCreateContract")}
    return [without_defaults(part) for part in value] if isinstance(value, list) else value


# ---------------------------------------------------------------- real transactions
@vectors
def test_a_real_transaction_is_the_same_bytes_both_ways(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw_data_hex"])
    assert codec.encode("raw", codec.decode("raw", raw)) == raw
    assert codec.txid(raw) == vector["txID"]


@vectors
def test_what_is_decoded_is_what_the_network_s_own_json_says(vector: dict[str, Any]) -> None:
    decoded = plain(codec.decode("raw", bytes.fromhex(vector["raw_data_hex"])))
    assert without_defaults(decoded) == without_defaults(vector["raw_data"])


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["signature"]], ids=lambda v: v["txID"][:6])
def test_a_signed_transaction_opens_to_its_raw_bytes_and_signers(vector: dict[str, Any]) -> None:
    raw, signatures = bytes.fromhex(vector["raw_data_hex"]), [bytes.fromhex(one) for one in vector["signature"]]
    whole = codec.encode("Transaction", {"raw_data": codec.decode("raw", raw), "signature": tuple(signatures)})
    assert codec.opened(whole) == (raw, tuple(signatures))
    if len(signatures) == 1:
        assert codec.signed(raw, signatures[0]) == whole
    assert sorted(signer(raw, one) for one in signatures) == sorted(vector["recovered_signers"])


def signer(raw: bytes, signature: bytes) -> str:
    compact = signature[:64] + bytes([signature[64] % 27])
    key = PublicKey.from_signature_and_message(compact, hashlib.sha256(raw).digest(), hasher=None)
    from eth_hash.auto import keccak

    return text_of(b"\x41" + keccak(key.format(compressed=False)[1:])[-20:])


# ---------------------------------------------------------------- any message
def values_of(field: Field) -> st.SearchStrategy[Any]:
    match field.kind:
        case Choice(numbers):
            return st.sampled_from([name for name, number in numbers.items() if number])
        case kind if kind is BYTES:
            return st.binary(min_size=1, max_size=40)
        case kind if kind is TEXT:
            return st.text(min_size=1, max_size=12)
        case kind if kind is FLAG:
            return st.just(True)
        case kind if kind is NUMBER:
            return st.integers(-(2**63), 2**63 - 1).filter(bool)
    return messages(field.kind.name)


def messages(name: str) -> st.SearchStrategy[dict[str, Any]]:
    if name == "Any":
        return st.sampled_from(sorted(CONTRACT_TYPES.numbers)).flatmap(
            lambda contract: messages(contract).map(lambda value: {"type_url": TYPE_URL + contract, "value": value})
        )

    def of(field: Field) -> st.SearchStrategy[Any]:
        return st.lists(values_of(field), min_size=1, max_size=2).map(tuple) if field.repeated else values_of(field)

    def later(field: Field) -> st.SearchStrategy[Any]:
        return st.deferred(lambda: of(field))

    return st.fixed_dictionaries({}, optional={field.name: later(field) for field in MESSAGES[name]})


@settings(max_examples=300, deadline=None)
@given(messages("raw"))
def test_what_is_encoded_is_decoded_to_the_same(values: dict[str, Any]) -> None:
    assert codec.decode("raw", codec.encode("raw", values)) == values


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(RAWS), st.data())
def test_any_flipped_bit_is_refused_or_changes_the_id(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    flipped = bytearray(raw)
    flipped[at // 8] ^= 1 << at % 8
    try:
        values = codec.decode("raw", bytes(flipped))
    except Malformed:
        return
    assert codec.encode("raw", values) == bytes(flipped)
    assert codec.txid(bytes(flipped)) != codec.txid(raw)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    try:
        values = codec.decode("raw", noise)
    except Malformed:
        return
    assert codec.encode("raw", values) == noise


# ---------------------------------------------------------------- other spellings
RAW = RAWS[1]


@pytest.mark.parametrize(
    ("bytes_", "why"),
    [
        (RAW + b"\x00", "field number"),
        (RAW[:-1], "end"),
        (RAW + wire.field(19, 1), "no field 19"),
        (RAW + wire.field(18, 0), "canonical"),
        (RAW + wire.field(14, 1), "said twice"),
        (RAW + wire.field(1, b"\x01\x02"), "out of order"),
        (b"\x8a\x00" + RAW[1:], "shortest"),
        (b"\x0b" + RAW[1:], "wire type"),
        (RAW + wire.varint(18 << 3) + b"\x81\x00", "shortest"),
        (RAW + wire.field(18, b"\x01"), "something else"),
        (RAW + wire.varint(18 << 3) + b"\xff" * 10 + b"\x01", "ten bytes"),
    ],
)
def test_every_other_spelling_is_refused(bytes_: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        codec.decode("raw", bytes_)


def test_an_unknown_field_is_refused_at_every_depth() -> None:
    values = codec.decode("raw", RAW)
    [contract] = values["contract"]
    inner = codec.encode("TransferContract", contract["parameter"]["value"]) + wire.field(9, 1)
    box = wire.field(1, contract["parameter"]["type_url"].encode()) + wire.field(2, inner)
    tampered = wire.field(11, wire.field(1, 1) + wire.field(2, box))
    with pytest.raises(Malformed, match="TransferContract has no field 9"):
        codec.decode("raw", tampered)


@pytest.mark.parametrize("url", ["", "protocol.TransferContract", TYPE_URL + "Key", TYPE_URL + "TransferContract "])
def test_only_contracts_we_know_stand_in_the_box(url: str) -> None:
    box = wire.field(1, url.encode()) if url else b""
    with pytest.raises(Malformed, match="no contract we know"):
        codec.decode("raw", wire.field(11, wire.field(1, 1) + wire.field(2, box)))


@pytest.mark.parametrize(
    "values", [{"expiration": 2**63}, {"expiration": "1"}, {"expiration": True}, {"nonce": 1}, {"data": "00"}]
)
def test_a_value_that_does_not_fit_is_not_written(values: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        codec.encode("raw", values)


def test_a_signed_transaction_has_nothing_but_raw_bytes_and_signatures() -> None:
    whole = codec.signed(RAW, b"\x01" * 65)
    for wrong in (b"", whole[2:], whole + wire.field(5, b""), wire.field(2, b"\x01" * 65) + whole, wire.field(1, 7)):
        with pytest.raises(Malformed):
            codec.opened(wrong)
