"""Reading a body strictly: bounded before it is parsed, and no JSON that two readers could read differently."""

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from fastapi import Request

from domain.errors import Refused

BODY_BYTES_MAX = 64 * 1024
DEPTH_MAX = 16
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[][{}]")


class StrictRequest(Request):
    """A request whose body is read at most up to BODY_BYTES_MAX bytes and whose JSON means one thing only."""

    async def body(self) -> bytes:
        """Raises Refused BODY_TOO_LARGE while streaming: no more than the limit is ever held."""
        if not hasattr(self, "_body"):
            self._body = await read_bounded(self, BODY_BYTES_MAX)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = strict_json(await self.body())
        return self._json


async def read_bounded(request: Request, bytes_max: int) -> bytes:
    """The body. Raises Refused BODY_TOO_LARGE as soon as it is known to be larger; no more than that is ever held."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > bytes_max:
        raise _too_large(bytes_max)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise _too_large(bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(bytes_max: int) -> Refused:
    return Refused("BODY_TOO_LARGE", f"This call takes no more than {bytes_max // 1024} KiB; send less.")


def is_json(content_type: str) -> bool:
    media, _, _ = content_type.partition(";")
    media = media.strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def strict_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises Refused JSON_*: a key twice, NaN and Infinity, deep nesting, bytes that are not
    UTF-8 and halves of surrogate pairs are refused, because the next reader may take them for something else.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused("JSON_NOT_UTF8", "Encode the body as UTF-8.") from None
    # Looked at before it is parsed: the parser recurses, and a library may have lifted the interpreter's own limit.
    if _depth(text) > DEPTH_MAX:
        raise Refused("JSON_TOO_DEEP", f"Nest no deeper than {DEPTH_MAX} levels.")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except ValueError as error:
        at = f" near character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refused("JSON_MALFORMED", f"Send one JSON object; this is none{at}.") from None
    _check(value, text)
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("JSON_DUPLICATE_KEY", "Write each key once.")
    return found


def _constant(name: str) -> NoReturn:
    raise Refused("JSON_MALFORMED", f"{name} is not JSON.")


def _check(value: Any, text: str) -> None:
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refused("JSON_NOT_UTF8", "Half of a surrogate pair is no character.") from None


def _depth(text: str) -> int:
    """The deepest nesting in a JSON text, well formed or not."""
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return 0
    deepest = depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest
