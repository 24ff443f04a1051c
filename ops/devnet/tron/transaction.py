"""Transactions as they travel, and what executing one leaves behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ops.devnet.tron.jsonform import from_json
from ops.devnet.tron.keys import digest_of
from ops.devnet.tron.messages import RAW, TRANSACTION, decode, encode
from ops.devnet.tron.wire import TYPE_URL, Message


class Refusal(Exception):
    """The node does not take a transaction; `code` is one of api.proto's response codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refusal:
    """What a contract's own rules forbid."""
    return Refusal("CONTRACT_VALIDATE_ERROR", f"Contract validate error : {message}")


def starved(message: str = "Account resource insufficient error.") -> Refusal:
    """Neither bandwidth nor TRX to burn for it."""
    return Refusal("BANDWITH_ERROR", message)  # sic


@dataclass(frozen=True)
class Transaction:
    """raw_data, byte for byte, and its signatures."""

    raw: bytes
    signatures: tuple[bytes, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Transaction":
        """A whole transaction. Raises WireError unless the bytes are canonical."""
        message = decode(TRANSACTION, data)
        return cls(encode(RAW, message.get("raw_data", {})), tuple(message.get("signature", ())))

    @classmethod
    def from_json(cls, words: Mapping[str, Any], visible: bool) -> "Transaction":
        """As java-tron packs it: built anew from raw_data, whatever txID and raw_data_hex say. Raises ValueError."""
        raw = encode(RAW, from_json(RAW, words["raw_data"], visible))
        return cls(raw, tuple(bytes.fromhex(signature) for signature in words.get("signature") or ()))

    @classmethod
    def build(cls, kind: str, value: Mapping[str, Any], facts: Mapping[str, Any], permission: int = 0) -> "Transaction":
        """An unsigned transaction of one contract; `facts` are the other fields of raw_data."""
        contract = {"type": kind, "parameter": {"type_url": TYPE_URL + kind, "value": dict(value)}}
        return cls(encode(RAW, {**facts, "contract": [{**contract, "Permission_id": permission}]}))

    @cached_property
    def id(self) -> bytes:
        return digest_of(self.raw)

    @cached_property
    def message(self) -> Message:
        return decode(RAW, self.raw)

    @property
    def contracts(self) -> Sequence[Message]:
        found: Sequence[Message] = self.message.get("contract", ())
        return found

    @property
    def kind(self) -> str:
        """The type of the contract, as the field says it."""
        return str(self.contracts[0].get("type", "AccountCreateContract"))

    @property
    def value(self) -> Message:
        found: Message = self.contracts[0]["parameter"]["value"]
        return found

    @property
    def owner(self) -> bytes:
        return bytes(self.value.get("owner_address", b""))

    @property
    def permission_id(self) -> int:
        return int(self.contracts[0].get("Permission_id", 0))

    @property
    def expiration_ms(self) -> int:
        return int(self.message.get("expiration", 0))

    @property
    def fee_limit(self) -> int:
        return int(self.message.get("fee_limit", 0))

    def to_bytes(self, result: str | None = None) -> bytes:
        """As it travels; with a `result`, as it stands in a block."""
        message: Message = {"raw_data": self.message, "signature": self.signatures}
        return encode(TRANSACTION, {**message, "ret": [{"contractRet": result}]} if result else message)

    def signed(self, *signatures: bytes) -> "Transaction":
        return Transaction(self.raw, (*self.signatures, *signatures))


@dataclass(frozen=True, slots=True)
class Log:
    """One event; the address has 20 bytes, as in the TVM."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Internal:
    """TRX that a contract moved; addresses have 20 bytes."""

    sender: bytes
    recipient: bytes
    sun: int


@dataclass(slots=True)
class Record:
    """What a transaction did: its contractRet, its fees in sun, its resources and its logs."""

    result: str = "SUCCESS"
    fee: int = 0
    receipt: dict[str, Any] = field(default_factory=dict)
    output: bytes = b""
    contract: bytes = b""
    logs: tuple[Log, ...] = ()
    internal: tuple[Internal, ...] = ()
    failure: str = ""
    withdrawn: int = 0

    def charge(self, sun: int) -> None:
        self.fee += sun
