"""Who may sign for an account: permissions, their keys, weights and thresholds."""

from dataclasses import dataclass
from typing import Any

from ops.devnet.tron.keys import BadSignature, base58_of, signer_of
from ops.devnet.tron.ledger import Ledger
from ops.devnet.tron.messages import CONTRACT_TYPES, PERMISSION, decode
from ops.devnet.tron.transaction import Transaction

# What an active permission may do unless somebody says otherwise: all but changing permissions.
ACTIVE_OPERATIONS = bytes.fromhex("7fff1fc0033ec30f") + bytes(24)
FIRST_ACTIVE_ID = 2
KEYS_MAX = 5
ACTIVES_MAX = 8


class Denied(Exception):
    """The signatures do not do; `code` is one of getsignweight's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Weight:
    """What signatures amount to."""

    permission: dict[str, Any]
    approved: tuple[bytes, ...]
    weight: int

    @property
    def is_enough(self) -> bool:
        return self.weight >= int(self.permission.get("threshold", 0))


def owner_permission(ledger: Ledger, address: bytes) -> dict[str, Any]:
    """Permission 0 of an account: its own key, until it is changed."""
    account = ledger.account(address)
    if account is not None and account.owner_permission is not None:
        return decode(PERMISSION, account.owner_permission)
    return {"permission_name": "owner", "threshold": 1, "keys": [{"address": address, "weight": 1}]}


def active_permissions(ledger: Ledger, address: bytes) -> list[dict[str, Any]]:
    """Permissions 2 and up."""
    account = ledger.account(address)
    if account is not None and account.actives is not None:
        return [decode(PERMISSION, row) for row in account.actives]
    only = {"type": "Active", "id": FIRST_ACTIVE_ID, "permission_name": "active", "threshold": 1}
    return [{**only, "operations": ACTIVE_OPERATIONS, "keys": [{"address": address, "weight": 1}]}]


def permission_of(ledger: Ledger, address: bytes, id_: int) -> dict[str, Any] | None:
    """The permission with that number, or None."""
    if id_ == 0:
        return owner_permission(ledger, address)
    return next((row for row in active_permissions(ledger, address) if row.get("id", 0) == id_), None)


def weigh(ledger: Ledger, tx: Transaction) -> Weight:
    """Adds up the signatures of a transaction. Raises Denied for one that does not belong."""
    permission = permission_of(ledger, tx.owner, tx.permission_id)
    if permission is None:
        raise Denied("PERMISSION_ERROR", "permission isn't exit")  # sic
    if tx.permission_id and not _allows(permission, tx.kind):
        raise Denied("PERMISSION_ERROR", "Permission denied")
    keys = {bytes(key["address"]): int(key["weight"]) for key in permission["keys"]}
    if len(tx.signatures) > len(keys):
        count = f"Signature count is {len(tx.signatures)} more than key counts of permission : {len(keys)}"
        raise Denied("PERMISSION_ERROR", count)
    approved: list[bytes] = []
    for signature in tx.signatures:
        approved.append(_approver(tx.id, signature, keys, approved))
    return Weight(permission, tuple(approved), sum(keys[signer] for signer in approved))


def _approver(digest: bytes, signature: bytes, keys: dict[bytes, int], before: list[bytes]) -> bytes:
    try:
        signer = signer_of(digest, signature)
    except BadSignature as error:
        code = "SIGNATURE_FORMAT_ERROR" if len(signature) < 65 else "COMPUTE_ADDRESS_ERROR"
        raise Denied(code, str(error)) from error
    if signer not in keys:
        told = f"{signature.hex()} is signed by {base58_of(signer)} but it is not contained of permission."
        raise Denied("PERMISSION_ERROR", told)
    if signer in before:
        raise Denied("PERMISSION_ERROR", f"{base58_of(signer)} has signed twice!")
    return signer


def _allows(permission: dict[str, Any], kind: str) -> bool:
    """The operations are a bitmap of 32 bytes: bit n stands for contract type n."""
    number, operations = CONTRACT_TYPES[kind], permission.get("operations", b"")
    byte = operations[number // 8] if number // 8 < len(operations) else 0
    return permission.get("type") == "Active" and bool(byte >> number % 8 & 1)
