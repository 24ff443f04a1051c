"""Contracts: what they are, what a call would say, and calls that the node builds."""

from typing import Any

from ops.devnet.tron.answers.ask import Answer, Ask, present
from ops.devnet.tron.answers.building import built, substituted
from ops.devnet.tron.answers.shown import transaction_json
from ops.devnet.tron.calls import look, with_penalty
from ops.devnet.tron.jsonform import to_json
from ops.devnet.tron.keys import keccak256
from ops.devnet.tron.ledger import Contract
from ops.devnet.tron.machine import Outcome
from ops.devnet.tron.messages import LOG, SMART_CONTRACT, decode

NOBODY = b"\x41" + bytes(20)


def _contract(ask: Ask) -> Any:
    found = ask.view.ledger().contract(ask.address("value"))
    return to_json(SMART_CONTRACT, decode(SMART_CONTRACT, found.description), ask.visible) if found else {}


def _contract_info(ask: Ask) -> Any:
    ledger, address = ask.view.ledger(), ask.address("value")
    found = ledger.contract(address)
    if found is None:
        return {}
    described = to_json(SMART_CONTRACT, decode(SMART_CONTRACT, found.description), ask.visible)
    return {
        "runtimecode": ledger.code(address).hex(),
        "smart_contract": described,
        "contract_state": present({"energy_factor": found.factor}),
    }


def _look(ask: Ask) -> Any:
    """triggerconstantcontract: what a call would do, and the energy of it with the penalty."""
    contract = _called(ask)
    if contract is None:
        return _no_contract(ask)
    done, tx = _outcome(ask), _call(ask)
    if done.error and done.error != "REVERT":
        return {"result": {"code": "CONTRACT_EXE_ERROR", "message": ask.say(done.message)}}
    energy = with_penalty(done.energy, contract.factor)
    out: dict[str, Any] = {
        "result": {"result": True, **present({"message": ask.say(done.message)})},
        "energy_used": energy,
        "constant_result": [done.output.hex()],
        **present({"energy_penalty": energy - done.energy}),
    }
    logs = [{"address": row.address, "topics": row.topics, "data": row.data} for row in done.logs]
    out |= present({"logs": [to_json(LOG, row) for row in logs]})
    ret = {"ret": "FAILED"} if done.error else {}
    return {**out, "transaction": {"ret": [ret], **transaction_json(tx, ask.visible)}}


def _estimate(ask: Ask) -> Any:
    """Off unless the node is told otherwise, as in java-tron (vm.estimateEnergy)."""
    if not ask.dice.faults.estimate_energy:
        message = ask.say("this node does not support estimate energy")
        return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": message}}
    contract = _called(ask)
    if contract is None:
        return _no_contract(ask)
    done = _outcome(ask)
    if done.error:
        return {"result": {"code": "CONTRACT_EXE_ERROR", "message": ask.say(done.message)}}
    return {"result": {"result": True}, "energy_required": with_penalty(done.energy, contract.factor)}


def _trigger(ask: Ask) -> Any:
    """triggersmartcontract: a call to be signed."""
    if _called(ask) is None:
        return _no_contract(ask)
    return {"result": {"result": True}, "transaction": transaction_json(substituted(ask, _call(ask)), ask.visible)}


def _called(ask: Ask) -> Contract | None:
    return ask.view.ledger().contract(ask.address("contract_address"))


def _no_contract(ask: Ask) -> Any:
    return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": ask.say("Smart contract is not exist.")}}


def _call(ask: Ask) -> Any:
    value = {"owner_address": _owner(ask), "contract_address": ask.address("contract_address"), "data": _data(ask)}
    return built(ask, "TriggerSmartContract", {**value, "call_value": ask.number("call_value")})


def _outcome(ask: Ask) -> Outcome:
    ledger = ask.view.ledger()
    return look(ledger, _owner(ask), ask.address("contract_address"), _data(ask), ask.number("call_value"))


def _owner(ask: Ask) -> bytes:
    return ask.address("owner_address") if ask.words.get("owner_address") else NOBODY


def _data(ask: Ask) -> bytes:
    """A signature with its parameters, or the call data as it is."""
    if selector := ask.words.get("function_selector"):
        return keccak256(str(selector).encode())[:4] + bytes.fromhex(str(ask.words.get("parameter") or ""))
    return bytes.fromhex(str(ask.words.get("data") or ""))


ANSWERS: dict[str, Answer] = {
    "getcontract": _contract,
    "getcontractinfo": _contract_info,
    "triggerconstantcontract": _look,
    "estimateenergy": _estimate,
    "triggersmartcontract": _trigger,
}
