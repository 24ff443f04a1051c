"""The ledger in PostgreSQL: entries with a verdict each, posted in batches as they come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from adapters.store.coalescer import Coalescer
from adapters.store.database import Connection, Database, span
from domain.errors import Refused, Unavailable
from domain.ledger.chart import Account
from domain.ledger.entry import Entry, Posted
from domain.ledger.hold import Move

ACCOUNTS_KNOWN_MAX = 200_000
# What post_entries raises for an account id that is not there: another database answers than the one we knew.
ACCOUNT_GONE = "23503"

_POST = "SELECT verdicts, short_of FROM post_entries($1,$2,$3,$4,$5,$6,$7,$8,$9,$10::text[]::numeric[],$11)"
_OPEN = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::boolean[])
        AS a (code, kind, asset, normal_sign, may_overdraw)
), opened AS (
    INSERT INTO account (code, kind, asset) SELECT code, kind, asset FROM asked ORDER BY code
    ON CONFLICT (code) DO NOTHING RETURNING id, code
), balanced AS (
    INSERT INTO balance (account_id, normal_sign, may_overdraw)
    SELECT o.id, a.normal_sign, a.may_overdraw FROM opened o JOIN asked a USING (code)
)
SELECT count(*) FROM opened
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the books say of one move; `short_of` names the account that could not bear an INSUFFICIENT one."""

    posted: Posted
    short_of: str | None = None

    @property
    def stands(self) -> bool:
        """Whether the entry is in the books, by this call or an earlier one."""
        return self.posted in (Posted.POSTED, Posted.DUPLICATE)


class Ledger:
    """Accounts by code, and the posting of moves. Everything here is idempotent by the entries' keys."""

    def __init__(self, database: Database, *, lanes: int = 1) -> None:
        self._database = database
        self._ids: dict[str, int] = {}
        self._codes: dict[int, str] = {}
        self._coalescer = Coalescer(self._post_batch, lanes=lanes)

    async def post(self, move: Move | Entry) -> Verdict:
        """Posts one entry (and what it does to a hold), together with whatever else waits. Raises Unavailable,
        Uncertain.
        """
        with span("post"):
            return await self._coalescer.submit(move if isinstance(move, Move) else Move(move))

    async def post_within(self, connection: Connection, moves: Sequence[Move], at: datetime) -> Sequence[Verdict]:
        """Posts moves inside the caller's transaction, which must post only once (lock order)."""
        await self.know(connection, (posting.account for move in moves for posting in move.entry.postings))
        return self._verdicts(await connection.fetchrow(_POST, *self.arrays(moves), at))

    def knows(self, accounts: Iterable[Account]) -> bool:
        """Whether the ids of all these accounts are known here already."""
        return all(account.code in self._ids for account in accounts)

    async def know(self, reader: Connection | Database, accounts: Iterable[Account]) -> None:
        """Learns the ids of the accounts and opens those that are not in the books yet, in a transaction of its own:
        what we learn must not vanish with the caller's.
        """
        unknown = {account.code: account for account in accounts if account.code not in self._ids}
        if not unknown:
            return
        await self._learn(reader, list(unknown))
        if missing := [unknown[code] for code in sorted(unknown) if code not in self._ids]:
            await self._database.write(
                "open_accounts",
                _OPEN,
                [a.code for a in missing],
                [a.kind.value for a in missing],
                [a.asset for a in missing],
                [a.kind.normal_sign for a in missing],
                [a.may_overdraw for a in missing],
            )
            await self._learn(self._database, [a.code for a in missing])

    async def _learn(self, reader: Connection | Database, codes: list[str]) -> None:
        sql = "SELECT id, code FROM account WHERE code = ANY($1)"
        found = await (
            reader.fetch("accounts", sql, codes) if isinstance(reader, Database) else reader.fetch(sql, codes)
        )
        if len(self._ids) > ACCOUNTS_KNOWN_MAX:
            self._forget()
        for row in found:
            self._ids[row["code"]] = row["id"]
            self._codes[row["id"]] = row["code"]

    def _forget(self) -> None:
        self._ids.clear()
        self._codes.clear()

    def arrays(self, moves: Sequence[Move]) -> tuple[Any, ...]:
        """The first ten arguments of `post_entries`. The accounts must be open."""
        ids = self._ids
        used = sorted({ids[posting.account.code] for move in moves for posting in move.entry.postings})
        place = {id_: i for i, id_ in enumerate(used, 1)}
        item: list[int] = []
        number: list[int] = []
        where: list[int] = []
        units: list[str] = []
        for i, move in enumerate(moves, 1):
            for no, posting in enumerate(move.entry.postings, 1):
                item.append(i)
                number.append(no)
                where.append(place[ids[posting.account.code]])
                units.append(str(posting.units))
        return (
            [move.entry.key for move in moves],
            [move.entry.digest() for move in moves],
            [move.entry.kind for move in moves],
            [move.becomes for move in moves],
            [move.hold.key if move.hold else None for move in moves],
            used,
            item,
            number,
            where,
            units,
        )

    async def _post_batch(self, moves: Sequence[Move]) -> Sequence[Verdict]:
        await self.know(self._database, (posting.account for move in moves for posting in move.entry.postings))
        try:
            row = await self._database.write("post_entries", _POST, *self.arrays(moves), datetime.now(UTC))
        except Unavailable as error:
            if error.facts.get("sqlstate") == ACCOUNT_GONE:
                self._forget()
            raise
        return self._verdicts(row)

    def _verdicts(self, row: Any) -> Sequence[Verdict]:
        short = row["short_of"] or [None] * len(row["verdicts"])
        return [Verdict(Posted(v), self._codes.get(s)) for v, s in zip(row["verdicts"], short, strict=True)]


def insist(verdict: Verdict, move: Move) -> None:
    """Raises unless the move stands: Refused INSUFFICIENT_FUNDS, HOLD_CLOSED, HOLD_MISSING or ENTRY_CONFLICT."""
    if verdict.stands:
        return
    if verdict.posted is Posted.INSUFFICIENT:
        raise Refused("INSUFFICIENT_FUNDS", "The balance does not suffice.", account=verdict.short_of)
    code = {Posted.HOLD_CLOSED: "HOLD_CLOSED", Posted.HOLD_MISSING: "HOLD_MISSING"}.get(
        verdict.posted, "ENTRY_CONFLICT"
    )
    raise Refused(code, "The books hold something else under this key; nothing was changed.", key=move.entry.key)
