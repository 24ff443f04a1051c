"""What we serve: assets and networks, with the facts a client needs before it asks."""

from typing import Any

from fastapi import Request, Response

from api.auth import Permission, needs
from api.errors import documented
from api.http.door import Door, Json, door_of, door_router
from api.schemas import AssetList, NetworkList
from domain.asset import Asset
from domain.money import Amount
from domain.network import Network

router = door_router("catalogue", "/v1")


@router.get("/assets", response_model=AssetList, responses=documented("STORE_UNAVAILABLE"))
@needs(Permission.CATALOGUE_READ)
async def list_assets(request: Request) -> Response:
    """Every asset on every network: one code on two networks is two assets."""
    door = door_of(request)
    return Json({"items": [_asset(door, asset) for asset in door.catalogue.assets.values()]})


def _asset(door: Door, asset: Asset) -> dict[str, Any]:
    rules = door.catalogue.policy.assets.get(asset.id)

    def coins(units: int | None) -> str | None:
        return None if units is None else Amount(units, asset).text()

    return {
        "id": asset.id,
        "code": asset.code,
        "name": door.catalogue.asset_names[asset.id],
        "network": asset.network,
        "decimals": asset.decimals,
        "contract": asset.contract,
        "native": asset.native,
        "withdraw_enabled": rules is not None and asset.network in door.served,
        "withdraw_min": coins(rules.minimum_units if rules else None),
        "withdraw_fee": coins(rules.fee_units if rules else None),
        "withdraw_max": coins(rules.day_units_max if rules else None),
        "withdraw_integer_multiple": Amount(1, asset).text(),
    }


@router.get("/networks", response_model=NetworkList, responses=documented("STORE_UNAVAILABLE"))
@needs(Permission.CATALOGUE_READ)
async def list_networks(request: Request) -> Response:
    """Every network with its pace and finality, and whether withdrawals move there right now."""
    door = door_of(request)
    halted = {wallet.network for wallet in await door.views.wallets() if wallet.halted}
    return Json({"items": [_network(door, network, halted) for network in door.catalogue.networks.values()]})


def _network(door: Door, network: Network, halted: set[str]) -> dict[str, Any]:
    native = door.catalogue.native(network.id)
    return {
        "id": network.id,
        "name": network.name,
        "family": network.family,
        "chain_id": network.chain_id,
        "native_asset": native.code,
        "deposit_enabled": False,
        "withdraw_enabled": network.id in door.served,
        "busy": network.id in halted,
        "block_time_ms": network.block_time_ms,
        "min_confirm": network.confirmations,
        "confirmations": [
            {
                "asset": tier.asset_code,
                "amount_from": Amount(tier.units, door.catalogue.asset(network.id, tier.asset_code)).text(),
                "blocks": tier.blocks,
            }
            for tier in network.tiers
        ],
        "network_fee_cap": Amount(network.fees.network_fee_cap, native).text(),
        "checked_on": network.checked_on.isoformat(),
    }
