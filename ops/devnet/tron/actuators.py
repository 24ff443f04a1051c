"""What each kind of contract checks and does: accounts, TRX, TRC10 and permissions. Messages are java-tron's own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ops.devnet.tron.keys import is_address
from ops.devnet.tron.ledger import TOKEN_UNIT_MAX, Ledger
from ops.devnet.tron.messages import PERMISSION, encode
from ops.devnet.tron.permissions import ACTIVES_MAX, FIRST_ACTIVE_ID, KEYS_MAX
from ops.devnet.tron.resources import burn
from ops.devnet.tron.transaction import Record, Transaction, invalid
from ops.devnet.tron.wire import Message

ACTIVATION = "getCreateNewAccountFeeInSystemContract"


@dataclass(frozen=True, slots=True)
class Job:
    """One transaction being executed on a ledger, and the record of what it does."""

    ledger: Ledger
    tx: Transaction
    record: Record

    @property
    def owner(self) -> bytes:
        return self.tx.owner

    @property
    def value(self) -> Message:
        return self.tx.value

    @property
    def resource(self) -> str:
        return str(self.value.get("resource", "BANDWIDTH"))

    def amount(self, name: str) -> int:
        return int(self.value.get(name, 0))

    def address(self, name: str) -> bytes:
        return bytes(self.value.get(name, b""))

    @property
    def balance(self) -> int:
        return self.ledger.balance(self.owner)

    def pay(self, sun: int) -> None:
        """A fee of the contract itself; that there is enough has been checked."""
        burn(self.ledger, self.owner, sun, self.record)


Actuator = Callable[[Job], None]


def require(condition: Any, message: str) -> None:
    """Raises Refusal CONTRACT_VALIDATE_ERROR unless `condition`."""
    if not condition:
        raise invalid(message)


def transfer(job: Job) -> None:
    ledger, to, amount = job.ledger, job.address("to_address"), job.amount("amount")
    require(is_address(to), "Invalid toAddress!")
    require(to != job.owner, "Cannot transfer TRX to yourself.")
    require(amount > 0, "Amount must be greater than 0.")
    recipient = ledger.account(to)
    require(recipient is None or recipient.kind != "Contract", "Cannot transfer TRX to a smartContract.")
    fee = 0 if recipient else ledger.parameter(ACTIVATION)
    require(job.balance >= amount + fee, "Validate TransferContract error, balance is not sufficient.")
    require(ledger.balance(to) + amount <= TOKEN_UNIT_MAX, "long overflow")
    ledger.open(to)
    job.pay(fee)
    ledger.add(job.owner, -amount)
    ledger.add(to, amount)


def transfer_asset(job: Job) -> None:
    ledger, to, amount = job.ledger, job.address("to_address"), job.amount("amount")
    token = ledger.token(job.address("asset_name").decode(errors="replace"))
    require(is_address(to), "Invalid toAddress")
    require(amount > 0, "Amount must be greater than 0.")
    require(to != job.owner, "Cannot transfer asset to yourself.")
    if token is None:
        raise invalid("No asset!")
    recipient = ledger.account(to)
    require(recipient is None or recipient.kind != "Contract", "Cannot transfer asset to smartContract.")
    held = ledger.token_balance(job.owner, token.id)
    require(held > 0, "assetBalance must be greater than 0.")
    require(amount <= held, "assetBalance is not sufficient.")
    fee = 0 if recipient else ledger.parameter(ACTIVATION)
    require(job.balance >= fee, "Validate TransferAssetActuator error, insufficient fee.")
    ledger.open(to)
    job.pay(fee)
    ledger.add_token(job.owner, token.id, -amount)
    ledger.add_token(to, token.id, amount)


def create_account(job: Job) -> None:
    address, fee = job.address("account_address"), job.ledger.parameter(ACTIVATION)
    require(is_address(address), "Invalid account address")
    require(job.balance >= fee, "Validate CreateAccountActuator error, insufficient fee.")
    require(job.ledger.account(address) is None, "Account has existed")
    job.ledger.open(address)
    job.pay(fee)


def update_permissions(job: Job) -> None:
    fee = job.ledger.parameter("getUpdateAccountPermissionFee")
    require(job.balance >= fee, "balance is not sufficient")
    require("owner" in job.value, "owner permission is missed")
    actives = job.value.get("actives", [])
    require(actives, "active permission is missed")
    require(len(actives) <= ACTIVES_MAX, "active permission is too many")
    require("witness" not in job.value, "account isn't witness can't set witness permission")
    owner = job.value["owner"]
    require(owner.get("type", "Owner") == "Owner", "owner permission type is error")
    require(not owner.get("operations"), "Owner permission needn't operations")
    for permission in (owner, *actives):
        _check_permission(permission)
    for active in actives:
        require(active.get("type") == "Active", "active permission type is error")
        require(len(active.get("operations", b"")) == 32, "operations size must 32")
    numbered = [{**active, "id": FIRST_ACTIVE_ID + at} for at, active in enumerate(actives)]
    job.pay(fee)
    account = job.ledger.expect(job.owner)
    kept = encode(PERMISSION, {**owner, "type": "Owner", "id": 0})
    rows = tuple(encode(PERMISSION, active) for active in numbered)
    job.ledger.save(job.owner, replace(account, owner_permission=kept, actives=rows))


def _check_permission(permission: Message) -> None:
    keys = permission.get("keys", [])
    require(len(keys) <= KEYS_MAX, f"number of keys in permission should not be greater than {KEYS_MAX}")
    require(keys, "key's count should be greater than 0")
    require(permission.get("threshold", 0) > 0, "permission's threshold should be greater than 0")
    require(len(permission.get("permission_name", "")) <= 32, "permission's name is too long")
    require(permission.get("parent_id", 0) == 0, "permission's parent should be owner")
    require(all(is_address(key.get("address", b"")) for key in keys), "key is not a validate address")
    require(all(key.get("weight", 0) > 0 for key in keys), "key's weight should be greater than 0")
    distinct = {bytes(key["address"]) for key in keys}
    require(len(distinct) == len(keys), "address should be distinct in permission " + permission.get("type", "Owner"))
    enough = sum(key["weight"] for key in keys) >= permission["threshold"]
    of = permission.get("type", "Owner")
    require(enough, f"sum of all key's weight should not be less than threshold in permission {of}")
