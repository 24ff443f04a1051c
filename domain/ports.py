"""What the rules need of the world. Each port is implemented by an adapter and by a small true fake; one contract
suite holds both.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.asset import Asset
from domain.coin import BlockMark, Coin, CoinBlock, Fate
from domain.fee import NetworkCost
from domain.intent import Decision, Intent, Signed
from domain.money import Amount
from domain.network import Network
from domain.outgoing import Outgoing
from domain.payout import Consumption, Draft, Facts, Fee, Final, Payment, SigningOrder, Slot, Version
from domain.policy import Verdict
from domain.procedure import Endorsed
from domain.withdrawal import Stage, Withdrawal


# ---------------------------------------------------------------- chain
class Chain(Protocol):
    """One network, spoken to through its nodes. Every method may raise Unavailable; only `broadcast` leaves doubt."""

    @property
    def network(self) -> Network: ...

    def check_address(self, text: str, asset: Asset) -> str:
        """The canonical form of a recipient for `asset`; pure. Raises Refused ADDRESS_*."""
        ...

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        """A fee that should be included soon, within the network's floors and caps, for this very call simulated from
        `wallet`. Raises Refused PAYMENT_REVERTS (the payment can never work as it is) or ADDRESS_CONTRACT (the
        recipient is code that cannot be paid), Refused FEE_ABOVE_CAP and Unavailable WALLET_SHORT (both pass by
        themselves: the payment waits).
        """
        ...

    async def fund(self, payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        """The coins of `wallet` that pay `payments` at the price of `fee`, the anchor first: confirmed ones that no
        slot has taken. Empty where a wallet is one account. Raises Unavailable WALLET_SHORT.
        """
        ...

    async def inspect(self, recipient: str, asset: Asset) -> None:
        """What only the network knows of a recipient in canonical form. Raises Refused ADDRESS_CONTRACT where it is
        code that cannot be paid.
        """
        ...

    async def explain(self, amount: Amount, recipient: str | None, wallet: str) -> NetworkCost:
        """What paying `amount` would cost and where that comes from, for this very payment simulated from `wallet`;
        without a recipient, to somebody the network does not know yet, which is the dearest. Raises as `quote` does.
        """
        ...

    async def market(self, weight: int) -> Fee:
        """What `weight` units of gas cost now, without a simulation: for the bump of a version already out. Raises
        Refused FEE_ABOVE_CAP.
        """
        ...

    async def draft(self, slot: Slot, fee: Fee) -> Draft:
        """The exact unsigned bytes of this slot at this fee: always the same, or, where a version ends by time, the
        same for the same head of the network. Raises Refused FEE_ABOVE_CAP.
        """
        ...

    def bump(self, slot: Slot, last: Fee, market: Fee) -> Fee | None:
        """The next version's fee, enough for every node to replace `last`; None when it would pass a cap, or where no
        price replaces anything.
        """
        ...

    async def void(self, slot: Slot, last: Fee | None) -> Draft:
        """The bytes of a version of this slot that pays nobody, at a fee that replaces `last` (the highest signed so
        far, None before any). Raises Refused FEE_ABOVE_CAP, and ONLY_TIME_DECIDES where no transaction takes another's
        place.
        """
        ...

    async def broadcast(self, version: Version) -> None:
        """Offers the stored bytes to every node. Returns when at least one took them or had them; raises Uncertain
        BROADCAST_UNKNOWN when nobody can say, Refused only with the nodes' definite no, which proves nothing about
        what is or will be mined: BROADCAST_UNDERPRICED, BROADCAST_SLOT_USED, BROADCAST_SLOT_AHEAD (lower slots first),
        BROADCAST_WALLET_SHORT, BROADCAST_EXPIRED, BROADCAST_REFUSED. Look again after each of them; only a look
        decides.
        """
        ...

    async def observe(self, slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        """One look at the slot and all of its versions, in the order that makes the facts safe (see Facts). `suspect`:
        a transaction that is said to have consumed the slot; where to look, and no proof.
        """
        ...

    async def next_scarce(self, wallet: str) -> tuple[int, int]:
        """(latest, pending) count of transactions the nodes know from `wallet`, the highest any of them says; the
        wallet halts if it runs ahead of our slots (`domain.payout.foreign_use`). (0, 0) where the network does not
        count.
        """
        ...

    async def outgoing(self, wallet: str, after: int | None) -> Outgoing:
        """What `wallet` sent in the final blocks above block `after`, all of them read without a gap up to `through`
        and no more in one call than is quick; where reading begins when `after` is None. It says nothing (`through`
        is `after`) while final blocks cannot be read whole, or the nodes disagree. `through` is None where
        `next_scarce` already shows what there is to show.
        """
        ...

    async def balance(self, asset: Asset, address: str) -> Amount:
        """The balance at the head; every node must answer and the lowest answer counts."""
        ...

    async def head(self) -> int: ...


# ---------------------------------------------------------------- coins
class Coins(Protocol):
    """The coins of our wallets on one network as canonical blocks made and spent them: a projection of blocks read
    whole, which a reorganisation undoes and redoes in one transaction. Every method raises Unavailable when the store
    does not answer.
    """

    async def tip(self) -> BlockMark | None:
        """The last block applied; None before `seed`."""
        ...

    async def wallets(self) -> Mapping[str, bool]:
        """Our wallets on this network by address, and whether each was seeded."""
        ...

    async def marks(self, above: int) -> Sequence[BlockMark]:
        """The canonical blocks known above height `above`, newest first."""
        ...

    async def seed(self, mark: BlockMark, coins: Mapping[str, Sequence[tuple[Coin, int]]]) -> None:
        """The beginning of each wallet (by address): at `mark` it had these unspent coins, each with the height that
        created it. A wallet that was seeded before keeps what it has. Raises Refused COINS_MOVED_ON when there is a
        tip and it is not `mark`.
        """
        ...

    async def apply(self, keep: BlockMark, blocks: Sequence[CoinBlock]) -> None:
        """In one transaction: what blocks above `keep` did is undone (they are kept as orphans), then `blocks` are
        applied, which link to `keep` and to each other. Raises Refused COINS_MOVED_ON when `keep` is not canonical
        here any more or the tip is already one of `blocks` (somebody else was quicker: read the tip again).
        """
        ...

    async def free(self, wallet: str, through: int) -> Sequence[Coin]:
        """Coins created at or below height `through`, not spent, taken by no slot; mined ones only when 100 deep."""
        ...

    async def fates(self, outpoints: Sequence[str]) -> Sequence[Fate]:
        """What is known of each outpoint, in their order; an unknown one has a fate of Nones."""
        ...

    async def spenders(self, wallet: str, after: int, through: int) -> Sequence[str]:
        """The txids that spent coins of `wallet` in canonical blocks of heights in (after, through], each once."""
        ...


# ---------------------------------------------------------------- vault
class Vault(Protocol):
    """The signer. Decodes what it signs, compares it with the approved intent, refuses the rest."""

    async def sign(self, order: SigningOrder) -> Version:
        """Deterministic per (slot, fee): the same order gives the same bytes. Where only time excludes two versions, an
        order that does not name every earlier version as dead (`Draft.after`) gives the last one again. Raises Refused
        SIGNER_* and remembers why.
        """
        ...


# ---------------------------------------------------------------- roster
class Roster(Protocol):
    """Who may approve, with their public keys."""

    def verify(self, word: Signed) -> str:
        """Empty when the named approver is on the roster and signed this very statement; else STRANGER or
        BAD_SIGNATURE. Raises Unavailable ROSTER_UNREADABLE: a roster nobody can read clears and accuses nobody.
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
class ProcedureNote:
    """What became of one procedure. `code` is TAKEN, or why nothing is done (ENDORSEMENTS_MISSING, EVIDENCE_CHANGED,
    ...); `endorsers` are those whose word counted, of the `needed` different people.
    """

    hash: str
    code: str
    endorsers: tuple[str, ...]
    needed: int

    @property
    def taken(self) -> bool:
        return self.code == "TAKEN"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The stage a withdrawal ended in (or stands at), who or what brought it there, and the stable reason code."""

    withdrawal_id: str
    stage: Stage
    reason: str = ""
    txid: str | None = None


@dataclass(frozen=True, slots=True)
class OpenSlot:
    """An open slot with what its payout needs to begin or go on: items for the signer, versions already stored, the
    procedure that people endorsed to void it, if they did.
    """

    slot: Slot
    items: tuple["PayoutItem", ...]
    versions: tuple[Version, ...] = ()
    void: Endorsed | None = None
    planned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PayoutItem:
    """A queued payout: its payment, its intent and the counted approvals that cleared it, when it was asked for and
    since when it may be paid. `replans`: the endorsed procedures that gave up slots of it which strangers consumed.
    """

    payment: Payment
    intent: Intent
    decisions: tuple[Decision, ...]
    requested_at: datetime | None = None
    queued_at: datetime | None = None
    replans: tuple[Endorsed, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRefusal:
    """Why a queued payout was not planned now: WALLET_HALTED, IN_FLIGHT_FULL, HOT_WALLET_SHORT, NOT_QUEUED,
    COIN_TAKEN.
    """

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
        REFERRED, or DECLINED with the hold returned. Whoever is cleared, here or by `queue_payout`, and whose recipient
        is then a deposit address of ours goes on to SETTLED at once: the amount is the owner's, the fee is returned,
        and there is no payout.
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
        """REFERRED -> QUEUED once the recorded quorum is met (-> SETTLED as in `judge`); checks the quorum again under
        the row lock.
        """
        ...

    async def return_hold(self, withdrawal_id: str, stage: Stage, reason: str, actor: str, now: datetime) -> Conclusion:
        """Releases the hold and ends in `stage` (REJECTED, EXPIRED, CANCELLED, DECLINED). Raises Refused TOO_LATE
        once it was planned:
        the race with `plan_slot` has one winner."""
        ...

    async def queued(self, network: str, wallet: str, limit: int) -> Sequence[PayoutItem]:
        """The next payouts of the network, no more than is quick: those tried longest ago first, and of equals those
        queued first.
        """
        ...

    async def put_off(self, withdrawal_ids: Sequence[str], now: datetime) -> None:
        """These were tried and cannot be paid now: those still queued go behind all that were not tried since."""
        ...

    async def plan_slot(
        self, network: Network, wallet: str, items: Sequence[PayoutItem], now: datetime, inputs: Sequence[Coin] = ()
    ) -> Slot | PlanRefusal:
        """Binds the payouts to the wallet's next slot: wallet row locked, scarce number taken, dispatch entry posted,
        stage PLANNED. With `inputs` (the anchor first) those coins are the slot's for ever, and the anchor's outpoint
        is its scarce thing; each must be a known, unspent coin of the wallet, else the refusal is COIN_TAKEN.
        """
        ...

    async def open_slots(self, network: str, wallet: str) -> Sequence[OpenSlot]: ...

    async def begin_delivery(self, version: Version, now: datetime) -> Sequence[Version]:
        """Stores the signed bytes under (slot, number), takes what the slot pays from PLANNED to BROADCAST, and answers
        all versions of the slot, the oldest first; a repeat changes nothing and keeps the stored bytes. Must be
        committed before any broadcast. Raises Refused SLOT_UNKNOWN, SLOT_CONSUMED for one that was given up, and
        SLOT_CLOSED for a version not known yet.
        """
        ...

    async def versions(self, slot_id: str) -> Sequence[Version]:
        """All versions of the slot, the oldest first."""
        ...

    async def record_facts(self, slot: Slot, facts: Facts) -> None:
        """Keeps the look (when it says something new) and advances BROADCAST <-> CONFIRMING accordingly."""
        ...

    async def settle(self, slot: Slot, final: Final, now: datetime) -> Sequence[Conclusion]:
        """Closes the slot with its proof, posts the entries, ends every withdrawal in it SETTLED or FAILED; together,
        once.
        """
        ...

    async def halt_wallet(self, network: str, wallet: str, reason: str, now: datetime) -> None: ...

    async def record_outgoing(self, network: str, wallet: str, outgoing: Outgoing, now: datetime) -> str | None:
        """Compares what the wallet's key sent with all stored versions, halts the wallet if one is a stranger's for
        which people gave no slot up, and keeps how far was read; together. Why it was halted by this, or None. Progress
        is kept only if it goes on where the last one ended (`outgoing.after`), so nothing is ever passed over. Must be
        called with what was read before.
        """
        ...

    async def take_procedure(
        self, network: str, wallet: str, endorsed: Endorsed, now: datetime, proof: Consumption | None = None
    ) -> ProcedureNote:
        """Weighs a procedure about the wallet or one of its slots and records it with every endorsement, whatever they
        are worth. One that is TAKEN is taken once: the same call again (same `now`) is answered as before, any other
        with PROCEDURE_USED. A RESUME that is taken lets the wallet plan again, in the same transaction.

        A REPLAN takes the chain's `proof`, asked for after it arrived. In the same transaction the slot is closed as
        consumed, for ever, by the stranger's txid; what it bound returns to the hot wallet; its payments are QUEUED
        again, and the wallet's next number is none that the network counts already. The wallet stays as it is.
        """
        ...

    async def consumer(self, slot_id: str) -> str | None:
        """The stranger's txid by which people gave the slot up; None for any other slot."""
        ...

    async def suspect(self, slot_id: str) -> str | None:
        """The transaction that the last look that named one proved to have consumed the slot."""
        ...

    async def halted(self, network: str, wallet: str) -> str | None: ...

    def wake_ups(self, network: str, wallet: str) -> AsyncIterator[None]:
        """Yields whenever something was queued for the wallet (and at least every second): a hint, never the truth."""
        ...

    async def concluded(self, withdrawal_id: str) -> Conclusion:
        """Where the withdrawal stands now."""
        ...

    async def make_quote(
        self, account: str, asset: str, amount: str, fee: str, now: datetime, expires_at: datetime
    ) -> "Quote":
        """Promises `fee` (base units) for withdrawing `amount` of `asset` until `expires_at`."""
        ...

    async def ensure_account(self, account: str) -> None:
        """Opens a client's accounts; a repeat changes nothing."""
        ...

    async def ensure_wallet(self, network: str, address: str, next_scarce: int) -> None:
        """Opens a hot wallet's accounts and its sequence of scarce things; a repeat changes nothing."""
        ...


