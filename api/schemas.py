"""The shapes that cross the API. Closed for writers (unknown fields are refused), open for readers."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from domain.withdrawal import Stage

_VISIBLE = r"^[\x21-\x7e]+$"
_NAME = r"^[^\x00-\x1f\x7f]+$"

Decimal = Annotated[str, Field(examples=["12.5"], description="Whole coins as a plain decimal string.")]
AmountIn = Annotated[
    str,
    Field(
        max_length=128,
        examples=["12.5"],
        description="What the recipient gets, in whole coins, as a string of plain digits. Numbers are refused.",
    ),
]
NetworkIn = Annotated[str, Field(min_length=1, max_length=32, pattern=_NAME, examples=["ethereum"])]
AssetIn = Annotated[str, Field(min_length=1, max_length=32, pattern=_NAME, examples=["USDT"])]
AccountIn = Annotated[str, Field(min_length=1, max_length=64, pattern=_VISIBLE, examples=["acme"])]
# Wide enough for anything we keep, narrow enough that no zone carries it out of the calendar.
When = Annotated[AwareDatetime, Ge(datetime(2000, 1, 1, tzinfo=UTC)), Le(datetime(2200, 1, 1, tzinfo=UTC))]
ClientRef = Annotated[str, Field(min_length=1, max_length=64, pattern=_VISIBLE, examples=["order-1001"])]


class Sent(BaseModel):
    """What a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class WithdrawalRequest(Sent):
    """One withdrawal. `client_ref` is yours, unique per account for ever: it names this withdrawal and no other."""

    client_ref: ClientRef
    network: NetworkIn
    asset: AssetIn
    amount: AmountIn
    recipient: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=_NAME,
            description="Address on `network`; its checksum is verified.",
            examples=["0x52908400098527886E0F7030069857D2E4169EE7"],
        ),
    ]
    quote_id: Annotated[
        str | None,
        Field(
            min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Take the fee this quote promised."
        ),
    ] = None
    account: Annotated[
        AccountIn | None, Field(description="Whose money: an operator must say it, a client's key knows it.")
    ] = None


AddressIn = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=_NAME,
        description="As somebody wrote it; it is never repeated in an error.",
        examples=["0x52908400098527886E0F7030069857D2E4169EE7"],
    ),
]
BookOf = Annotated[
    AccountIn | None, Field(description="Whose address book: staff must say it, a client's key knows it.")
]


class AddressCheck(Sent):
    """An address to be checked for one asset on one network; staff may leave the account out, and the address book
    with it.
    """

    network: NetworkIn
    asset: AssetIn
    address: AddressIn
    memo: Annotated[str | None, Field(max_length=256, description="Memo or tag, where somebody gave one.")] = None
    account: BookOf = None


class AddressAdded(Sent):
    """An address for the book."""

    network: NetworkIn
    address: AddressIn
    label: Annotated[str, Field(min_length=1, max_length=64, pattern=_NAME, examples=["our desk at the bank"])]
    although_alike: Annotated[
        bool, Field(description="Keep it although it looks like another entry: every character was compared.")
    ] = False
    account: BookOf = None


class AddressKept(Sent):
    account: BookOf = None


class AddressQuery(Sent):
    account: BookOf = None


class QuoteRequest(Sent):
    network: NetworkIn
    asset: AssetIn
    amount: AmountIn
    recipient: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            pattern=_NAME,
            description="Whom it is for, if known: `network_cost` is then of this very payment, else of the dearest.",
        ),
    ] = None
    account: AccountIn | None = None


class DecisionRequest(Sent):
    """An approver's signed word over one intent hash, made by `strongroom approver sign`."""

    approver: Annotated[str, Field(min_length=1, max_length=64, pattern=_VISIBLE)]
    ruling: Literal["approve", "reject"]
    intent_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    signature: Annotated[
        str, Field(pattern=r"^[0-9a-f]{128}$", description="Ed25519 over the decision statement, hex.")
    ]


