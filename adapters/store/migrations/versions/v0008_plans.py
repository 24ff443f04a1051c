"""The functions that post keep their plans: what they are given is arrays, for which every plan is the same."""

from alembic import op

revision = "v0008"
down_revision = "v0007"
branch_labels = None
depends_on = None

# Each call would plan its statements anew: the server takes a plan for these very arrays to be cheaper, and planning
# costs more than running it.
KEPT = ("post_entries", "request_withdrawals")


def upgrade() -> None:
    for name in KEPT:
        op.execute(f"ALTER FUNCTION {name} SET plan_cache_mode = force_generic_plan")


def downgrade() -> None:
    for name in KEPT:
        op.execute(f"ALTER FUNCTION {name} RESET plan_cache_mode")
