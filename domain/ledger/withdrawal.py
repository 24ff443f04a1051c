"""The entries of a withdrawal and of the slot that pays it.

hold      client available -> client held                      amount + fee
dispatch  hot wallet -> in flight                              the amounts, and the most the network may take
settle    client held -> in flight, withdrawal fee revenue     the amount, the fee
transfer  client held -> another client's available            the amount; a fee that was held goes back
close     in flight -> network fee expense, hot wallet         what the network took, and what is left of its cap
          (an unpaid slot: the amounts come back to the hot wallet too, and each hold is released)
undo      in flight -> hot wallet                              all that dispatch bound: a stranger consumed the slot
"""

from collections.abc import Iterator

from domain.ledger import chart
from domain.ledger.chart import Account
from domain.ledger.entry import Entry, entry_of
from domain.ledger.hold import Hold, Move
from domain.payout import Final, Slot
from domain.withdrawal import Withdrawal, hold_key, release_key, settle_key


def dispatch_key(slot_id: str) -> str:
    return f"slot/{slot_id}/dispatch"


def close_key(slot_id: str) -> str:
    return f"slot/{slot_id}/close"


def undo_key(slot_id: str) -> str:
    return f"slot/{slot_id}/undo"


def hold_of(withdrawal: Withdrawal) -> Hold:
    """What the client's request sets aside: the amount and the fee on top of it."""
    account, asset = withdrawal.account, withdrawal.asset
    units = int(withdrawal.amount) + int(withdrawal.fee)
    return Hold(hold_key(withdrawal.id), chart.available(account, asset), chart.held(account, asset), units)


def release(withdrawal: Withdrawal) -> Move:
    """The hold goes back to the client: declined, rejected, expired, cancelled or failed."""
    return hold_of(withdrawal).release(release_key(withdrawal.id))


def settle(withdrawal: Withdrawal) -> Move:
    """The client's money is gone for good: the amount to the recipient, the fee to us."""
    credits = (
        (chart.in_flight(withdrawal.network, withdrawal.asset), int(withdrawal.amount)),
        (chart.withdrawal_fee(withdrawal.asset), int(withdrawal.fee)),
    )
    return hold_of(withdrawal).settle(settle_key(withdrawal.id), credits)


def transfer(withdrawal: Withdrawal, account: str) -> Move:
    """The recipient is `account`, a client like the sender: the amount is theirs, and what was held as a fee is the
    sender's again. Under the key of `settle`, so that no withdrawal is ever paid both ways.
    """
    credits = (
        (chart.available(account, withdrawal.asset), int(withdrawal.amount)),
        (chart.available(withdrawal.account, withdrawal.asset), int(withdrawal.fee)),
    )
    return hold_of(withdrawal).settle(settle_key(withdrawal.id), credits)


def dispatch(slot: Slot, native: str) -> Entry:
    """Binds coins to a slot: its payments and, of the asset id `native`, the most its versions may cost together."""

    def lines() -> Iterator[tuple[Account, int]]:
        for payment in slot.payments:
            yield chart.hot_wallet(slot.network, slot.wallet, payment.asset), -int(payment.amount)
            yield chart.in_flight(slot.network, payment.asset), int(payment.amount)
        yield chart.hot_wallet(slot.network, slot.wallet, native), -int(slot.fee_cap)
        yield chart.in_flight(slot.network, native), int(slot.fee_cap)

    return entry_of(dispatch_key(slot.id), "dispatch", lines())


def undo(slot: Slot, native: str) -> Entry:
    """Unbinds all that `dispatch` bound: a stranger's transaction consumed the slot, so nothing of ours left by it and
    it cost us no fee. What the stranger took is not booked by this.
    """
    lines = ((posting.account, -posting.units) for posting in dispatch(slot, native).postings)
    return entry_of(undo_key(slot.id), "undo", lines)


def close(slot: Slot, native: str, final: Final) -> Entry:
    """Unbinds what is left in flight once the slot's end is proven: the network's fee is spent either way, the rest
    of its cap returns, and so do the amounts when nothing was paid.
    """

    def lines() -> Iterator[tuple[Account, int]]:
        fee, cap = int(final.fee_units), int(slot.fee_cap)
        yield chart.in_flight(slot.network, native), -cap
        yield chart.network_fee(slot.network, native), fee
        yield chart.hot_wallet(slot.network, slot.wallet, native), cap - fee
        for payment in () if final.paid else slot.payments:
            yield chart.in_flight(slot.network, payment.asset), -int(payment.amount)
            yield chart.hot_wallet(slot.network, slot.wallet, payment.asset), int(payment.amount)

    return entry_of(close_key(slot.id), "close", lines())
