"""The wire format of Protocol Buffers as far as TRON uses it: varints and length-delimited bytes, in one spelling only.

Source: protobuf.dev/programming-guides/encoding. Protobuf lets one value be written in many ways; a transaction's id is
a hash of the bytes, so every way but the canonical one is refused here.
"""

from collections.abc import Iterator

VARINT, BYTES = 0, 2
_VARINT_BYTES_MAX = 10
_FIELD_MAX = 2**29 - 1


class Malformed(ValueError):
    """The bytes are not the canonical form of anything we know."""


def varint(value: int) -> bytes:
    """An unsigned 64-bit number, seven bits a byte, the low ones first."""
    if not 0 <= value < 2**64:
        raise Malformed(f"{value} does not fit 64 bits")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def int64(value: int) -> int:
    """A signed number as the unsigned one that stands for it on the wire."""
    if not -(2**63) <= value < 2**63:
        raise Malformed(f"{value} does not fit a signed 64-bit field")
    return value % 2**64


def signed(value: int) -> int:
    """The other way round."""
    return value - 2**64 if value >= 2**63 else value


def field(number: int, value: int | bytes) -> bytes:
    """One field with its key."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of every field, in the order of the bytes; a varint unsigned. Raises Malformed for a varint that
    is longer than need be, a wire type TRON does not use, and bytes that end too early.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if not 0 < number <= _FIELD_MAX:
            raise Malformed(f"{number} is no field number")
        value, at = _varint(data, at)
        if kind == VARINT:
            yield number, value
        elif kind == BYTES:
            if at + value > len(data):
                raise Malformed(f"field {number} ends after its message")
            yield number, data[at : at + value]
            at += value
        else:
            raise Malformed(f"field {number} has wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for turn in range(_VARINT_BYTES_MAX):
        if at >= len(data):
            raise Malformed("the bytes end inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * turn
        if byte < 0x80:
            if (turn and not byte) or value >= 2**64:
                raise Malformed("a number is not in its shortest form")
            return value, at
    raise Malformed("a number has more than ten bytes")
