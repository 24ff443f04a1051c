"""What the rules need of the world. Each port is implemented by an adapter and by a small true fake; one contract
suite holds both.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.asset import Asset
from domain.intent import Decision, Intent
from domain.money import Amount
from domain.network import Network
from domain.payout import Draft, Facts, Fee, Final, Payment, SigningOrder, Slot, Version
from domain.policy import Verdict
from domain.withdrawal import Stage, Withdrawal


# ---------------------------------------------------------------- chain
class Chain(Protocol):
    """One network, spoken to through its nodes. Every method may raise Unavailable; only `broadcast` may leave doubt."""

    @property
    def network(self) -> Network: ...

    def check_address(self, text: str, asset: Asset) -> str:
        """The canonical form of a recipient for `asset`; pure. Raises Refused ADDRESS_*."""
        ...

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        """A fee that should be included soon, within the network's floors and caps. Raises Refused FEE_ABOVE_CAP,
        PAYMENT_REVERTS.
        """
        ...

    def draft(self, slot: Slot, fee: Fee) -> Draft:
        """The exact unsigned bytes of this slot at this fee; pure and deterministic."""
        ...

    def bump(self, slot: Slot, last: Fee, market: Fee) -> Fee | None:
        """The next version's fee, enough for every node to replace `last`; None when it would pass a cap."""
        ...

    async def broadcast(self, version: Version) -> None:
        """Offers the stored bytes to every node. Returns when at least one took them or had them; raises Uncertain
        when nobody can say,
        Refused BROADCAST_REFUSED only with a node's definite no (which still proves nothing about other versions)."""
        ...

    async def observe(self, slot: Slot, versions: Sequence[Version]) -> Facts:
        """One look at the slot and all of its versions, in the order that makes the facts safe (see Facts)."""
        ...

    async def next_scarce(self, wallet: str) -> tuple[int, int]:
        """(latest, pending) count of transactions the nodes know from `wallet`; the wallet halts if it runs ahead of
        our slots.
        """
        ...

    async def balance(self, asset: Asset, address: str) -> Amount:
        """The balance at the head, agreed by the nodes."""
        ...

    async def head(self) -> int: ...


# ---------------------------------------------------------------- vault
class Vault(Protocol):
    """The signer. Decodes what it signs, compares it with the approved intent, refuses the rest."""

    async def sign(self, order: SigningOrder) -> Version:
        """Deterministic per (slot, fee): the same order gives the same bytes. Raises Refused SIGNER_* and remembers
        why.
        """
        ...


# ---------------------------------------------------------------- books
@dataclass(frozen=True, slots=True)
class Request:
    """A withdrawal as it reaches the books: the withdrawal, and the Idempotency-Key with the SHA-256 of the body it
    came with.
    """

    withdrawal: Withdrawal
    idempotency_key: str
    body_sha256: str
    principal: str
    quote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The door's answer. `replayed`: the same key and body had been answered before."""

    withdrawal_id: str
    stage: Stage
    replayed: bool


