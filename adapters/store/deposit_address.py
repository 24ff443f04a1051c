"""Which address is whose. Rows are only added: coins may arrive at an address years after it was given out."""

from collections.abc import Sequence
from datetime import datetime

from adapters.store.database import Connection, Database
from domain.errors import Refused
from domain.ports import DepositAddress

_COLUMNS = "network, address, account, assigned_at"
# Until the transaction ends nobody else gives out the same address, on whatever network.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('deposit_address'), hashtext($1))"
_CLIENT = "SELECT true FROM client WHERE name = $1"
_HOT_WALLET = "SELECT true FROM wallet WHERE lower(address) = lower($1) LIMIT 1"
_OTHERS = "SELECT true FROM deposit_address WHERE address = $1 AND account <> $2 LIMIT 1"
_ASSIGN = """
INSERT INTO deposit_address (network, address, account, assigned_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (network, address) DO NOTHING
"""
_ONE = f"SELECT {_COLUMNS} FROM deposit_address WHERE network = $1 AND address = $2"  # noqa: S608 - columns of ours
_OWNER = "SELECT account FROM deposit_address WHERE network = $1 AND address = $2"
_LIST = f"SELECT {_COLUMNS} FROM deposit_address WHERE account = $1 ORDER BY assigned_at, network, address"  # noqa: S608


class PostgresDepositAddresses:
    """The deposit addresses in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def assign(self, account: str, network: str, address: str, now: datetime) -> DepositAddress:
        """Gives a canonical address to an account; a repeat changes nothing. Raises Refused ACCOUNT_UNKNOWN,
        ADDRESS_OURS, ADDRESS_ASSIGNED.
        """
        async with self._database.transaction("assign_address") as connection:
            await connection.execute(_LOCK, address)
            if not await connection.fetchval(_CLIENT, account):
                raise Refused("ACCOUNT_UNKNOWN", "There is no account of this name.", account=account)
            if await connection.fetchval(_HOT_WALLET, address):
                raise Refused("ADDRESS_OURS", "This is a hot wallet; nobody's deposits arrive there.", address=address)
            if await connection.fetchval(_OTHERS, address, account):
                raise Refused(
                    "ADDRESS_ASSIGNED", "This address is another account's, and stays so for ever.", address=address
                )
            await connection.execute(_ASSIGN, network, address, account, now)
            return DepositAddress(**dict(await connection.fetchrow(_ONE, network, address)))

    async def addresses_of(self, account: str) -> Sequence[DepositAddress]:
        rows = await self._database.fetch("deposit_addresses", _LIST, account)
        return [DepositAddress(**dict(row)) for row in rows]


async def owner_within(connection: Connection, network: str, address: str) -> str | None:
    """The account whose deposit address this is, as the caller's transaction sees it."""
    found: str | None = await connection.fetchval(_OWNER, network, address)
    return found
