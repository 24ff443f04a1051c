"""Reads the operator's files: networks, assets and policy. A wrong file is refused whole, with what to write."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from domain.asset import Asset
from domain.errors import Refused
from domain.money import Amount
from domain.network import GAS_MARGIN_PERCENT, ConfirmationTier, FeeRules, Network
from domain.policy import AssetPolicy, Policy, Tier

FOLDER = Path(__file__).resolve().parent.parent / "ops"
PROFILES = ("production", "devnet")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What we trade and where: networks by id, assets by id, and the policy in force."""

    networks: Mapping[str, Network]
    assets: Mapping[str, Asset]
    policy: Policy
    asset_names: Mapping[str, str]

    def asset(self, network: str, code: str) -> Asset:
        """The asset a client means by (network, code). Raises Refused NETWORK_UNKNOWN or ASSET_UNKNOWN."""
        self.check_network(network)
        for asset in self.assets.values():
            if asset.network == network and asset.code == code:
                return asset
        known = ", ".join(sorted(a.code for a in self.assets.values() if a.network == network))
        raise Refused("ASSET_UNKNOWN", f"On {network} we serve these assets: {known}.", asset=code, network=network)

    def check_network(self, network: str) -> None:
        """Raises Refused NETWORK_UNKNOWN for one that has no row here."""
        if network not in self.networks:
            known = ", ".join(sorted(self.networks))
            raise Refused(
                "NETWORK_UNKNOWN",
                f"We know these networks: {known}; GET /v1/networks says on which withdrawals are enabled.",
                network=network,
            )

    def native(self, network: str) -> Asset:
        return self.assets[self.networks[network].native_asset]


def load(profile: str = "production", folder: Path = FOLDER) -> Catalogue:
    """The catalogue of `profile`; rows under `[devnet.*]` are laid over the production ones for the local networks."""
    networks = read_rows(folder / "networks.toml", profile)
    asset_rows = read_rows(folder / "assets.toml", profile)
    try:
        assets = {id_: _asset(id_, row) for id_, row in asset_rows.items()}
        return Catalogue(
            networks={id_: _network(id_, row, assets) for id_, row in networks.items()},
            assets=assets,
            policy=_policy(read_rows(folder / "policy.toml", profile), assets),
            asset_names={id_: str(row["name"]) for id_, row in asset_rows.items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            "CONFIG_INVALID", f"A row in {folder} lacks or misspells {error}; its neighbours show the form."
        ) from error


def read_rows(path: Path, profile: str) -> dict[str, Any]:
    """The tables of a TOML file with the profile's overlay applied."""
    if profile not in PROFILES:
        raise Refused("CONFIG_INVALID", f"Choose a profile of {', '.join(PROFILES)}.", profile=profile)
    with path.open("rb") as file:
        rows = tomllib.load(file)
    overlays = {name: rows.pop(name, {}) for name in PROFILES}
    return _overlay(rows, overlays[profile])


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _asset(id_: str, row: Mapping[str, Any]) -> Asset:
    return Asset(id_, row["code"], row["network"], row["decimals"], row.get("contract"))


def _network(id_: str, row: Mapping[str, Any], assets: Mapping[str, Asset]) -> Network:
    fees = row["fees"]
    by_code = {a.code: a for a in assets.values() if a.network == id_}
    if not isinstance(row["checked_on"], date):
        raise TypeError(f"checked_on of {id_} as a date")
    return Network(
        id=id_,
        name=row["name"],
        family=row["family"],
        chain_id=row["chain_id"],
        native_asset=row["native_asset"],
        block_time_ms=row["block_time_ms"],
        confirmations=row["confirmations"],
        needs_finalized_tag=row["needs_finalized_tag"],
        in_flight_max=row["in_flight_max"],
        batch_max=row.get("batch_max", 1),
        inputs_max=row.get("inputs_max", 0),
        batch_wait_s=row.get("batch_wait_s", 0),
        batch_urgent_s=row.get("batch_urgent_s", 0),
        checkpoint=row.get("checkpoint", ""),
        window_s=row.get("window_s", 0),
        checked_on=row["checked_on"],
        fees=FeeRules(
            price_floor=int(fees["price_floor"]),
            tip_floor=int(fees["tip_floor"]),
            price_cap=int(fees["price_cap"]),
            network_fee_cap=int(fees["network_fee_cap"]),
            bump_after_s=fees["bump_after_s"],
            overhead_cap=int(fees.get("overhead_cap", 0)),
            gas_margin_percent=fees.get("gas_margin_percent", GAS_MARGIN_PERCENT),
            gas_bump_percent=fees.get("gas_bump_percent", 0),
            share_cap_percent=fees.get("share_cap_percent", 0),
        ),
        tiers=tuple(_confirmation_tier(tier, by_code[tier["asset"]]) for tier in row.get("tiers", ())),
    )


def _confirmation_tier(row: Mapping[str, Any], asset: Asset) -> ConfirmationTier:
    return ConfirmationTier(
        asset.code, Amount.parse(row["from"], asset).units, row["blocks"], row.get("finalized", False)
    )


def _policy(rows: Mapping[str, Any], assets: Mapping[str, Asset]) -> Policy:
    return Policy(
        version=rows["version"],
        approval_wait_h=rows["approval_wait_h"],
        assets={id_: _asset_policy(row, assets[id_]) for id_, row in rows["assets"].items()},
    )


def _asset_policy(row: Mapping[str, Any], asset: Asset) -> AssetPolicy:
    def units(name: str) -> int:
        return Amount.parse(row[name], asset).units

    return AssetPolicy(
        minimum_units=units("minimum"),
        fee_units=units("fee"),
        tiers=read_tiers(row["tiers"], asset),
        day_units_max=units("account_day_max"),
        auto_day_units_max=units("auto_day_max"),
    )


def read_tiers(rows: list[Mapping[str, Any]], asset: Asset) -> tuple[Tier, ...]:
    return tuple(Tier(Amount.parse(row["from"], asset).units, row["approvals"]) for row in rows)
