"""Deposit addresses."""

import sqlalchemy as sa
from alembic import op

revision = "v0006"
down_revision = "v0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deposit_address",
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(address) BETWEEN 1 AND 128", name="ck_deposit_address_address"),
        sa.ForeignKeyConstraint(["account"], ["client.name"], name="fk_deposit_address_account_client"),
        sa.PrimaryKeyConstraint("network", "address", name="pk_deposit_address"),
    )
    op.create_index("ix_deposit_address_address", "deposit_address", ["address"])
    op.create_index("ix_deposit_address_account", "deposit_address", ["account"])
    op.execute(
        "CREATE TRIGGER deposit_address_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON deposit_address"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("deposit_address")
