"""Reading signals. Anybody with access to the workflow service can send one, of any shape; what cannot be read is named
and changes nothing. A handler therefore takes `*words: Any`: with a typed parameter the worker would drop a letter it
cannot parse unseen, and a letter with two payloads would stop the workflow for good.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from pydantic import TypeAdapter, ValidationError

from activities.stories import PayoutOrder
from domain.intent import Decision, Ruling
from domain.ports import Conclusion
from domain.procedure import ENDORSEMENTS_MAX, TEXT_CHARS_MAX, Endorsed
from domain.withdrawal import ENDS, Stage

NAME_MAX = 64
TEXT_MAX = 200
_HASH = re.compile(r"^[0-9a-f]{64}$")
_SIGNATURE = re.compile(r"^[0-9a-f]{128}$")
_PLAN = TypeAdapter(PayoutOrder)
_ENDORSED = TypeAdapter(Endorsed)


class Unreadable(Exception):
    """A letter that is none. The text says what was expected, never what came."""


def decision(words: Sequence[Any], ruling: Ruling) -> Decision:
    """An approver's word: `{"approver", "intent_hash", "signature"}`; a `ruling` inside must be the signal's own."""
    letter = _only(words)
    if letter.get("ruling", ruling.value) != ruling.value:
        raise Unreadable(f"a decision signed as something else arrived as {ruling.value}")
    intent_hash, signature = _text(letter, "intent_hash").lower(), _text(letter, "signature").lower()
    if not _HASH.match(intent_hash) or not _SIGNATURE.match(signature):
        raise Unreadable("intent_hash must be 64 and signature 128 hex digits")
    return Decision(_text(letter, "approver", NAME_MAX), ruling, intent_hash, signature)


def plea(words: Sequence[Any]) -> tuple[str, str]:
    """Who asks to cancel, and why: `{"actor", "reason"}`; both may be missing."""
    if not words or words[0] is None:
        return "signal", ""
    letter = _only(words)
    return str(letter.get("actor") or "signal")[:NAME_MAX], str(letter.get("reason") or "")[:TEXT_MAX]


def endorsed(words: Sequence[Any]) -> Endorsed:
    """A procedure with its endorsements: `{"procedure": {...}, "endorsements": [...]}`."""
    try:
        found = _ENDORSED.validate_python(_only(words))
    except ValidationError as why:
        raise Unreadable(f"a procedure was expected; {why.error_count()} fields are none") from None
    texts = [*astuple(found.procedure), *(text for word in found.endorsements for text in astuple(word))]
    if len(found.endorsements) > ENDORSEMENTS_MAX or not all(_shown(text) for text in texts):
        raise Unreadable(f"a procedure's texts are printable and of at most {TEXT_CHARS_MAX} characters")
    return found


def _shown(text: str) -> bool:
    return len(text) <= TEXT_CHARS_MAX and text.isprintable()


def conclusion(words: Sequence[Any], withdrawal_id: str) -> Conclusion:
    """How this withdrawal ended. Raises Unreadable for another one's end and for what is no end."""
    letter = _only(words)
    if letter.get("withdrawal_id") != withdrawal_id:
        raise Unreadable("the conclusion of another withdrawal")
    stage = letter.get("stage")
    if stage not in {end.value for end in ENDS}:
        raise Unreadable("a stage that ends nothing")
    txid = letter.get("txid")
    return Conclusion(withdrawal_id, Stage(stage), str(letter.get("reason") or ""), str(txid) if txid else None)


def plan(words: Sequence[Any], withdrawal_id: str) -> PayoutOrder:
    """The slot that this withdrawal, and no other, was bound to. Raises Unreadable for anything else."""
    try:
        order = _PLAN.validate_python(_only(words))
    except ValidationError as why:
        raise Unreadable(f"a planned slot was expected; {why.error_count()} fields are none") from None
    if [payment.withdrawal_id for payment in order.slot.payments] != [withdrawal_id]:
        raise Unreadable("the slot of another withdrawal")
    return order


def _only(words: Sequence[Any]) -> Mapping[str, Any]:
    if len(words) != 1 or not isinstance(words[0], dict):
        raise Unreadable("one JSON object was expected")
    return words[0]


def _text(letter: Mapping[str, Any], key: str, most: int = TEXT_MAX) -> str:
    value = letter.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise Unreadable(f"{key} must be text of at most {most} characters")
    return value.strip()
