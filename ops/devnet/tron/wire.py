"""Protocol Buffers by schema, strictly: what is decoded encodes to the same bytes again, or is refused.

A message is a dict by field names. Absent and default are the same (proto3), so defaults are never written and never
kept; fields are written in ascending order, as protobuf-java does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Message = dict[str, Any]

VARINT, LENGTH = 0, 2
TYPE_URL = "type.googleapis.com/protocol."


class WireError(ValueError):
    """Bytes that are not the canonical form of a message that we know."""


@dataclass(frozen=True)
class Enum:
    """Names of numbers."""

    name: str
    numbers: Mapping[str, int]

    @cached_property
    def names(self) -> dict[int, str]:
        return {number: name for name, number in self.numbers.items()}

    @property
    def default(self) -> str:
        return self.names[0]


@dataclass(frozen=True)
class Field:
    """One field. `kind`: "int", "bool", "bytes", "string", "any", an Enum or a Schema.

    `shown` says how JSON shows bytes when a request is `visible`: as an "address", as "text", or (None) as hex always.
    """

    number: int
    name: str
    kind: "str | Enum | Schema"
    repeated: bool = False
    shown: str | None = None

    @cached_property
    def wire_type(self) -> int:
        return VARINT if isinstance(self.kind, Enum) or self.kind in ("int", "bool") else LENGTH


@dataclass(frozen=True)
class Schema:
    """One message type."""

    name: str
    fields: tuple[Field, ...]

    @cached_property
    def by_number(self) -> dict[int, Field]:
        return {field.number: field for field in self.fields}


ANY = Schema("Any", (Field(1, "type_url", "string"), Field(2, "value", "bytes")))


class Codec:
    """Encodes and decodes; `contracts` are the messages that an Any may hold, by their name."""

    def __init__(self, contracts: Mapping[str, Schema]) -> None:
        self.contracts = contracts

    # ------------------------------------------------------------ out
    def encode(self, schema: Schema, message: Mapping[str, Any]) -> bytes:
        """The canonical bytes. Raises WireError for a field that the schema lacks, or a value that does not fit."""
        if unknown := set(message) - {field.name for field in schema.fields}:
            raise WireError(f"{schema.name} has no {', '.join(sorted(unknown))}")
        out = bytearray()
        for field in schema.fields:
            value = message.get(field.name)
            for one in _several(value) if field.repeated else () if value is None else (value,):
                out += self._field(field, one)
        return bytes(out)

    def _field(self, field: Field, value: Any) -> bytes:
        if field.wire_type == VARINT:
            number = _number(field, value)
            return _varint(field.number << 3) + _varint(number) if number or field.repeated else b""
        body = self._body(field, value)
        is_message = field.kind == "any" or isinstance(field.kind, Schema)
        if not body and not field.repeated and not is_message:
            return b""
        return _varint(field.number << 3 | LENGTH) + _varint(len(body)) + body

    def _body(self, field: Field, value: Any) -> bytes:
        if isinstance(field.kind, Schema):
            return self.encode(field.kind, value)
        if field.kind == "any":
            inner = self.encode(self._contract(value["type_url"]), value.get("value", {}))
            return self.encode(ANY, {"type_url": value["type_url"], "value": inner})
        return value.encode() if field.kind == "string" else bytes(value)

    # ------------------------------------------------------------ in
    def decode(self, schema: Schema, data: bytes) -> Message:
        """The message that these very bytes are. Raises WireError for unknown fields and any other way to write it."""
        message = self._read(schema, data)
        if self.encode(schema, message) != data:
            raise WireError(f"{schema.name}: another way to write the same message")
        return message

    def _read(self, schema: Schema, data: bytes) -> Message:
        message: Message = {}
        for number, wire_type, value in _pieces(data):
            field = schema.by_number.get(number)
            if field is None or field.wire_type != wire_type:
                raise WireError(f"{schema.name}: unexpected field {number} of wire type {wire_type}")
            read = self._value(field, value)
            if field.repeated:
                message.setdefault(field.name, []).append(read)
            elif field.name in message:
                raise WireError(f"{schema.name}: {field.name} twice")
            else:
                message[field.name] = read
        return message

    def _value(self, field: Field, value: int | bytes) -> Any:
        if isinstance(value, int):
            return _plain(field, value - (1 << 64) if value >= 1 << 63 else value)
        if isinstance(field.kind, Schema):
            return self._read(field.kind, value)
        if field.kind == "any":
            return self._read_any(value)
        try:
            return value.decode() if field.kind == "string" else value
        except UnicodeDecodeError as error:
            raise WireError(f"{field.name}: no UTF-8") from error

    def _read_any(self, data: bytes) -> Message:
        pair = self._read(ANY, data)
        schema = self._contract(pair.get("type_url", ""))
        return {"type_url": pair["type_url"], "value": self._read(schema, pair.get("value", b""))}

    def _contract(self, type_url: str) -> Schema:
        schema = self.contracts.get(type_url.removeprefix(TYPE_URL))
        if schema is None or not type_url.startswith(TYPE_URL):
            raise WireError(f"unknown contract {type_url!r}")
        return schema


def _several(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value)


def _number(field: Field, value: Any) -> int:
    try:
        number = field.kind.numbers[value] if isinstance(field.kind, Enum) else int(value)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"{field.name}: {value!r} does not fit") from error
    if not -(1 << 63) <= number < 1 << 63:
        raise WireError(f"{field.name}: {number} is no int64")
    return number


def _plain(field: Field, number: int) -> Any:
    if isinstance(field.kind, Enum):
        if number not in field.kind.names:
            raise WireError(f"{field.name}: {number} is no {field.kind.name}")
        return field.kind.names[number]
    return bool(number) if field.kind == "bool" else number


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _pieces(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        value, at = _read_varint(data, at)
        if wire_type == VARINT:
            yield number, wire_type, value
        elif wire_type == LENGTH:
            if at + value > len(data):
                raise WireError("cut off")
            yield number, wire_type, data[at : at + value]
            at += value
        else:
            raise WireError(f"wire type {wire_type}")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise WireError("a number beyond 64 bits")
            return value, at
    raise WireError("a number beyond 64 bits")
