"""Payloads on their way to Temporal and back: AES-256-GCM, so the server keeps what it cannot read.

A keys file holds the active key, which encrypts, and any older ones, which still decrypt. What was never encrypted (a
signal typed at the command line, say) passes through as it is. Each payload names its key in the clear and the name is
bound into the seal. Nonces are random, so one key is good for some four billion payloads: rotate before that.
"""

import dataclasses
import json
import logging
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from domain.errors import Refused

log = logging.getLogger(__name__)

ENCODING = b"binary/encrypted"
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[0-9a-f]{64}")
_NONCE_BYTES = 12
_BOUND = b"strongroom/codec/v1\n"


class Codec(PayloadCodec):
    """Seals with the key that was active at the start, opens with any key of the file; a key it has never heard of
    makes it read the file again, so a rotation needs no order of restarts.
    """

    def __init__(self, keys_file: Path) -> None:
        self._file = keys_file
        self._active, keys = _read(keys_file)
        self._ciphers = _ciphers(keys)

    def __repr__(self) -> str:
        return f"<codec with keys {', '.join(sorted(self._ciphers))}>"

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads in the clear; one that cannot be opened stays sealed. A workflow's own data then fails to be
        read and is tried again, while a stranger's garbage signal is dropped instead of stopping the workflow for good.
        """
        return [self._opened_or_sealed(payload) for payload in payloads]

    async def open(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads in the clear. Raises Refused CODEC_KEY_UNKNOWN or CODEC_SEAL_BROKEN."""
        return [self._open(payload) for payload in payloads]

    def _opened_or_sealed(self, payload: Payload) -> Payload:
        try:
            return self._open(payload)
        except Refused as refusal:
            log.warning("a payload stays sealed: %s", refusal)
            return payload

    def _seal(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._active].encrypt(nonce, payload.SerializeToString(), _BOUND + self._active.encode())
        return Payload(metadata={"encoding": ENCODING, "encryption-key-id": self._active.encode()}, data=nonce + sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        id_ = payload.metadata.get("encryption-key-id", b"").decode("ascii", "replace")
        cipher = self._ciphers.get(id_) or self._read_again().get(id_)
        if cipher is None:
            raise Refused("CODEC_KEY_UNKNOWN", "Add the old key to the keys file to read this payload.", key_id=id_)
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, _BOUND + id_.encode()))
        except (InvalidTag, ValueError):
            raise Refused("CODEC_SEAL_BROKEN", "The payload was altered or cut short.", key_id=id_) from None

    def _read_again(self) -> Mapping[str, AESGCM]:
        self._ciphers = _ciphers(_read(self._file)[1])
        return self._ciphers


_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())


class Converter(CompositePayloadConverter):
    """pydantic's payload converter, with the readers of our types made once for each process: the SDK makes a converter
    for each run of a workflow, and making its readers anew is most of what reading would cost.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


def data_converter(keys_file: Path) -> DataConverter:
    """What every client and worker of ours speaks to Temporal with; failures' messages and traces are sealed too.

    Raises Refused CODEC_KEYS_MISSING, CODEC_KEYS_EXPOSED or CODEC_KEYS_INVALID.
    """
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=Converter,
        payload_codec=Codec(keys_file),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def create(keys_file: Path, today: date) -> None:
    """Makes a keys file with one new key, 0600; leaves an existing one as it is."""
    if not keys_file.exists():
        _add(keys_file, {}, today)


def rotate(keys_file: Path, today: date) -> str:
    """Adds a key and makes it the active one for processes that start from now on; the old ones go on decrypting, for
    as long as histories sealed with them are kept. Returns its id.
    """
    return _add(keys_file, _read(keys_file)[1], today)


async def encode_payloads(codec: Codec, body: bytes) -> bytes:
    """The codec server's /encode: JSON of Payloads in, JSON out. Raises Refused CODEC_BODY_MALFORMED."""
    return _write_body(await codec.encode(_read_body(body)))


async def decode_payloads(codec: Codec, body: bytes) -> bytes:
    """The codec server's /decode. Raises Refused CODEC_BODY_MALFORMED, CODEC_KEY_UNKNOWN or CODEC_SEAL_BROKEN."""
    return _write_body(await codec.open(_read_body(body)))


def _read_body(body: bytes) -> Sequence[Payload]:
    try:
        return json_format.Parse(body, Payloads()).payloads
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        raise Refused("CODEC_BODY_MALFORMED", 'Send {"payloads": [...]} as Temporal writes it.') from None


def _write_body(payloads: Sequence[Payload]) -> bytes:
    return json_format.MessageToJson(Payloads(payloads=payloads)).encode()


def _read(path: Path) -> tuple[str, Mapping[str, str]]:
    """The active key's id and all keys in hex; everything about them checked."""
    try:
        if path.stat().st_mode & 0o007:
            raise Refused("CODEC_KEYS_EXPOSED", f"Everybody can read {path.name}; chmod 600 it and rotate the key.")
        rows = json.loads(path.read_text(encoding="utf-8"))
        active, keys = rows["active"], rows["keys"]
        sound = all(_KEY_ID.fullmatch(id_) and _KEY.fullmatch(key) for id_, key in keys.items())
    except OSError as error:
        raise Refused(
            "CODEC_KEYS_MISSING", f"No payload keys in {path}: {error.strerror}. `strongroom up` makes them."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        sound, active, keys = False, "", {}
    if not sound or active not in keys:
        raise _invalid(path)
    return active, keys


def _invalid(path: Path) -> Refused:
    return Refused("CODEC_KEYS_INVALID", f'{path.name} must be {{"active": id, "keys": {{id: 64 hex digits, ...}}}}.')


def _ciphers(keys: Mapping[str, str]) -> Mapping[str, AESGCM]:
    return {id_: AESGCM(bytes.fromhex(key)) for id_, key in keys.items()}


def _add(path: Path, keys: Mapping[str, str], today: date) -> str:
    """Writes the file anew, whole, with one more key in front."""
    id_ = f"{today:%Y%m%d}-{secrets.token_hex(4)}"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"active": id_, "keys": {id_: secrets.token_hex(32), **keys}}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return id_
