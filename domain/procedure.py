"""What people may do about something that is stuck: a procedure, endorsed by name and signature, and recorded for ever.

A procedure says what is to be done with which subject, why, and what it rests on. Its canonical form and hash are made
as an intent's are; an endorsement is an approver's Ed25519 signature over the statement below, which no decision about
a payment can be read as.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

TEXT_CHARS_MAX = 500
ENDORSEMENTS_MAX = 16
PROVEN = "PROVEN"
_PROCEDURE_LINE = b"strongroom/procedure/v1\n"
_ENDORSEMENT_LINE = b"strongroom/endorsement/v1\n"


class Kind(StrEnum):
    """What a procedure does. NEEDED says how many different people it takes."""

    SPEED_UP = "SPEED_UP"
    VOID = "VOID"
    RESUME = "RESUME"
    REPLAN = "REPLAN"


NEEDED: Mapping[Kind, int] = {
    Kind.SPEED_UP: 1,  # one more version within the caps that hold for every version
    Kind.VOID: 2,
    Kind.RESUME: 2,
    Kind.REPLAN: 2,
}
SENTENCE: Mapping[Kind, str] = {
    Kind.SPEED_UP: "Offer the network a higher fee for this slot now, within its caps.",
    Kind.VOID: "Replace this slot's payments by a transaction that pays nobody; an older version may still win.",
    Kind.RESUME: "Let this halted hot wallet plan payments again.",
    Kind.REPLAN: "Give this slot up, which a stranger's transaction consumed, and pay its payments from another slot.",
}


@dataclass(frozen=True, slots=True)
class Procedure:
    """`subject`: a slot's id, or "network/wallet" for RESUME. `rests_on`: the evidence that people looked into, which
    must still be what stands: for RESUME why the wallet is halted, for REPLAN the stranger's txid; empty where nothing
    is claimed. `asked_at` (UTC, ISO 8601) tells two askings of the same thing apart.
    """

    kind: str
    subject: str
    reason: str
    rests_on: str
    asked_at: str

    def canonical(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def hash(self) -> str:
        """SHA-256 over the canonical form, 64 lower-case hex digits."""
        return hashlib.sha256(_PROCEDURE_LINE + self.canonical()).hexdigest()


@dataclass(frozen=True, slots=True)
class Endorsement:
    """One approver's word for one procedure: the Ed25519 signature (128 hex digits) over name and hash."""

    approver: str
    procedure_hash: str
    signature: str

    def statement(self) -> bytes:
        return statement(self.approver, self.procedure_hash)


@dataclass(frozen=True, slots=True)
class Endorsed:
    """A procedure with the endorsements that came with it, worth something or not."""

    procedure: Procedure
    endorsements: tuple[Endorsement, ...]


def endorsable(text: str) -> str:
    """The text as people can read it, and so endorse it: printable, of at most TEXT_CHARS_MAX characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_CHARS_MAX])


def statement(approver: str, procedure_hash: str) -> bytes:
    """The bytes an approver signs: a line each for the domain, the approver's name and the hash."""
    return _ENDORSEMENT_LINE + f"{approver}\n{procedure_hash}".encode()


def worths(endorsed: Endorsed, verify: Callable[[Endorsement], str]) -> list[str]:
    """What each endorsement is worth, in their order: COUNTED, or why it counts for nothing (STRANGER, BAD_SIGNATURE,
    OTHER_PROCEDURE, REPEAT). `verify`: the roster's word for a signature, empty when it is good.
    """
    hash_, heard, found = endorsed.procedure.hash(), set[str](), []
    for endorsement in endorsed.endorsements:
        if endorsement.procedure_hash != hash_:
            worth = "OTHER_PROCEDURE"
        elif not (worth := verify(endorsement)):
            worth = "REPEAT" if endorsement.approver in heard else "COUNTED"
            heard.add(endorsement.approver)
        found.append(worth)
    return found


def endorsers(endorsed: Endorsed, worth: Iterable[str]) -> list[str]:
    """Whose word counted, by name."""
    named = zip(endorsed.endorsements, worth, strict=True)
    return sorted(endorsement.approver for endorsement, code in named if code == "COUNTED")


