"""The first release: ledger, withdrawals, judgement, payouts, keys."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

FUNCTIONS = sorted((Path(__file__).resolve().parent.parent / "sql" / "v0001").glob("*.sql"))
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
)
TABLES = (
    "withdrawal_event",
    "version",
    "verdict",
    "slot_payment",
    "sighting",
    "payout",
    "idempotency",
    "first_broadcast",
    "decision",
    "withdrawal",
    "wallet_event",
    "slot",
    "quote",
    "posting",
    "hold",
    "balance",
    "api_key",
    "wallet",
    "usage_minute",
    "entry",
    "client",
    "account",
)
STAGES = (
    "'REQUESTED', 'REFERRED', 'QUEUED', 'PLANNED', "
    "'BROADCAST', 'CONFIRMING', 'SETTLED', 'DECLINED', 'REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED'"
)


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('asset', 'liability', 'revenue', 'expense', 'equity')", name="ck_account_kind"),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("code", name="uq_account_code"),
    )
    op.create_table(
        "client",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_client"),
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(key) BETWEEN 1 AND 200", name="ck_entry_key"),
        sa.CheckConstraint("octet_length(digest) = 32", name="ck_entry_digest"),
        sa.PrimaryKeyConstraint("id", name="pk_entry"),
        sa.UniqueConstraint("key", name="uq_entry_key"),
    )
    op.create_table(
        "usage_minute",
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.CheckConstraint("units >= 0", name="ck_usage_minute_units"),
        sa.PrimaryKeyConstraint("asset", "account", "minute", name="pk_usage_minute"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "wallet",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("next_scarce", sa.BigInteger(), nullable=False),
        sa.Column("halted_reason", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("next_scarce >= 0", name="ck_wallet_next_scarce"),
        sa.PrimaryKeyConstraint("id", name="pk_wallet"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(role = 'client') = (account IS NOT NULL)", name="ck_api_key_account"),
        sa.CheckConstraint("role IN ('client', 'operator', 'approver', 'auditor', 'admin')", name="ck_api_key_role"),
        sa.CheckConstraint("octet_length(secret_sha256) = 32", name="ck_api_key_secret_sha256"),
        sa.ForeignKeyConstraint(["account"], ["client.name"], name="fk_api_key_account_client"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
    )
    op.create_table(
        "balance",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), server_default=sa.text("0"), nullable=False),
        sa.Column("normal_sign", sa.SmallInteger(), nullable=False),
        sa.Column("may_overdraw", sa.Boolean(), nullable=False),
        sa.CheckConstraint("may_overdraw OR units >= 0", name="ck_balance_never_below_zero"),
        sa.CheckConstraint("normal_sign IN (-1, 1)", name="ck_balance_normal_sign"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_balance_account_id_account"),
        sa.PrimaryKeyConstraint("account_id", name="pk_balance"),
        postgresql_with={
            "fillfactor": "50",
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "2000",
        },
    )
    op.create_table(
        "hold",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("held_id", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'PENDING') = (closed_by IS NULL)", name="ck_hold_closed_by"),
        sa.CheckConstraint("state IN ('PENDING', 'SETTLED', 'RELEASED')", name="ck_hold_state"),
        sa.CheckConstraint("units > 0", name="ck_hold_units"),
        sa.ForeignKeyConstraint(["held_id"], ["account.id"], name="fk_hold_held_id_account"),
        sa.PrimaryKeyConstraint("key", name="pk_hold"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "posting",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.CheckConstraint("units <> 0", name="ck_posting_units"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_posting_account_id_account"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="fk_posting_entry_id_entry"),
        sa.PrimaryKeyConstraint("entry_id", "line", name="pk_posting"),
    )
    op.create_table(
        "quote",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("fee", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["client.name"], name="fk_quote_account_client"),
        sa.PrimaryKeyConstraint("id", name="pk_quote"),
    )
    op.create_table(
        "slot",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("scarce", sa.Text(), nullable=False),
        sa.Column("fee_cap", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("confirmations", sa.Integer(), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=True),
        sa.Column("block", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.Text(), nullable=True),
        sa.Column("paid", sa.Boolean(), nullable=True),
        sa.Column("fee_units", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'OPEN') = (txid IS NULL)", name="ck_slot_closed_with_proof"),
        sa.CheckConstraint("state IN ('OPEN', 'CLOSED')", name="ck_slot_state"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name="fk_slot_wallet_id_wallet"),
        sa.PrimaryKeyConstraint("id", name="pk_slot"),
        sa.UniqueConstraint("network", "wallet", "scarce", name="uq_slot_network_wallet_scarce"),
    )
    op.create_index("ix_slot_open", "slot", ["wallet_id"], unique=False, postgresql_where=sa.text("state = 'OPEN'"))
    op.create_table(
        "wallet_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actors", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("what IN ('HALTED', 'RESUMED')", name="ck_wallet_event_what"),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name="fk_wallet_event_wallet_id_wallet"),
        sa.PrimaryKeyConstraint("id", name="pk_wallet_event"),
    )
    op.create_index("ix_wallet_event_wallet_id_id", "wallet_event", ["wallet_id", "id"], unique=False)
    op.create_table(
        "withdrawal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("client_ref", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("fee", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("quote_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("txid", sa.Text(), nullable=True),
        sa.Column("slot_id", sa.Text(), nullable=True),
        sa.Column("network_fee", sa.Numeric(precision=78, scale=0), nullable=True),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("workflow_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("start_claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"stage IN ({STAGES})", name="ck_withdrawal_stage"),
        sa.CheckConstraint("amount > 0", name="ck_withdrawal_amount"),
        sa.CheckConstraint("fee >= 0", name="ck_withdrawal_fee"),
        sa.CheckConstraint("length(client_ref) BETWEEN 1 AND 128", name="ck_withdrawal_client_ref"),
        sa.ForeignKeyConstraint(["account"], ["client.name"], name="fk_withdrawal_account_client"),
        sa.PrimaryKeyConstraint("id", name="pk_withdrawal"),
        sa.UniqueConstraint("account", "client_ref", name="uq_withdrawal_account_client_ref"),
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index("ix_withdrawal_account_created_at_id", "withdrawal", ["account", "created_at", "id"], unique=False)
    op.create_index("ix_withdrawal_created_at_id", "withdrawal", ["created_at", "id"], unique=False)
    op.create_index("ix_withdrawal_stage_created_at_id", "withdrawal", ["stage", "created_at", "id"], unique=False)
    op.create_index(
        "ix_withdrawal_unstarted",
        "withdrawal",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("workflow_started_at IS NULL"),
    )
    op.create_index(
        "uq_withdrawal_quote_id",
        "withdrawal",
        ["quote_id"],
        unique=True,
        postgresql_where=sa.text("quote_id IS NOT NULL"),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("ruling", sa.Text(), nullable=False),
        sa.Column("intent_hash", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawal.id"], name="fk_decision_withdrawal_id_withdrawal"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_index("ix_decision_withdrawal_id_id", "decision", ["withdrawal_id", "id"], unique=False)
    op.create_index(
        "uq_decision_counted", "decision", ["intent_hash", "approver"], unique=True, postgresql_where=sa.text("counted")
    )
    op.create_table(
        "first_broadcast",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["withdrawal_id"], ["withdrawal.id"], name="fk_first_broadcast_withdrawal_id_withdrawal"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_first_broadcast"),
        sa.UniqueConstraint("withdrawal_id", name="uq_first_broadcast_withdrawal_id"),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(key) BETWEEN 1 AND 128", name="ck_idempotency_key"),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawal.id"], name="fk_idempotency_withdrawal_id_withdrawal"),
        sa.PrimaryKeyConstraint("principal", "key", name="pk_idempotency"),
    )
    op.create_table(
        "payout",
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('QUEUED', 'PLANNED', 'RETURNED')", name="ck_payout_state"),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawal.id"], name="fk_payout_withdrawal_id_withdrawal"),
        sa.PrimaryKeyConstraint("withdrawal_id", name="pk_payout"),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "1000",
        },
    )
    op.create_index(
        "ix_payout_queued",
        "payout",
        ["network", "tried_at", "withdrawal_id"],
        unique=False,
        postgresql_where=sa.text("state = 'QUEUED'"),
    )
    op.create_table(
        "sighting",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("final_block", sa.BigInteger(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name="fk_sighting_slot_id_slot"),
        sa.PrimaryKeyConstraint("id", name="pk_sighting"),
    )
    op.create_index("ix_sighting_slot_id_id", "sighting", ["slot_id", "id"], unique=False)
    op.create_table(
        "slot_payment",
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("amount > 0", name="ck_slot_payment_amount"),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name="fk_slot_payment_slot_id_slot"),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawal.id"], name="fk_slot_payment_withdrawal_id_withdrawal"),
        sa.PrimaryKeyConstraint("slot_id", "line", name="pk_slot_payment"),
    )
    op.create_index(
        "uq_slot_payment_open", "slot_payment", ["withdrawal_id"], unique=True, postgresql_where=sa.text("open")
    )
    op.create_table(
        "verdict",
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("approvals", sa.SmallInteger(), nullable=False),
        sa.Column("risk", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("intent_hash", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('accept', 'refer', 'decline')", name="ck_verdict_outcome"),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawal.id"], name="fk_verdict_withdrawal_id_withdrawal"),
        sa.PrimaryKeyConstraint("withdrawal_id", name="pk_verdict"),
    )
    op.create_index(
        "ix_verdict_account_day",
        "verdict",
        ["asset", "account", "at"],
        unique=False,
        postgresql_where=sa.text("outcome <> 'decline'"),
    )
    op.create_index(
        "ix_verdict_auto_day", "verdict", ["asset", "at"], unique=False, postgresql_where=sa.text("outcome = 'accept'")
    )
    op.create_table(
        "version",
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("fee_weight", sa.BigInteger(), nullable=False),
        sa.Column("fee_price", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("fee_tip", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(raw) BETWEEN 1 AND 262144", name="ck_version_raw"),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name="fk_version_slot_id_slot"),
        sa.PrimaryKeyConstraint("slot_id", "number", name="pk_version"),
        sa.UniqueConstraint("txid", name="uq_version_txid"),
    )
    op.create_table(
        "withdrawal_event",
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"stage IN ({STAGES})", name="ck_withdrawal_event_stage"),
        sa.ForeignKeyConstraint(
            ["withdrawal_id"], ["withdrawal.id"], name="fk_withdrawal_event_withdrawal_id_withdrawal"
        ),
        sa.PrimaryKeyConstraint("withdrawal_id", "seq", name="pk_withdrawal_event"),
    )
    for path in FUNCTIONS:
        op.get_bind().exec_driver_sql(path.read_text())
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    for path in FUNCTIONS:
        op.execute(f"DROP FUNCTION {path.stem}")
