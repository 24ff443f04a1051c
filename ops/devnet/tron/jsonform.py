"""Messages as java-tron's JSON: addresses as `41...` hex, or as `T...` when the request is `visible`.

Defaults are left out, with one exception: the type of a contract is printed even when it is number 0.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ops.devnet.tron.keys import ADDRESS_BYTES, address_of, base58_of
from ops.devnet.tron.messages import CODEC, CONTRACT
from ops.devnet.tron.wire import TYPE_URL, Enum, Field, Message, Schema, WireError


def to_json(schema: Schema, message: Mapping[str, Any], visible: bool = False) -> dict[str, Any]:
    """What a node answers for a message."""
    out: dict[str, Any] = {}
    for field in schema.fields:
        value = message.get(field.name)
        if value is None or _is_default(field, value):
            continue
        rows = value if field.repeated else [value]
        shown = [_shown(field, row, visible) for row in rows]
        out[field.name] = shown if field.repeated else shown[0]
    return _contract_json(out, message) if schema is CONTRACT else out


def from_json(schema: Schema, words: Mapping[str, Any], visible: bool = False) -> Message:
    """The message that somebody describes. Unknown words are passed over, as java-tron does.

    Raises ValueError or KeyError for what does not fit.
    """
    message: Message = {}
    for field in schema.fields:
        value = words.get(field.name)
        if value is None:
            continue
        rows = [_meant(field, row, visible) for row in (value if field.repeated else [value])]
        message[field.name] = rows if field.repeated else rows[0]
    return message


def _is_default(field: Field, value: Any) -> bool:
    if field.repeated:
        return not value
    if isinstance(field.kind, Enum):
        return bool(value == field.kind.default)
    return not value if not isinstance(field.kind, Schema) else False


def _shown(field: Field, value: Any, visible: bool) -> Any:
    if field.kind == "bytes":
        if visible and field.shown == "address" and len(value) == ADDRESS_BYTES:
            return base58_of(value)
        return value.decode(errors="replace") if visible and field.shown == "text" else value.hex()
    if field.kind == "any":
        schema = CODEC.contracts[value["type_url"].removeprefix(TYPE_URL)]
        return {"value": to_json(schema, value["value"], visible), "type_url": value["type_url"]}
    return to_json(field.kind, value, visible) if isinstance(field.kind, Schema) else value


def _contract_json(out: dict[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """java-tron prints these three by hand, whatever else stands there."""
    shown = {"parameter": out.get("parameter"), "type": message.get("type", "AccountCreateContract")}
    return {**shown, "Permission_id": out["Permission_id"]} if out.get("Permission_id", 0) > 0 else shown


def _meant(field: Field, value: Any, visible: bool) -> Any:
    if isinstance(field.kind, Enum):
        return _enum_name(field.kind, value)
    if isinstance(field.kind, Schema):
        return from_json(field.kind, value, visible)
    if field.kind == "any":
        return _any_meant(value, visible)
    if field.kind == "bytes":
        return _bytes_meant(field, str(value), visible)
    return _SCALARS[field.kind](value)


def _any_meant(value: Mapping[str, Any], visible: bool) -> Message:
    name = str(value["type_url"]).removeprefix(TYPE_URL)
    if name not in CODEC.contracts:
        raise WireError(f"unknown contract {name}")
    return {"type_url": value["type_url"], "value": from_json(CODEC.contracts[name], value.get("value", {}), visible)}


def _bytes_meant(field: Field, text: str, visible: bool) -> bytes:
    if visible and field.shown == "text":
        return text.encode()
    return address_of(text) if visible and field.shown == "address" else bytes.fromhex(text)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "string": str,
    "bool": lambda value: value if isinstance(value, bool) else str(value).lower() == "true",
}


def _enum_name(kind: Enum, value: Any) -> str:
    if isinstance(value, int):
        return kind.names[value]
    found = next((name for name in kind.numbers if name.lower() == str(value).lower()), None)
    if found is None:
        raise WireError(f"{value!r} is no {kind.name}")
    return found
