"""Accounts, their resources, stakes and loans."""

from typing import Any

from ops.devnet.tron.answers.ask import Answer, Ask, present
from ops.devnet.tron.jsonform import to_json
from ops.devnet.tron.keys import address_of, is_address
from ops.devnet.tron.ledger import RESOURCES, Account, Delegation
from ops.devnet.tron.messages import PERMISSION
from ops.devnet.tron.parameters import DELEGATION_MIN_SUN, UNFREEZES_MAX
from ops.devnet.tron.permissions import active_permissions, owner_permission
from ops.devnet.tron.resources import TOTALS, delegatable, limit, total_weight
from ops.devnet.tron.staking import withdrawable

WINDOW = {"window_size": 28_800_000, "window_optimized": True}


def _account(ask: Ask) -> Any:
    address, ledger = ask.address("address"), ask.view.ledger()
    account = ledger.account(address)
    if account is None:
        return {}
    own: dict[str, Any] = present(
        {"type": account.kind if account.kind != "Normal" else "", "balance": account.balance}
    )
    own |= {
        "create_time": account.created_ms,
        "net_usage": account.net.left_at(ledger.moment.time_ms),
        "free_net_usage": account.free_net.left_at(ledger.moment.time_ms),
        "latest_opration_time": account.last_ms,  # sic
    }
    permissions = {
        "owner_permission": to_json(PERMISSION, owner_permission(ledger, address), ask.visible),
        "active_permission": [to_json(PERMISSION, row, ask.visible) for row in active_permissions(ledger, address)],
    }
    tokens = [
        {"key": key[2], "value": ledger.token_balance(address, key[2])}
        for key in ask.view.past().keys("holding")
        if key[1] == address
    ]
    return {
        "address": ask.show(address),
        **present(own),
        **_stakes(account),
        **permissions,
        **present({"assetV2": tokens}),
    }


def _stakes(account: Account) -> dict[str, Any]:
    energy: dict[str, Any] = {f"energy_{name}": value for name, value in WINDOW.items()}
    net: dict[str, Any] = {f"net_{name}": value for name, value in WINDOW.items()}
    for row, resource in ((net, "BANDWIDTH"), (energy, "ENERGY")):
        lent, borrowed = account.delegated.of(resource), account.acquired.of(resource)
        name = resource.lower()
        row[f"delegated_frozenV2_balance_for_{name}"] = lent
        row[f"acquired_delegated_frozenV2_balance_for_{name}"] = borrowed
    frozen = [
        present({"amount": account.frozen.bandwidth}),
        present({"type": "ENERGY", "amount": account.frozen.energy}),
        {"type": "TRON_POWER"},
    ]
    unfrozen = [
        present(
            {
                "type": row.resource if row.resource != "BANDWIDTH" else "",
                "unfreeze_amount": row.sun,
                "unfreeze_expire_time": row.due_ms,
            }
        )
        for row in account.unfreezing
    ]
    return {
        **present(net),
        "account_resource": present(energy),
        "frozenV2": frozen,
        **present({"unfrozenV2": unfrozen}),
    }


def _net(ask: Ask) -> Any:
    ledger = ask.view.ledger()
    account, now_ms = ledger.account(ask.address("address")), ledger.moment.time_ms
    if account is None:
        return {}
    return present(
        {
            "freeNetUsed": account.free_net.left_at(now_ms),
            "freeNetLimit": ledger.parameter("getFreeNetLimit"),
            "NetUsed": account.net.left_at(now_ms),
            "NetLimit": limit(ledger, account, "BANDWIDTH"),
            "TotalNetLimit": ledger.parameter(TOTALS["BANDWIDTH"]),
            "TotalNetWeight": total_weight(ledger, "BANDWIDTH"),
        }
    )


