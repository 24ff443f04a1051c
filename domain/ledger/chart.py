"""The chart of accounts. An account's code says what it is; its kind says which sign is its normal side."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    ASSET = "asset"
    LIABILITY = "liability"
    REVENUE = "revenue"
    EXPENSE = "expense"
    EQUITY = "equity"

    @property
    def normal_sign(self) -> int:
        """+1 where debits increase the balance (assets, expenses), -1 where credits do."""
        return 1 if self in (Kind.ASSET, Kind.EXPENSE) else -1


@dataclass(frozen=True, slots=True)
class Account:
    """One ledger account of one asset. Its balance, on its normal side, may fall below zero only where
    `may_overdraw`.
    """

    code: str
    kind: Kind
    asset: str
    may_overdraw: bool = False


def available(account: str, asset: str) -> Account:
    """What the client may still use; we owe it to them."""
    return Account(f"client/{account}/available/{asset}", Kind.LIABILITY, asset)


def held(account: str, asset: str) -> Account:
    """What the client asked to withdraw and we have not settled or returned yet; we still owe it."""
    return Account(f"client/{account}/held/{asset}", Kind.LIABILITY, asset)


def hot_wallet(network: str, address: str, asset: str) -> Account:
    """Coins under one hot wallet's key that no slot has taken."""
    return Account(f"hot/{network}/{address.lower()}/{asset}", Kind.ASSET, asset)


def in_flight(network: str, asset: str) -> Account:
    """Coins bound to open slots: they left the hot wallet's books and the chain has not finally said where they are."""
    return Account(f"in_flight/{network}/{asset}", Kind.ASSET, asset)


def network_fee(network: str, asset: str) -> Account:
    """What networks took for our transactions."""
    return Account(f"expense/network_fee/{network}/{asset}", Kind.EXPENSE, asset)


def withdrawal_fee(asset: str) -> Account:
    """What clients paid us for withdrawals."""
    return Account(f"revenue/withdrawal_fee/{asset}", Kind.REVENUE, asset)


def opening(asset: str) -> Account:
    """The other side of balances that existed before the books did."""
    return Account(f"equity/opening/{asset}", Kind.EQUITY, asset, may_overdraw=True)
