"""Money is a value: whole base units of one asset."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.asset import Asset
from domain.errors import Refused
from domain.money import UNITS_MAX, Amount

USDT = Asset("USDT-ETHEREUM", "USDT", "ethereum", 6, "0xdAC17F958D2ee523a2206206994597C13D831ec7")
ETH = Asset("ETH-ETHEREUM", "ETH", "ethereum", 18)

units = st.integers(min_value=0, max_value=UNITS_MAX)


@given(units, st.sampled_from([USDT, ETH]))
def test_what_is_written_is_read_back_exactly(whole: int, asset: Asset) -> None:
    amount = Amount(whole, asset)
    assert Amount.parse(amount.text(), asset) == amount


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_adding_and_taking_away_loses_nothing(a: int, b: int) -> None:
    assert Amount(a, USDT) + Amount(b, USDT) - Amount(b, USDT) == Amount(a, USDT)


@given(units, st.decimals(min_value=0, max_value=1, places=9))
def test_a_portion_is_rounded_the_way_it_says_and_by_less_than_one_unit(whole: int, rate: Decimal) -> None:
    down = Amount(whole, ETH).portion(rate, rounding=ROUND_DOWN)
    up = Amount(whole, ETH).portion(rate, rounding=ROUND_UP)
    scaled = whole * int(rate.scaleb(9))
    assert down.units == scaled // 10**9
    assert up.units == -(-scaled // 10**9)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "-1", "1e3", "1,5", ".5", "5.", "0x1", "NaN", "Infinity", "１", "1_000", "1.2.3"]
)
def test_only_plain_digits_are_money(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        Amount.parse(text, USDT)
    assert refusal.value.code == "AMOUNT_MALFORMED"


def test_more_decimals_than_the_asset_has_are_refused_never_rounded() -> None:
    with pytest.raises(Refused) as refusal:
        Amount.parse("1.0000001", USDT)
    assert refusal.value.code == "AMOUNT_TOO_PRECISE"
    assert Amount.parse("1.1000000000", USDT) == Amount(1_100_000, USDT)


def test_an_amount_no_network_can_carry_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        Amount.parse("9" * 60, ETH)
    assert refusal.value.code == "AMOUNT_TOO_LARGE"


def test_a_float_can_never_become_money() -> None:
    with pytest.raises(TypeError):
        Amount(1.0, USDT)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Amount(True, USDT)


def test_two_assets_never_mix() -> None:
    with pytest.raises(TypeError):
        Amount(1, USDT) + Amount(1, ETH)
    with pytest.raises(TypeError):
        _ = Amount(1, USDT) < Amount(2, ETH)


def test_a_person_reads_whole_coins() -> None:
    assert str(Amount(1_500_000, USDT)) == "1.5 USDT"
    assert str(Amount(-1, ETH)) == "-0.000000000000000001 ETH"
