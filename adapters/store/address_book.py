"""Each account's address book. An entry that is taken back stays as a row: an auditor may ask when it was in force."""

from collections.abc import Sequence
from datetime import datetime

from adapters.store.database import Database, Row
from domain.address import ends, entry_id
from domain.errors import Refused
from domain.ports import AddressEntry

ENTRIES_MAX = 1000  # of one account, at a time

_COLUMNS = "id, account, network, address, label, added_at, retired_at"
_LOCK = "SELECT name FROM client WHERE name = $1 FOR NO KEY UPDATE"
_IN_FORCE = "SELECT count(*) FROM address_entry WHERE account = $1 AND retired_at IS NULL"
_ADD = f"""
INSERT INTO address_entry (id, account, network, address, ends, label, added_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET
    label = excluded.label,
    added_at = CASE WHEN address_entry.retired_at IS NULL THEN address_entry.added_at ELSE excluded.added_at END,
    retired_at = NULL
RETURNING {_COLUMNS}
"""  # noqa: S608 - columns of ours
_RETIRE = f"""
UPDATE address_entry SET retired_at = coalesce(retired_at, $3) WHERE account = $1 AND id = $2 RETURNING {_COLUMNS}
"""  # noqa: S608
_LIST = f"SELECT {_COLUMNS} FROM address_entry WHERE account = $1 AND retired_at IS NULL ORDER BY added_at, id"  # noqa: S608
_NOTE = "INSERT INTO address_event (entry_id, what, label, actor, at) VALUES ($1, $2, $3, $4, $5)"


class PostgresAddressBook:
    """The address books in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, account: str, network: str, address: str, label: str, actor: str, now: datetime
    ) -> AddressEntry:
        id_ = entry_id(account, network, address)
        async with self._database.transaction("add_address") as connection:
            if await connection.fetchval(_LOCK, account) is None:
                raise Refused("ACCOUNT_UNKNOWN", "There is no account of this name.", account=account)
            if await connection.fetchval(_IN_FORCE, account) >= ENTRIES_MAX:
                raise Refused(
                    "ADDRESS_BOOK_FULL", f"An address book holds {ENTRIES_MAX} entries; take some back first."
                )
            row = await connection.fetchrow(_ADD, id_, account, network, address, ends(address), label, now)
            await connection.execute(_NOTE, id_, "ADDED", label, actor, now)
            return _entry(row)

    async def retire(self, account: str, entry: str, actor: str, now: datetime) -> AddressEntry | None:
        async with self._database.transaction("retire_address") as connection:
            row = await connection.fetchrow(_RETIRE, account, entry, now)
            if row is not None and row["retired_at"] == now:
                await connection.execute(_NOTE, entry, "RETIRED", row["label"], actor, now)
            return _entry(row) if row else None

    async def entries(self, account: str) -> Sequence[AddressEntry]:
        return [_entry(row) for row in await self._database.fetch("addresses", _LIST, account)]


def _entry(row: Row) -> AddressEntry:
    return AddressEntry(**dict(row))
