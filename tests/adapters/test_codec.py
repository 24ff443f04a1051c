"""Payloads are sealed on their way to Temporal, and what was never sealed still passes."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from adapters import codec
from adapters.codec import Codec
from domain.errors import Refused

TODAY = date(2026, 11, 21)
CANARY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@dataclass(frozen=True)
class Note:
    recipient: str
    amount: str


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    codec.create(tmp_path / "codec.json", TODAY)
    return tmp_path / "codec.json"


async def test_a_value_comes_back_as_it_went_and_nothing_shows_on_the_way(keys: Path) -> None:
    converter = codec.data_converter(keys)
    [payload] = await converter.encode([Note(CANARY, "340282366920938463463374607431768211457")])
    assert payload.metadata["encoding"] == b"binary/encrypted"
    assert CANARY.encode() not in payload.SerializeToString()
    assert await converter.decode([payload], [Note]) == [Note(CANARY, "340282366920938463463374607431768211457")]


def test_every_run_of_a_workflow_reads_with_the_same_readers(keys: Path) -> None:
    """The SDK makes a payload converter for each run; making the readers of our types anew is what that would cost."""
    converter = codec.data_converter(keys)
    one, other = converter.payload_converter_class(), converter.payload_converter_class()
    assert isinstance(one, codec.Converter)
    assert isinstance(other, codec.Converter)
    assert one.converters[b"json/plain"] is other.converters[b"json/plain"]


async def test_failures_say_their_code_and_seal_the_rest(keys: Path) -> None:
    converter, failure = codec.data_converter(keys), Failure()
    error = ApplicationError(f"paying {CANARY}", {"to": CANARY}, "Refused", type="SIGNER_QUORUM", non_retryable=True)
    await converter.encode_failure(error, failure)
    assert CANARY.encode() not in failure.SerializeToString()
    assert failure.application_failure_info.type == "SIGNER_QUORUM"
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert back.message == f"paying {CANARY}"
    assert back.details[0] == {"to": CANARY}


async def test_the_same_value_never_looks_the_same_twice(keys: Path) -> None:
    sealed = await Codec(keys).encode([Payload(data=b"x")] * 50)
    assert len({payload.data for payload in sealed}) == 50


async def test_what_was_never_sealed_passes_through(keys: Path) -> None:
    typed = Payload(metadata={"encoding": b"json/plain"}, data=b'"approve"')
    assert await Codec(keys).decode([typed, Payload()]) == [typed, Payload()]


async def test_after_a_rotation_old_and_new_are_read(keys: Path) -> None:
    before = Codec(keys)
    [old] = await before.encode([Payload(data=b"old")])
    id_ = codec.rotate(keys, TODAY)
    after = Codec(keys)
    [new] = await after.encode([Payload(data=b"new")])
    assert new.metadata["encryption-key-id"] == id_.encode()
    assert [p.data for p in await after.decode([old, new])] == [b"old", b"new"]
    assert [p.data for p in await before.decode([new, old])] == [b"new", b"old"], "without a restart"


async def test_a_key_that_was_thrown_away_is_named(keys: Path, tmp_path: Path) -> None:
    [payload] = await Codec(keys).encode([Payload(data=b"x")])
    codec.create(tmp_path / "other.json", TODAY)
    with pytest.raises(Refused, match="CODEC_KEY_UNKNOWN") as caught:
        await Codec(tmp_path / "other.json").open([payload])
    assert caught.value.facts["key_id"] == payload.metadata["encryption-key-id"].decode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(bit=st.integers(0, 8 * 60))
async def test_no_bit_of_a_sealed_payload_is_free(keys: Path, bit: int) -> None:
    [payload] = await Codec(keys).encode([Payload(metadata={"encoding": b"json/plain"}, data=b"0123456789")])
    data = bytearray(payload.data)
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    payload.data = bytes(data)
    with pytest.raises(Refused, match="CODEC_SEAL_BROKEN"):
        await Codec(keys).open([payload])


async def test_a_payload_does_not_open_under_another_keys_name(keys: Path) -> None:
    """The name is bound into the seal: even the right key does not open what was sealed under another name."""
    name_twice(keys)
    [payload] = await Codec(keys).encode([Payload(data=b"x")])
    payload.metadata["encryption-key-id"] = b"alias"
    with pytest.raises(Refused, match="CODEC_SEAL_BROKEN"):
        await Codec(keys).open([payload])


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
async def test_a_payload_cut_short_is_refused(keys: Path, length: int) -> None:
    [payload] = await Codec(keys).encode([Payload(data=b"x")])
    payload.data = payload.data[:length]
    with pytest.raises(Refused, match="CODEC_SEAL_BROKEN"):
        await Codec(keys).open([payload])


async def test_the_codec_server_speaks_temporals_json(keys: Path) -> None:
    sealer = Codec(keys)
    body = b'{"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "ImhlbGxvIg=="}]}'
    sealed = await codec.encode_payloads(sealer, body)
    assert b"ImhlbGxvIg==" not in sealed
    assert json.loads(await codec.decode_payloads(sealer, sealed)) == json.loads(body)
    assert json.loads(await codec.decode_payloads(sealer, b"{}")) == json.loads(b"{}")


@pytest.mark.parametrize("body", [b"", b"5", b"{", b'{"payloads": 1}', b'{"other": []}', b"\xff", b"[" * 5000])
async def test_a_body_of_another_form_is_refused(keys: Path, body: bytes) -> None:
    with pytest.raises(Refused, match="CODEC_BODY_MALFORMED"):
        await codec.decode_payloads(Codec(keys), body)


def test_keys_are_made_once_and_for_their_owner_alone(keys: Path) -> None:
    before = keys.read_bytes()
    codec.create(keys, TODAY)
    assert keys.read_bytes() == before
    assert keys.stat().st_mode & 0o777 == 0o600
    keys.chmod(0o644)
    with pytest.raises(Refused, match="CODEC_KEYS_EXPOSED"):
        Codec(keys)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"active": "a", "keys": {}}', '{"active": "a", "keys": {"a": "12"}}', '{"active": 1, "keys": 2}'],
)
def test_a_keys_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "codec.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Refused, match="CODEC_KEYS_INVALID"):
        Codec(path)


def test_missing_keys_say_where_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="CODEC_KEYS_MISSING"):
        Codec(tmp_path / "none.json")


def test_a_codec_shows_key_names_only(keys: Path) -> None:
    rows = json.loads(keys.read_text())
    assert rows["keys"][rows["active"]] not in repr(Codec(keys)) + repr(vars(Codec(keys)))
    assert rows["active"] in repr(Codec(keys))


async def test_an_empty_list_stays_empty(keys: Path) -> None:
    wrapper = Payloads()
    await Codec(keys).decode_wrapper(wrapper)
    assert not wrapper.payloads


def name_twice(keys: Path) -> None:
    """Gives the active key a second name."""
    rows = json.loads(keys.read_text())
    rows["keys"]["alias"] = rows["keys"][rows["active"]]
    keys.write_text(json.dumps(rows))


async def test_a_strangers_garbage_stays_sealed_instead_of_stopping_whoever_reads_it(keys: Path) -> None:
    """A workflow reads a signal with its codec: an error there would stop it for good."""
    garbage = Payload(metadata={"encoding": codec.ENCODING, "encryption-key-id": b"nobody"}, data=b"\x00" * 40)
    assert await Codec(keys).decode([garbage]) == [garbage]
