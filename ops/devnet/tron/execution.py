"""Executing one transaction: signatures, fees, contract, in the order of java-tron's Manager.processTransaction."""

from collections.abc import Mapping
from dataclasses import replace

from ops.devnet.tron import actuators, calls, staking
from ops.devnet.tron.actuators import Actuator, Job
from ops.devnet.tron.keys import base58_of
from ops.devnet.tron.ledger import Ledger
from ops.devnet.tron.permissions import Denied, weigh
from ops.devnet.tron.resources import burn, consume_bandwidth
from ops.devnet.tron.transaction import Record, Refusal, Transaction, invalid
from ops.devnet.tron.wire import TYPE_URL

ACTUATORS: Mapping[str, Actuator] = {
    "TransferContract": actuators.transfer,
    "TransferAssetContract": actuators.transfer_asset,
    "AccountCreateContract": actuators.create_account,
    "AccountPermissionUpdateContract": actuators.update_permissions,
    "TriggerSmartContract": calls.trigger,
    "CreateSmartContract": calls.deploy,
    "FreezeBalanceV2Contract": staking.freeze,
    "UnfreezeBalanceV2Contract": staking.unfreeze,
    "WithdrawExpireUnfreezeContract": staking.withdraw_expired,
    "CancelAllUnfreezeV2Contract": staking.cancel_all,
    "DelegateResourceContract": staking.delegate,
    "UnDelegateResourceContract": staking.undelegate,
}


def execute(ledger: Ledger, tx: Transaction) -> Record:
    """Applies a transaction. Raises Refusal, and leaves the ledger as it was, as for any other error."""
    mark, record = ledger.cells.mark(), Record()
    try:
        check_signatures(ledger, tx)
        _take_fees(ledger, tx, record)
        ACTUATORS[tx.kind](Job(ledger, tx, record))
    except BaseException:
        ledger.cells.back_to(mark)
        raise
    account = ledger.expect(tx.owner)
    ledger.save(tx.owner, replace(account, last_ms=ledger.moment.time_ms))
    return record


def check_form(tx: Transaction) -> None:
    """What can be said without looking at the chain. Raises Refusal."""
    if len(tx.contracts) != 1:
        raise invalid("contract size should be exactly 1, this is extend feature")
    if tx.contracts[0].get("parameter", {}).get("type_url") != TYPE_URL + tx.kind:
        raise invalid("type of contract and its parameter differ")
    if tx.kind not in ACTUATORS:
        raise invalid(f"{tx.kind} is not served by this node")


def check_signatures(ledger: Ledger, tx: Transaction) -> None:
    """Raises Refusal SIGERROR."""
    try:
        weight = weigh(ledger, tx)
    except Denied as denied:
        raise Refusal("SIGERROR", f"Validate signature error: {denied}") from denied
    if not weight.is_enough:
        raise Refusal("SIGERROR", f"Validate signature error: trans sig validate failed, id: {tx.id.hex()}")


def _take_fees(ledger: Ledger, tx: Transaction, record: Record) -> None:
    if ledger.account(tx.owner) is None:
        raise invalid(f"account [{base58_of(tx.owner)}] does not exist")
    consume_bandwidth(ledger, tx, record)
    if len(tx.signatures) > 1:
        burn(ledger, tx.owner, ledger.parameter("getMultiSignFee"), record)
    if tx.message.get("data"):
        burn(ledger, tx.owner, ledger.parameter("getMemoFee"), record)
