"""A withdrawal's life: its stages with a sentence each, the NEXT table, its ids and its request."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Refused


class Stage(StrEnum):
    """Where a withdrawal stands. The sentence of each is in SENTENCE; what may follow it is in NEXT."""

    REQUESTED = "REQUESTED"
    REFERRED = "REFERRED"
    QUEUED = "QUEUED"
    PLANNED = "PLANNED"
    BROADCAST = "BROADCAST"
    CONFIRMING = "CONFIRMING"
    SETTLED = "SETTLED"
    DECLINED = "DECLINED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


SENTENCE: Mapping[Stage, str] = {
    Stage.REQUESTED: "Accepted at the door and the money held; policy has not judged it yet.",
    Stage.REFERRED: "Policy asks for people: it waits for a quorum of approvers until its deadline.",
    Stage.QUEUED: "Cleared to be paid; the hot wallet will take it as soon as it has room and funds.",
    Stage.PLANNED: "Bound to one slot of the hot wallet and being signed; it can no longer be cancelled.",
    Stage.BROADCAST: "Signed bytes are stored and were offered to the network; only its facts count from here.",
    Stage.CONFIRMING: "Included in a block; waiting until the network's finality for this amount.",
    Stage.SETTLED: "Final on chain, or the recipient is an account here, and settled in the ledger: paid exactly once.",
    Stage.DECLINED: "Policy refused it; the hold was returned.",
    Stage.REJECTED: "An approver rejected it; the hold was returned.",
    Stage.EXPIRED: "No quorum before the deadline; the hold was returned.",
    Stage.CANCELLED: "Cancelled before it was planned; the hold was returned.",
    Stage.FAILED: "Final on chain, and nothing was paid (it failed there, or people voided it): the hold was returned.",
}

NEXT: Mapping[Stage, frozenset[Stage]] = {
    Stage.REQUESTED: frozenset({Stage.REFERRED, Stage.QUEUED, Stage.DECLINED, Stage.CANCELLED}),
    Stage.REFERRED: frozenset({Stage.QUEUED, Stage.REJECTED, Stage.EXPIRED, Stage.CANCELLED}),
    # SETTLED at once, by the transaction that cleared it, when the recipient is an account here: no chain is needed.
    Stage.QUEUED: frozenset({Stage.PLANNED, Stage.CANCELLED, Stage.SETTLED}),
    # From here on back to QUEUED only by the proof that a stranger consumed the slot (REPLAN): it can pay nobody then.
    Stage.PLANNED: frozenset({Stage.BROADCAST, Stage.QUEUED}),
    # No other way back: the coins may already be moving. A reorg takes CONFIRMING back to BROADCAST, by facts.
    Stage.BROADCAST: frozenset({Stage.CONFIRMING, Stage.SETTLED, Stage.FAILED, Stage.QUEUED}),
    Stage.CONFIRMING: frozenset({Stage.BROADCAST, Stage.SETTLED, Stage.FAILED, Stage.QUEUED}),
    Stage.SETTLED: frozenset(),
    Stage.DECLINED: frozenset(),
    Stage.REJECTED: frozenset(),
    Stage.EXPIRED: frozenset(),
    Stage.CANCELLED: frozenset(),
    Stage.FAILED: frozenset(),
}

# Why a withdrawal that was settled has no transaction on any chain.
INTERNAL = "INTERNAL"

ENDS: frozenset[Stage] = frozenset(stage for stage, following in NEXT.items() if not following)
CANCELLABLE: frozenset[Stage] = frozenset(stage for stage, following in NEXT.items() if Stage.CANCELLED in following)


def check_step(old: Stage, new: Stage) -> None:
    """Raises Refused WITHDRAWAL_STAGE unless the table allows `old` -> `new`. Asked by the workflow and again under
    the row lock.
    """
    if new not in NEXT[old]:
        raise Refused("WITHDRAWAL_STAGE", f"A withdrawal that is {old} cannot become {new}.", stage=old.value)


def withdrawal_id(account: str, client_ref: str) -> str:
    """The one id of (account, client_ref), derived: a retry, in a year too, names the same withdrawal."""
    digest = hashlib.sha256(f"strongroom/withdrawal/v1\n{account}\n{client_ref}".encode()).digest()
    return "wd_" + base64.b32encode(digest).decode().lower()[:26]


def hold_key(withdrawal: str) -> str:
    return f"withdrawal/{withdrawal}/hold"


def release_key(withdrawal: str) -> str:
    return f"withdrawal/{withdrawal}/release"


def settle_key(withdrawal: str) -> str:
    return f"withdrawal/{withdrawal}/settle"


def workflow_id(withdrawal: str) -> str:
    return f"withdrawal/{withdrawal}"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal as asked at the door. Amounts are whole base units of `asset` in decimal digits.

    The recipient gets `amount`; `fee` comes on top, so `amount + fee` is held. `recipient` is in the network's
    canonical form.
    """

    id: str
    account: str
    client_ref: str
    network: str
    asset: str
    amount: str
    fee: str
    recipient: str
    requester: str
