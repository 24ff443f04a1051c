"""Procedures of people, and their endorsements."""

import sqlalchemy as sa
from alembic import op

revision = "v0005"
down_revision = "v0004"
branch_labels = None
depends_on = None

TABLES = ("procedure", "endorsement")


def upgrade() -> None:
    op.create_table(
        "procedure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rests_on", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name="fk_procedure_wallet_id_wallet"),
        sa.PrimaryKeyConstraint("id", name="pk_procedure"),
    )
    op.create_index("ix_procedure_subject_id", "procedure", ["subject", "id"])
    op.create_index(
        "uq_procedure_taken", "procedure", ["hash"], unique=True, postgresql_where=sa.text("code = 'TAKEN'")
    )
    op.create_table(
        "endorsement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("procedure_id", sa.BigInteger(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("procedure_hash", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["procedure_id"], ["procedure.id"], name="fk_endorsement_procedure_id_procedure"),
        sa.PrimaryKeyConstraint("id", name="pk_endorsement"),
    )
    op.create_index("ix_endorsement_procedure_id", "endorsement", ["procedure_id"])
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.add_column("version", sa.Column("void", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.drop_column("version", "void")
    for table in reversed(TABLES):
        op.drop_table(table)
