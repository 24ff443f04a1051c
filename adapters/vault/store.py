"""The signer's own memory: what every slot pays, which slot every withdrawal and coin took, what was signed and spent.

SQLite in the signer's private directory, every commit on disk before anything is returned. All tables only grow; the
database itself refuses to change or forget a row. Losing this file loses the wall between one withdrawal and two
payments, so it is never made anew by accident.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.coin import Coin
from domain.errors import Refused, Unavailable
from domain.payout import Fee, Version

DAY = timedelta(hours=24)
BUSY_WAIT_S = 5.0
_log = logging.getLogger("strongroom.vault")
# 0: before it was counted; 1: versions may expire; 2: coins are remembered; 3: voided slots; 4: consumed ones
_SCHEMA_VERSION = 4
_TABLES = ("slot", "withdrawal", "coin", "version", "voided", "consumed", "moved", "spend", "rejection", "refusal")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS slot (
    slot_id TEXT PRIMARY KEY, payload TEXT NOT NULL, intents TEXT NOT NULL, bound_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS withdrawal (
    withdrawal_id TEXT PRIMARY KEY, intent_hash TEXT NOT NULL UNIQUE, approved INTEGER NOT NULL,
    slot_id TEXT NOT NULL REFERENCES slot (slot_id)) STRICT;
CREATE TABLE IF NOT EXISTS coin (
    outpoint TEXT PRIMARY KEY, units TEXT NOT NULL, slot_id TEXT NOT NULL REFERENCES slot (slot_id)) STRICT;
CREATE TABLE IF NOT EXISTS version (
    slot_id TEXT NOT NULL REFERENCES slot (slot_id), number INTEGER NOT NULL, txid TEXT NOT NULL UNIQUE,
    raw TEXT NOT NULL, weight TEXT NOT NULL, price TEXT NOT NULL, tip TEXT NOT NULL, signed_at TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (slot_id, number), UNIQUE (slot_id, weight, price, tip, expires_at_ms)) STRICT;
CREATE TABLE IF NOT EXISTS voided (
    slot_id TEXT PRIMARY KEY REFERENCES slot (slot_id), paying INTEGER NOT NULL, procedure TEXT NOT NULL,
    people TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS consumed (
    slot_id TEXT PRIMARY KEY REFERENCES slot (slot_id), txid TEXT NOT NULL, procedure TEXT NOT NULL UNIQUE,
    people TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS moved (
    withdrawal_id TEXT NOT NULL REFERENCES withdrawal (withdrawal_id),
    from_slot TEXT NOT NULL REFERENCES consumed (slot_id), slot_id TEXT NOT NULL REFERENCES slot (slot_id),
    approved INTEGER NOT NULL, PRIMARY KEY (withdrawal_id, from_slot)) STRICT;
CREATE TABLE IF NOT EXISTS spend (
    purse TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, units TEXT NOT NULL, meter TEXT NOT NULL,
    slot_id TEXT NOT NULL, PRIMARY KEY (purse, number)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spend_at ON spend (purse, at, number);
CREATE TABLE IF NOT EXISTS rejection (
    intent_hash TEXT PRIMARY KEY, approver TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS refusal (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, slot_id TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
    facts TEXT NOT NULL) STRICT;
"""
_ONLY_GROWS = """
CREATE TRIGGER IF NOT EXISTS {table}_never_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'the signer forgets nothing'); END;
"""


