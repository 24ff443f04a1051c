"""A ledger in a few lines of Python: what `post_entries` must say of a batch, one entry after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.ledger.chart import Account
from domain.ledger.entry import Posted
from domain.ledger.hold import HoldState, Move


@dataclass
class ModelLedger:
    """Judges and posts moves in the order given."""

    balances: dict[Account, int] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)
    holds: dict[str, tuple[HoldState, Account, int]] = field(default_factory=dict)

    def post_all(self, moves: Sequence[Move]) -> list[tuple[Posted, str | None]]:
        return [self.post(move) for move in moves]

    def post(self, move: Move) -> tuple[Posted, str | None]:
        entry = move.entry
        if entry.key in self.digests:
            same = self.digests[entry.key] == entry.digest()
            return (Posted.DUPLICATE if same else Posted.CONFLICT), None
        if wrong := self._hold_refuses(move):
            return wrong, None
        for posting in entry.postings:
            account = posting.account
            units = self.balances.get(account, 0) + posting.units * account.kind.normal_sign
            if units < 0 and not account.may_overdraw:
                return Posted.INSUFFICIENT, account.code
        self._write(move)
        return Posted.POSTED, None

    def _hold_refuses(self, move: Move) -> Posted | None:
        if move.hold is None or move.becomes is HoldState.PENDING:
            return None
        if move.hold.key not in self.holds:
            return Posted.HOLD_MISSING
        state, held, units = self.holds[move.hold.key]
        if state is not HoldState.PENDING:
            return Posted.HOLD_CLOSED
        fits = any(p.account == held and p.units == units for p in move.entry.postings)
        return None if fits else Posted.CONFLICT

    def _write(self, move: Move) -> None:
        self.digests[move.entry.key] = move.entry.digest()
        for posting in move.entry.postings:
            account = posting.account
            self.balances[account] = self.balances.get(account, 0) + posting.units * account.kind.normal_sign
        if move.hold is not None and move.becomes is HoldState.PENDING:
            self.holds[move.hold.key] = (HoldState.PENDING, move.hold.held, move.hold.units)
        elif move.hold is not None and move.becomes is not None:
            self.holds[move.hold.key] = (move.becomes, *self.holds[move.hold.key][1:])
