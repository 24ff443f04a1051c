"""The messages of a TRON transaction: field numbers, names and kinds, as java-tron's .proto files have them.

Source: github.com/tronprotocol/protocol, core/Tron.proto, core/contract/*.proto. Fields that are not listed are
unknown to us, and unknown fields are refused. The local network's node has its own hand-written copy of these tables,
so that a field that is wrong here is found by a node that reads it otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

TYPE_URL = "type.googleapis.com/protocol."


class Plain(Enum):
    """Kinds that are no message and no enumeration. NUMBER is a signed 64-bit integer."""

    BYTES = "bytes"
    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Choice:
    """An enumeration: its names and their numbers, both unique."""

    numbers: Mapping[str, int]

    @property
    def names(self) -> dict[int, str]:
        return {number: name for name, number in self.numbers.items()}


@dataclass(frozen=True, slots=True)
class Message:
    """A nested message, by name. ANY is `google.protobuf.Any`, whose value we read by its type_url."""

    name: str


Kind: TypeAlias = Plain | Choice | Message


@dataclass(frozen=True, slots=True)
class Field:
    number: int
    name: str
    kind: Kind
    repeated: bool = False


BYTES, TEXT, NUMBER, FLAG = Plain.BYTES, Plain.TEXT, Plain.NUMBER, Plain.FLAG
ANY = Message("Any")

CONTRACT_TYPES = Choice(
    {
        "AccountCreateContract": 0,
        "TransferContract": 1,
        "TransferAssetContract": 2,
        "VoteAssetContract": 3,
        "VoteWitnessContract": 4,
        "AccountUpdateContract": 10,
        "WithdrawBalanceContract": 13,
        "SetAccountIdContract": 19,
        "CreateSmartContract": 30,
        "TriggerSmartContract": 31,
        "AccountPermissionUpdateContract": 46,
        "FreezeBalanceV2Contract": 54,
        "UnfreezeBalanceV2Contract": 55,
        "WithdrawExpireUnfreezeContract": 56,
        "DelegateResourceContract": 57,
        "UnDelegateResourceContract": 58,
        "CancelAllUnfreezeV2Contract": 59,
    }
)
RESULTS = (
    *("DEFAULT", "SUCCESS", "REVERT", "BAD_JUMP_DESTINATION", "OUT_OF_MEMORY", "PRECOMPILED_CONTRACT"),
    *("STACK_TOO_SMALL", "STACK_TOO_LARGE", "ILLEGAL_OPERATION", "STACK_OVERFLOW", "OUT_OF_ENERGY", "OUT_OF_TIME"),
    *("JVM_STACK_OVER_FLOW", "UNKNOWN", "TRANSFER_FAILED", "INVALID_CODE"),
)
CONTRACT_RESULT = Choice({name: number for number, name in enumerate(RESULTS)})
CODE = Choice({"SUCESS": 0, "FAILED": 1})  # sic, in Tron.proto
RESOURCE = Choice({"BANDWIDTH": 0, "ENERGY": 1, "TRON_POWER": 2})
PERMISSION_TYPE = Choice({"Owner": 0, "Witness": 1, "Active": 2})
ACCOUNT_TYPE = Choice({"Normal": 0, "AssetIssue": 1, "Contract": 2})
ENTRY_TYPE = Choice(
    {"UnknownEntryType": 0, "Constructor": 1, "Function": 2, "Event": 3, "Fallback": 4, "Receive": 5, "Error": 6}
)
MUTABILITY = Choice({"UnknownMutabilityType": 0, "Pure": 1, "View": 2, "Nonpayable": 3, "Payable": 4})


def _of(*fields: tuple[int, str, Kind] | tuple[int, str, Kind, bool]) -> tuple[Field, ...]:
    return tuple(Field(*field) for field in fields)


_ENVELOPE = {
    "Transaction": _of(
        (1, "raw_data", Message("raw")), (2, "signature", BYTES, True), (5, "ret", Message("Result"), True)
    ),
    "Result": _of((1, "fee", NUMBER), (2, "ret", CODE), (3, "contractRet", CONTRACT_RESULT)),
    "raw": _of(
        (1, "ref_block_bytes", BYTES),
        (3, "ref_block_num", NUMBER),
        (4, "ref_block_hash", BYTES),
        (8, "expiration", NUMBER),
        (10, "data", BYTES),
        (11, "contract", Message("Contract"), True),
        (12, "scripts", BYTES),
        (14, "timestamp", NUMBER),
        (18, "fee_limit", NUMBER),
    ),
    "Contract": _of(
        (1, "type", CONTRACT_TYPES),
        (2, "parameter", ANY),
        (3, "provider", BYTES),
        (4, "ContractName", BYTES),
        (5, "Permission_id", NUMBER),
    ),
}
_ACCOUNTS = {
    "AccountCreateContract": _of((1, "owner_address", BYTES), (2, "account_address", BYTES), (3, "type", ACCOUNT_TYPE)),
    "AccountUpdateContract": _of((1, "account_name", BYTES), (2, "owner_address", BYTES)),
    "SetAccountIdContract": _of((1, "account_id", BYTES), (2, "owner_address", BYTES)),
    "AccountPermissionUpdateContract": _of(
        (1, "owner_address", BYTES),
        (2, "owner", Message("Permission")),
        (3, "witness", Message("Permission")),
        (4, "actives", Message("Permission"), True),
    ),
    "Permission": _of(
        (1, "type", PERMISSION_TYPE),
        (2, "id", NUMBER),
        (3, "permission_name", TEXT),
        (4, "threshold", NUMBER),
        (5, "parent_id", NUMBER),
        (6, "operations", BYTES),
        (7, "keys", Message("Key"), True),
    ),
    "Key": _of((1, "address", BYTES), (2, "weight", NUMBER)),
}
_MONEY = {
    "TransferContract": _of((1, "owner_address", BYTES), (2, "to_address", BYTES), (3, "amount", NUMBER)),
    "TransferAssetContract": _of(
        (1, "asset_name", BYTES), (2, "owner_address", BYTES), (3, "to_address", BYTES), (4, "amount", NUMBER)
    ),
}
_VOTES = {
    "VoteAssetContract": _of(
        (1, "owner_address", BYTES), (2, "vote_address", BYTES, True), (3, "support", FLAG), (5, "count", NUMBER)
    ),
    "VoteWitnessContract": _of((1, "owner_address", BYTES), (2, "votes", Message("Vote"), True), (3, "support", FLAG)),
    "Vote": _of((1, "vote_address", BYTES), (2, "vote_count", NUMBER)),
    "WithdrawBalanceContract": _of((1, "owner_address", BYTES)),
}
_STAKES = {
    "FreezeBalanceV2Contract": _of(
        (1, "owner_address", BYTES), (2, "frozen_balance", NUMBER), (3, "resource", RESOURCE)
    ),
    "UnfreezeBalanceV2Contract": _of(
        (1, "owner_address", BYTES), (2, "unfreeze_balance", NUMBER), (3, "resource", RESOURCE)
    ),
    "WithdrawExpireUnfreezeContract": _of((1, "owner_address", BYTES)),
    "CancelAllUnfreezeV2Contract": _of((1, "owner_address", BYTES)),
    "DelegateResourceContract": _of(
        (1, "owner_address", BYTES),
        (2, "resource", RESOURCE),
        (3, "balance", NUMBER),
        (4, "receiver_address", BYTES),
        (5, "lock", FLAG),
        (6, "lock_period", NUMBER),
    ),
    "UnDelegateResourceContract": _of(
        (1, "owner_address", BYTES), (2, "resource", RESOURCE), (3, "balance", NUMBER), (4, "receiver_address", BYTES)
    ),
}
_CODE = {
    "TriggerSmartContract": _of(
        (1, "owner_address", BYTES),
        (2, "contract_address", BYTES),
        (3, "call_value", NUMBER),
        (4, "data", BYTES),
        (5, "call_token_value", NUMBER),
        (6, "token_id", NUMBER),
    ),
    "CreateSmartContract": _of(
        (1, "owner_address", BYTES),
        (2, "new_contract", Message("SmartContract")),
        (3, "call_token_value", NUMBER),
        (4, "token_id", NUMBER),
    ),
    "SmartContract": _of(
        (1, "origin_address", BYTES),
        (2, "contract_address", BYTES),
        (3, "abi", Message("ABI")),
        (4, "bytecode", BYTES),
        (5, "call_value", NUMBER),
        (6, "consume_user_resource_percent", NUMBER),
        (7, "name", TEXT),
        (8, "origin_energy_limit", NUMBER),
        (9, "code_hash", BYTES),
        (10, "trx_hash", BYTES),
        (11, "version", NUMBER),
    ),
    "ABI": _of((1, "entrys", Message("Entry"), True)),
    "Entry": _of(
        (1, "anonymous", FLAG),
        (2, "constant", FLAG),
        (3, "name", TEXT),
        (4, "inputs", Message("Param"), True),
        (5, "outputs", Message("Param"), True),
        (6, "type", ENTRY_TYPE),
        (7, "payable", FLAG),
        (8, "stateMutability", MUTABILITY),
    ),
    "Param": _of((1, "indexed", FLAG), (2, "name", TEXT), (3, "type", TEXT)),
}

MESSAGES: Mapping[str, tuple[Field, ...]] = {**_ENVELOPE, **_ACCOUNTS, **_MONEY, **_VOTES, **_STAKES, **_CODE}
