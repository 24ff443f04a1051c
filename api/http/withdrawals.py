"""Withdrawals: request, follow, list, decide, cancel."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import Header, Query, Request, Response

from adapters.catalogue import Catalogue
from api.addresses import check_lookalike, check_other
from api.auth import Permission, Principal, needs
from api.errors import documented
from api.http.door import Door, Json, caller_of, door_of, door_router
from api.schemas import (
    Accepted,
    Cancelled,
    CancelRequest,
    DecisionAnswer,
    DecisionRequest,
    Timeline,
    WithdrawalList,
    WithdrawalQuery,
    WithdrawalRequest,
)
from api.schemas import Withdrawal as WithdrawalAnswer
from api.views import timeline_json, withdrawal_json
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused
from domain.intent import Decision, Ruling
from domain.money import Amount
from domain.policy import withdrawal_fee
from domain.ports import Recipient, WithdrawalFilter, WithdrawalView
from domain.ports import Request as BooksRequest
from domain.withdrawal import SENTENCE, Stage, Withdrawal, withdrawal_id
from workflows.state import Plea, WithdrawalOrder

router = door_router("withdrawals", "/v1/withdrawals")

_ID = re.compile(r"^wd_[a-z2-7]{26}$")
_CLIENT_REF = re.compile(r"^[\x21-\x7e]{1,64}$")
_ACCOUNT = _CLIENT_REF
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,64}$",
        description="Of your own making, 1 to 64 visible ASCII characters: the same key and body never acts twice.",
    ),
]

_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Accepted; the money is held",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "Where to follow the withdrawal."},
            "Idempotent-Replayed": {"schema": {"type": "string"}, "description": "`true`: nothing new was done."},
        },
    }
}


@router.post(
    "",
    status_code=202,
    response_model=Accepted,
    responses=_ACCEPTED
    | documented(
        "IDEMPOTENCY_KEY_MISSING",
        "ACCOUNT_UNKNOWN",
        "IDEMPOTENCY_IN_PROGRESS",
        "CLIENT_REF_TAKEN",
        "QUOTE_EXPIRED",
        "ADDRESS_LOOKALIKE",
        "TRANSFER_TO_SELF",
        "VALIDATION",
        "AMOUNT_NOT_STRING",
        "AMOUNT_BELOW_MINIMUM",
        "ASSET_NOT_WITHDRAWABLE",
        "INSUFFICIENT_FUNDS",
        "IDEMPOTENCY_KEY_REUSED",
        "ACCOUNT_NOT_YOURS",
        "TEMPORAL_UNAVAILABLE",
    ),
)
@needs(Permission.WITHDRAWAL_REQUEST)
async def request_withdrawal(request: Request, body: WithdrawalRequest, idempotency_key: IdempotencyKey) -> Response:
    """Asks for a withdrawal: accepted and the money held, or refused, in one step. Follow `Location`."""
    door, who = door_of(request), caller_of(request)
    door.stories.check_up()
    account = account_for(who, body.account)
    asked, known = await _asked(door, who, account, body)
    await _check_recipient(door, asked, known)
    quote_id = body.quote_id if known.owner is None else None  # what is free needs no promise and uses none up
    receipt = await door.books.request_withdrawal(
        BooksRequest(asked, idempotency_key, _digest(account, body), who.ledger_of_keys, quote_id)
    )
    passing(CrashPoint.REQUEST_COMMITTED)
    if not receipt.replayed:
        door.stories.submit(order_of(door.catalogue, asked))
    else:
        asked = await _as_written(door, asked, receipt.withdrawal_id)
    headers = {"Location": f"/v1/withdrawals/{receipt.withdrawal_id}"}
    if receipt.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Json(_accepted(asked, door, receipt.stage), 202, headers)


async def _asked(door: Door, who: Principal, account: str, body: WithdrawalRequest) -> tuple[Withdrawal, Recipient]:
    """The withdrawal the body means, checked as far as one can without the books; and what is known of its recipient.
    Whose it is the books decide again when it is cleared, and return a fee that was held for nothing.
    """
    asset = door.catalogue.asset(body.network, body.asset)
    amount = Amount.parse(body.amount, asset)
    recipient = door.addresses.check(body.recipient, asset)
    known = await door.addresses.known(body.network, recipient, account)
    fee = withdrawal_fee(door.catalogue.policy, amount, internal=known.owner is not None)
    if body.quote_id is not None:
        promised = await _promised(door, account, body, amount, fee)
        fee = promised if known.owner is None else fee
    asked = Withdrawal(
        id=withdrawal_id(account, body.client_ref),
        account=account,
        client_ref=body.client_ref,
        network=body.network,
        asset=asset.id,
        amount=str(amount.units),
        fee=str(fee.units),
        recipient=recipient,
        requester=who.name,
    )
    return asked, known


async def _check_recipient(door: Door, asked: Withdrawal, known: Recipient) -> None:
    """What only the store and a node know of the recipient. What was accepted once stays so: its repeat hears of the
    withdrawal. Raises Refused TRANSFER_TO_SELF, ADDRESS_LOOKALIKE, ASSET_NOT_WITHDRAWABLE, ADDRESS_CONTRACT.
    """
    try:
        check_other(known.owner, asked.account)
        check_lookalike(known.alike)
        if known.owner is None:
            door.check_served(asked.network)
            await door.networks.inspect(asked.recipient, door.catalogue.assets[asked.asset])
    except Refused as refusal:
        if await door.views.withdrawal(asked.id, asked.account) is None:
            door.metrics.refused_recipients.labels(refusal.code).inc()
            raise


async def _promised(door: Door, account: str, body: WithdrawalRequest, amount: Amount, usual: Amount) -> Amount:
    """The fee a quote promised, where `usual` is today's. Whether it still holds, the books say: a repeat may come
    after its expiry. What was promised for nothing, to an account here, is no promise for anybody else.
    """
    quote = await door.views.quote(str(body.quote_id), account)
    if quote is None:
        raise Refused("QUOTE_UNKNOWN", "Ask for a quote first: POST /v1/withdrawals/quote.")
    if (quote.asset, quote.amount) != (amount.asset.id, str(amount.units)):
        raise Refused("QUOTE_MISMATCH", "The quote was for another asset or amount; ask for a new one.")
    if usual.units and not int(quote.fee):
        raise Refused("QUOTE_MISMATCH", "The quote was for another recipient; ask for a new one.")
    return Amount(int(quote.fee), amount.asset)


async def _as_written(door: Door, asked: Withdrawal, id_: str) -> Withdrawal:
    """What the first call wrote; its fee may be another than today's."""
    view = await door.views.withdrawal(id_, asked.account)
    return asked if view is None else replace(asked, id=view.id, fee=view.fee, requester=view.requester)


