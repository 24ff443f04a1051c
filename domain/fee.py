"""What a payout offers the network: the EIP-1559 choice from the market, and the bump that replaces a version.

All prices are whole base units of the native coin per unit of gas. Floors and caps are the network's dated facts
(`FeeRules`), so nothing here knows a network by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.network import GAS_MARGIN_PERCENT, FeeRules
from domain.payout import Fee

HEADROOM = 2  # a base fee rises by at most 1/8 a block (EIP-1559): twice the base outlives five full blocks in a row


@dataclass(frozen=True, slots=True)
class Market:
    """What inclusion costs now: the next block's base price and the tip that recent blocks took."""

    base: int
    tip: int


@dataclass(frozen=True, slots=True)
class CostLine:
    """One thing a network takes for a payment: how many units of it (`gas`, `energy`, `bandwidth`, `activation`), what
    covers them, and what that probably costs in base units of the native coin: nothing but what is `burnt` or `paid`.
    """

    name: str
    units: int
    covered_by: str
    cost: int


STAKED, FREE, BURNT, PAID = "staked", "free", "burnt", "paid"


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """What a payment probably costs, line by line, and the most its transaction is allowed to take."""

    most: int
    lines: tuple[CostLine, ...]


def read_market(base: int, rewards: Sequence[int]) -> Market:
    """The market from the next base price and one reward percentile of each recent block: their (upper) median, so that
    neither an empty block nor one that overpaid decides.
    """
    ordered = sorted(rewards)
    return Market(base, ordered[len(ordered) // 2] if ordered else 0)


def choose(market: Market, weight: int, rules: FeeRules, fee_cap: int) -> Fee | None:
    """The fee that should be included soon: the market's tip, and `HEADROOM` times the base on top. The headroom gives
    way to the caps; None when even the next block costs more than a cap allows. `fee_cap` is the most that all of
    `weight` may cost.
    """
    tip = max(market.tip, rules.tip_floor)
    least = max(market.base + tip, rules.price_floor)
    price = min(max(HEADROOM * market.base + tip, rules.price_floor), rules.price_cap, fee_cap // weight)
    return Fee(weight, price, tip) if price >= least else None


def bump(last: Fee, market: Fee, rules: FeeRules, fee_cap: int) -> Fee | None:
    """The fee of the next version: enough for every node to replace `last` (both fields raised by the network's step,
    rounded up), never below the market, and None when that would pass a cap: then the last bytes stay on offer.
    """
    weight = last.weight * (100 + rules.gas_bump_percent) // 100
    tip = max(market.tip, _raised(last.tip, rules))
    price = max(market.price, _raised(last.price, rules), tip)
    if price > rules.price_cap or price * weight > fee_cap:
        return None
    return Fee(weight, price, tip)


def with_margin(estimate: int, percent: int = GAS_MARGIN_PERCENT) -> int:
    """Gas to allow for a call that was estimated at `estimate`: what is left over is not charged."""
    return -(-estimate * (100 + percent) // 100)


def _raised(value: int, rules: FeeRules) -> int:
    """Integer ceiling, and at least one unit more: nodes ask for strictly more even of nothing."""
    return max(-(-value * rules.bump_numerator // rules.bump_denominator), value + 1)
