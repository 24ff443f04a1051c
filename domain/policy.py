"""Who must agree before money leaves: tiers by amount, rolling caps, and the deadline. A verdict is recorded, never
recomputed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import Refused
from domain.money import Amount


class Outcome(StrEnum):
    ACCEPT = "accept"
    REFER = "refer"
    DECLINE = "decline"


class Risk(StrEnum):
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class Tier:
    """From `units` base units of the asset on, `approvals` different people must approve."""

    units: int
    approvals: int


@dataclass(frozen=True, slots=True)
class AssetPolicy:
    """The rules of one asset id. `day_units_max` caps what one account may withdraw in a rolling 24 h; above it:
    decline.

    `auto_day_units_max` caps what leaves without people's approval in a rolling 24 h; above it the withdrawal is
    referred.
    A missing row for an asset means deny: there is no default.
    """

    minimum_units: int
    fee_units: int
    tiers: tuple[Tier, ...]
    day_units_max: int
    auto_day_units_max: int


@dataclass(frozen=True, slots=True)
class Policy:
    version: str
    approval_wait_h: int
    assets: Mapping[str, AssetPolicy]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the account, and everybody without approval, withdrew of the asset in the last 24 h (base units, this one
    not counted).
    """

    account_day_units: int
    auto_day_units: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The recorded judgement of one withdrawal. `approvals` people must agree (0: none); `rule` names the row that
    decided. `settled`: the transaction that recorded it also paid it, to an account here.
    """

    outcome: Outcome
    approvals: int
    risk: Risk
    rule: str
    policy_version: str
    intent_hash: str
    expires_at: datetime | None
    settled: bool = False


def judge(policy: Policy, amount: Amount, usage: Usage, intent_hash: str, now: datetime) -> Verdict:
    """What policy says of withdrawing `amount`. Pure: the same inputs always give the same verdict."""

    def verdict(outcome: Outcome, approvals: int, risk: Risk, rule: str) -> Verdict:
        waits = outcome is Outcome.REFER
        deadline = now + timedelta(hours=policy.approval_wait_h) if waits else None
        return Verdict(outcome, approvals, risk, rule, policy.version, intent_hash, deadline)

    rules = policy.assets.get(amount.asset.id)
    if rules is None:
        return verdict(Outcome.DECLINE, 0, Risk.HIGH, "asset-without-policy")
    if usage.account_day_units + amount.units > rules.day_units_max:
        return verdict(Outcome.DECLINE, 0, Risk.HIGH, "account-day-cap")
    approvals = max((t.approvals for t in rules.tiers if amount.units >= t.units), default=0)
    if approvals:
        return verdict(Outcome.REFER, approvals, Risk.MEDIUM, f"tier-{approvals}")
    if usage.auto_day_units + amount.units > rules.auto_day_units_max:
        fewest = min((t.approvals for t in rules.tiers), default=1)
        return verdict(Outcome.REFER, max(1, fewest), Risk.MEDIUM, "auto-day-cap")
    return verdict(Outcome.ACCEPT, 0, Risk.LOW, "auto")


def withdrawal_fee(policy: Policy, amount: Amount, *, internal: bool = False) -> Amount:
    """What withdrawing `amount` costs the client: nothing where the recipient is an account here (`internal`). Raises
    Refused ASSET_NOT_WITHDRAWABLE (no rules: no default) or AMOUNT_BELOW_MINIMUM.
    """
    rules = policy.assets.get(amount.asset.id)
    if rules is None:
        raise Refused(
            "ASSET_NOT_WITHDRAWABLE",
            f"{amount.asset.code} on {amount.asset.network} cannot be withdrawn at present.",
            asset=amount.asset.id,
        )
    least = Amount(max(rules.minimum_units, 1), amount.asset)
    if amount < least:
        raise Refused(
            "AMOUNT_BELOW_MINIMUM", f"Withdraw at least {least}.", asset=amount.asset.id, minimum=least.text()
        )
    return Amount(0 if internal else rules.fee_units, amount.asset)
