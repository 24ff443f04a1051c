"""Broadcasting, and asking what signatures amount to. Refusals come with HTTP 200 and one of api.proto's codes."""

from typing import Any

import orjson

from ops.devnet.tron.answers.ask import Answer, Ask
from ops.devnet.tron.answers.building import substituted
from ops.devnet.tron.answers.shown import transaction_json
from ops.devnet.tron.jsonform import to_json
from ops.devnet.tron.messages import PERMISSION
from ops.devnet.tron.permissions import Denied, permission_of, weigh
from ops.devnet.tron.transaction import Refusal, Transaction

BUSY = "Server busy."


def _broadcast(ask: Ask) -> Any:
    """The transaction is built anew from its JSON: txID and raw_data_hex are not looked at."""
    tx = Transaction.from_json(ask.words, ask.visible)
    refusal = _sent(ask, tx)
    if refusal is None:
        return {"result": True, "txid": tx.id.hex()}
    return {"code": refusal.code, "txid": tx.id.hex(), "message": ask.say(refusal.message)}


def _broadcast_hex(ask: Ask) -> Any:
    """The very bytes; they have to be canonical. Messages are plain text here."""
    tx = Transaction.from_bytes(bytes.fromhex(str(ask.words["transaction"])))
    refusal = _sent(ask, tx)
    code, message = (refusal.code, refusal.message) if refusal else ("SUCCESS", "")
    shown = orjson.dumps(transaction_json(tx, False)).decode()  # JSON within JSON, as java-tron writes it
    return {"result": refusal is None, "code": code, "message": message, "txid": tx.id.hex(), "transaction": shown}


def _sent(ask: Ask, tx: Transaction) -> Refusal | None:
    if ask.dice.strikes("server_busy"):
        return Refusal("SERVER_BUSY", BUSY)
    try:
        ask.network.send(ask.node, tx)
    except Refusal as refusal:
        return refusal
    return None


def _sign_weight(ask: Ask) -> Any:
    """Permission, approvals and weight. Clients tend to sign the id that comes back with it: it may be another one."""
    tx = substituted(ask, Transaction.from_json(ask.words, ask.visible))
    out, approved = _approvals(ask, tx), {}
    permission = permission_of(ask.view.ledger(), tx.owner, tx.permission_id)
    if permission is not None:
        approved["permission"] = to_json(PERMISSION, permission, ask.visible)
    return {**out, **approved}


def _approved_list(ask: Ask) -> Any:
    out = _approvals(ask, Transaction.from_json(ask.words, ask.visible))
    out.pop("current_weight", None)
    if out["result"].get("code") == "NOT_ENOUGH_PERMISSION":
        out["result"] = {}
    return out


def _approvals(ask: Ask, tx: Transaction) -> dict[str, Any]:
    ledger = ask.view.ledger()
    shown = {"result": {"result": True}, "txid": tx.id.hex(), "transaction": transaction_json(tx, ask.visible)}
    out: dict[str, Any] = {"transaction": shown}
    if ledger.account(tx.owner) is None:
        return {**out, "result": {"code": "PERMISSION_ERROR", "message": "Account does not exist!"}}
    try:
        weight = weigh(ledger, tx)
    except Denied as denied:
        return {**out, "result": {"code": denied.code, "message": str(denied)}}
    if weight.approved:
        out |= {"approved_list": [ask.show(row) for row in weight.approved], "current_weight": weight.weight}
    return {**out, "result": {} if weight.is_enough else {"code": "NOT_ENOUGH_PERMISSION"}}


ANSWERS: dict[str, Answer] = {
    "broadcasttransaction": _broadcast,
    "broadcasthex": _broadcast_hex,
    "getsignweight": _sign_weight,
    "getapprovedlist": _approved_list,
}
BROADCASTS = frozenset({"broadcasttransaction", "broadcasthex"})
