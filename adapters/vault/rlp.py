"""Recursive Length Prefix, strictly: one byte string has one reading, and one reading has one byte string.

The signer reads transactions with this module and with nothing the rest of the house uses to build them, so a slip in
either shows as a refusal. Source: Ethereum Yellow Paper, appendix B.
"""

from collections.abc import Sequence
from typing import TypeAlias

Item: TypeAlias = "bytes | list[Item]"

DEPTH_MAX = 4
_SHORT_MAX = 55
_STRING, _LONG_STRING, _LIST, _LONG_LIST = 0x80, 0xB7, 0xC0, 0xF7


class NotCanonical(ValueError):
    """The bytes are not the one canonical encoding of anything."""


def decode(data: bytes) -> Item:
    """The single item that `data` encodes. Raises NotCanonical, for anything left over after it too."""
    item, end = _read(data, 0, DEPTH_MAX)
    if end != len(data):
        raise NotCanonical(f"{len(data) - end} bytes follow the encoded item")
    return item


def encode(item: bytes | Sequence[Item]) -> bytes:
    """The canonical encoding of a byte string or a list."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < _STRING:
            return item
        return _head(len(item), _STRING) + item
    body = b"".join(encode(inner) for inner in item)
    return _head(len(body), _LIST) + body


def integer(item: Item) -> int:
    """A number as RLP writes it: big-endian without leading zeros, zero as the empty string. Raises NotCanonical."""
    if not isinstance(item, bytes):
        raise NotCanonical("a list stands where a number belongs")
    if item[:1] == b"\0":
        raise NotCanonical("a number begins with a zero byte")
    return int.from_bytes(item, "big")


def of_integer(number: int) -> bytes:
    """The byte string RLP uses for a non-negative number."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _read(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    """The item that begins at `at`, and where it ends."""
    if at >= len(data):
        raise NotCanonical("the bytes end where an item should begin")
    first = data[at]
    if first < _STRING:
        return data[at : at + 1], at + 1
    if first < _LIST:
        begin, end = _span(data, at, _STRING, _LONG_STRING)
        if end - begin == 1 and data[begin] < _STRING:
            raise NotCanonical("a small byte has a needless length prefix")
        return data[begin:end], end
    if depth == 0:
        raise NotCanonical("lists are nested too deeply")
    begin, end = _span(data, at, _LIST, _LONG_LIST)
    return _read_list(data, begin, end, depth - 1), end


def _read_list(data: bytes, begin: int, end: int, depth: int) -> list[Item]:
    items: list[Item] = []
    while begin < end:
        item, begin = _read(data, begin, depth)
        if begin > end:
            raise NotCanonical("an item reaches beyond its list")
        items.append(item)
    return items


def _span(data: bytes, at: int, short: int, long: int) -> tuple[int, int]:
    """Where the payload of the string or list at `at` begins and ends."""
    first = data[at]
    if first <= long:
        begin, length = at + 1, first - short
    else:
        begin = at + 1 + first - long
        digits = data[at + 1 : begin]
        length = int.from_bytes(digits, "big")
        if len(digits) != first - long or digits[:1] == b"\0" or length <= _SHORT_MAX:
            raise NotCanonical("a length is not written in its shortest form")
    if begin + length > len(data):
        raise NotCanonical("a length reaches beyond the bytes")
    return begin, begin + length


def _head(length: int, short: int) -> bytes:
    if length <= _SHORT_MAX:
        return bytes([short + length])
    digits = of_integer(length)
    return bytes([short + _SHORT_MAX + len(digits)]) + digits