def account_for(who: Principal, named: str | None) -> str:
    """Whose money a call is about. A client's key knows it; staff must say it."""
    if who.account is None:
        if named is None:
            raise Refused("ACCOUNT_REQUIRED", "Say whose account this is about: `account`.")
        return named
    if named is not None and named != who.account:
        raise Refused("ACCOUNT_NOT_YOURS", "Leave `account` out: the API key knows its own.")
    return who.account


def _digest(account: str, body: WithdrawalRequest) -> str:
    """SHA-256 of what was asked, whatever the order and spacing of the JSON it came in."""
    said = [account, body.client_ref, body.network, body.asset, body.amount, body.recipient, body.quote_id]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()


def order_of(shelf: Catalogue, asked: Withdrawal | WithdrawalView) -> WithdrawalOrder:
    """What the workflow is started with."""
    asset_id = asked.asset if isinstance(asked, Withdrawal) else asked.asset_id
    amount = Amount(int(asked.amount), shelf.assets[asset_id])
    name = shelf.networks[asked.network].name
    summary = f"{amount} on {name} for {asked.account}"
    return WithdrawalOrder(asked.id, asked.account, asked.network, asset_id, asked.requester, summary)


def _accepted(asked: Withdrawal, door: Door, stage: Stage) -> dict[str, Any]:
    asset = door.catalogue.assets[asked.asset]
    amount, fee = Amount(int(asked.amount), asset), Amount(int(asked.fee), asset)
    return {
        "id": asked.id,
        "stage": stage.value,
        "stage_sentence": SENTENCE[stage],
        "client_ref": asked.client_ref,
        "account": asked.account,
        "network": asked.network,
        "asset": asset.code,
        "amount": amount.text(),
        "fee": fee.text(),
        "total": (amount + fee).text(),
        "recipient": asked.recipient,
    }


