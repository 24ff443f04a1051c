"""Blocks, transactions and their infos as JSON."""

from typing import Any

from ops.devnet.tron.block import Block, Entry
from ops.devnet.tron.jsonform import to_json
from ops.devnet.tron.keys import PREFIX, base58_of, contract_address, keccak256
from ops.devnet.tron.messages import BLOCK_HEADER, RAW, TRANSACTION_INFO
from ops.devnet.tron.transaction import Internal, Transaction


def transaction_json(tx: Transaction, visible: bool, result: str | None = None) -> dict[str, Any]:
    """A transaction with its id; with a `result` as it stands in a block."""
    out: dict[str, Any] = {"ret": [{"contractRet": result}]} if result else {}
    if tx.signatures:
        out["signature"] = [signature.hex() for signature in tx.signatures]
    out |= {"txID": tx.id.hex(), "raw_data": to_json(RAW, tx.message, visible), "raw_data_hex": tx.raw.hex()}
    if tx.contracts and tx.kind == "CreateSmartContract":
        out["contract_address"] = contract_address(tx.id, tx.owner).hex()
    return {"visible": visible, **out}


def block_json(block: Block, visible: bool, with_transactions: bool = True) -> dict[str, Any]:
    header = to_json(BLOCK_HEADER, block.header(), visible)
    out: dict[str, Any] = {
        "blockID": block.id.hex(),
        "block_header": {"raw_data": header, "witness_signature": block.signature().hex()},
    }
    if with_transactions and block.entries:
        out["transactions"] = [transaction_json(entry.tx, visible, entry.record.result) for entry in block.entries]
    return out


def info_json(block: Block, entry: Entry, visible: bool) -> dict[str, Any]:
    """What a transaction did. Addresses of logs have 20 bytes in hex, and are whole only when visible."""
    record = entry.record
    info = {
        "id": entry.tx.id,
        "fee": record.fee,
        "blockNumber": block.number,
        "blockTimeStamp": block.time_ms,
        "contract_address": record.contract,
        "receipt": record.receipt,
        "log": [
            {"address": (PREFIX if visible else b"") + row.address, "topics": row.topics, "data": row.data}
            for row in record.logs
        ],
        "result": "FAILED" if record.failure else "SUCESS",
        "resMessage": record.failure.encode(),
    }
    withdrawn = "withdraw_expire_amount" if record.withdrawn else "withdraw_amount"
    out = to_json(TRANSACTION_INFO, {**info, withdrawn: record.withdrawn}, visible)
    out["contractResult"] = [record.output.hex()]
    out.setdefault("receipt", {})
    if record.internal:
        out["internal_transactions"] = [
            _internal_json(entry.tx.id, at, row, visible) for at, row in enumerate(record.internal)
        ]
    return out


def _internal_json(txid: bytes, at: int, row: Internal, visible: bool) -> dict[str, Any]:
    def show(address: bytes) -> str:
        return base58_of(PREFIX + address) if visible else (PREFIX + address).hex()

    return {
        "hash": keccak256(txid + at.to_bytes(4, "big")).hex(),
        "caller_address": show(row.sender),
        "transferTo_address": show(row.recipient),
        "callValueInfo": [{"callValue": row.sun}],
        "note": b"call".hex(),
    }
