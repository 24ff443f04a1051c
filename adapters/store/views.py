"""Reading: what the doors show and the metrics count. Each view is one statement."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.catalogue import Catalogue
from adapters.store.coalescer import Coalescer
from adapters.store.database import Database
from adapters.store.slots import intent_of
from domain.errors import Refused
from domain.ledger import chart
from domain.ports import (
    Balance,
    Broadcast,
    DecisionView,
    Quote,
    TimelineRow,
    TrialBalance,
    Views,
    WalletView,
    WithdrawalFilter,
    WithdrawalPage,
    WithdrawalView,
)
from domain.withdrawal import Stage

PAGE_MAX = 200
TIMELINE_MAX = 2000
DECISIONS_SHOWN_MAX = 200
UNSTARTED_MAX = 500
BROADCASTS_MAX = 1000
# A start that was claimed and not confirmed is anybody's again after this long.
CLAIM_S = 30
# Rows are numbered before they are committed: those of the last moments may still have gaps.
SETTLING_S = 5

_COLUMNS = f"""
    w.id, w.account, w.client_ref, w.network, w.asset, w.amount::text, w.fee::text, w.recipient, w.requester, w.stage,
    w.reason, w.txid, w.slot_id, w.network_fee::text, w.created_at, w.updated_at,
    w.workflow_started_at IS NOT NULL AS submitted, v.intent, v.intent_hash, v.approvals, v.expires_at,
    CASE WHEN v.outcome = 'refer' THEN (
        SELECT json_agg(json_build_array(d.approver, d.ruling, d.counted, d.code, d.source, d.at) ORDER BY d.id)
        FROM (SELECT * FROM decision WHERE withdrawal_id = w.id ORDER BY counted DESC, id LIMIT {DECISIONS_SHOWN_MAX}) d
    )::text END AS decisions"""  # noqa: S608 - columns of ours
_FROM = "FROM withdrawal w LEFT JOIN verdict v ON v.withdrawal_id = w.id"
_BY_ID = f"SELECT {_COLUMNS} {_FROM} WHERE w.id = $1 AND ($2::text IS NULL OR w.account = $2)"
_BY_REF = f"SELECT {_COLUMNS} {_FROM} WHERE w.account = $1 AND w.client_ref = $2"
_PAGE = f"SELECT {_COLUMNS} {_FROM} WHERE %s ORDER BY w.created_at DESC, w.id DESC LIMIT $1"
_CLAIM = f"""
WITH claimed AS (
    UPDATE withdrawal SET start_claimed_at = now() WHERE id IN (
        SELECT id FROM withdrawal WHERE workflow_started_at IS NULL AND created_at < $1
            AND (start_claimed_at IS NULL OR start_claimed_at < now() - $2::interval)
        ORDER BY created_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING *
)
SELECT {_COLUMNS} FROM claimed w LEFT JOIN verdict v ON v.withdrawal_id = w.id ORDER BY w.created_at
"""  # noqa: S608
_TIMELINE = """
SELECT seq, stage, at, actor, reason, detail::text, deadline FROM withdrawal_event
WHERE withdrawal_id = $1 ORDER BY seq LIMIT $2
"""
_BALANCES = """
SELECT a.code, b.units::text FROM unnest($1::text[]) AS u (code)
JOIN account a ON a.code = u.code JOIN balance b ON b.account_id = a.id
"""
_SUMS = (
    "SELECT a.asset, sum(p.units)::text AS total FROM posting p JOIN account a ON a.id = p.account_id GROUP BY a.asset"
)
_DISAGREEMENTS = """
SELECT a.code, (b.units - b.normal_sign * coalesce(p.total, 0))::text AS apart
FROM balance b JOIN account a ON a.id = b.account_id
LEFT JOIN (SELECT account_id, sum(units) AS total FROM posting GROUP BY account_id) p ON p.account_id = b.account_id
WHERE b.units <> b.normal_sign * coalesce(p.total, 0) ORDER BY a.code LIMIT 1000
"""
_WALLETS = """
SELECT w.network, w.address, w.next_scarce, w.halted_reason, w.read_through,
    (SELECT count(*) FROM slot s WHERE s.wallet_id = w.id AND s.state = 'OPEN') AS open_slots,
    (SELECT json_object_agg(a.asset, b.units::text) FROM account a JOIN balance b ON b.account_id = a.id
     WHERE a.code = ANY (SELECT 'hot/' || w.id || '/' || asset FROM unnest($1::text[]) AS asset))::text AS balances
FROM wallet w ORDER BY w.id
"""
_PROCEDURES = """
SELECT to_char(p.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at, p.kind, p.reason, p.code,
    (SELECT string_agg(e.approver || ' (' || e.code || ')', ', ' ORDER BY e.id)
     FROM endorsement e WHERE e.procedure_id = p.id) AS endorsements
FROM procedure p WHERE p.subject = $1 ORDER BY p.id LIMIT 100
"""
_SLOT_END = """
SELECT s.id AS slot, s.network, s.state, s.txid, s.block::text, s.paid::text,
    to_char(s.closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at,
    (SELECT string_agg(p.withdrawal_id, ', ' ORDER BY p.line) FROM slot_payment p WHERE p.slot_id = s.id) AS withdrawals
FROM slot s WHERE s.id = $1 AND s.state <> 'OPEN'
"""
_SLOT_CONSUMER = "SELECT said::json ->> 1 AS consumer FROM sighting WHERE slot_id = $1 ORDER BY id DESC LIMIT 1"
# Clients' accounts are many and the house's few: the range on the code's index passes the former by.
_HOUSE = """
SELECT a.code, b.units::text FROM account a JOIN balance b ON b.account_id = a.id
WHERE a.code < 'client/' OR a.code >= 'client0' ORDER BY a.code
"""
_BROADCASTS = """
SELECT seq, network, seconds FROM first_broadcast
WHERE seq > $1 AND recorded_at < now() - $2::interval ORDER BY seq LIMIT $3
"""
_QUOTE = """
SELECT id, account, network, asset, amount::text, fee::text, created_at, expires_at FROM quote
WHERE id = $1 AND account = $2
"""
_STARTED = """UPDATE withdrawal SET workflow_started_at = now() WHERE id IN (
    SELECT id FROM withdrawal WHERE id = ANY($1) AND workflow_started_at IS NULL ORDER BY id FOR NO KEY UPDATE)"""


class PostgresViews:
    """The `Views` port on PostgreSQL."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._starts = Coalescer(self._mark_batch)

    async def withdrawal(self, withdrawal_id: str, account: str | None = None) -> WithdrawalView | None:
        """One withdrawal; None when there is none, or when it is not `account`'s."""
        row = await self._database.fetchrow("withdrawal", _BY_ID, _text(withdrawal_id), account)
        return self._view(row) if row else None

    async def withdrawal_by_ref(self, account: str, client_ref: str) -> WithdrawalView | None:
        row = await self._database.fetchrow("withdrawal_by_ref", _BY_REF, _text(account), _text(client_ref))
        return self._view(row) if row else None

    async def timeline(self, withdrawal_id: str) -> Sequence[TimelineRow]:
        """Its rows, oldest first, at most TIMELINE_MAX."""
        rows = await self._database.fetch("timeline", _TIMELINE, _text(withdrawal_id), TIMELINE_MAX)
        return [
            TimelineRow(
                seq=row["seq"],
                stage=Stage(row["stage"]),
                at=row["at"],
                actor=row["actor"],
                reason=row["reason"],
                detail=json.loads(row["detail"]),
                deadline=row["deadline"],
            )
            for row in rows
        ]

    async def withdrawals(self, wanted: WithdrawalFilter, cursor: str | None, limit: int) -> WithdrawalPage:
        """A page, newest first, stable while rows are added: the cursor names the last row shown, not a number of
        rows. Raises Refused CURSOR_INVALID, LIMIT_INVALID.
        """
        if not 0 < limit <= PAGE_MAX:
            raise Refused("LIMIT_INVALID", f"Ask for 1 to {PAGE_MAX} at a time.", limit=limit)
        conditions, args = _conditions(wanted)
        if cursor is not None:
            conditions.append(f"(w.created_at, w.id) < (${len(args) + 2}, ${len(args) + 3})")
            args += _read_cursor(cursor)
        sql = _PAGE % (" AND ".join(conditions) or "true")
        rows = await self._database.fetch("withdrawals", sql, limit + 1, *args)
        items = tuple(self._view(row) for row in rows[:limit])
        more = len(rows) > limit
        return WithdrawalPage(items, _cursor(items[-1].created_at, items[-1].id) if more else None)

    async def account_known(self, account: str) -> bool:
        sql = "SELECT name FROM client WHERE name = $1"
        return await self._database.fetchrow("account_known", sql, _text(account)) is not None

    async def balances(self, account: str) -> Sequence[Balance]:
        """Every asset of the catalogue, in the order of their ids."""
        pairs = {
            asset: (chart.available(account, asset).code, chart.held(account, asset).code)
            for asset in sorted(self._catalogue.assets)
        }
        codes = [_text(code) for pair in pairs.values() for code in pair]
        rows = await self._database.fetch("balances", _BALANCES, codes)
        units = {row["code"]: row["units"] for row in rows}
        return [Balance(asset, units.get(free, "0"), units.get(held, "0")) for asset, (free, held) in pairs.items()]

    async def trial_balance(self) -> TrialBalance:
        """The books' own proof, from one snapshot. Reads every posting."""
        async with self._database.snapshot("trial_balance") as connection:
            sums = {row["asset"]: row["total"] for row in await connection.fetch(_SUMS)}
            apart = {row["code"]: row["apart"] for row in await connection.fetch(_DISAGREEMENTS)}
        return TrialBalance({asset: "0" for asset in self._catalogue.assets} | sums, apart)

    async def wallets(self) -> Sequence[WalletView]:
        rows = await self._database.fetch("wallets", _WALLETS, sorted(self._catalogue.assets))
        return [
            WalletView(
                network=row["network"],
                address=row["address"],
                next_scarce=row["next_scarce"],
                balances=json.loads(row["balances"] or "{}"),
                open_slots=row["open_slots"],
                halted=row["halted_reason"],
                read_through=row["read_through"],
            )
            for row in rows
        ]

    async def procedures(self, subject: str) -> Sequence[Mapping[str, str]]:
        """What people had done about a slot or a wallet, oldest first: when, what, why, what it was worth, and each
        endorsement with what it was worth.
        """
        rows = await self._database.fetch("procedures", _PROCEDURES, _text(subject))
        return [{name: str(value or "") for name, value in dict(row).items()} for row in rows]

    async def slot_end(self, slot_id: str) -> Mapping[str, str] | None:
        """How a slot ended: CLOSED by a version of ours, CONSUMED by a stranger's; None while it is open."""
        row = await self._database.fetchrow("slot_end", _SLOT_END, _text(slot_id))
        return {name: str(value or "") for name, value in dict(row).items()} if row else None

    async def slot_consumer(self, slot_id: str) -> str | None:
        """The transaction that the last look proved to have consumed the slot, ours or a stranger's."""
        row = await self._database.fetchrow("slot_consumer", _SLOT_CONSUMER, _text(slot_id))
        return str(row["consumer"]) if row and row["consumer"] else None

    async def house(self) -> Mapping[str, str]:
        return {row["code"]: row["units"] for row in await self._database.fetch("house", _HOUSE)}

    async def stages(self) -> Mapping[Stage, int]:
        """How many withdrawals stand in each stage."""
        rows = await self._database.fetch("stages", "SELECT stage, count(*) AS n FROM withdrawal GROUP BY stage")
        return {Stage(row["stage"]): row["n"] for row in rows}

    async def broadcasts(self, after_seq: int, limit: int) -> Sequence[Broadcast]:
        """First broadcasts after `after_seq`, oldest first, once they are a few seconds old."""
        few = max(0, min(limit, BROADCASTS_MAX))
        settling = timedelta(seconds=SETTLING_S)
        rows = await self._database.fetch("broadcasts", _BROADCASTS, after_seq, settling, few)
        return [Broadcast(row["seq"], row["network"], row["seconds"]) for row in rows]

    async def quote(self, quote_id: str, account: str) -> Quote | None:
        row = await self._database.fetchrow("quote", _QUOTE, _text(quote_id), _text(account))
        return Quote(**dict(row)) if row else None

    async def unstarted(self, older_than: datetime, limit: int) -> Sequence[WithdrawalView]:
        """Claims withdrawals requested before `older_than` whose workflow nobody is known to have started; another
        process does not get them for CLAIM_S seconds.
        """
        few = max(0, min(limit, UNSTARTED_MAX))
        rows = await self._database.fetch("unstarted", _CLAIM, older_than, timedelta(seconds=CLAIM_S), few)
        return [self._view(row) for row in rows]

    async def mark_started(self, withdrawal_id: str) -> None:
        """Its workflow runs; a repeat changes nothing."""
        await self._starts.submit(withdrawal_id)

    async def _mark_batch(self, ids: Sequence[str]) -> Sequence[None]:
        await self._database.write("mark_started", _STARTED, list(ids))
        return [None] * len(ids)

    def _view(self, row: Mapping[str, Any]) -> WithdrawalView:
        decisions = tuple(
            DecisionView(approver, ruling, counted, code, source, datetime.fromisoformat(at))
            for approver, ruling, counted, code, source, at in (
                json.loads(row["decisions"]) if row["decisions"] else ()
            )
        )
        asset = self._catalogue.assets.get(row["asset"])
        return WithdrawalView(
            id=row["id"],
            account=row["account"],
            client_ref=row["client_ref"],
            network=row["network"],
            asset_id=row["asset"],
            asset_code=asset.code if asset else row["asset"].partition("-")[0],
            amount=row["amount"],
            fee=row["fee"],
            recipient=row["recipient"],
            requester=row["requester"],
            stage=Stage(row["stage"]),
            reason=row["reason"],
            txid=row["txid"],
            slot_id=row["slot_id"],
            network_fee=row["network_fee"],
            intent=intent_of(row["intent"]) if row["intent"] else None,
            intent_hash=row["intent_hash"],
            approvals_needed=row["approvals"] or 0,
            approvals=tuple(d.approver for d in decisions if d.counted and d.ruling == "approve"),
            decisions=decisions,
            expires_at=row["expires_at"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            submitted=row["submitted"],
        )


def _conditions(wanted: WithdrawalFilter) -> tuple[list[str], list[object]]:
    """SQL conditions and their arguments, numbered from $2 on."""
    asked = (
        ("w.account =", wanted.account),
        ("w.stage =", wanted.stage.value if wanted.stage else None),
        ("w.network =", wanted.network),
        ("w.asset =", wanted.asset),
        ("w.created_at >=", wanted.created_from),
        ("w.created_at <", wanted.created_to),
    )
    given = [
        (column, _text(value) if isinstance(value, str) else value) for column, value in asked if value is not None
    ]
    return [f"{column} ${i}" for i, (column, _) in enumerate(given, 2)], [value for _, value in given]


def _cursor(created_at: datetime, id_: str) -> str:
    """Opaque to its reader: where the next page begins."""
    return base64.urlsafe_b64encode(f"1|{created_at.isoformat()}|{id_}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> list[object]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        version, at, id_ = text.split("|")
        created_at = datetime.fromisoformat(at)
        if version != "1" or created_at.tzinfo is None or len(id_) > 64 or _cursor(created_at, id_) != cursor:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Refused("CURSOR_INVALID", "Use the `next_cursor` of the page before, unchanged.") from None
    return [created_at.astimezone(UTC), _text(id_)]


def _text(text: str) -> str:
    """Text from outside as a value to look for: PostgreSQL takes no NUL, and nothing of ours holds one."""
    return text.replace("\x00", "\ufffd")


def _is_views(views: PostgresViews) -> Views:
    """Read by the type checker alone: what we have is what the port asks for."""
    return views
