"""Entries: sets of postings that balance by construction and never change."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from domain.ledger.chart import Account
from domain.money import UNITS_MAX

LINES_MAX = 256
KEY_CHARS_MAX = 200
KIND_CHARS_MAX = 32


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: `units` base units of the account's asset, debit positive, credit negative, never zero."""

    account: Account
    units: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced set of postings under a key that is used once for ever.

    Raises ValueError unless there are 1..LINES_MAX postings, each account appears once, no posting is zero or beyond
    2**256 - 1, and the postings of every asset sum to zero.
    """

    key: str
    kind: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.key) <= KEY_CHARS_MAX or not 0 < len(self.kind) <= KIND_CHARS_MAX:
            raise ValueError("an entry's key and kind are neither empty nor long")
        if not 0 < len(self.postings) <= LINES_MAX:
            raise ValueError(f"entry {self.key}: 1..{LINES_MAX} postings, not {len(self.postings)}")
        sums: dict[str, int] = {}
        for posting in self.postings:
            units, asset = posting.units, posting.account.asset
            if type(units) is not int or units == 0 or abs(units) > UNITS_MAX:
                raise ValueError(f"entry {self.key}: a posting is a whole number of base units other than zero")
            sums[asset] = sums.get(asset, 0) + units
        if len({posting.account.code for posting in self.postings}) != len(self.postings):
            raise ValueError(f"entry {self.key}: an account appears once")
        if any(sums.values()):
            raise ValueError(f"entry {self.key} does not balance")

    def digest(self) -> bytes:
        """SHA-256 over kind and postings in any order: two entries with one key are the same entry or a conflict."""
        lines = sorted(f"{p.account.code} {p.units}" for p in self.postings)
        return hashlib.sha256("\n".join(("strongroom/entry/v1", self.kind, *lines)).encode()).digest()


def entry_of(key: str, kind: str, lines: Iterable[tuple[Account, int]]) -> Entry:
    """The entry these lines make: lines on one account are added up and what comes to nothing is left out."""
    sums: dict[Account, int] = {}
    for account, units in lines:
        sums[account] = sums.get(account, 0) + units
    return Entry(key, kind, tuple(Posting(account, units) for account, units in sums.items() if units))


class Posted(StrEnum):
    """What the books say of one entry of a batch. Only POSTED and DUPLICATE mean that it stands in the books."""

    POSTED = "posted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    INSUFFICIENT = "insufficient"
    HOLD_MISSING = "hold_missing"
    HOLD_CLOSED = "hold_closed"
