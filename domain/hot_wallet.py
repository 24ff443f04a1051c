"""The hot wallet's own rules: which queued payouts go together, and what each of them bears of a network's fee.

One transaction may carry many payouts where the network allows it (`Network.batch_max`). The first of a batch waits a
little for others, so that all pay less; nobody waits for long, and where `batch_max` is 1 nobody waits at all.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.network import Network
from domain.payout import Final, Payment
from domain.ports import PayoutItem


def batches(queued: Sequence[PayoutItem], now: datetime, network: Network) -> list[tuple[PayoutItem, ...]]:
    """The batches that are closed at `now`, in the order of `queued`; whoever is in none of them waits for others.

    A batch holds at most `batch_max` payouts. It closes when it is full, when one of its payouts has been queued for
    `batch_wait_s`, or when one was asked for `batch_urgent_s` ago (0: there is no such hurry).
    """
    groups = [tuple(queued[at : at + network.batch_max]) for at in range(0, len(queued), network.batch_max)]
    return [group for group in groups if len(group) == network.batch_max or _due(group, now, network)]


def _due(group: Sequence[PayoutItem], now: datetime, network: Network) -> bool:
    wait, urgent = timedelta(seconds=network.batch_wait_s), timedelta(seconds=network.batch_urgent_s)
    if any(now - (item.queued_at or now) >= wait for item in group):
        return True
    return bool(urgent) and any(now - (item.requested_at or now) >= urgent for item in group)


def smallest_first(items: Sequence[PayoutItem]) -> tuple[PayoutItem, ...]:
    """The order to try in when the wallet cannot pay all of `items` now: a large one then never keeps small ones
    waiting.
    """
    return tuple(sorted(items, key=lambda item: int(item.payment.amount)))


def fewer(items: Sequence[PayoutItem]) -> tuple[PayoutItem, ...]:
    """The smaller half of `items`, the smallest first; empty after a single one."""
    return smallest_first(items)[: len(items) // 2]


def fee_shares(final: Final, payments: Sequence[Payment]) -> list[str]:
    """What each payment of a slot bears of its fee, in whole base units that add up to exactly that: equal parts,
    because each is one more output of much the same size, and what does not divide falls on the first ones.
    """
    part, rest = divmod(int(final.fee_units), len(payments))
    return [str(part + (at < rest)) for at in range(len(payments))]