def needed(procedure: Procedure) -> int | None:
    """How many different people this procedure takes; None for a kind that does not exist."""
    return NEEDED[Kind(procedure.kind)] if procedure.kind in set(Kind) else None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How things stand when a procedure arrives. `wallet`: "network/wallet", its key's wallet; `slots`: the ids of its
    open slots; `halted`: why it is halted; `only_time_decides`: where no version can take another's place on the
    network; `used`: this very procedure was taken before; `proof`: what the chain said when it was asked whether the
    named stranger consumed the slot (`domain.payout.consumption`), "" when nobody asked.
    """

    wallet: str
    slots: frozenset[str]
    halted: str | None
    only_time_decides: bool
    used: bool
    proof: str = ""


def code(endorsed: Endorsed, worth: Iterable[str], now: Circumstances) -> str:
    """TAKEN, or why nothing is done."""
    procedure, people = endorsed.procedure, needed(endorsed.procedure)
    if people is None or not _readable(endorsed):
        return "PROCEDURE_MALFORMED"
    if len(endorsers(endorsed, worth)) < people:
        return "ENDORSEMENTS_MISSING"
    if now.used:
        return "PROCEDURE_USED"
    if procedure.kind == Kind.RESUME:
        return _resumption(procedure, now)
    return _replanning(procedure, now) if procedure.kind == Kind.REPLAN else _replacing(procedure, now)


WHY_NOT: Mapping[str, str] = {
    "PROCEDURE_MALFORMED": "This is no procedure: it needs a known kind, a subject and a reason, each a short text.",
    "ENDORSEMENTS_MISSING": "Too few different people of the roster endorsed this very procedure.",
    "PROCEDURE_USED": "This procedure was carried out before; ask anew and have that endorsed.",
    "SLOT_NOT_OPEN": "The hot wallet has no such open slot; look at `strongroom payout list`.",
    "ONLY_TIME_DECIDES": "No price and no transaction takes a version's place on this network; only time ends it.",
    "SUBJECT_UNKNOWN": "The procedure is about another wallet.",
    "NOT_HALTED": "The wallet is not halted.",
    "NOTHING_TO_CONSUME": "No stranger can take a slot here: time ends every version, and then the next one is "
    "signed by itself. Resume the wallet instead.",
    "CONSUMPTION_UNPROVEN": "The nodes do not prove that a stranger consumed the slot at final depth; ask again later.",
    "CONSUMER_OTHER": "The nodes prove that another transaction consumed the slot than the endorsed one; look again.",
    "CONSUMER_OURS": "A version of ours consumed the slot, or is in a block: the slot ends by itself.",
    "EVIDENCE_CHANGED": "The wallet is halted for another reason than the one that was endorsed; look again.",
}


def _resumption(procedure: Procedure, now: Circumstances) -> str:
    if procedure.subject != now.wallet:
        return "SUBJECT_UNKNOWN"
    if now.halted is None:
        return "NOT_HALTED"
    return "TAKEN" if procedure.rests_on == now.halted else "EVIDENCE_CHANGED"


def _replacing(procedure: Procedure, now: Circumstances) -> str:
    if procedure.subject not in now.slots:
        return "SLOT_NOT_OPEN"
    return "ONLY_TIME_DECIDES" if now.only_time_decides else "TAKEN"


def _replanning(procedure: Procedure, now: Circumstances) -> str:
    if procedure.subject not in now.slots:
        return "SLOT_NOT_OPEN"
    if now.only_time_decides:
        return "NOTHING_TO_CONSUME"
    return "TAKEN" if now.proof == PROVEN else now.proof or "CONSUMPTION_UNPROVEN"


def _readable(endorsed: Endorsed) -> bool:
    texts = asdict(endorsed.procedure)
    optional = texts.pop("rests_on")
    return (
        len(endorsed.endorsements) <= ENDORSEMENTS_MAX
        and all(0 < len(text) <= TEXT_CHARS_MAX and "\x00" not in text for text in texts.values())
        and len(optional) <= TEXT_CHARS_MAX
        and "\x00" not in optional
    )