# ---------------------------------------------------------------- views
@dataclass(frozen=True, slots=True)
class DecisionView:
    """One decision as it was received, worth something or not. `ruling` is empty for what was no decision at all."""

    approver: str
    ruling: str
    counted: bool
    code: str
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WithdrawalView:
    """A withdrawal as the row says. `amount`, `fee` and `network_fee` are whole base units in decimal digits
    (`network_fee` of the native coin, None until final); `approvals` are the names of those whose approval counted;
    `submitted` says whether its workflow was started.
    """

    id: str
    account: str
    client_ref: str
    network: str
    asset_id: str
    asset_code: str
    amount: str
    fee: str
    recipient: str
    requester: str
    stage: Stage
    reason: str
    txid: str | None
    slot_id: str | None
    network_fee: str | None
    intent: Intent | None
    intent_hash: str | None
    approvals_needed: int
    approvals: tuple[str, ...]
    decisions: tuple[DecisionView, ...]
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    submitted: bool


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One thing that happened to a withdrawal: the stage it stood in then, who did it and the stable reason code.

    `deadline` is when something will happen by itself if nobody acts.
    """

    seq: int
    stage: Stage
    at: datetime
    actor: str
    reason: str
    detail: Mapping[str, str]
    deadline: datetime | None


@dataclass(frozen=True, slots=True)
class WithdrawalFilter:
    """What a list shows; None filters nothing. `created_from` is included, `created_to` is not."""

    account: str | None = None
    stage: Stage | None = None
    network: str | None = None
    asset: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class WithdrawalPage:
    """Newest first. `next_cursor` is None on the last page."""

    items: tuple[WithdrawalView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Balance:
    """What a client has of one asset, in whole base units as decimal digits."""

    asset: str
    available: str
    held: str


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """The books' own proof. `sums`: asset id -> sum of all postings ("0" or the books are wrong); `disagreements`:
    account code -> balance row minus its postings, only where they differ.
    """

    sums: Mapping[str, str]
    disagreements: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WalletView:
    """One hot wallet: units of each asset id free in it, its open slots, and why it is halted if it is. `read_through`:
    the final block through which the key's transactions were compared with ours; None where none was read yet.
    """

    network: str
    address: str
    next_scarce: int
    balances: Mapping[str, str]
    open_slots: int
    halted: str | None
    read_through: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A fee promised until `expires_at`. Amounts are whole base units in decimal digits."""

    id: str
    account: str
    network: str
    asset: str
    amount: str
    fee: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Broadcast:
    """How long one withdrawal took from request to first broadcast. `seq` grows; ask again from the last one seen."""

    seq: int
    network: str
    seconds: float


