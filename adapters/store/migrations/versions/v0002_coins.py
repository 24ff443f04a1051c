"""Coins: what blocks made and spent of wallets that are many outputs, and the slots that took them."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("coin_fact", "slot_input")
TABLES = ("slot_input", "coin_tip", "coin_wallet", "coin_fact", "coin", "coin_block")


def upgrade() -> None:
    op.create_table(
        "coin_block",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("orphaned_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("network", "hash", name="pk_coin_block"),
    )
    op.create_index(
        "uq_coin_block_canonical",
        "coin_block",
        ["network", "height"],
        unique=True,
        postgresql_where=sa.text("orphaned_at IS NULL"),
    )
    op.create_table(
        "coin_tip",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("network", name="pk_coin_tip"),
    )
    op.create_table(
        "coin_wallet",
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name="fk_coin_wallet_wallet_id_wallet"),
        sa.PrimaryKeyConstraint("wallet_id", name="pk_coin_wallet"),
    )
    op.create_table(
        "coin",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("outpoint", sa.Text(), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("coinbase", sa.Boolean(), nullable=False),
        sa.Column("created_height", sa.BigInteger(), nullable=True),
        sa.Column("created_hash", sa.Text(), nullable=True),
        sa.Column("spent_txid", sa.Text(), nullable=True),
        sa.Column("spent_height", sa.BigInteger(), nullable=True),
        sa.Column("spent_hash", sa.Text(), nullable=True),
        sa.CheckConstraint("units > 0", name="ck_coin_units"),
        sa.CheckConstraint("length(outpoint) BETWEEN 3 AND 80", name="ck_coin_outpoint"),
        sa.CheckConstraint("(created_height IS NULL) = (created_hash IS NULL)", name="ck_coin_created"),
        sa.CheckConstraint(
            "(spent_height IS NULL) = (spent_hash IS NULL) AND (spent_height IS NULL) = (spent_txid IS NULL)",
            name="ck_coin_spent",
        ),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name="fk_coin_wallet_id_wallet"),
        sa.PrimaryKeyConstraint("network", "outpoint", name="pk_coin"),
    )
    op.create_index(
        "ix_coin_unspent",
        "coin",
        ["wallet_id", "created_height"],
        unique=False,
        postgresql_where=sa.text("spent_height IS NULL"),
    )
    op.create_index("ix_coin_network_created_height", "coin", ["network", "created_height"], unique=False)
    op.create_index(
        "ix_coin_spent",
        "coin",
        ["network", "spent_height"],
        unique=False,
        postgresql_where=sa.text("spent_height IS NOT NULL"),
    )
    op.create_table(
        "coin_fact",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("block", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("outpoint", sa.Text(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.CheckConstraint("what IN ('CREATED', 'SPENT')", name="ck_coin_fact_what"),
        sa.ForeignKeyConstraint(
            ["network", "block"],
            ["coin_block.network", "coin_block.hash"],
            name="fk_coin_fact_network_block_coin_block",
        ),
        sa.PrimaryKeyConstraint("network", "block", "what", "outpoint", name="pk_coin_fact"),
    )
    op.create_table(
        "slot_input",
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("outpoint", sa.Text(), nullable=False),
        sa.Column("units", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.CheckConstraint("units > 0", name="ck_slot_input_units"),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name="fk_slot_input_slot_id_slot"),
        sa.ForeignKeyConstraint(
            ["network", "outpoint"], ["coin.network", "coin.outpoint"], name="fk_slot_input_network_outpoint_coin"
        ),
        sa.PrimaryKeyConstraint("slot_id", "line", name="pk_slot_input"),
        sa.UniqueConstraint("network", "outpoint", name="uq_slot_input_network_outpoint"),
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
