"""TRON transactions as bytes and back, strictly: whatever is decoded encodes to the same bytes, or it is refused.

A decoded message is a mapping from the names of `messages.py` to values: bytes, str, int, bool, the name of an
enumeration's choice, a mapping for a nested message, a tuple for a repeated field. A default value is absent.
`Any` is {"type_url": ..., "value": <the decoded contract>}.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, TypeAlias

from adapters.chains.tron import wire
from adapters.chains.tron.messages import (
    ANY,
    BYTES,
    CONTRACT_TYPES,
    FLAG,
    MESSAGES,
    NUMBER,
    TEXT,
    TYPE_URL,
    Choice,
    Field,
    Message,
)
from adapters.chains.tron.wire import Malformed

Decoded: TypeAlias = Mapping[str, Any]

_ANY = (Field(1, "type_url", TEXT), Field(2, "value", BYTES))


def encode(message: str, values: Decoded) -> bytes:
    """The canonical bytes: fields in ascending order, defaults left out. Raises Malformed for a name that the message
    does not have or a value that its field cannot hold.
    """
    out, left = bytearray(), set(values)
    for field in MESSAGES[message]:
        if field.name not in values:
            continue
        left.discard(field.name)
        value = values[field.name]
        for item in value if field.repeated else (value,):
            written = _written(field, item)
            if field.repeated or isinstance(field.kind, Message) or (written not in (0, b"")):
                out += wire.field(field.number, written)
    if left:
        raise Malformed(f"{message} has no field {', '.join(sorted(left))}")
    return bytes(out)


def decode(message: str, data: bytes) -> dict[str, Any]:
    """What the bytes say. Raises Malformed for an unknown field, a field out of order or said twice, a default that is
    spelt out, an unknown choice, text that is not UTF-8, a number not in its shortest form and bytes left over.
    """
    values = _decode(message, MESSAGES[message], data)
    if encode(message, values) != data:
        raise Malformed(f"these bytes are not the canonical form of a {message}")
    return values


def txid(raw: bytes) -> str:
    """The id of the transaction whose `Transaction.raw` has these bytes: their SHA-256, 64 lower-case hex digits."""
    return hashlib.sha256(raw).hexdigest()


def signed(raw: bytes, signature: bytes) -> bytes:
    """The bytes of a Transaction with one signature, `raw` inside untouched."""
    return wire.field(1, raw) + wire.field(2, signature)


def opened(transaction: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """(raw bytes, signatures) of a signed Transaction; nothing else may be in it. Raises Malformed."""
    parts = list(wire.fields(transaction))
    if not parts or [number for number, _ in parts] != [1] + [2] * (len(parts) - 1):
        raise Malformed("a signed transaction is its raw bytes and then signatures")
    texts = [part for _, part in parts if isinstance(part, bytes)]
    if len(texts) != len(parts):
        raise Malformed("a number stands where bytes belong")
    return texts[0], tuple(texts[1:])


def _written(field: Field, value: Any) -> int | bytes:  # noqa: PLR0911 - one line for each kind
    match field.kind:
        case Message() if field.kind is ANY:
            return _any(value)
        case Message(name):
            return encode(name, value)
        case Choice(numbers) if value in numbers:
            return numbers[value]
        case _ if field.kind is BYTES and isinstance(value, bytes):
            return value
        case _ if field.kind is TEXT and isinstance(value, str):
            return value.encode()
        case _ if field.kind is FLAG and isinstance(value, bool):
            return int(value)
        case _ if field.kind is NUMBER and isinstance(value, int) and not isinstance(value, bool):
            return wire.int64(value)
    raise Malformed(f"{field.name} cannot hold {value!r}")


def _any(value: Decoded) -> bytes:
    name = _contract_of(value.get("type_url"))
    inner = encode(name, value.get("value", {}))
    return wire.field(1, value["type_url"].encode()) + (wire.field(2, inner) if inner else b"")


def _contract_of(type_url: Any) -> str:
    name = str(type_url).removeprefix(TYPE_URL)
    if type_url != TYPE_URL + name or name not in CONTRACT_TYPES.numbers:
        raise Malformed(f"{type_url!r} is no contract we know")
    return name


def _decode(message: str, fields: tuple[Field, ...], data: bytes) -> dict[str, Any]:
    by_number = {field.number: field for field in fields}
    values: dict[str, Any] = {}
    last = 0
    for number, written in wire.fields(data):
        field = by_number.get(number)
        if field is None:
            raise Malformed(f"{message} has no field {number}")
        if number < last or (number == last and not field.repeated):
            raise Malformed(f"{message}: field {number} is out of order or said twice")
        last = number
        value = _read(field, written)
        values[field.name] = (*values.get(field.name, ()), value) if field.repeated else value
    return values


def _read(field: Field, written: int | bytes) -> Any:  # noqa: PLR0911 - one line for each kind
    match field.kind:
        case Message() if field.kind is ANY and isinstance(written, bytes):
            return _read_any(written)
        case Message(name) if isinstance(written, bytes):
            return _decode(name, MESSAGES[name], written)
        case Choice() as choice if written in choice.names:
            return choice.names[int(written)]
        case _ if field.kind is BYTES and isinstance(written, bytes):
            return written
        case _ if field.kind is TEXT and isinstance(written, bytes):
            return _text(field, written)
        case _ if field.kind is FLAG and written in (0, 1):
            return bool(written)
        case _ if field.kind is NUMBER and isinstance(written, int):
            return wire.signed(written)
    raise Malformed(f"{field.name} is written as something else")


def _read_any(written: bytes) -> dict[str, Any]:
    box = _decode("Any", _ANY, written)
    name = _contract_of(box.get("type_url"))
    return {"type_url": box["type_url"], "value": _decode(name, MESSAGES[name], box.get("value", b""))}


def _text(field: Field, written: bytes) -> str:
    try:
        return written.decode()
    except UnicodeDecodeError:
        raise Malformed(f"{field.name} is no UTF-8") from None