class Page:
    """One open transaction over the memory: read, judge and write inside it; it is committed as a whole or not at
    all.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def bind(self, slot: str, payload: str, intents: Mapping[str, str], now: datetime) -> bool:
        """Ties slot, payload and withdrawals (id -> intent hash) together for ever; True when they are new.

        Raises Refused SIGNER_SLOT_TAKEN when the slot already pays something else, SIGNER_SECOND_SLOT when one of the
        withdrawals took another slot that people have not given up.
        """
        key = json.dumps(dict(intents), sort_keys=True)
        known = self._db.execute("SELECT payload, intents FROM slot WHERE slot_id = ?", (slot,)).fetchone()
        if known == (payload, key):
            return False
        if known is not None:
            raise Refused("SIGNER_SLOT_TAKEN", "This slot was signed for another payment and never pays a second one.")
        for withdrawal, intent in intents.items():
            self._refuse_second_slot(withdrawal, intent)
        self._db.execute("INSERT INTO slot VALUES (?, ?, ?, ?)", (slot, payload, key, _micros(now)))
        return True

    def take(self, slot: str, coins: Sequence[Coin]) -> None:
        """Ties coins to a bound slot for ever. Raises Refused SIGNER_COIN_TAKEN when one is another slot's: two slots
        that share a coin exclude each other, so one of them would look unpaid for ever.
        """
        for coin in coins:
            row = self._db.execute("SELECT units, slot_id FROM coin WHERE outpoint = ?", (coin.outpoint,)).fetchone()
            if row is None:
                self._db.execute("INSERT INTO coin VALUES (?, ?, ?)", (coin.outpoint, coin.units, slot))
            elif row != (coin.units, slot):
                raise Refused(
                    "SIGNER_COIN_TAKEN",
                    "A coin was signed away in another slot and is never spent in a second one; take others.",
                    outpoint=coin.outpoint,
                    slot_id=str(row[1]),
                )

    def coins(self, slot: str) -> frozenset[Coin]:
        """The coins tied to the slot."""
        rows = self._db.execute("SELECT outpoint, units FROM coin WHERE slot_id = ?", (slot,))
        return frozenset(Coin(*row) for row in rows)

    def void(self, slot: str, payload: str, procedure: str, people: Sequence[str], now: datetime) -> None:
        """Remembers for ever that people voided the slot: what is signed for it from here on pays nobody. One that was
        never bound is bound to that.
        """
        bound = (slot, payload, "{}", _micros(now))
        self._db.execute("INSERT INTO slot VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", bound)
        self._db.execute(
            "INSERT INTO voided SELECT ?, count(*), ?, ?, ? FROM version WHERE slot_id = ? ON CONFLICT DO NOTHING",
            (slot, procedure, json.dumps(list(people)), _micros(now), slot),
        )

    def voided(self, slot: str) -> bool:
        """Whether people voided the slot."""
        return self._db.execute("SELECT true FROM voided WHERE slot_id = ?", (slot,)).fetchone() is not None

    def slot_of(self, withdrawal: str) -> str | None:
        """The slot that the withdrawal took last; None when it took none."""
        row = self._db.execute(
            "SELECT coalesce((SELECT slot_id FROM moved m WHERE m.withdrawal_id = w.withdrawal_id"
            " ORDER BY m.rowid DESC LIMIT 1), w.slot_id) FROM withdrawal w WHERE w.withdrawal_id = ?",
            (withdrawal,),
        ).fetchone()
        return str(row[0]) if row else None

    def consume(self, slot: str, txid: str, procedure: str, people: Sequence[str], now: datetime) -> None:
        """Remembers for ever that people gave the slot up to a stranger's transaction: nothing more is signed for it.

        Raises Refused SIGNER_CONSUMER_OURS when this signer signed that transaction, SIGNER_PROCEDURE_OTHER when the
        slot was given up by another procedure.
        """
        bare = txid.removeprefix("0x")
        if self._db.execute("SELECT true FROM version WHERE txid IN (?, ?)", (bare, "0x" + bare)).fetchone():
            raise Refused(
                "SIGNER_CONSUMER_OURS", "This signer signed that transaction; it is no stranger's.", txid=txid
            )
        said = (slot, txid, procedure)
        self._db.execute(
            "INSERT INTO consumed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*said, json.dumps(list(people)), _micros(now)),
        )
        known = self._db.execute("SELECT slot_id, txid, procedure FROM consumed WHERE slot_id = ?", (slot,)).fetchone()
        if known != said:
            raise Refused("SIGNER_PROCEDURE_OTHER", "People gave this slot up by another procedure.", slot_id=slot)

    def consumed(self, slot: str) -> bool:
        """Whether people gave the slot up."""
        return self._db.execute("SELECT true FROM consumed WHERE slot_id = ?", (slot,)).fetchone() is not None

    def refuse_consumed(self, slot: str) -> None:
        """Raises Refused SIGNER_SLOT_CONSUMED."""
        if self.consumed(slot):
            raise Refused("SIGNER_SLOT_CONSUMED", "People gave this slot up: nothing is signed for it any more.")

    def enter(self, slot: str, withdrawal: str, intent: str, approved: bool) -> None:
        """Remembers that the withdrawal took this slot, and whether people approved it. From a slot that was given up
        it moves on, once for ever.
        """
        before = self.slot_of(withdrawal)
        if before is None:
            row = (withdrawal, intent, int(approved), slot)
            self._db.execute("INSERT INTO withdrawal VALUES (?, ?, ?, ?)", row)
        else:
            self._db.execute("INSERT INTO moved VALUES (?, ?, ?, ?)", (withdrawal, before, slot, int(approved)))

    def approved(self, slot: str) -> bool:
        """Whether people approved every withdrawal of a bound slot when it was first signed."""
        row = self._db.execute(
            "SELECT min(approved) FROM (SELECT approved, slot_id FROM withdrawal"
            " UNION ALL SELECT approved, slot_id FROM moved) WHERE slot_id = ?",
            (slot,),
        ).fetchone()
        return bool(row[0])

    def versions(self, slot: str) -> Sequence[Version]:
        """All versions of the slot, in the order signed."""
        rows = self._db.execute(
            "SELECT slot_id, number, txid, raw, weight, price, tip, signed_at, number > coalesce(paying, number)"
            " FROM version LEFT JOIN voided USING (slot_id) WHERE slot_id = ? ORDER BY number",
            (slot,),
        )
        return [
            Version(s, n, txid, raw, Fee(int(weight), int(price), int(tip)), datetime.fromisoformat(at), bool(void))
            for s, n, txid, raw, weight, price, tip, at, void in rows
        ]

    def keep(self, version: Version, expires_at_ms: int = 0) -> None:
        """Stores signed bytes; they are on disk when the transaction has ended. 0: they never expire."""
        fee = version.fee
        self._db.execute(
            "INSERT INTO version (slot_id, number, txid, raw, signed_at, weight, price, tip, expires_at_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(version.slot_id, version.number, version.txid, version.raw, version.signed_at.isoformat()),
                *(str(fee.weight), str(fee.price), str(fee.tip), expires_at_ms),
            ),
        )

    def spend(self, purse: str, units: int, day_max: int, slot: str, now: datetime) -> int | None:
        """Counts `units` against what the purse may spend in any rolling 24 hours.

        Returns None when counted, or what was already spent when `units` would pass `day_max` (nothing is counted
        then). The meter is the sum of all rows ever, so a window costs two look-ups however busy the day was.
        """
        number, meter, at = self._last(purse)
        moment = max(_micros(now), at)  # a clock set back must not reorder the meter
        spent = meter - self._meter_before(purse, moment - DAY // timedelta(microseconds=1))
        if spent + units > day_max:
            return spent
        self._db.execute(
            "INSERT INTO spend (purse, number, at, units, meter, slot_id) VALUES (?, ?, ?, ?, ?, ?)",
            (purse, number + 1, moment, str(units), str(meter + units), slot),
        )
        return None

    def rejected_by(self, intent: str) -> str | None:
        """The approver whose rejection of this intent the signer has seen before, if any."""
        row = self._db.execute("SELECT approver FROM rejection WHERE intent_hash = ?", (intent,)).fetchone()
        return row[0] if row else None

    def _refuse_second_slot(self, withdrawal: str, intent: str) -> None:
        """The very withdrawal moves on from a slot that people gave up; nothing else does."""
        rows = self._db.execute(
            "SELECT withdrawal_id, intent_hash, slot_id FROM withdrawal WHERE withdrawal_id = ? OR intent_hash = ?",
            (withdrawal, intent),
        ).fetchall()
        before = self.slot_of(withdrawal)
        moves_on = before is not None and self.consumed(before) and [row[:2] for row in rows] == [(withdrawal, intent)]
        if rows and not moves_on:
            raise Refused(
                "SIGNER_SECOND_SLOT",
                "This withdrawal already took a slot; it is never paid from a second one.",
                withdrawal_id=withdrawal,
                slot_id=before or str(rows[0][2]),
            )

    def _last(self, purse: str) -> tuple[int, int, int]:
        row = self._db.execute(
            "SELECT number, meter, at FROM spend WHERE purse = ? ORDER BY number DESC LIMIT 1", (purse,)
        ).fetchone()
        return (row[0], int(row[1]), row[2]) if row else (0, 0, 0)

    def _meter_before(self, purse: str, moment: int) -> int:
        """What the meter showed at `moment`, everything spent then included."""
        row = self._db.execute(
            "SELECT meter FROM spend WHERE purse = ? AND at <= ? ORDER BY at DESC, number DESC LIMIT 1", (purse, moment)
        ).fetchone()
        return int(row[0]) if row else 0


class Store:
    """The file. One writer at a time; used from one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> "Store":
        """Opens the memory, widened to what this release keeps. Raises Refused SIGNER_STORE_MISSING unless `create`,
        SIGNER_STORE_EXPOSED when others may read its directory, SIGNER_STORE_NEWER when a later release wrote it.
        """
        if not path.exists() and not create:
            raise Refused(
                "SIGNER_STORE_MISSING",
                f"{path} is gone. Restore it: a signer without its memory could pay a withdrawal twice.",
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_mode & 0o077:
            raise Refused("SIGNER_STORE_EXPOSED", f"Only the signer may enter {path.parent}; chmod 700 it.")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            return cls(_connect(path))
        except sqlite3.Error as error:
            raise Unavailable("SIGNER_STORE_UNAVAILABLE", f"The signer's memory does not open: {error}.") from error

    @contextmanager
    def page(self) -> Iterator[Page]:
        """One transaction, the only writer meanwhile. Raises Unavailable SIGNER_STORE_UNAVAILABLE (full disk, lock
        held for long); nothing was then written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield Page(self._db)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable("SIGNER_STORE_UNAVAILABLE", f"The signer's memory cannot be written: {error}.") from error

    def record_refusal(self, slot: str, refusal: Refused, now: datetime) -> None:
        """Remembers what was refused and why. A full disk does not turn a refusal into anything else."""
        row = (_micros(now), slot[:256], refusal.code, refusal.message, json.dumps(dict(refusal.facts)))
        try:
            self._db.execute("INSERT INTO refusal (at, slot_id, code, message, facts) VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            _log.error("a refusal could not be recorded", extra={"code": refusal.code, "error": str(error)})

    def record_rejection(self, intent: str, approver: str, now: datetime) -> None:
        """Remembers a rejection for good: leaving it out of the next order does not unsay it."""
        with self.page():
            self._db.execute(
                "INSERT INTO rejection VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (intent, approver, _micros(now))
            )

    def refusals(self) -> Sequence[tuple[str, str, str]]:
        """(slot id, code, facts as JSON) of everything refused, oldest first."""
        return self._db.execute("SELECT slot_id, code, facts FROM refusal ORDER BY number").fetchall()

    def close(self) -> None:
        self._db.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False)
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    if version > _SCHEMA_VERSION:
        connection.close()
        raise Refused("SIGNER_STORE_NEWER", f"A later release wrote {path}; run that one, or a newer.")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    triggers = [_ONLY_GROWS.format(table=table, verb=verb) for table in _TABLES for verb in ("UPDATE", "DELETE")]
    _widen(connection)
    mark = f"PRAGMA user_version = {_SCHEMA_VERSION};"
    connection.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "".join(triggers) + mark + "COMMIT;")
    return connection


def _widen(connection: sqlite3.Connection) -> None:
    """A memory from before versions could expire: the same rows under the wider key, all of them or none."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(version)")]
    if columns and "expires_at_ms" not in columns:
        named = ", ".join(columns)
        made = next(part for part in _SCHEMA.split(";") if "EXISTS version " in part).replace(" version ", " wider ", 1)
        connection.executescript(
            f"BEGIN IMMEDIATE; {made}; INSERT INTO wider ({named}) SELECT {named} FROM version;"  # noqa: S608 - our names
            " DROP TABLE version; ALTER TABLE wider RENAME TO version; COMMIT;"
        )


def _micros(moment: datetime) -> int:
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
