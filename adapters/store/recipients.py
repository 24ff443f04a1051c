"""What is known here of whom a withdrawal would pay. Calls that arrive together share one statement."""

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from adapters.store.coalescer import Coalescer
from adapters.store.database import Database, Row
from domain.address import ends, looks_like
from domain.ports import AddressEntry, Recipient, Recipients

# An address that is itself in the book is found before those it looks like.
_KNOWN = """
SELECT d.account AS owner, e.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    WITH ORDINALITY AS asked (network, address, account, ends, n)
LEFT JOIN deposit_address d ON d.network = asked.network AND d.address = asked.address
LEFT JOIN LATERAL (
    SELECT id, account, network, address, label, added_at, retired_at FROM address_entry
    WHERE account = asked.account AND ends = asked.ends AND retired_at IS NULL
    ORDER BY lower(address) = lower(asked.address) DESC, added_at, id LIMIT 1) e ON true
ORDER BY asked.n
"""
_ENTRY = tuple(field.name for field in fields(AddressEntry))


class _Asked(NamedTuple):
    """Whom `account`, or nobody in particular, would pay."""

    network: str
    address: str
    account: str | None


class PostgresRecipients:
    """The `Recipients` port on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks = Coalescer(self._known)

    async def known(self, network: str, address: str, account: str | None) -> Recipient:
        return await self._looks.submit(_Asked(network, address, account))

    async def _known(self, asked: Sequence[_Asked]) -> Sequence[Recipient]:
        networks, addresses, accounts = zip(*asked, strict=True)
        rows = await self._database.fetch(
            "recipients", _KNOWN, networks, addresses, accounts, [ends(address) for address in addresses]
        )
        return [_recipient(one.address, row) for one, row in zip(asked, rows, strict=True)]


def _recipient(address: str, row: Row) -> Recipient:
    alike = row["id"] is not None and looks_like(address, row["address"])
    return Recipient(row["owner"], AddressEntry(**{name: row[name] for name in _ENTRY}) if alike else None)


def _is_recipients(recipients: PostgresRecipients) -> Recipients:
    """Read by the type checker alone: what we have is what the port asks for."""
    return recipients
