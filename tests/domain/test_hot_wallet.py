"""Which payouts go together, whom nobody keeps waiting, and what each bears of the network's fee."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.hot_wallet import batches, fee_shares, fewer
from domain.intent import Intent
from domain.network import FeeRules, Network
from domain.payout import Final, Payment
from domain.ports import PayoutItem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INTENT = Intent("wd", "acme", "bitcoin", "BTC-BITCOIN", "1", "bc1", "1", "olga", "v1")
NETWORK = Network(
    "bitcoin",
    "Bitcoin",
    "bitcoin",
    0,
    "BTC-BITCOIN",
    600_000,
    6,
    FeeRules(1, 0, 100, 10**6, 600),
    date(2026, 1, 1),
    batch_max=3,
    batch_wait_s=60,
    batch_urgent_s=1800,
)


def item(number: int = 0, queued_s: float = 0, asked_s: float = 0, units: int = 10) -> PayoutItem:
    """A payout that was queued and asked for so many seconds ago."""
    payment = Payment(f"wd_{number}", "BTC-BITCOIN", str(units), "bc1qthey")
    return PayoutItem(payment, INTENT, (), NOW - timedelta(seconds=asked_s), NOW - timedelta(seconds=queued_s))


def queue(*ages_s: float) -> list[PayoutItem]:
    return [item(number, age, age) for number, age in enumerate(ages_s)]


# ---------------------------------------------------------------- when a batch closes
def test_a_batch_that_is_full_waits_for_nobody() -> None:
    items = queue(0, 0, 0, 0, 0, 0, 0)
    assert batches(items, NOW, NETWORK) == [tuple(items[:3]), tuple(items[3:6])]


@pytest.mark.parametrize(("age_s", "closed"), [(59.9, False), (60, True), (600, True)])
def test_the_first_of_a_batch_waits_so_long_and_no_longer(age_s: float, closed: bool) -> None:
    items = queue(1, age_s)
    assert batches(items, NOW, NETWORK) == ([tuple(items)] if closed else [])


@pytest.mark.parametrize(("asked_s", "closed"), [(1799, False), (1800, True)])
def test_who_asked_long_ago_waits_for_nobody_else(asked_s: float, closed: bool) -> None:
    items = [item(1, 2), item(2, 1, asked_s)]
    assert batches(items, NOW, NETWORK) == ([tuple(items)] if closed else [])


def test_without_a_rule_of_urgency_only_count_and_age_close_a_batch() -> None:
    calm = replace(NETWORK, batch_urgent_s=0)
    assert batches([item(1, 5, 10**6)], NOW, calm) == []


def test_where_a_transaction_carries_one_payout_each_goes_at_once() -> None:
    items = queue(0, 5, 0)
    assert batches(items, NOW, replace(NETWORK, batch_max=1)) == [(one,) for one in items]


AGES = st.lists(st.tuples(st.floats(0, 200), st.floats(0, 4000)), max_size=40)


@given(AGES, st.integers(1, 12), st.integers(0, 90), st.integers(0, 3000))
def test_every_payout_is_in_one_batch_at_most_and_waits_only_in_a_young_and_small_group(
    ages: list[tuple[float, float]], most: int, wait_s: int, urgent_s: int
) -> None:
    network = replace(NETWORK, batch_max=most, batch_wait_s=wait_s, batch_urgent_s=urgent_s)
    items = [item(number, queued, max(queued, asked)) for number, (queued, asked) in enumerate(ages)]
    closed = batches(items, NOW, network)
    taken = [one for batch in closed for one in batch]
    left = [one for one in items if one not in taken]
    assert all(1 <= len(batch) <= most for batch in closed)
    assert taken + left == items, "the order of the queue is kept, and nobody is in two batches"
    assert len(left) < most
    for one in left:
        assert one.queued_at is not None
        assert one.requested_at is not None
        assert NOW - one.queued_at < timedelta(seconds=wait_s)
        assert not urgent_s or NOW - one.requested_at < timedelta(seconds=urgent_s)


# ---------------------------------------------------------------- when the wallet is short
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=100))
def test_a_short_wallet_tries_the_smaller_half_and_soon_knows(amounts: list[int]) -> None:
    items: tuple[PayoutItem, ...] = tuple(item(number, units=units) for number, units in enumerate(amounts))
    tries = 0
    while items:
        half = fewer(items)
        assert len(half) == len(items) // 2
        largest = max((int(one.payment.amount) for one in half), default=0)
        assert all(int(one.payment.amount) >= largest for one in items if one not in half)
        items, tries = half, tries + 1
    assert tries <= 7, "a hundred payouts are given up or paid after seven tries"


# ---------------------------------------------------------------- who bears the fee
@given(st.integers(0, 10**12), st.integers(1, 100))
def test_shares_of_a_fee_are_equal_whole_and_add_up_exactly(fee: int, count: int) -> None:
    payments = [item(number).payment for number in range(count)]
    shares = [int(share) for share in fee_shares(Final("0x1", 1, "0xb", True, str(fee)), payments)]
    assert len(shares) == count
    assert sum(shares) == fee
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True), "what does not divide falls on the first"


def test_one_payment_bears_all_of_it() -> None:
    assert fee_shares(Final("0x1", 1, "0xb", True, "777"), [item().payment]) == ["777"]
