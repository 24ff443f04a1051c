"""Cells and records as JSON and back, for the journal and the snapshot. What is packed is read again exactly."""

from dataclasses import fields
from typing import Any

from ops.devnet.tron.ledger import KINDS
from ops.devnet.tron.transaction import Internal, Log, Record

_KINDS = {kind.__name__: kind for kind in (*KINDS, Log, Internal, Record)}
_NAMES = {kind: tuple(row.name for row in fields(kind)) for kind in _KINDS.values()}


def pack(value: Any) -> Any:
    """Bytes become `x<hex>`, text `s<text>`, whole numbers beyond 53 bits `n<decimal>`, tuples lists."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 53) < value < 1 << 53 else f"n{value}"
    if isinstance(value, bytes | str):
        return f"x{value.hex()}" if isinstance(value, bytes) else f"s{value}"
    if isinstance(value, tuple | list):
        return [pack(row) for row in value]
    if isinstance(value, dict):
        return {"": "dict", "is": {key: pack(row) for key, row in value.items()}}
    return {"": type(value).__name__, "is": [pack(getattr(value, name)) for name in _NAMES[type(value)]]}


def unpack(value: Any) -> Any:
    """What was packed. Raises ValueError or KeyError for anything else."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return _text(value)
        case list():
            return tuple(unpack(row) for row in value)
        case {"": "dict", "is": rows}:
            return {key: unpack(row) for key, row in rows.items()}
        case {"": name, "is": rows}:
            return _KINDS[name](*(unpack(row) for row in rows))
    raise ValueError(f"nothing that was packed: {value!r}")


def _text(value: str) -> Any:
    match value[:1]:
        case "x":
            return bytes.fromhex(value[1:])
        case "n":
            return int(value[1:])
    return value[1:]
