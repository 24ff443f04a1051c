"""Fee arithmetic: what every node takes, what no cap is ever passed by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import fee as fees
from domain.fee import Market
from domain.network import FeeRules
from domain.payout import Fee

GWEI = 10**9
RULES = FeeRules(
    price_floor=GWEI // 10, tip_floor=GWEI // 10, price_cap=300 * GWEI, network_fee_cap=3 * 10**16, bump_after_s=48
)
CAP = RULES.network_fee_cap

prices = st.integers(0, 400 * GWEI)
weights = st.integers(21_000, 500_000)
markets = st.builds(Market, base=prices, tip=prices)


@st.composite
def offers(draw: st.DrawFn) -> Fee:
    price = draw(prices)
    return Fee(draw(weights), price, draw(st.integers(0, price)))


@given(market=markets, weight=weights, cap=st.integers(0, CAP))
def test_a_chosen_fee_keeps_every_floor_and_cap_and_pays_for_the_next_block(
    market: Market, weight: int, cap: int
) -> None:
    chosen = fees.choose(market, weight, RULES, cap)
    if chosen is None:
        dear = max(market.base + max(market.tip, RULES.tip_floor), RULES.price_floor)
        assert dear > RULES.price_cap or dear * weight > cap
        return
    assert RULES.price_floor <= chosen.price <= RULES.price_cap
    assert chosen.most <= cap
    assert chosen.tip >= RULES.tip_floor
    assert chosen.price >= market.base + chosen.tip


def test_the_choice_outlives_five_full_blocks() -> None:
    base = 20 * GWEI
    chosen = fees.choose(Market(base, GWEI), 60_000, RULES, CAP)
    assert chosen == Fee(60_000, 41 * GWEI, GWEI)
    for _ in range(5):
        base += base // 8
    assert chosen.price >= base + chosen.tip


def test_headroom_gives_way_to_the_cap_before_the_payment_waits() -> None:
    assert fees.choose(Market(200 * GWEI, GWEI), 60_000, RULES, CAP) == Fee(60_000, 300 * GWEI, GWEI)
    assert fees.choose(Market(300 * GWEI, GWEI), 60_000, RULES, CAP) is None


@given(last=offers(), market=offers())
def test_a_bump_is_taken_by_every_node_and_never_passes_a_cap(last: Fee, market: Fee) -> None:
    bumped = fees.bump(last, market, RULES, CAP)
    if bumped is None:
        return
    assert bumped.weight == last.weight
    assert bumped.price * 10 >= last.price * 11
    assert bumped.tip * 10 >= last.tip * 11
    assert bumped.price > last.price
    assert bumped.tip > last.tip
    assert bumped.price >= market.price
    assert bumped.tip >= market.tip
    assert bumped.tip <= bumped.price <= RULES.price_cap
    assert bumped.most <= CAP


@given(last=offers(), market=offers())
def test_only_a_cap_forbids_a_bump(last: Fee, market: Fee) -> None:
    if fees.bump(last, market, RULES, CAP) is None:
        dear = max(market.price, market.tip, -(-last.price * 1125 // 1000), last.price + 1, -(-last.tip * 1125 // 1000))
        dear = max(dear, last.tip + 1)
        assert dear > RULES.price_cap or dear * last.weight > CAP


@given(last=offers(), market=offers(), cap=st.integers(0, CAP))
def test_bumps_come_to_an_end_under_any_cap(last: Fee, market: Fee, cap: int) -> None:
    steps, fee = 0, fees.bump(last, market, RULES, cap)
    while fee is not None:
        steps, fee = steps + 1, fees.bump(fee, market, RULES, cap)
    assert steps < 400


def test_the_step_is_rounded_up() -> None:
    assert fees.bump(Fee(21_000, 1001 * GWEI // 10, 9), Fee(21_000, 1, 1), RULES, CAP) == Fee(
        21_000, 112_612_500_000, 11
    )


@pytest.mark.parametrize(("rewards", "tip"), [([], 0), ([5], 5), ([0, 0, 3, 4, 900], 3), ([1, 2], 2), ([7, 7, 7], 7)])
def test_neither_an_empty_nor_an_overpaying_block_sets_the_tip(rewards: list[int], tip: int) -> None:
    assert fees.read_market(9, rewards) == Market(9, tip)


@given(st.integers(21_000, 10**8))
def test_the_gas_margin_is_a_fifth_rounded_up(estimate: int) -> None:
    assert 6 * estimate <= 5 * fees.with_margin(estimate) < 6 * estimate + 5