class CancelRequest(Sent):
    reason: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class WithdrawalQuery(Sent):
    """Filters of the list. `created_from` is included, `created_to` is not."""

    stage: Stage | None = None
    network: NetworkIn | None = None
    asset: Annotated[AssetIn | None, Field(description="Asset code, such as USDT.")] = None
    account: AccountIn | None = None
    created_from: When | None = None
    created_to: When | None = None
    cursor: Annotated[str | None, Field(min_length=1, max_length=256, pattern=_VISIBLE)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


# ------------------------------------------------------------ what we answer
class NextAction(BaseModel):
    """Who moves next, with what, and until when it must happen (null: no deadline)."""

    who: str
    what: str
    deadline: datetime | None


class Quorum(BaseModel):
    """How many different approvers must agree, and the names of those who did."""

    needed: int
    approvals: list[str]


class Withdrawal(BaseModel):
    """A withdrawal as it stands. `amount` is what the recipient gets; `total` = `amount` + `fee` is what it costs."""

    id: str
    account: str
    client_ref: str
    network: str
    asset: str
    amount: Decimal
    fee: Decimal
    total: Decimal
    recipient: str
    requester: str
    stage: Stage
    stage_sentence: str
    reason: str
    txid: str | None
    network_fee: Decimal | None
    intent: dict[str, str] | None
    intent_hash: str | None
    quorum: Quorum
    next_action: NextAction | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    history: Annotated[str | None, Field(description="The workflow in the Temporal UI; for staff.")] = None


class Accepted(BaseModel):
    """The withdrawal is accepted and its money held; `Location` says where to follow it."""

    id: str
    stage: Stage
    stage_sentence: str
    client_ref: str
    account: str
    network: str
    asset: str
    amount: Decimal
    fee: Decimal
    total: Decimal
    recipient: str


class WithdrawalList(BaseModel):
    """Newest first. `next_cursor` is null on the last page; `Link: rel="next"` says the same."""

    items: list[Withdrawal]
    next_cursor: str | None


class TimelineItem(BaseModel):
    seq: int
    stage: Stage
    sentence: str
    at: datetime
    actor: str
    reason_code: str
    detail: dict[str, str]
    next_action: NextAction | None


class Timeline(BaseModel):
    """Everything that happened, oldest first."""

    withdrawal_id: str
    items: list[TimelineItem]


class DecisionAnswer(BaseModel):
    """What became of the decision: whether it moves the quorum, and how far the quorum is."""

    approver: str
    ruling: str
    counted: bool
    code: str
    approvals: int
    needed: int


class Cancelled(BaseModel):
    id: str
    stage: Stage
    stage_sentence: str
    reason: str


class CostLine(BaseModel):
    """`units` of one thing that the network takes, where they come from, and what that probably costs us."""

    name: Annotated[str, Field(examples=["energy"], description="`gas`, `energy`, `bandwidth` or `activation`.")]
    units: Annotated[str, Field(examples=["64285"])]
    covered_by: Annotated[Literal["staked", "free", "burnt", "paid"], Field(description="`staked` and `free` cost 0.")]
    cost: Decimal


class NetworkCost(BaseModel):
    """What the network takes for it, paid by us. `asset` is the id of its native coin."""

    most: Annotated[Decimal, Field(description="What the transaction would be allowed to take.")]
    asset: Annotated[str, Field(examples=["TRX-TRON"])]
    sources: list[CostLine]


class Quote(BaseModel):
    """A fee promised until `expires_at`. `net` reaches the recipient, `total` leaves the account."""

    quote_id: str
    account: str
    network: str
    asset: str
    amount: Decimal
    fee: Decimal
    net: Decimal
    total: Decimal
    network_fee_cap: Annotated[Decimal, Field(description="The most the network may take, paid by us.")]
    network_fee_asset: str
    network_cost: Annotated[
        NetworkCost | None, Field(description="As a node simulates it now; null while none can say. No promise.")
    ]
    eta_seconds: Annotated[int, Field(description="From broadcast to final, if nobody has to approve.")]
    expires_at: datetime


class Lookalike(BaseModel):
    id: str
    label: str


class AddressVerdict(BaseModel):
    """`code` and `detail` say why it is not valid. `also_valid_on`: networks on which the same text can be paid too, so
    make sure of the network. `lookalike_of`: the entry of the address book that it looks like and is not.
    """

    network: str
    asset: str
    valid: bool
    kind: Annotated[
        Literal["internal", "external"] | None,
        Field(description="`internal`: an account here; moved at once within the ledger, free, without a transaction."),
    ]
    address: Annotated[str | None, Field(description="In the network's canonical form.")]
    code: str | None
    detail: str | None
    also_valid_on: list[str]
    lookalike_of: Lookalike | None


class AddressEntry(BaseModel):
    id: str
    account: str
    network: str
    address: str
    label: str
    added_at: datetime
    retired_at: datetime | None


class AddressBook(BaseModel):
    account: str
    items: list[AddressEntry]


class BalanceItem(BaseModel):
    asset: str
    network: str
    available: Decimal
    held: Decimal
    total: Decimal


class Balances(BaseModel):
    account: str
    items: list[BalanceItem]


class AssetItem(BaseModel):
    id: str
    code: str
    name: str
    network: str
    decimals: int
    contract: str | None
    native: bool
    withdraw_enabled: bool
    withdraw_min: Decimal | None
    withdraw_fee: Decimal | None
    withdraw_max: Annotated[Decimal | None, Field(description="The most one account may withdraw in 24 hours.")]
    withdraw_integer_multiple: Decimal


class AssetList(BaseModel):
    items: list[AssetItem]


class ConfirmationItem(BaseModel):
    asset: str
    amount_from: Decimal
    blocks: int


class NetworkItem(BaseModel):
    """`busy`: a hot wallet of the network is halted, withdrawals wait. `min_confirm` makes small payments final."""

    id: str
    name: str
    family: str
    chain_id: int
    native_asset: str
    deposit_enabled: bool
    withdraw_enabled: bool
    busy: bool
    block_time_ms: int
    min_confirm: int
    confirmations: list[ConfirmationItem]
    network_fee_cap: Decimal
    checked_on: str


class NetworkList(BaseModel):
    items: list[NetworkItem]


class Time(BaseModel):
    now: datetime
    epoch_ms: int


class Check(BaseModel):
    ok: bool
    reason: str = ""


class Readiness(BaseModel):
    ready: bool
    database: Check
    temporal: Check


class Liveness(BaseModel):
    alive: bool


class ProblemKind(BaseModel):
    code: str
    status: int
    title: str
    retryable: bool


class ProblemError(BaseModel):
    pointer: str | None = None
    parameter: str | None = None
    code: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` is stable for ever; `retryable` says that the very same call may succeed after `retry_after`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    retryable: bool
    retry_after: int | None = None
    errors: list[ProblemError] | None = None


class Payloads(BaseModel):
    """Temporal's payloads, as its UI sends them."""

    payloads: list[dict[str, Any]]