@dataclass(frozen=True, slots=True)
class DecisionNote:
    """What became of one decision. `counted` says whether it moves the quorum; `code` says why not (STRANGER,
    FOUR_EYES, ...).
    """

    approver: str
    ruling: str
    counted: bool
    code: str
    approvals: int
    needed: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The stage a withdrawal ended in (or stands at), who or what brought it there, and the stable reason code."""

    withdrawal_id: str
    stage: Stage
    reason: str = ""
    txid: str | None = None


@dataclass(frozen=True, slots=True)
class OpenSlot:
    """An open slot with what its payout needs to begin or go on: items for the signer, versions already stored."""

    slot: Slot
    items: tuple["PayoutItem", ...]
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class PayoutItem:
    """A queued payout: its payment, its intent and the counted approvals that cleared it."""

    payment: Payment
    intent: Intent
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class PlanRefusal:
    """Why a queued payout was not planned now: WALLET_HALTED, IN_FLIGHT_FULL, HOT_WALLET_SHORT, NOT_QUEUED."""

    code: str
    detail: str = ""


class Books(Protocol):
    """The ledger and everything that must change together with it. Every method is one database transaction and
    idempotent.
    """

    async def request_withdrawal(self, request: Request) -> Receipt:
        """Writes idempotency row, withdrawal, first timeline row and hold together, or nothing. Raises Refused
        INSUFFICIENT_FUNDS,
        IDEMPOTENCY_KEY_REUSED (other body), IDEMPOTENCY_IN_PROGRESS, CLIENT_REF_TAKEN (other content),
        ACCOUNT_UNKNOWN.
        """
        ...

    async def judge(self, withdrawal_id: str, now: datetime) -> Verdict:
        """Records the verdict (once; a repeat returns the recorded one) and advances: QUEUED with its payout,
        REFERRED, or DECLINED with the hold returned.
        """
        ...

    async def record_decision(self, withdrawal_id: str, decision: Decision, source: str, now: datetime) -> DecisionNote:
        """Checks roster, signature, intent hash, four eyes, repeats and lateness; records the decision whatever it
        was worth.
        """
        ...

    async def record_malformed(self, withdrawal_id: str, source: str, why: str, now: datetime) -> None:
        """Records that something which was no decision arrived; it changes nothing."""
        ...

    async def queue_payout(self, withdrawal_id: str, now: datetime) -> Conclusion:
        """REFERRED -> QUEUED once the recorded quorum is met; checks the quorum again under the row lock."""
        ...

    async def return_hold(self, withdrawal_id: str, stage: Stage, reason: str, actor: str, now: datetime) -> Conclusion:
        """Releases the hold and ends in `stage` (REJECTED, EXPIRED, CANCELLED, DECLINED). Raises Refused TOO_LATE
        once it was planned:
        the race with `plan_slot` has one winner."""
        ...

    async def queued(self, network: str, wallet: str, limit: int) -> Sequence[PayoutItem]: ...

    async def plan_slot(
        self, network: Network, wallet: str, items: Sequence[PayoutItem], now: datetime
    ) -> Slot | PlanRefusal:
        """Binds the payouts to the wallet's next slot: wallet row locked, scarce number taken, dispatch entry posted,
        stage PLANNED.
        """
        ...

    async def open_slots(self, network: str, wallet: str) -> Sequence[OpenSlot]: ...

    async def store_version(self, version: Version) -> Version:
        """Stores the signed bytes under (slot, number); a repeat returns the stored one. Must be committed before any
        broadcast.
        """
        ...

    async def versions(self, slot_id: str) -> Sequence[Version]: ...

    async def record_facts(self, slot: Slot, facts: Facts) -> None:
        """Keeps the look (when it says something new) and advances BROADCAST <-> CONFIRMING accordingly."""
        ...

    async def record_broadcast(self, slot_id: str, version: Version, now: datetime) -> None:
        """PLANNED -> BROADCAST when a version is about to be offered for the first time."""
        ...

    async def settle(self, slot: Slot, final: Final, now: datetime) -> Sequence[Conclusion]:
        """Closes the slot with its proof, posts the entries, ends every withdrawal in it SETTLED or FAILED; together,
        once.
        """
        ...

    async def halt_wallet(self, network: str, wallet: str, reason: str, now: datetime) -> None: ...

    async def resume_wallet(
        self, network: str, wallet: str, reason: str, actors: Sequence[str], now: datetime
    ) -> None: ...

    async def halted(self, network: str, wallet: str) -> str | None: ...

    def wake_ups(self, network: str, wallet: str) -> AsyncIterator[None]:
        """Yields whenever something was queued for the wallet (and at least every second): a hint, never the truth."""
        ...

    async def concluded(self, withdrawal_id: str) -> Conclusion:
        """Where the withdrawal stands now."""
        ...
