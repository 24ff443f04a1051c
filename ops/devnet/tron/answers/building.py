"""Transactions that the node builds for its clients, and may build for somebody else: nobody should sign them blind."""

from collections.abc import Mapping
from typing import Any

from ops.devnet.tron.actuators import Job
from ops.devnet.tron.answers.ask import Answer, Ask
from ops.devnet.tron.answers.shown import transaction_json
from ops.devnet.tron.execution import ACTUATORS
from ops.devnet.tron.jsonform import from_json
from ops.devnet.tron.keys import address_of
from ops.devnet.tron.messages import CONTRACTS, RAW, encode
from ops.devnet.tron.transaction import Record, Refusal, Transaction

LIFE_MS = 60_000
TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")  # transfer(address,uint256)

KINDS = {
    "createtransaction": "TransferContract",
    "transferasset": "TransferAssetContract",
    "createaccount": "AccountCreateContract",
    "freezebalancev2": "FreezeBalanceV2Contract",
    "unfreezebalancev2": "UnfreezeBalanceV2Contract",
    "withdrawexpireunfreeze": "WithdrawExpireUnfreezeContract",
    "cancelallunfreezev2": "CancelAllUnfreezeV2Contract",
    "delegateresource": "DelegateResourceContract",
    "undelegateresource": "UnDelegateResourceContract",
    "accountpermissionupdate": "AccountPermissionUpdateContract",
}


def built(ask: Ask, kind: str, value: Mapping[str, Any]) -> Transaction:
    """An unsigned transaction that refers to the solid block and lives for a minute from the head."""
    words, view = ask.words, ask.view
    facts: dict[str, Any] = {
        "ref_block_bytes": view.solid.ref_bytes,
        "ref_block_hash": view.solid.ref_hash,
        "expiration": view.newest.time_ms + LIFE_MS,
        "timestamp": ask.network.clock.now_ms(),
        "fee_limit": ask.number("fee_limit"),
    }
    if memo := words.get("extra_data"):
        facts["data"] = str(memo).encode() if ask.visible else bytes.fromhex(str(memo))
    return Transaction.build(kind, value, facts, ask.number("Permission_id"))


def substituted(ask: Ask, tx: Transaction) -> Transaction:
    """The same, or the one that a node in bad hands would return."""
    thief = ask.dice.faults.substitute
    if thief is None or tx.kind not in ("TransferContract", "TransferAssetContract", "TriggerSmartContract"):
        return tx
    value, address = dict(tx.value), address_of(thief)
    if tx.kind != "TriggerSmartContract":
        value["to_address"] = address
    elif value.get("data", b"")[:4] == TRANSFER_SELECTOR:
        data = value["data"]
        value["data"] = data[:4] + bytes(12) + address[1:] + data[36:]
    ask.dice.count("substitute")
    contract = {**tx.contracts[0], "parameter": {**tx.contracts[0]["parameter"], "value": value}}
    return Transaction(encode(RAW, {**tx.message, "contract": [contract]}), tx.signatures)


def _builder(kind: str) -> Answer:
    def answer(ask: Ask) -> Any:
        tx = built(ask, kind, from_json(CONTRACTS[kind], ask.words, ask.visible))
        ledger = ask.view.ledger()
        try:
            if ledger.account(tx.owner) is None:
                raise Refusal("CONTRACT_VALIDATE_ERROR", "Validate error, no OwnerAccount.")
            ACTUATORS[kind](Job(ledger, tx, Record()))
        except Refusal as refusal:
            return {"Error": f"class org.tron.core.exception.ContractValidateException : {refusal.message}"}
        return transaction_json(substituted(ask, tx), ask.visible)

    return answer


ANSWERS: dict[str, Answer] = {path: _builder(kind) for path, kind in KINDS.items()}
