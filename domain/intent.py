"""What you approve is what is signed: the canonical form of a payment, its hash, and an approver's statement over it.

The canonical form is JSON with sorted keys, no spaces and only strings as values (RFC 8785 agrees with it byte for
byte on
such objects). The hash is SHA-256 over a domain-separation line and that form. The approver signs (Ed25519, RFC 8032)
the
statement bytes below, so that an approval can never be read as a rejection, nor either as anything else.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol

_INTENT_LINE = b"strongroom/intent/v1\n"
_DECISION_LINE = b"strongroom/decision/v1\n"


@dataclass(frozen=True, slots=True)
class Intent:
    """One payment exactly as people approve it. Every value is text; amounts are whole base units in decimal digits.

    `amount` is what the recipient gets; `fee_cap` is the most the network may take, in the native coin's base units.
    """

    withdrawal_id: str
    account: str
    network: str
    asset: str
    amount: str
    recipient: str
    fee_cap: str
    requester: str
    policy_version: str

    def canonical(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def hash(self) -> str:
        """SHA-256 over the canonical form, 64 lower-case hex digits."""
        return hashlib.sha256(_INTENT_LINE + self.canonical()).hexdigest()


class Signed(Protocol):
    """Anything a named approver signed: a decision, an endorsement."""

    @property
    def approver(self) -> str: ...

    @property
    def signature(self) -> str: ...

    def statement(self) -> bytes: ...


class Ruling(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decision:
    """One approver's word: the ruling over one intent hash and the Ed25519 signature (128 hex digits) over both."""

    approver: str
    ruling: Ruling
    intent_hash: str
    signature: str

    def statement(self) -> bytes:
        return statement(self.approver, self.ruling, self.intent_hash)


def statement(approver: str, ruling: Ruling, intent_hash: str) -> bytes:
    """The bytes an approver signs: a line each for the domain, the ruling, the approver's name and the hash."""
    return _DECISION_LINE + f"{Ruling(ruling).value}\n{approver}\n{intent_hash}".encode()