# ------------------------------------------------------------ reading
@router.get(
    "/{withdrawal_id}", response_model=WithdrawalAnswer, responses=documented("WITHDRAWAL_UNKNOWN", "STORE_UNAVAILABLE")
)
@needs(Permission.WITHDRAWAL_READ)
async def get_withdrawal(request: Request, withdrawal_id: str) -> Response:
    """A withdrawal as it stands. Another client's is not found."""
    door, who = door_of(request), caller_of(request)
    return Json(_shown(await _found(door, who, withdrawal_id), door, who))


@router.get(
    "", response_model=WithdrawalList, responses=documented("CURSOR_INVALID", "VALIDATION", "STORE_UNAVAILABLE")
)
@needs(Permission.WITHDRAWAL_READ)
async def list_withdrawals(request: Request, wanted: Annotated[WithdrawalQuery, Query()]) -> Response:
    """Withdrawals, newest first; a client sees its own. Follow `next_cursor` or `Link: rel="next"` for more."""
    door, who = door_of(request), caller_of(request)
    account = wanted.account if who.account is None else account_for(who, wanted.account)
    asset = _asset_id(door.catalogue, wanted.network, wanted.asset) if wanted.asset else None
    page = await door.views.withdrawals(
        WithdrawalFilter(
            account=account,
            stage=wanted.stage,
            network=wanted.network,
            asset=asset,
            created_from=wanted.created_from,
            created_to=wanted.created_to,
        ),
        wanted.cursor,
        wanted.limit,
    )
    headers: dict[str, str] = {}
    if page.next_cursor:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        again = urlencode([*kept, ("cursor", page.next_cursor)])
        headers["Link"] = f'<{request.url.path}?{again}>; rel="next"'
    items = [_shown(view, door, who) for view in page.items]
    return Json({"items": items, "next_cursor": page.next_cursor}, headers=headers)


def _asset_id(shelf: Catalogue, network: str | None, code: str) -> str:
    """The one asset that a filter means. Raises Refused NETWORK_UNKNOWN, ASSET_UNKNOWN, NETWORK_REQUIRED."""
    if network is not None:
        return shelf.asset(network, code).id
    found = [asset.id for asset in shelf.assets.values() if asset.code == code]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused("NETWORK_REQUIRED", f"{code} is on several networks: say which.", asset=code)
    raise Refused("ASSET_UNKNOWN", "We serve no asset of this code; GET /v1/assets lists them.", asset=code)


@router.get(
    "/by-ref/{client_ref:path}",
    response_model=WithdrawalAnswer,
    responses=documented("WITHDRAWAL_UNKNOWN", "ACCOUNT_REQUIRED", "STORE_UNAVAILABLE"),
)
@needs(Permission.WITHDRAWAL_READ)
async def get_withdrawal_by_ref(request: Request, client_ref: str, account: str | None = None) -> Response:
    """The withdrawal that a client_ref names; staff say the `account` it belongs to."""
    door, who = door_of(request), caller_of(request)
    owner = account_for(who, account)
    known = _CLIENT_REF.match(client_ref) and _ACCOUNT.match(owner)
    view = await door.views.withdrawal_by_ref(owner, client_ref) if known else None
    if view is None:
        raise _unknown()
    return Json(_shown(view, door, who))


@router.get(
    "/{withdrawal_id}/timeline",
    response_model=Timeline,
    responses=documented("WITHDRAWAL_UNKNOWN", "STORE_UNAVAILABLE"),
)
@needs(Permission.WITHDRAWAL_READ)
async def get_withdrawal_timeline(request: Request, withdrawal_id: str) -> Response:
    """Everything that happened to it: when, by whom, why, and what was to happen next."""
    door, who = door_of(request), caller_of(request)
    view = await _found(door, who, withdrawal_id)
    rows = await door.views.timeline(view.id)
    return Json({"withdrawal_id": view.id, "items": [timeline_json(row) for row in rows]})


