"""What a network is: dated facts an operator keeps in `ops/networks.toml`, never branches in code."""

from dataclasses import dataclass, field
from datetime import date

from domain.money import Amount


@dataclass(frozen=True, slots=True)
class ConfirmationTier:
    """Amounts of `asset_code` at or above `units` base units need `blocks` confirmations."""

    asset_code: str
    units: int
    blocks: int


@dataclass(frozen=True, slots=True)
class FeeRules:
    """Fee arithmetic of one network, in base units of its native coin per unit of gas (or per vbyte).

    `network_fee_cap` is the most one payout may ever cost in native base units, over all of its versions' bumps.
    """

    price_floor: int
    tip_floor: int
    price_cap: int
    network_fee_cap: int
    bump_after_s: int
    overhead_cap: int = 0  # the most that may burn besides what a transaction itself limits (bytes, activation)
    bump_numerator: int = 1125  # geth wants +10 % on both tip and cap; 12.5 % clears it with integer rounding
    bump_denominator: int = 1000
    share_cap_percent: int = (
        0  # the most a slot may cost, in percent of what it pays out in the native coin; 0: no such cap
    )


@dataclass(frozen=True, slots=True)
class Network:
    """One network as configured: identity, pace, finality and fees. `checked_on` dates the facts."""

    id: str
    name: str
    family: str
    chain_id: int
    native_asset: str
    block_time_ms: int
    confirmations: int
    fees: FeeRules
    checked_on: date
    tiers: tuple[ConfirmationTier, ...] = field(default=())
    needs_finalized_tag: bool = False
    in_flight_max: int = 16
    batch_max: int = 1  # payouts that one transaction may carry
    inputs_max: int = 0  # coins that one transaction may spend; 0 where a wallet is one account
    batch_wait_s: int = 0  # how long the first payout of a batch waits for others, at most
    batch_urgent_s: int = 0  # a payout asked for this long ago closes its batch at once
    window_s: int = 0  # how long a version may be included, from the head it was drafted at; 0: for ever

    def confirmations_for(self, amount: Amount) -> int:
        """How many blocks, the including one counted, make a payment of `amount` final."""
        return max(
            (t.blocks for t in self.tiers if t.asset_code == amount.asset.code and amount.units >= t.units),
            default=self.confirmations,
        )
