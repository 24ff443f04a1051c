"""What counts against the caps of policy: the last 24 hours, exactly, at a cost that does not grow with them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapters.store.database import Connection
from adapters.store.timeline import COLUMNS, Standing, standing_of
from domain.errors import Refused
from domain.policy import Usage

DAY = timedelta(hours=24)

# First the row, then the asset's turn to be judged: the inner query keeps that order.
_LOCK_TO_JUDGE = f"""
SELECT asked.*, pg_advisory_xact_lock(hashtext('judge'), hashtext(asked.asset))
FROM (SELECT {COLUMNS} FROM withdrawal WHERE id = $1 FOR NO KEY UPDATE) asked
"""  # noqa: S608 - columns of ours
# Whole minutes from their sums, the minute at the edge from its verdicts (less what has since ended without leaving).
_USAGE = """
WITH edge AS (SELECT date_trunc('minute', $3::timestamptz) + interval '1 minute' AS at),
counted AS (
    SELECT v.account, v.outcome, v.units FROM verdict v JOIN withdrawal w ON w.id = v.withdrawal_id
    WHERE v.asset = $1 AND v.at > $3 AND v.at < (SELECT at FROM edge)
      AND w.stage NOT IN ('REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED')
      AND (v.outcome = 'accept' OR v.outcome = 'refer' AND v.account = $2)
)
SELECT (coalesce((SELECT sum(units) FROM usage_minute
                  WHERE asset = $1 AND account = $2 AND minute >= (SELECT at FROM edge)), 0)
        + coalesce((SELECT sum(units) FROM counted WHERE account = $2), 0))::text AS account_day,
       (coalesce((SELECT sum(units) FROM usage_minute
                  WHERE asset = $1 AND account = '' AND minute >= (SELECT at FROM edge)), 0)
        + coalesce((SELECT sum(units) FROM counted WHERE outcome = 'accept'), 0))::text AS auto_day
"""
# Rows in the order of their keys, so that two of these never wait for each other in a circle.
_COUNT = """
INSERT INTO usage_minute AS u (asset, account, minute, units)
SELECT asset, account, minute, sum(units) FROM (
    SELECT asset, account, date_trunc('minute', at) AS minute, units FROM verdict
    WHERE withdrawal_id = ANY($1) AND outcome <> 'decline'
    UNION ALL
    SELECT asset, '', date_trunc('minute', at), units FROM verdict
    WHERE withdrawal_id = ANY($1) AND outcome = 'accept'
) AS counted GROUP BY asset, account, minute ORDER BY asset, account, minute
ON CONFLICT (asset, account, minute) DO UPDATE SET units = u.units + excluded.units
"""
_COUNT_BACK = """
WITH back AS (
    SELECT asset, account, minute, sum(units) AS units FROM (
        SELECT asset, account, date_trunc('minute', at) AS minute, units FROM verdict
        WHERE withdrawal_id = ANY($1) AND outcome <> 'decline'
        UNION ALL
        SELECT asset, '', date_trunc('minute', at), units FROM verdict
        WHERE withdrawal_id = ANY($1) AND outcome = 'accept'
    ) AS counted GROUP BY asset, account, minute
), held AS MATERIALIZED (
    SELECT u.asset, u.account, u.minute, back.units FROM usage_minute u JOIN back USING (asset, account, minute)
    ORDER BY u.asset, u.account, u.minute FOR NO KEY UPDATE OF u
)
UPDATE usage_minute u SET units = u.units - held.units FROM held
WHERE (u.asset, u.account, u.minute) = (held.asset, held.account, held.minute)
"""


async def usage_before(connection: Connection, asset: str, account: str, now: datetime) -> Usage:
    """What counts in the 24 hours before `now`. Whoever judges by it is alone with the asset (`lock_to_judge`), so that
    what is judged in parallel never passes a cap together.
    """
    row = await connection.fetchrow(_USAGE, asset, account, now - DAY)
    return Usage(account_day_units=int(row["account_day"]), auto_day_units=int(row["auto_day"]))


async def lock_to_judge(connection: Connection, withdrawal_id: str) -> Standing:
    """The withdrawal's row, locked. From here to the end of the transaction nobody else judges its asset; what the next
    statement reads is what those before left. Raises Refused WITHDRAWAL_UNKNOWN.
    """
    row = await connection.fetchrow(_LOCK_TO_JUDGE, withdrawal_id)
    if row is None:
        raise Refused("WITHDRAWAL_UNKNOWN", "There is no such withdrawal.")
    return standing_of(row)


async def count(connection: Connection, withdrawals: Sequence[str]) -> None:
    """These were judged just now."""
    await connection.execute(_COUNT, list(withdrawals))


async def count_back(connection: Connection, withdrawals: Sequence[str]) -> None:
    """These end without leaving: what was counted of them counts no more."""
    await connection.execute(_COUNT_BACK, list(withdrawals))
