"""Address books."""

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_entry",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("ends", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(label) BETWEEN 1 AND 64", name="ck_address_entry_label"),
        sa.ForeignKeyConstraint(["account"], ["client.name"], name="fk_address_entry_account_client"),
        sa.PrimaryKeyConstraint("id", name="pk_address_entry"),
    )
    op.create_index("ix_address_entry_account_ends", "address_entry", ["account", "ends"])
    op.create_table(
        "address_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("what IN ('ADDED', 'RETIRED')", name="ck_address_event_what"),
        sa.ForeignKeyConstraint(["entry_id"], ["address_entry.id"], name="fk_address_event_entry_id_address_entry"),
        sa.PrimaryKeyConstraint("id", name="pk_address_event"),
    )
    op.execute(
        "CREATE TRIGGER address_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON address_event"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("address_event")
    op.drop_table("address_entry")
