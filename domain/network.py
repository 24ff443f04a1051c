"""What a network is: dated facts an operator keeps in `ops/networks.toml`, never branches in code."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from domain.money import Amount

GAS_MARGIN_PERCENT = 20  # above an estimate: unused gas is not charged, and running out of it burns the slot


@dataclass(frozen=True, slots=True)
class ConfirmationTier:
    """Amounts of `asset_code` at or above `units` base units need `blocks` confirmations and, if so said, the network's
    `finalized` tag.
    """

    asset_code: str
    units: int
    blocks: int
    finalized: bool = False


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
    gas_margin_percent: int = GAS_MARGIN_PERCENT
    gas_bump_percent: int = 0  # how much more gas each new version allows: where the estimate itself moves with a price
    share_cap_percent: int = 0  # the most a slot may cost, in percent of the native coin it pays out; 0: no such cap


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
    checkpoint: str = ""  # "height:hash" of a block that every node must hold; "" where the operator names none
    window_s: int = 0  # how long a version may be included, from the head it was drafted at; 0: for ever

    @property
    def tells_finalized(self) -> bool:
        """Whether some payment here waits for the network's `finalized` tag."""
        return self.needs_finalized_tag or any(tier.finalized for tier in self.tiers)

    def needs_finalized(self, amount: Amount) -> bool:
        """Whether a payment of `amount` is final only with the network's `finalized` tag."""
        return self.needs_finalized_tag or any(tier.finalized for tier in self._tiers_of(amount))

    def confirmations_for(self, amount: Amount) -> int:
        """How many blocks, the including one counted, make a payment of `amount` final."""
        return max((tier.blocks for tier in self._tiers_of(amount)), default=self.confirmations)

    def _tiers_of(self, amount: Amount) -> Iterator[ConfirmationTier]:
        return (tier for tier in self.tiers if tier.asset_code == amount.asset.code and amount.units >= tier.units)
