"""How far the final blocks of a network were read for what a hot wallet's key has sent."""

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("wallet", sa.Column("read_through", sa.BigInteger(), nullable=True))
    op.create_check_constraint(op.f("ck_wallet_read_through"), "wallet", "read_through >= 0")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_wallet_read_through"), "wallet", type_="check")
    op.drop_column("wallet", "read_through")
