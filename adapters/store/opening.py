"""Everything of the store on one pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.catalogue import Catalogue
from adapters.store.address_book import PostgresAddressBook
from adapters.store.books import PostgresBooks
from adapters.store.coins import PostgresCoins
from adapters.store.database import Database, open_database
from adapters.store.deposit_address import PostgresDepositAddresses
from adapters.store.keys import ApiKeys
from adapters.store.recipients import PostgresRecipients
from adapters.store.views import PostgresViews
from domain.ports import Roster


@dataclass(frozen=True, slots=True)
class Store:
    """Books, views, keys, address books, deposit addresses, recipients and coins of one database."""

    database: Database
    books: PostgresBooks
    views: PostgresViews
    keys: ApiKeys
    address_book: PostgresAddressBook
    deposit_addresses: PostgresDepositAddresses
    recipients: PostgresRecipients

    def coins(self, network: str) -> PostgresCoins:
        """The coins of our wallets on one network."""
        return PostgresCoins(self.database, network)


@asynccontextmanager
async def open_store(dsn: str, catalogue: Catalogue, roster: Roster, pool_max: int = 16) -> AsyncIterator[Store]:
    """The store at `dsn` (postgresql://...). Connects when first used; raises Unavailable then, never here."""
    async with open_database(dsn, pool_max) as database:
        yield Store(
            database,
            PostgresBooks(database, catalogue, roster),
            PostgresViews(database, catalogue),
            ApiKeys(database),
            PostgresAddressBook(database),
            PostgresDepositAddresses(database),
            PostgresRecipients(database),
        )
