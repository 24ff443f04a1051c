"""Who must agree: tiers, caps and the deadline, judged by a pure function."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.asset import Asset
from domain.money import Amount
from domain.policy import AssetPolicy, Outcome, Policy, Tier, Usage, judge

USDT = Asset("USDT-ETHEREUM", "USDT", "ethereum", 6, "0xdAC17F958D2ee523a2206206994597C13D831ec7")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROW = AssetPolicy(
    minimum_units=1, fee_units=0, tiers=(Tier(1000, 2), Tier(9000, 3)), day_units_max=20_000, auto_day_units_max=3_000
)
POLICY = Policy("v1", 24, {USDT.id: ROW})
IDLE = Usage(0, 0)


def verdict(units: int, usage: Usage = IDLE, policy: Policy = POLICY):  # type: ignore[no-untyped-def]
    return judge(policy, Amount(units, USDT), usage, "hash", NOW)


def test_a_small_amount_needs_nobody() -> None:
    v = verdict(999)
    assert (v.outcome, v.approvals, v.expires_at) == (Outcome.ACCEPT, 0, None)


def test_the_tier_starts_at_its_amount_and_the_highest_one_counts() -> None:
    assert verdict(1000).approvals == 2
    assert verdict(8999).approvals == 2
    assert verdict(9000).approvals == 3


def test_a_referred_withdrawal_has_a_deadline() -> None:
    assert verdict(1000).expires_at == NOW + timedelta(hours=24)


def test_an_asset_without_a_row_is_declined() -> None:
    v = verdict(1, policy=Policy("v1", 24, {}))
    assert (v.outcome, v.rule) == (Outcome.DECLINE, "asset-without-policy")


def test_many_small_withdrawals_together_need_people() -> None:
    v = verdict(500, Usage(account_day_units=0, auto_day_units=2_501))
    assert (v.outcome, v.rule, v.approvals) == (Outcome.REFER, "auto-day-cap", 2)


def test_above_the_accounts_day_cap_nobody_can_approve() -> None:
    v = verdict(500, Usage(account_day_units=19_501, auto_day_units=0))
    assert (v.outcome, v.rule) == (Outcome.DECLINE, "account-day-cap")


@given(st.integers(1, 50_000), st.integers(0, 50_000), st.integers(0, 50_000))
def test_more_money_never_needs_fewer_people(units: int, account: int, auto: int) -> None:
    strictness = [Outcome.ACCEPT, Outcome.REFER, Outcome.DECLINE]
    less, more = verdict(units, Usage(account, auto)), verdict(units + 1, Usage(account, auto))
    assert strictness.index(less.outcome) <= strictness.index(more.outcome)
    if more.outcome is not Outcome.DECLINE:
        assert less.approvals <= more.approvals