class Views(Protocol):
    """Reading, for the doors and the metrics. Every method raises Unavailable when the store does not answer."""

    async def withdrawal(self, withdrawal_id: str, account: str | None = None) -> WithdrawalView | None:
        """One withdrawal; None when there is none, or when it is not `account`'s."""
        ...

    async def withdrawal_by_ref(self, account: str, client_ref: str) -> WithdrawalView | None: ...

    async def timeline(self, withdrawal_id: str) -> Sequence[TimelineRow]:
        """All of its rows, oldest first."""
        ...

    async def withdrawals(self, wanted: WithdrawalFilter, cursor: str | None, limit: int) -> WithdrawalPage:
        """A page, newest first, stable while rows are added. Raises Refused CURSOR_INVALID, LIMIT_INVALID."""
        ...

    async def account_known(self, account: str) -> bool: ...

    async def balances(self, account: str) -> Sequence[Balance]: ...

    async def trial_balance(self) -> TrialBalance: ...

    async def wallets(self) -> Sequence[WalletView]: ...

    async def house(self) -> Mapping[str, str]:
        """Every ledger account that is not a client's: code -> base units on its normal side."""
        ...

    async def stages(self) -> Mapping[Stage, int]:
        """How many withdrawals stand in each stage."""
        ...

    async def broadcasts(self, after_seq: int, limit: int) -> Sequence[Broadcast]:
        """First broadcasts after `after_seq`, oldest first."""
        ...

    async def quote(self, quote_id: str, account: str) -> Quote | None: ...

    async def unstarted(self, older_than: datetime, limit: int) -> Sequence[WithdrawalView]:
        """Claims withdrawals requested before `older_than` whose workflow nobody is known to have started; another
        process does not get them for a while.
        """
        ...

    async def mark_started(self, withdrawal_id: str) -> None: ...


