"""The `Books` port on PostgreSQL: every method is one transaction, and idempotent by derived keys."""

from adapters.store.judgement import Judgements
from adapters.store.payouts import Payouts
from adapters.store.procedures import Procedures
from adapters.store.requests import Requests
from adapters.store.settlement import Settlements
from adapters.store.wallets import Wallets
from domain.ports import Books


class PostgresBooks(Requests, Judgements, Payouts, Settlements, Wallets, Procedures):
    """PostgresBooks(database, catalogue, roster). Its `ledger` posts any entry."""


def _is_books(books: PostgresBooks) -> Books:
    """Read by the type checker alone: what we have is what the port asks for."""
    return books
