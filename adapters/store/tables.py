"""Every table of the store. What happened (entries, postings, timelines, decisions, versions, verdicts) is only ever
added to: triggers refuse its change and removal. What stands now (balances, stages, holds) is kept beside it, written
in the same transaction.

Money is `numeric(78,0)`: whole base units, room for any uint256. Times are UTC instants.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from domain.ledger.hold import HoldState
from domain.withdrawal import Stage

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

UNITS = Numeric(78, 0)
AT = DateTime(timezone=True)

# Triggers on these refuse UPDATE, DELETE and TRUNCATE.
APPEND_ONLY = (
    "account",
    "entry",
    "posting",
    "withdrawal_event",
    "first_broadcast",
    "verdict",
    "decision",
    "version",
    "sighting",
    "wallet_event",
    "coin_fact",
    "slot_input",
    "address_event",
    "deposit_address",
    "procedure",
    "endorsement",
    "consumption",
)


def _one_of(column: str, values: type[HoldState] | type[Stage] | tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# ---------------------------------------------------------------- ledger
# The immutable account is apart from its balance: postings refer to the former, so that a busy balance row is locked
# by its own updates only.
account = Table(
    "account",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("opened_at", AT, nullable=False, server_default=text("now()")),
    _one_of("kind", ("asset", "liability", "revenue", "expense", "equity")),
)

# `units` on the account's normal side. Half-empty pages keep its updates within the page (HOT).
balance = Table(
    "balance",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True, autoincrement=False),
    Column("units", UNITS, nullable=False, server_default=text("0")),
    Column("normal_sign", SmallInteger, nullable=False),
    Column("may_overdraw", Boolean, nullable=False),
    CheckConstraint("may_overdraw OR units >= 0", name="never_below_zero"),
    CheckConstraint("normal_sign IN (-1, 1)", name="normal_sign"),
    postgresql_with={
        "fillfactor": "50",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "2000",
    },
)

entry = Table(
    "entry",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("posted_at", AT, nullable=False),
    CheckConstraint("length(key) BETWEEN 1 AND 200", name="key"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", ForeignKey("entry.id"), nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("units", UNITS, nullable=False),
    PrimaryKeyConstraint("entry_id", "line"),
    CheckConstraint("units <> 0", name="units"),
)

# A hold's key is the key of the entry that placed it; `closed_by` is the key of the one that settled or released it.
hold = Table(
    "hold",
    metadata,
    Column("key", Text, primary_key=True),
    Column("held_id", ForeignKey("account.id"), nullable=False),
    Column("units", UNITS, nullable=False),
    Column("state", Text, nullable=False),
    Column("closed_by", Text),
    Column("placed_at", AT, nullable=False),
    Column("closed_at", AT),
    CheckConstraint("units > 0", name="units"),
    CheckConstraint("(state = 'PENDING') = (closed_by IS NULL)", name="closed_by"),
    _one_of("state", HoldState),
    postgresql_with={"fillfactor": "70"},
)

# ---------------------------------------------------------------- withdrawals
client = Table(
    "client",
    metadata,
    Column("name", Text, primary_key=True),
    Column("opened_at", AT, nullable=False, server_default=text("now()")),
)

withdrawal = Table(
    "withdrawal",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", ForeignKey("client.name"), nullable=False),
    Column("client_ref", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount", UNITS, nullable=False),
    Column("fee", UNITS, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("quote_id", Text),
    Column("created_at", AT, nullable=False),
    # What stands now; the timeline says how it came to be.
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("txid", Text),
    Column("slot_id", Text),
    Column("network_fee", UNITS),
    Column("last_seq", Integer, nullable=False),
    Column("updated_at", AT, nullable=False),
    Column("workflow_started_at", AT),
    Column("start_claimed_at", AT),
    UniqueConstraint("account", "client_ref"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("fee >= 0", name="fee"),
    CheckConstraint("length(client_ref) BETWEEN 1 AND 128", name="client_ref"),
    _one_of("stage", Stage),
    # A quote is honoured once.
    Index("uq_withdrawal_quote_id", "quote_id", unique=True, postgresql_where=text("quote_id IS NOT NULL")),
    Index(None, "account", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "stage", "created_at", "id"),
    Index("ix_withdrawal_unstarted", "created_at", postgresql_where=text("workflow_started_at IS NULL")),
    postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
)

withdrawal_event = Table(
    "withdrawal_event",
    metadata,
    Column("withdrawal_id", ForeignKey("withdrawal.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("stage", Text, nullable=False),
    Column("at", AT, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Column("deadline", AT),
    PrimaryKeyConstraint("withdrawal_id", "seq"),
    _one_of("stage", Stage),
)

first_broadcast = Table(
    "first_broadcast",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("withdrawal_id", ForeignKey("withdrawal.id"), nullable=False, unique=True),
    Column("network", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("recorded_at", AT, nullable=False, server_default=text("now()")),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("withdrawal_id", ForeignKey("withdrawal.id"), nullable=False),
    Column("at", AT, nullable=False),
    PrimaryKeyConstraint("principal", "key"),
    CheckConstraint("length(key) BETWEEN 1 AND 128", name="key"),
)

quote = Table(
    "quote",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", ForeignKey("client.name"), nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount", UNITS, nullable=False),
    Column("fee", UNITS, nullable=False),
    Column("created_at", AT, nullable=False),
    Column("expires_at", AT, nullable=False),
)

# ---------------------------------------------------------------- judgement
verdict = Table(
    "verdict",
    metadata,
    Column("withdrawal_id", ForeignKey("withdrawal.id"), primary_key=True),
    Column("account", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("units", UNITS, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("approvals", SmallInteger, nullable=False),
    Column("risk", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("intent", Text, nullable=False),
    Column("intent_hash", Text, nullable=False),
    Column("expires_at", AT),
    Column("at", AT, nullable=False),
    _one_of("outcome", ("accept", "refer", "decline")),
    # For the one minute at the edge of a rolling day; the whole minutes are in `usage_minute`.
    Index("ix_verdict_account_day", "asset", "account", "at", postgresql_where=text("outcome <> 'decline'")),
    Index("ix_verdict_auto_day", "asset", "at", postgresql_where=text("outcome = 'accept'")),
)

# What policy let through in each minute and has not come back since: of one account, and, under the name "", of
# everybody what needed no approval. A rolling day is then the sum of 1440 rows at most, however much is withdrawn.
usage_minute = Table(
    "usage_minute",
    metadata,
    Column("asset", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("minute", AT, nullable=False),
    Column("units", UNITS, nullable=False),
    PrimaryKeyConstraint("asset", "account", "minute"),
    CheckConstraint("units >= 0", name="units"),
    postgresql_with={"fillfactor": "70"},
)

decision = Table(
    "decision",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("withdrawal_id", ForeignKey("withdrawal.id"), nullable=False),
    Column("approver", Text, nullable=False),
    Column("ruling", Text, nullable=False),
    Column("intent_hash", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("counted", Boolean, nullable=False),
    Column("code", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("at", AT, nullable=False),
    Index(None, "withdrawal_id", "id"),
    # One person has one word on one intent.
    Index("uq_decision_counted", "intent_hash", "approver", unique=True, postgresql_where=text("counted")),
)

# ---------------------------------------------------------------- payouts
payout = Table(
    "payout",
    metadata,
    Column("withdrawal_id", ForeignKey("withdrawal.id"), primary_key=True),
    Column("network", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("queued_at", AT, nullable=False),
    Column("tried_at", AT, nullable=False),
    _one_of("state", ("QUEUED", "PLANNED", "RETURNED")),
    Index("ix_payout_queued", "network", "tried_at", "withdrawal_id", postgresql_where=text("state = 'QUEUED'")),
    # Entries pass through the queue's index once; vacuumed often, its head stays short.
    postgresql_with={
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "1000",
    },
)

wallet = Table(
    "wallet",
    metadata,
    Column("id", Text, primary_key=True),
    Column("network", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("next_scarce", BigInteger, nullable=False),
    Column("halted_reason", Text),
    Column("opened_at", AT, nullable=False, server_default=text("now()")),
    # The final block through which the key's own transactions were compared with our versions.
    Column("read_through", BigInteger),
    CheckConstraint("next_scarce >= 0", name="next_scarce"),
    CheckConstraint("read_through >= 0", name="read_through"),
)

wallet_event = Table(
    "wallet_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("wallet_id", ForeignKey("wallet.id"), nullable=False),
    Column("what", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actors", ARRAY(Text), nullable=False),
    Column("at", AT, nullable=False),
    _one_of("what", ("HALTED", "RESUMED")),
    Index(None, "wallet_id", "id"),
)

slot = Table(
    "slot",
    metadata,
    Column("id", Text, primary_key=True),
    Column("wallet_id", ForeignKey("wallet.id"), nullable=False),
    Column("network", Text, nullable=False),
    Column("wallet", Text, nullable=False),
    Column("scarce", Text, nullable=False),
    Column("fee_cap", UNITS, nullable=False),
    Column("confirmations", Integer, nullable=False),
    Column("planned_at", AT, nullable=False),
    Column("state", Text, nullable=False),
    Column("txid", Text),
    Column("block", BigInteger),
    Column("block_hash", Text),
    Column("paid", Boolean),
    Column("fee_units", UNITS),
    Column("closed_at", AT),
    # The scarce thing of a wallet is taken once for ever.
    UniqueConstraint("network", "wallet", "scarce"),
    CheckConstraint("(state = 'OPEN') = (txid IS NULL)", name="closed_with_proof"),
    # CONSUMED: closed by a stranger's transaction, whose txid it then is.
    _one_of("state", ("OPEN", "CLOSED", "CONSUMED")),
    Index("ix_slot_open", "wallet_id", postgresql_where=text("state = 'OPEN'")),
)

slot_payment = Table(
    "slot_payment",
    metadata,
    Column("slot_id", ForeignKey("slot.id"), nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("withdrawal_id", ForeignKey("withdrawal.id"), nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount", UNITS, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("open", Boolean, nullable=False, server_default=text("true")),
    PrimaryKeyConstraint("slot_id", "line"),
    CheckConstraint("amount > 0", name="amount"),
    # A payment is in at most one open slot.
    Index("uq_slot_payment_open", "withdrawal_id", unique=True, postgresql_where=text("open")),
)

version = Table(
    "version",
    metadata,
    Column("slot_id", ForeignKey("slot.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("txid", Text, nullable=False, unique=True),
    Column("raw", Text, nullable=False),
    Column("fee_weight", BigInteger, nullable=False),
    Column("fee_price", UNITS, nullable=False),
    Column("fee_tip", UNITS, nullable=False),
    Column("signed_at", AT, nullable=False),
    Column("stored_at", AT, nullable=False, server_default=text("now()")),
    Column("void", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("slot_id", "number"),
    CheckConstraint("length(raw) BETWEEN 1 AND 262144", name="raw"),
)

sighting = Table(
    "sighting",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("slot_id", ForeignKey("slot.id"), nullable=False),
    Column("at", AT, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("final_block", BigInteger, nullable=False),
    Column("said", Text, nullable=False),
    Index(None, "slot_id", "id"),
)

# ---------------------------------------------------------------- coins
# Blocks as they were applied. One that a reorganisation undid stays, with the time; it may come back.
coin_block = Table(
    "coin_block",
    metadata,
    Column("network", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("parent", Text, nullable=False),
    Column("applied_at", AT, nullable=False, server_default=text("now()")),
    Column("orphaned_at", AT),
    PrimaryKeyConstraint("network", "hash"),
    Index("uq_coin_block_canonical", "network", "height", unique=True, postgresql_where=text("orphaned_at IS NULL")),
)

# Whoever applies blocks locks this row first.
coin_tip = Table(
    "coin_tip",
    metadata,
    Column("network", Text, primary_key=True),
    Column("height", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

# From which block on all that happens to a wallet's coins is known.
coin_wallet = Table(
    "coin_wallet",
    metadata,
    Column("wallet_id", ForeignKey("wallet.id"), primary_key=True),
    Column("network", Text, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

# What the canonical blocks say now: created and spent are null where none of them does. No row is ever removed.
coin = Table(
    "coin",
    metadata,
    Column("network", Text, nullable=False),
    Column("outpoint", Text, nullable=False),
    Column("wallet_id", ForeignKey("wallet.id"), nullable=False),
    Column("units", UNITS, nullable=False),
    Column("coinbase", Boolean, nullable=False),
    Column("created_height", BigInteger),
    Column("created_hash", Text),
    Column("spent_txid", Text),
    Column("spent_height", BigInteger),
    Column("spent_hash", Text),
    PrimaryKeyConstraint("network", "outpoint"),
    CheckConstraint("units > 0", name="units"),
    CheckConstraint("length(outpoint) BETWEEN 3 AND 80", name="outpoint"),
    CheckConstraint("(created_height IS NULL) = (created_hash IS NULL)", name="created"),
    CheckConstraint(
        "(spent_height IS NULL) = (spent_hash IS NULL) AND (spent_height IS NULL) = (spent_txid IS NULL)", name="spent"
    ),
    Index("ix_coin_unspent", "wallet_id", "created_height", postgresql_where=text("spent_height IS NULL")),
    Index(None, "network", "created_height"),
    Index("ix_coin_spent", "network", "spent_height", postgresql_where=text("spent_height IS NOT NULL")),
)

# What each block did, whether it counts now or not.
coin_fact = Table(
    "coin_fact",
    metadata,
    Column("network", Text, nullable=False),
    Column("block", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("outpoint", Text, nullable=False),
    Column("txid", Text, nullable=False),
    PrimaryKeyConstraint("network", "block", "what", "outpoint"),
    ForeignKeyConstraint(["network", "block"], ["coin_block.network", "coin_block.hash"]),
    _one_of("what", ("CREATED", "SPENT")),
)

# The coins of a slot, the anchor first. A coin is taken once for ever, whatever becomes of its slot.
slot_input = Table(
    "slot_input",
    metadata,
    Column("slot_id", ForeignKey("slot.id"), nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("network", Text, nullable=False),
    Column("outpoint", Text, nullable=False),
    Column("units", UNITS, nullable=False),
    PrimaryKeyConstraint("slot_id", "line"),
    UniqueConstraint("network", "outpoint"),
    ForeignKeyConstraint(["network", "outpoint"], ["coin.network", "coin.outpoint"]),
    CheckConstraint("units > 0", name="units"),
)

# ---------------------------------------------------------------- address books
address_entry = Table(
    "address_entry",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", ForeignKey("client.name"), nullable=False),
    Column("network", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("ends", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("added_at", AT, nullable=False),
    Column("retired_at", AT),
    CheckConstraint("length(label) BETWEEN 1 AND 64", name="label"),
    Index(None, "account", "ends"),
)

address_event = Table(
    "address_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("entry_id", ForeignKey("address_entry.id"), nullable=False),
    Column("what", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", AT, nullable=False),
    _one_of("what", ("ADDED", "RETIRED")),
)

# ---------------------------------------------------------------- deposit addresses
deposit_address = Table(
    "deposit_address",
    metadata,
    Column("network", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("account", ForeignKey("client.name"), nullable=False),
    Column("assigned_at", AT, nullable=False),
    PrimaryKeyConstraint("network", "address"),
    CheckConstraint("length(address) BETWEEN 1 AND 128", name="address"),
    Index(None, "address"),
    Index(None, "account"),
)

# ---------------------------------------------------------------- procedures
# What people asked to be done about a wallet or a slot, with what it was worth; taken at most once.
procedure = Table(
    "procedure",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("wallet_id", ForeignKey("wallet.id"), nullable=False),
    Column("hash", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rests_on", Text, nullable=False),
    Column("asked_at", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("at", AT, nullable=False),
    Index(None, "subject", "id"),
    Index("uq_procedure_taken", "hash", unique=True, postgresql_where=text("code = 'TAKEN'")),
)

endorsement = Table(
    "endorsement",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("procedure_id", ForeignKey("procedure.id"), nullable=False),
    Column("approver", Text, nullable=False),
    Column("procedure_hash", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("code", Text, nullable=False),
    Index(None, "procedure_id"),
)

# Slots that people gave up because a stranger's transaction had consumed them, by what each should have paid.
consumption = Table(
    "consumption",
    metadata,
    Column("withdrawal_id", ForeignKey("withdrawal.id"), nullable=False),
    Column("slot_id", ForeignKey("slot.id"), nullable=False),
    Column("procedure_id", ForeignKey("procedure.id"), nullable=False),
    Column("txid", Text, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("at", AT, nullable=False),
    PrimaryKeyConstraint("withdrawal_id", "slot_id"),
)

# ---------------------------------------------------------------- access
api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("role", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("account", ForeignKey("client.name")),
    Column("created_at", AT, nullable=False),
    Column("expires_at", AT),
    Column("revoked_at", AT),
    CheckConstraint("octet_length(secret_sha256) = 32", name="secret_sha256"),
    CheckConstraint("(role = 'client') = (account IS NOT NULL)", name="account"),
    _one_of("role", ("client", "operator", "approver", "auditor", "admin")),
)