# ---------------------------------------------------------------- address book
@dataclass(frozen=True, slots=True)
class AddressEntry:
    """An address that an account keeps under a name. In force until it is retired; its row stays for ever."""

    id: str
    account: str
    network: str
    address: str
    label: str
    added_at: datetime
    retired_at: datetime | None


class AddressBook(Protocol):
    """Each account's own addresses. Every method raises Unavailable when the store does not answer."""

    async def add(
        self, account: str, network: str, address: str, label: str, actor: str, now: datetime
    ) -> AddressEntry:
        """Keeps a canonical address; again, it takes the new label. Raises Refused ACCOUNT_UNKNOWN,
        ADDRESS_BOOK_FULL.
        """
        ...

    async def retire(self, account: str, entry: str, actor: str, now: datetime) -> AddressEntry | None:
        """Takes an entry back; a repeat changes nothing. None when the account has no such entry."""
        ...

    async def entries(self, account: str) -> Sequence[AddressEntry]:
        """Those in force, the oldest first."""
        ...


# ---------------------------------------------------------------- deposit addresses
@dataclass(frozen=True, slots=True)
class DepositAddress:
    """An address at which a client's coins arrive. It is the account's for ever; `address` is canonical."""

    network: str
    address: str
    account: str
    assigned_at: datetime


class DepositAddresses(Protocol):
    """Which address is whose. Every method raises Unavailable when the store does not answer."""

    async def assign(self, account: str, network: str, address: str, now: datetime) -> DepositAddress:
        """Gives a canonical address to an account; a repeat changes nothing. Raises Refused ACCOUNT_UNKNOWN,
        ADDRESS_OURS (a hot wallet's, on whatever network), ADDRESS_ASSIGNED (another account's, on whatever network).
        """
        ...

    async def addresses_of(self, account: str) -> Sequence[DepositAddress]:
        """An account's, the oldest first."""
        ...


# ---------------------------------------------------------------- recipients
@dataclass(frozen=True, slots=True)
class Recipient:
    """`owner`: the account whose deposit address it is, not for the sender's eyes. `alike`: the entry in force of the
    sender's address book that a person would take it for, on whatever network; None when it is itself in the book.
    """

    owner: str | None
    alike: AddressEntry | None


class Recipients(Protocol):
    """What is known here of whom a withdrawal would pay."""

    async def known(self, network: str, address: str, account: str | None) -> Recipient:
        """`address` is canonical; `account` is the sender, None looks into no book. Raises Unavailable."""
        ...
