"""Quotes: what a withdrawal would cost and take, promised for a minute."""

import math
from datetime import timedelta
from typing import Any

from fastapi import Request, Response

from api.addresses import check_other
from api.auth import Permission, needs
from api.errors import documented
from api.http.door import Json, caller_of, door_of, door_router
from api.http.withdrawals import account_for
from api.schemas import Quote, QuoteRequest
from domain.asset import Asset
from domain.fee import NetworkCost
from domain.money import Amount
from domain.network import Network
from domain.policy import withdrawal_fee

router = door_router("withdrawals", "/v1/withdrawals")

QUOTE_S = 60


@router.post(
    "/quote",
    status_code=201,
    response_model=Quote,
    responses=documented(
        "VALIDATION",
        "AMOUNT_NOT_STRING",
        "AMOUNT_BELOW_MINIMUM",
        "ASSET_NOT_WITHDRAWABLE",
        "ACCOUNT_UNKNOWN",
        "TRANSFER_TO_SELF",
        "STORE_UNAVAILABLE",
    ),
)
@needs(Permission.WITHDRAWAL_QUOTE)
async def quote_withdrawal(request: Request, body: QuoteRequest) -> Response:
    """What this withdrawal costs, how long it takes and where the network's own costs come from. The fee is kept for a
    request that names the quote in time. To an account here it costs nothing and takes no time.
    """
    door, who = door_of(request), caller_of(request)
    account = account_for(who, body.account)
    asset = door.catalogue.asset(body.network, body.asset)
    amount = Amount.parse(body.amount, asset)
    recipient = None if body.recipient is None else door.addresses.check(body.recipient, asset)
    known = None if recipient is None else await door.addresses.known(body.network, recipient, None)
    owner = known.owner if known else None
    check_other(owner, account)
    if owner is None:
        door.check_served(body.network)
    cost = await door.networks.cost(amount, recipient) if owner is None else None
    fee = withdrawal_fee(door.catalogue.policy, amount, internal=owner is not None)
    now = door.now()
    made = await door.books.make_quote(
        account, asset.id, str(amount.units), str(fee.units), now, now + timedelta(seconds=QUOTE_S)
    )
    network, native = door.catalogue.networks[body.network], door.catalogue.native(body.network)
    answer = {
        "quote_id": made.id,
        "account": account,
        "network": network.id,
        "asset": asset.code,
        "amount": amount.text(),
        "fee": fee.text(),
        "net": amount.text(),
        "total": (amount + fee).text(),
        "network_fee_cap": Amount(network.fees.network_fee_cap if owner is None else 0, native).text(),
        "network_fee_asset": native.code,
        "network_cost": None if cost is None else _cost_json(cost, native),
        "eta_seconds": eta_s(network, amount) if owner is None else 0,
        "expires_at": made.expires_at,
    }
    return Json(answer, 201)


def _cost_json(cost: NetworkCost, native: Asset) -> dict[str, Any]:
    lines = [
        {
            "name": line.name,
            "units": str(line.units),
            "covered_by": line.covered_by,
            "cost": Amount(line.cost, native).text(),
        }
        for line in cost.lines
    ]
    return {"most": Amount(cost.most, native).text(), "asset": native.id, "sources": lines}


def eta_s(network: Network, amount: Amount) -> int:
    """Seconds from broadcast to final: a block to be included in, and the confirmations of this amount."""
    return math.ceil(network.block_time_ms * (1 + network.confirmations_for(amount)) / 1000)
