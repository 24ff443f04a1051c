"""Accounts: what a client has."""

import re

from fastapi import Request, Response

from api.auth import Permission, needs
from api.errors import documented
from api.http.door import Json, caller_of, door_of, door_router
from api.schemas import Balances
from domain.errors import Refused
from domain.money import Amount

router = door_router("accounts", "/v1/accounts")

_ACCOUNT = re.compile(r"^[\x21-\x7e]{1,64}$")


@router.get(
    "/{account}/balances", response_model=Balances, responses=documented("ACCOUNT_UNKNOWN", "STORE_UNAVAILABLE")
)
@needs(Permission.BALANCE_READ)
async def get_balances(request: Request, account: str) -> Response:
    """What the account may use (`available`) and what its open withdrawals hold. Another's account is not found."""
    door, who = door_of(request), caller_of(request)
    mine = who.account is None or who.account == account
    if not mine or not _ACCOUNT.match(account) or not await door.views.account_known(account):
        raise Refused("ACCOUNT_UNKNOWN", "There is no account of this name that you may see.")
    items = []
    for balance in await door.views.balances(account):
        asset = door.catalogue.assets[balance.asset]
        available, held = Amount(int(balance.available), asset), Amount(int(balance.held), asset)
        items.append(
            {
                "asset": asset.code,
                "network": asset.network,
                "available": available.text(),
                "held": held.text(),
                "total": (available + held).text(),
            }
        )
    return Json({"account": account, "items": items})
