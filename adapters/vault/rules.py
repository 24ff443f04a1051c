"""The signer's own limits, from `ops/signer.toml`: who must agree, and how much may leave when nobody has to."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from adapters.catalogue import Catalogue, read_rows, read_tiers
from domain.asset import Asset
from domain.errors import Refused
from domain.money import Amount
from domain.policy import Tier


@dataclass(frozen=True, slots=True)
class AssetRules:
    """Tiers by amount, and the base units of the asset that may leave without people in any rolling 24 hours."""

    tiers: tuple[Tier, ...]
    auto_day_units_max: int

    def approvals_for(self, units: int) -> int:
        """How many different people must approve a payment of `units`; 0 below the first tier."""
        return max((t.approvals for t in self.tiers if units >= t.units), default=0)

    @property
    def fewest(self) -> int:
        """How many approvals lift a small payment out of the rolling cap."""
        return min(t.approvals for t in self.tiers)


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """In native base units: the most one version may offer, and the most that versions nobody approved may offer
    together in any rolling 24 hours (fees are money too).
    """

    network_fee_cap: int
    fee_day_max: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits in force. What has no row here is refused: there is no default."""

    version: str
    assets: Mapping[str, AssetRules]
    networks: Mapping[str, NetworkRules]


def load_rules(path: Path, profile: str, catalogue: Catalogue) -> Rules:
    """The rules in `path`. Raises Refused CONFIG_INVALID with what to mend; a wrong file is refused whole."""
    try:
        rows = read_rows(path, profile)
        return Rules(
            version=str(rows["version"]),
            assets={id_: _asset_rules(row, catalogue.assets[id_]) for id_, row in rows["assets"].items()},
            networks={id_: _network_rules(row) for id_, row in rows["networks"].items()},
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise Refused("CONFIG_INVALID", f"A row in {path} is missing or wrong: {error}.") from error


def _asset_rules(row: Mapping[str, Any], asset: Asset) -> AssetRules:
    tiers = read_tiers(row["tiers"], asset)
    ordered = sorted(tiers, key=lambda tier: tier.units)
    rising = all(below.approvals <= above.approvals for below, above in pairwise(ordered))
    if not tiers or min(t.approvals for t in tiers) < 1 or not rising:
        raise ValueError(f"tiers of {asset.id}: at least one, each asking for one approval or more, rising with amount")
    return AssetRules(tiers, Amount.parse(row["auto_day_max"], asset).units)


def _network_rules(row: Mapping[str, Any]) -> NetworkRules:
    return NetworkRules(int(row["network_fee_cap"]), int(row["fee_day_max"]))
