"""The messages of TRON that a node reads and writes: field numbers of protocol.proto and its contract files.

Written from the source a second time, and on purpose: nothing of `adapters/chains/tron` is used here, so that what the
adapter encodes wrongly is not read wrongly alike.
"""

from typing import Any

from ops.devnet.tron.wire import Codec, Enum, Field, Schema

CONTRACT_TYPES: dict[str, int] = {
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
CONTRACT_RESULTS = (
    "DEFAULT",
    "SUCCESS",
    "REVERT",
    "BAD_JUMP_DESTINATION",
    "OUT_OF_MEMORY",
    "PRECOMPILED_CONTRACT",
    "STACK_TOO_SMALL",
    "STACK_TOO_LARGE",
    "ILLEGAL_OPERATION",
    "STACK_OVERFLOW",
    "OUT_OF_ENERGY",
    "OUT_OF_TIME",
    "JVM_STACK_OVER_FLOW",
    "UNKNOWN",
    "TRANSFER_FAILED",
    "INVALID_CODE",
)


def _enum(name: str, *names: str) -> Enum:
    return Enum(name, {word: number for number, word in enumerate(names)})


CONTRACT_TYPE = Enum("ContractType", CONTRACT_TYPES)
CONTRACT_RESULT = _enum("contractResult", *CONTRACT_RESULTS)
RESOURCE_CODE = _enum("ResourceCode", "BANDWIDTH", "ENERGY", "TRON_POWER")
PERMISSION_TYPE = _enum("PermissionType", "Owner", "Witness", "Active")
ACCOUNT_TYPE = _enum("AccountType", "Normal", "AssetIssue", "Contract")
CODE = _enum("code", "SUCESS", "FAILED")  # sic
ENTRY_TYPE = _enum("EntryType", "UnknownEntryType", "Constructor", "Function", "Event", "Fallback", "Receive", "Error")
MUTABILITY = _enum("StateMutabilityType", "UnknownMutabilityType", "Pure", "View", "Nonpayable", "Payable")


def _address(number: int, name: str, repeated: bool = False) -> Field:
    return Field(number, name, "bytes", repeated, "address")


def _text(number: int, name: str) -> Field:
    return Field(number, name, "bytes", shown="text")


OWNER = _address(1, "owner_address")

PARAM = Schema("Param", (Field(1, "indexed", "bool"), Field(2, "name", "string"), Field(3, "type", "string")))
ABI_ENTRY = Schema(
    "Entry",
    (
        Field(1, "anonymous", "bool"),
        Field(2, "constant", "bool"),
        Field(3, "name", "string"),
        Field(4, "inputs", PARAM, repeated=True),
        Field(5, "outputs", PARAM, repeated=True),
        Field(6, "type", ENTRY_TYPE),
        Field(7, "payable", "bool"),
        Field(8, "stateMutability", MUTABILITY),
    ),
)
ABI = Schema("ABI", (Field(1, "entrys", ABI_ENTRY, repeated=True),))
SMART_CONTRACT = Schema(
    "SmartContract",
    (
        _address(1, "origin_address"),
        _address(2, "contract_address"),
        Field(3, "abi", ABI),
        Field(4, "bytecode", "bytes"),
        Field(5, "call_value", "int"),
        Field(6, "consume_user_resource_percent", "int"),
        Field(7, "name", "string"),
        Field(8, "origin_energy_limit", "int"),
        Field(9, "code_hash", "bytes"),
        Field(10, "trx_hash", "bytes"),
        Field(11, "version", "int"),
    ),
)
KEY = Schema("Key", (_address(1, "address"), Field(2, "weight", "int")))
PERMISSION = Schema(
    "Permission",
    (
        Field(1, "type", PERMISSION_TYPE),
        Field(2, "id", "int"),
        Field(3, "permission_name", "string"),
        Field(4, "threshold", "int"),
        Field(5, "parent_id", "int"),
        Field(6, "operations", "bytes"),
        Field(7, "keys", KEY, repeated=True),
    ),
)
VOTE = Schema("Vote", (_address(1, "vote_address"), Field(2, "vote_count", "int")))


def _staking(name: str, amount: str) -> Schema:
    return Schema(name, (OWNER, Field(2, amount, "int"), Field(3, "resource", RESOURCE_CODE)))


def _delegation(name: str, *more: Field) -> Schema:
    fields = (OWNER, Field(2, "resource", RESOURCE_CODE), Field(3, "balance", "int"), _address(4, "receiver_address"))
    return Schema(name, (*fields, *more))


_CONTRACTS = (
    Schema("AccountCreateContract", (OWNER, _address(2, "account_address"), Field(3, "type", ACCOUNT_TYPE))),
    Schema("AccountUpdateContract", (_text(1, "account_name"), _address(2, "owner_address"))),
    Schema("SetAccountIdContract", (_text(1, "account_id"), _address(2, "owner_address"))),
    Schema("TransferContract", (OWNER, _address(2, "to_address"), Field(3, "amount", "int"))),
    Schema(
        "TransferAssetContract",
        (_text(1, "asset_name"), _address(2, "owner_address"), _address(3, "to_address"), Field(4, "amount", "int")),
    ),
    Schema(
        "VoteAssetContract",
        (OWNER, _address(2, "vote_address", repeated=True), Field(3, "support", "bool"), Field(5, "count", "int")),
    ),
    Schema("VoteWitnessContract", (OWNER, Field(2, "votes", VOTE, repeated=True), Field(3, "support", "bool"))),
    Schema("WithdrawBalanceContract", (OWNER,)),
    Schema(
        "TriggerSmartContract",
        (
            OWNER,
            _address(2, "contract_address"),
            Field(3, "call_value", "int"),
            Field(4, "data", "bytes"),
            Field(5, "call_token_value", "int"),
            Field(6, "token_id", "int"),
        ),
    ),
    Schema(
        "CreateSmartContract",
        (
            OWNER,
            Field(2, "new_contract", SMART_CONTRACT),
            Field(3, "call_token_value", "int"),
            Field(4, "token_id", "int"),
        ),
    ),
    Schema(
        "AccountPermissionUpdateContract",
        (
            OWNER,
            Field(2, "owner", PERMISSION),
            Field(3, "witness", PERMISSION),
            Field(4, "actives", PERMISSION, repeated=True),
        ),
    ),
    _staking("FreezeBalanceV2Contract", "frozen_balance"),
    _staking("UnfreezeBalanceV2Contract", "unfreeze_balance"),
    Schema("WithdrawExpireUnfreezeContract", (OWNER,)),
    Schema("CancelAllUnfreezeV2Contract", (OWNER,)),
    _delegation("DelegateResourceContract", Field(5, "lock", "bool"), Field(6, "lock_period", "int")),
    _delegation("UnDelegateResourceContract"),
)
CONTRACTS = {schema.name: schema for schema in _CONTRACTS}
CODEC = Codec(CONTRACTS)

CONTRACT = Schema(
    "Contract",
    (
        Field(1, "type", CONTRACT_TYPE),
        Field(2, "parameter", "any"),
        Field(3, "provider", "bytes"),
        Field(4, "ContractName", "bytes"),
        Field(5, "Permission_id", "int"),
    ),
)
RAW = Schema(
    "raw",
    (
        Field(1, "ref_block_bytes", "bytes"),
        Field(3, "ref_block_num", "int"),
        Field(4, "ref_block_hash", "bytes"),
        Field(8, "expiration", "int"),
        Field(10, "data", "bytes"),
        Field(11, "contract", CONTRACT, repeated=True),
        Field(12, "scripts", "bytes"),
        Field(14, "timestamp", "int"),
        Field(18, "fee_limit", "int"),
    ),
)
RESULT = Schema("Result", (Field(1, "fee", "int"), Field(2, "ret", CODE), Field(3, "contractRet", CONTRACT_RESULT)))
TRANSACTION = Schema(
    "Transaction",
    (Field(1, "raw_data", RAW), Field(2, "signature", "bytes", repeated=True), Field(5, "ret", RESULT, repeated=True)),
)
BLOCK_HEADER = Schema(
    "BlockHeader.raw",
    (
        Field(1, "timestamp", "int"),
        Field(2, "txTrieRoot", "bytes"),
        Field(3, "parentHash", "bytes"),
        Field(7, "number", "int"),
        Field(8, "witness_id", "int"),
        _address(9, "witness_address"),
        Field(10, "version", "int"),
        Field(11, "accountStateRoot", "bytes"),
    ),
)
RECEIPT = Schema(
    "ResourceReceipt",
    (
        Field(1, "energy_usage", "int"),
        Field(2, "energy_fee", "int"),
        Field(3, "origin_energy_usage", "int"),
        Field(4, "energy_usage_total", "int"),
        Field(5, "net_usage", "int"),
        Field(6, "net_fee", "int"),
        Field(7, "result", CONTRACT_RESULT),
        Field(8, "energy_penalty_total", "int"),
    ),
)
LOG = Schema("Log", (_address(1, "address"), Field(2, "topics", "bytes", repeated=True), Field(3, "data", "bytes")))
TRANSACTION_INFO = Schema(
    "TransactionInfo",
    (
        Field(1, "id", "bytes"),
        Field(2, "fee", "int"),
        Field(3, "blockNumber", "int"),
        Field(4, "blockTimeStamp", "int"),
        Field(5, "contractResult", "bytes", repeated=True),
        _address(6, "contract_address"),
        Field(7, "receipt", RECEIPT),
        Field(8, "log", LOG, repeated=True),
        Field(9, "result", CODE),
        _text(10, "resMessage"),
        Field(15, "withdraw_amount", "int"),
        Field(27, "withdraw_expire_amount", "int"),
    ),
)


def encode(schema: Schema, message: dict[str, Any]) -> bytes:
    return CODEC.encode(schema, message)


def decode(schema: Schema, data: bytes) -> dict[str, Any]:
    return CODEC.decode(schema, data)
