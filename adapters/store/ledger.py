"""The ledger in PostgreSQL: entries with a verdict each, posted in batches as they come."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asyncpg.exceptions import PostgresError

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
        self._coalescer = Coalescer(self._post_batch, lanes=lanes)

    async def post(self, move: Move | Entry) -> Verdict:
        """Posts one entry (and what it does to a hold), together with whatever else waits. Raises Unavailable,
        Uncertain.
        """
        with span("post"):
            return await self._coalescer.submit(move if isinstance(move, Move) else Move(move))

    async def post_within(self, connection: Connection, moves: Sequence[Move], at: datetime) -> Sequence[Verdict]:
        """Posts moves inside the caller's transaction, which must post only once (lock order)."""
        ids = await self.know(connection, accounts_of(moves))
        with self.doubting():
            return _verdicts(await connection.fetchrow(_POST, *arrays(moves, ids), at), ids)

    def knows(self, accounts: Iterable[Account]) -> bool:
        """Whether the ids of all these accounts are known here already."""
        return all(account.code in self._ids for account in accounts)

    async def know(self, reader: Connection | Database, accounts: Iterable[Account]) -> dict[str, int]:
        """The ids of the accounts by code. Those that are not in the books yet are opened, in a transaction of its
        own: what we learn must not vanish with the caller's.
        """
        wanted = {account.code: account for account in accounts}
        ids = {code: self._ids[code] for code in wanted if code in self._ids}
        if len(ids) < len(wanted):
            ids |= await self._learn(reader, [code for code in wanted if code not in ids])
        if len(ids) < len(wanted):
            missing = [wanted[code] for code in sorted(wanted) if code not in ids]
            await self._database.write(
                "open_accounts",
                _OPEN,
                [a.code for a in missing],
                [a.kind.value for a in missing],
                [a.asset for a in missing],
                [a.kind.normal_sign for a in missing],
                [a.may_overdraw for a in missing],
            )
            ids |= await self._learn(self._database, [a.code for a in missing])
        return ids

    async def _learn(self, reader: Connection | Database, codes: list[str]) -> dict[str, int]:
        sql = "SELECT id, code FROM account WHERE code = ANY($1)"
        asked = reader.fetch("accounts", sql, codes) if isinstance(reader, Database) else reader.fetch(sql, codes)
        found = {row["code"]: row["id"] for row in await asked}
        if len(self._ids) > ACCOUNTS_KNOWN_MAX:
            self._ids.clear()
        self._ids.update(found)
        return found

    async def _post_batch(self, moves: Sequence[Move]) -> Sequence[Verdict]:
        ids = await self.know(self._database, accounts_of(moves))
        with self.doubting():
            row = await self._database.write("post_entries", _POST, *arrays(moves, ids), datetime.now(UTC))
        return _verdicts(row, ids)

    @contextmanager
    def doubting(self) -> Iterator[None]:
        """Around a statement that is given ids: when the database does not know one of them (it was restored from a
        backup, say), all are forgotten, and a retry learns them anew.
        """
        try:
            yield
        except (Unavailable, PostgresError) as error:
            facts = error.facts if isinstance(error, Unavailable) else {}
            if ACCOUNT_GONE in (facts.get("sqlstate"), getattr(error, "sqlstate", None)):
                self._ids.clear()
            raise


def accounts_of(moves: Sequence[Move]) -> Iterator[Account]:
    return (posting.account for move in moves for posting in move.entry.postings)


def arrays(moves: Sequence[Move], ids: Mapping[str, int]) -> tuple[Any, ...]:
    """The first ten arguments of `post_entries`; `ids` of all accounts by code."""
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


def _verdicts(row: Any, ids: Mapping[str, int]) -> Sequence[Verdict]:
    if row["short_of"] is None:
        return [Verdict(Posted(verdict)) for verdict in row["verdicts"]]
    codes = {id_: code for code, id_ in ids.items()}
    return [Verdict(Posted(v), codes.get(s)) for v, s in zip(row["verdicts"], row["short_of"], strict=True)]


def insist(verdict: Verdict, move: Move) -> None:
    """Raises unless the move stands: Refused INSUFFICIENT_FUNDS, HOLD_CLOSED, HOLD_MISSING or ENTRY_CONFLICT."""
    if verdict.stands:
        return
    if verdict.posted is Posted.INSUFFICIENT:
        raise Refused("INSUFFICIENT_FUNDS", "The balance does not suffice.", account=verdict.short_of)
    code = "ENTRY_CONFLICT" if verdict.posted is Posted.CONFLICT else verdict.posted.name
    raise Refused(code, "The books hold something else under this key; nothing was changed.", key=move.entry.key)
