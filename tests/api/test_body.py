"""A body is read strictly: what two readers could understand differently is refused before anybody understands it."""

import pytest

from api.http.body import DEPTH_MAX, is_json, strict_json
from domain.errors import Refused


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "JSON_MALFORMED"),
        (b"{", "JSON_MALFORMED"),
        (b"{'a': 1}", "JSON_MALFORMED"),
        (b'{"a": NaN}', "JSON_MALFORMED"),
        (b'{"a": -Infinity}', "JSON_MALFORMED"),
        (b'{"a": 1}x', "JSON_MALFORMED"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON_MALFORMED"),
        (b'{"a": "\xff"}', "JSON_NOT_UTF8"),
        (b'{"a": "\\ud800"}', "JSON_NOT_UTF8"),
        (b'{"a": 1, "a": 2}', "JSON_DUPLICATE_KEY"),
        (b'{"a": {"b": 1, "b": 1}}', "JSON_DUPLICATE_KEY"),
        (b'{"a": 1, "\\u0061": 2}', "JSON_DUPLICATE_KEY"),
        (b"[" * 60_000, "JSON_TOO_DEEP"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "JSON_TOO_DEEP"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "JSON_TOO_DEEP"),
    ],
)
def test_ambiguous_json_is_refused_with_its_own_code(raw: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        strict_json(raw)
    assert refused.value.code == code


def test_plain_json_is_read_as_it_is() -> None:
    raw = '{"a": "ก", "b": [1, {"c": null}], "d": "\\ud83d\\ude00"}'.encode()
    assert strict_json(raw) == {"a": "ก", "b": [1, {"c": None}], "d": "😀"}
    wide = b"[" + b"[]," * 500 + b"[]]"
    assert len(strict_json(wide)) == 501, "many brackets side by side are not deep"


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/problem+json", True),
        ("text/plain", False),
        ("", False),
        ("application/x-www-form-urlencoded", False),
        ("text/json", False),
    ],
)
def test_only_json_counts_as_json(content_type: str, json: bool) -> None:
    assert is_json(content_type) is json
