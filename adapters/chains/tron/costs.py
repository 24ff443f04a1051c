"""What a payment costs on TRON, from the chain's own parameters as they are now: energy, bytes, activation.

Energy comes from stake first and is burned for the rest, but the fee limit caps all of it, staked energy included: it
is set from the estimate alone, whatever the wallet has staked (java-tron, VMActuator).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain import fee as fees
from domain.errors import Refused
from domain.network import Network
from domain.payout import Fee


@dataclass(frozen=True, slots=True)
class Parameters:
    """Sun per unit of energy and per byte, sun for a new account (in the contract and for its bytes), and the highest
    fee limit that the chain takes.
    """

    energy_price: int
    byte_price: int
    activation: int
    activation_bytes: int
    fee_limit_max: int


def read_parameters(answer: Mapping[str, Any]) -> Parameters:
    """From wallet/getchainparameters; what is zero has no value there. Raises KeyError, TypeError or ValueError."""
    rows = {str(row["key"]): int(row.get("value", 0)) for row in answer["chainParameter"]}
    return Parameters(
        energy_price=rows["getEnergyFee"],
        byte_price=rows["getTransactionFee"],
        activation=rows["getCreateNewAccountFeeInSystemContract"],
        activation_bytes=rows["getCreateAccountFee"],
        fee_limit_max=rows["getMaxFeeLimit"],
    )


@dataclass(frozen=True, slots=True)
class Resources:
    """What the wallet need not burn now: energy from stake, bytes from stake and bytes that are free each day. Bytes
    are taken from one source, all or none.
    """

    energy: int
    staked_bytes: int
    free_bytes: int


def read_resources(answer: Mapping[str, Any]) -> Resources:
    """From wallet/getaccountresource, where zero is absent."""

    def left(limit: str, used: str) -> int:
        return max(0, int(answer.get(limit, 0)) - int(answer.get(used, 0)))

    return Resources(
        left("EnergyLimit", "EnergyUsed"), left("NetLimit", "NetUsed"), left("freeNetLimit", "freeNetUsed")
    )


@dataclass(frozen=True, slots=True)
class Costs:
    """A payment's costs with their sources. `energy` is the estimate, penalty included; `fee_limit` allows a margin."""

    energy: int
    energy_from_stake: int
    bytes: int
    bytes_from: str
    fee_limit: int
    energy_burn: int
    bytes_burn: int
    activation_burn: int

    @property
    def burn(self) -> int:
        """Sun that will probably be burned."""
        return self.energy_burn + self.bytes_burn + self.activation_burn


def costs(energy: int, size: int, activates: bool, has: Resources, chain: Parameters) -> Costs:
    """What `energy` units and `size` bytes come to. `activates`: the recipient has no account and gets one by it; free
    bytes do not pay for that.
    """
    source, burned = "burned", chain.activation_bytes if activates else size * chain.byte_price
    if size <= has.staked_bytes:
        source, burned = "stake", 0
    elif not activates and size <= has.free_bytes:
        source, burned = "free", 0
    from_stake = min(energy, has.energy)
    return Costs(
        energy=energy,
        energy_from_stake=from_stake,
        bytes=size,
        bytes_from=source,
        fee_limit=fees.with_margin(energy) * chain.energy_price,
        energy_burn=(energy - from_stake) * chain.energy_price,
        bytes_burn=burned,
        activation_burn=chain.activation if activates else 0,
    )


def lines(cost: Costs) -> tuple[fees.CostLine, ...]:
    """The same for people, each source on a line of its own; what is nothing has none."""
    bytes_by = {"stake": fees.STAKED, "free": fees.FREE, "burned": fees.BURNT}[cost.bytes_from]
    rows = (
        fees.CostLine("energy", cost.energy_from_stake, fees.STAKED, 0),
        fees.CostLine("energy", cost.energy - cost.energy_from_stake, fees.BURNT, cost.energy_burn),
        fees.CostLine("bandwidth", cost.bytes, bytes_by, cost.bytes_burn),
        fees.CostLine("activation", 1 if cost.activation_burn else 0, fees.BURNT, cost.activation_burn),
    )
    return tuple(row for row in rows if row.units)


def chosen(cost: Costs, chain: Parameters, network: Network) -> Fee:
    """The fee of a payment: its limit and the overhead that nothing limits. Raises Refused FEE_ABOVE_CAP when a price
    is out of bounds, the chain's own parameters included: a node may tell wrong ones.
    """
    rules = network.fees
    overhead = (
        cost.bytes * chain.byte_price + cost.activation_burn + (chain.activation_bytes if cost.activation_burn else 0)
    )
    fee = Fee(weight=cost.fee_limit + rules.overhead_cap, price=1, tip=0)
    check_price(chain, network)
    if overhead > rules.overhead_cap or fee.most > rules.network_fee_cap or cost.fee_limit > chain.fee_limit_max:
        raise above_cap(network, chain)
    return fee


def check_price(chain: Parameters, network: Network) -> None:
    """Raises Refused FEE_ABOVE_CAP unless a unit of energy costs what the network's facts allow."""
    if not network.fees.price_floor <= chain.energy_price <= network.fees.price_cap:
        raise above_cap(network, chain)


def above_cap(network: Network, chain: Parameters) -> Refused:
    return Refused(
        "FEE_ABOVE_CAP",
        "The network's prices are out of the bounds set for it; the payment waits until they are back.",
        network=network.id,
        energy_price=chain.energy_price,
        byte_price=chain.byte_price,
    )
