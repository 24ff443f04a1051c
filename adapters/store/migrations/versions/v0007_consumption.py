"""Slots that a stranger's transaction consumed."""

import sqlalchemy as sa
from alembic import op

revision = "v0007"
down_revision = "v0006"
branch_labels = None
depends_on = None

FIRST_NAME = "ck_slot_ck_slot_state"  # as the first migration came to name it


def upgrade() -> None:
    op.drop_constraint(op.f(FIRST_NAME), "slot", type_="check")
    op.create_check_constraint(op.f("ck_slot_state"), "slot", "state IN ('OPEN', 'CLOSED', 'CONSUMED')")
    op.create_table(
        "consumption",
        sa.Column("withdrawal_id", sa.Text(), nullable=False),
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("procedure_id", sa.BigInteger(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["procedure_id"], ["procedure.id"], name="fk_consumption_procedure_id_procedure"),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name="fk_consumption_slot_id_slot"),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawal.id"], name="fk_consumption_withdrawal_id_withdrawal"),
        sa.PrimaryKeyConstraint("withdrawal_id", "slot_id", name="pk_consumption"),
    )
    op.execute(
        "CREATE TRIGGER consumption_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consumption"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("consumption")
    op.drop_constraint(op.f("ck_slot_state"), "slot", type_="check")
    op.create_check_constraint(op.f(FIRST_NAME), "slot", "state IN ('OPEN', 'CLOSED')")
