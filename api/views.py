"""Rows into answers: base units become whole coins, stages get their sentence, and the next action is named."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from adapters.catalogue import Catalogue
from domain.asset import Asset
from domain.money import Amount
from domain.ports import TimelineRow, WithdrawalView
from domain.withdrawal import SENTENCE, Stage

# Who moves next in each stage, and with what. Ends have no next action.
NEXT_ACTION: Mapping[Stage, tuple[str, str]] = {
    Stage.REQUESTED: ("policy", "judge the withdrawal"),
    Stage.REFERRED: ("approvers", "approve or reject"),
    Stage.QUEUED: ("hot wallet", "take it when there is room and funds"),
    Stage.PLANNED: ("signer", "sign it"),
    Stage.BROADCAST: ("network", "include it in a block"),
    Stage.CONFIRMING: ("network", "reach finality"),
}


def coins(units: str, asset: Asset) -> str:
    """Base units in decimal digits -> whole coins as a plain decimal string."""
    return Amount(int(units), asset).text()


def withdrawal_json(view: WithdrawalView, catalogue: Catalogue, history: str | None) -> dict[str, Any]:
    """A `Withdrawal` answer. `history` is the workflow in the Temporal UI, for those who may look there."""
    asset = catalogue.assets[view.asset_id]
    return {
        "id": view.id,
        "account": view.account,
        "client_ref": view.client_ref,
        "network": view.network,
        "asset": view.asset_code,
        "amount": coins(view.amount, asset),
        "fee": coins(view.fee, asset),
        "total": (Amount(int(view.amount), asset) + Amount(int(view.fee), asset)).text(),
        "recipient": view.recipient,
        "requester": view.requester,
        "stage": view.stage.value,
        "stage_sentence": SENTENCE[view.stage],
        "reason": view.reason,
        "txid": view.txid,
        "network_fee": coins(view.network_fee, catalogue.native(view.network)) if view.network_fee else None,
        "intent": asdict(view.intent) if view.intent else None,
        "intent_hash": view.intent_hash,
        "quorum": {"needed": view.approvals_needed, "approvals": view.approvals},
        "next_action": _next_action(view.stage, view.expires_at, view.approvals_needed - len(view.approvals)),
        "expires_at": view.expires_at,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
        "history": history,
    }


def timeline_json(row: TimelineRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "stage": row.stage.value,
        "sentence": SENTENCE[row.stage],
        "at": row.at,
        "actor": row.actor,
        "reason_code": row.reason,
        "detail": dict(row.detail),
        "next_action": _next_action(row.stage, row.deadline, 0),
    }


def _next_action(stage: Stage, deadline: Any, approvals_missing: int) -> dict[str, Any] | None:
    if stage not in NEXT_ACTION:
        return None
    who, what = NEXT_ACTION[stage]
    if stage is Stage.REFERRED and approvals_missing > 0:
        what = f"{what}: {approvals_missing} more approval{'s' if approvals_missing > 1 else ''}"
    return {"who": who, "what": what, "deadline": deadline if stage is Stage.REFERRED else None}