async def _found(door: Door, who: Principal, id_: str) -> WithdrawalView:
    view = await door.views.withdrawal(id_, who.account) if _ID.match(id_) else None
    if view is None:
        raise _unknown()
    return view


def _unknown() -> Refused:
    return Refused("WITHDRAWAL_UNKNOWN", "There is no withdrawal of this name that you may see.")


def _shown(view: WithdrawalView, door: Door, who: Principal) -> Mapping[str, Any]:
    history = door.history_url(view.id) if who.account is None else None
    return withdrawal_json(view, door.catalogue, history)


# ------------------------------------------------------------ deciding
_DECISION_PROBLEMS = documented(
    "NOT_YOUR_NAME",
    "FOUR_EYES",
    "STRANGER",
    "BAD_SIGNATURE",
    "WITHDRAWAL_UNKNOWN",
    "REPEAT",
    "TOO_LATE",
    "INTENT_CHANGED",
    "VALIDATION",
    "RULING_MISMATCH",
    "DECISIONS_BUSY",
    "TEMPORAL_UNAVAILABLE",
    "DECISION_PENDING",
)


@router.post("/{withdrawal_id}/approve", response_model=DecisionAnswer, responses=_DECISION_PROBLEMS)
@needs(Permission.WITHDRAWAL_DECIDE)
async def approve_withdrawal(request: Request, withdrawal_id: str, body: DecisionRequest) -> Response:
    """An approver's signed yes to the intent as it stands; answers what became of it at once."""
    return await _decide(request, withdrawal_id, body, Ruling.APPROVE)


@router.post("/{withdrawal_id}/reject", response_model=DecisionAnswer, responses=_DECISION_PROBLEMS)
@needs(Permission.WITHDRAWAL_DECIDE)
async def reject_withdrawal(request: Request, withdrawal_id: str, body: DecisionRequest) -> Response:
    """An approver's signed no: one is enough, and the hold is returned."""
    return await _decide(request, withdrawal_id, body, Ruling.REJECT)


async def _decide(request: Request, id_: str, body: DecisionRequest, ruling: Ruling) -> Response:
    door, who = door_of(request), caller_of(request)
    view = await _found(door, who, id_)
    if body.ruling != ruling.value:
        raise Refused("RULING_MISMATCH", f"Send a decision whose ruling is {body.ruling} to /{body.ruling}.")
    if body.approver != who.name:
        raise Refused("NOT_YOUR_NAME", f"This API key speaks for {who.name}.")
    decision = Decision(body.approver, ruling, body.intent_hash, body.signature)
    note = await door.stories.decide(view.id, decision)
    return Json(
        {
            "approver": note.approver,
            "ruling": note.ruling,
            "counted": note.counted,
            "code": note.code,
            "approvals": note.approvals,
            "needed": note.needed,
        }
    )


@router.post(
    "/{withdrawal_id}/cancel",
    response_model=Cancelled,
    responses=documented(
        "WITHDRAWAL_UNKNOWN", "TOO_LATE", "WITHDRAWAL_STAGE", "VALIDATION", "DECISIONS_BUSY", "TEMPORAL_UNAVAILABLE"
    ),
)
@needs(Permission.WITHDRAWAL_CANCEL)
async def cancel_withdrawal(request: Request, withdrawal_id: str, body: CancelRequest | None = None) -> Response:
    """Cancels it and returns the hold, as long as no slot has it; afterwards 409. A repeat answers the same."""
    door, who = door_of(request), caller_of(request)
    view = await _found(door, who, withdrawal_id)
    stage, reason = view.stage, view.reason
    if stage is not Stage.CANCELLED:
        ended = await door.stories.cancel(view.id, Plea(who.name, body.reason if body else ""))
        stage, reason = ended.stage, ended.reason
    if stage is not Stage.CANCELLED:
        raise Refused("WITHDRAWAL_STAGE", f"The withdrawal is {stage.value}; it can no longer be cancelled.")
    return Json({"id": view.id, "stage": stage.value, "stage_sentence": SENTENCE[stage], "reason": reason})
