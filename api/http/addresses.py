"""Addresses: is this one right for this asset on this network, and each account's own address book."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query, Request, Response

from api.addresses import check_lookalike, check_other
from api.auth import Permission, needs
from api.errors import documented
from api.http.door import Json, caller_of, door_of, door_router
from api.http.withdrawals import account_for
from api.schemas import AddressAdded, AddressBook, AddressCheck, AddressEntry, AddressKept, AddressQuery, AddressVerdict
from domain.errors import Refused
from domain.ports import AddressEntry as Entry

router = door_router("addresses", "/v1")

_ENTRY_ID = re.compile(r"^ad_[a-z2-7]{26}$")


@router.post(
    "/addresses/validate",
    response_model=AddressVerdict,
    responses=documented("VALIDATION", "NETWORK_UNKNOWN", "ASSET_UNKNOWN", "ACCOUNT_NOT_YOURS", "STORE_UNAVAILABLE"),
)
@needs(Permission.ADDRESS_READ)
async def validate_address(request: Request, body: AddressCheck) -> Response:
    """Whether `address` can be paid `asset` on `network`, before anybody sends money there. A wrong address is an
    answer, not an error: `valid` is false and `code` is the one that a withdrawal would be refused with.
    """
    door, who = door_of(request), caller_of(request)
    account = account_for(who, body.account) if who.account is not None or body.account is not None else None
    asset = door.catalogue.asset(body.network, body.asset)
    answer: dict[str, Any] = {
        "network": body.network,
        "asset": asset.code,
        "valid": False,
        "kind": None,
        "address": None,
        "code": None,
        "detail": None,
        "also_valid_on": [n for n in door.addresses.networks_of(body.address) if n != body.network],
        "lookalike_of": None,
    }
    try:
        if body.memo is not None:
            raise Refused("MEMO_NOT_TAKEN", f"{asset.code} on {body.network} takes no memo or tag: leave it out.")
        answer["address"] = address = door.addresses.check(body.address, asset)
        known = await door.addresses.known(body.network, address, account)
        answer["kind"] = "external" if known.owner is None else "internal"
        check_other(known.owner, account)
        check_lookalike(known.alike)
        if known.owner is None:
            door.check_served(body.network)
            await door.networks.inspect(address, asset)
        answer["valid"] = True
    except Refused as refusal:
        answer |= {"code": refusal.code, "detail": refusal.message}
        if "entry" in refusal.facts:
            answer["lookalike_of"] = {"id": refusal.facts["entry"], "label": refusal.facts["label"]}
    return Json(answer)


@router.post(
    "/address-book",
    status_code=201,
    response_model=AddressEntry,
    responses=documented(
        "VALIDATION",
        "NETWORK_UNKNOWN",
        "ACCOUNT_UNKNOWN",
        "ADDRESS_LOOKALIKE",
        "ADDRESS_BOOK_FULL",
        "STORE_UNAVAILABLE",
    ),
)
@needs(Permission.ADDRESS_KEEP)
async def add_address(request: Request, body: AddressAdded) -> Response:
    """Keeps an address under a name of yours; again, it takes the new name. One that looks like another of the book is
    kept only when the body says `"although_alike": true`.
    """
    door, who = door_of(request), caller_of(request)
    account = account_for(who, body.account)
    door.catalogue.check_network(body.network)
    native = door.catalogue.native(body.network)
    address = door.addresses.check(body.address, native)
    if not body.although_alike:
        check_lookalike((await door.addresses.known(body.network, address, account)).alike)
    kept = await door.addresses.book.add(account, body.network, address, body.label, who.name, door.now())
    return Json(_shown(kept), 201, {"Location": f"/v1/address-book/{kept.id}"})


@router.get(
    "/address-book",
    response_model=AddressBook,
    responses=documented("VALIDATION", "ACCOUNT_REQUIRED", "STORE_UNAVAILABLE"),
)
@needs(Permission.ADDRESS_READ)
async def list_addresses(request: Request, wanted: Annotated[AddressQuery, Query()]) -> Response:
    """The address book of an account, the oldest entry first."""
    door, who = door_of(request), caller_of(request)
    account = account_for(who, wanted.account)
    return Json({"account": account, "items": [_shown(e) for e in await door.addresses.book.entries(account)]})


@router.post(
    "/address-book/{entry_id}/retire",
    response_model=AddressEntry,
    responses=documented("ADDRESS_UNKNOWN", "ACCOUNT_REQUIRED", "STORE_UNAVAILABLE"),
)
@needs(Permission.ADDRESS_KEEP)
async def retire_address(request: Request, entry_id: str, body: AddressKept | None = None) -> Response:
    """Takes an entry out of the book; its history stays. A repeat answers the same."""
    door, who = door_of(request), caller_of(request)
    account = account_for(who, body.account if body else None)
    found = _ENTRY_ID.match(entry_id)
    entry = await door.addresses.book.retire(account, entry_id, who.name, door.now()) if found else None
    if entry is None:
        raise Refused("ADDRESS_UNKNOWN", "The address book has no such entry.")
    return Json(_shown(entry))


def _shown(entry: Entry) -> Mapping[str, Any]:
    return {
        "id": entry.id,
        "account": entry.account,
        "network": entry.network,
        "address": entry.address,
        "label": entry.label,
        "added_at": entry.added_at,
        "retired_at": entry.retired_at,
    }