def _resources(ask: Ask) -> Any:
    ledger = ask.view.ledger()
    account = ledger.account(ask.address("address"))
    if account is None:
        return {}
    energy = {
        "EnergyUsed": account.energy.left_at(ledger.moment.time_ms),
        "EnergyLimit": limit(ledger, account, "ENERGY"),
        "TotalEnergyLimit": ledger.parameter(TOTALS["ENERGY"]),
        "TotalEnergyWeight": total_weight(ledger, "ENERGY"),
    }
    return {**_net(ask), **present(energy)}


def _delegated(ask: Ask) -> Any:
    sender, receiver = ask.address("fromAddress"), ask.address("toAddress")
    found = ask.view.ledger().delegation(sender, receiver)
    if found is None:
        return {}
    named = {"from": ask.show(sender), "to": ask.show(receiver)}
    rows = [_loan(found, is_locked) for is_locked in (False, True)]
    return {"delegatedResource": [{**named, **row} for row in rows if row]}


def _loan(row: Delegation, is_locked: bool) -> dict[str, Any]:
    stakes = row.locked if is_locked else row.free
    out: dict[str, Any] = {}
    for resource in RESOURCES:
        if sun := stakes.of(resource):
            out[f"frozen_balance_for_{resource.lower()}"] = sun
            if is_locked:
                out[f"expire_time_for_{resource.lower()}"] = row.until_ms(resource)
    return out


def _delegation_index(ask: Ask) -> Any:
    address = ask.address("value")
    pairs = [key[1:] for key in ask.view.past().keys("delegation")]
    found = {
        "fromAccounts": [ask.show(sender) for sender, receiver in pairs if receiver == address],
        "toAccounts": [ask.show(receiver) for sender, receiver in pairs if sender == address],
    }
    return present({"account": ask.show(address), **found}) if any(found.values()) else {}


def _can_delegate(ask: Ask) -> Any:
    ledger = ask.view.ledger()
    account = ledger.account(ask.address("owner_address"))
    sun = delegatable(ledger, account, RESOURCES[ask.number("type")]) if account else 0
    return {"max_size": sun} if sun >= DELEGATION_MIN_SUN else {}


def _unfreezes_left(ask: Ask) -> Any:
    ledger = ask.view.ledger()
    account = ledger.account(ask.address("owner_address"))
    waiting = sum(row.due_ms > ledger.moment.time_ms for row in account.unfreezing) if account else 0
    return present({"count": UNFREEZES_MAX - waiting})


def _can_withdraw(ask: Ask) -> Any:
    ledger = ask.view.ledger()
    account = ledger.account(ask.address("owner_address"))
    at_ms = ask.number("timestamp") or ledger.moment.time_ms
    return present({"amount": withdrawable(account, at_ms)}) if account else {}


def _reward(_: Ask) -> Any:
    return {"reward": 0}


def _token(ask: Ask) -> Any:
    found = ask.view.ledger().token(str(ask.words.get("value", "")))
    if found is None:
        return {}

    def text(word: str) -> str:
        return word if ask.visible else word.encode().hex()

    return {
        "owner_address": ask.show(found.owner),
        "name": text(found.name),
        "abbr": text(found.abbreviation),
        "total_supply": found.supply,
        "precision": found.decimals,
        "id": found.id,
    }


def _validate_address(ask: Ask) -> Any:
    try:
        fits = is_address(address_of(str(ask.words.get("address", ""))))
    except ValueError:
        fits = False
    return {"result": fits, "message": "Base58check format" if fits else "Invalid address"}


ANSWERS: dict[str, Answer] = {
    "getaccount": _account,
    "getaccountnet": _net,
    "getaccountresource": _resources,
    "getdelegatedresourcev2": _delegated,
    "getdelegatedresourceaccountindexv2": _delegation_index,
    "getcandelegatedmaxsize": _can_delegate,
    "getavailableunfreezecount": _unfreezes_left,
    "getcanwithdrawunfreezeamount": _can_withdraw,
    "getreward": _reward,
    "getassetissuebyid": _token,
    "validateaddress": _validate_address,
}
