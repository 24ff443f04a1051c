"""A signed Ethereum transaction, read from its bytes as a node reads it (types 0, 1 and 2; EIP-155, 2930, 1559)."""

from dataclasses import dataclass
from typing import Any

import rlp as _rlp
from coincurve import PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ops.devnet.node_proxy.words import Rejected

rlp: Any = _rlp  # it brings no types
TYPED_FIELDS = {1: 11, 2: 12}
LEGACY_FIELDS = 9


@dataclass(frozen=True, slots=True)
class Transaction:
    """One signed transaction. Prices are wei per gas; `cost` is the most it can take from the sender, in wei."""

    raw: str
    hash: str
    kind: int
    sender: str
    nonce: int
    cap: int
    tip: int
    gas: int
    to: str | None
    value: int
    data: bytes
    accesses: tuple[tuple[str, tuple[str, ...]], ...]
    chain_id: int
    signature: tuple[int, int, int]

    @property
    def cost(self) -> int:
        return self.gas * self.cap + self.value

    @property
    def intrinsic_gas(self) -> int:
        """The gas a transaction needs before a single step is executed (EIP-2028, 2930, 3860, floor of 7623)."""
        zeros = self.data.count(0)
        others = len(self.data) - zeros
        gas = 21_000 + 4 * zeros + 16 * others
        if self.to is None:
            gas += 32_000 + 2 * ((len(self.data) + 31) // 32)
        gas += sum(2_400 + 1_900 * len(keys) for _, keys in self.accesses)
        return max(gas, 21_000 + 10 * (zeros + 4 * others))

    def as_pending(self) -> dict[str, Any]:
        """How a node shows it while it is in no block."""
        v, r, s = self.signature
        shown: dict[str, Any] = {
            "blockHash": None,
            "blockNumber": None,
            "transactionIndex": None,
            "hash": self.hash,
            "type": hex(self.kind),
            "from": self.sender.lower(),
            "to": self.to,
            "nonce": hex(self.nonce),
            "gas": hex(self.gas),
            "gasPrice": hex(self.cap),
            "value": hex(self.value),
            "input": "0x" + self.data.hex(),
            "chainId": hex(self.chain_id),
            "v": hex(v),
            "r": hex(r),
            "s": hex(s),
        }
        if self.kind:
            shown["accessList"] = [{"address": a, "storageKeys": list(keys)} for a, keys in self.accesses]
            shown["yParity"] = hex(v)
        if self.kind == 2:
            shown |= {"maxFeePerGas": hex(self.cap), "maxPriorityFeePerGas": hex(self.tip)}
        return shown


def decode(raw: str) -> Transaction:
    """Reads signed bytes. Raises Rejected with geth's words when they are none, or carry no replay protection."""
    try:
        data = bytes.fromhex(raw.removeprefix("0x"))
        kind = data[0] if data and data[0] < 0x80 else 0
        fields = rlp.decode(data[1:] if kind else data)
    except (ValueError, rlp.DecodingError, AttributeError):
        raise Rejected("rlp: value size exceeds available input length") from None
    if kind not in (0, *TYPED_FIELDS):
        raise Rejected("transaction type not supported")
    if not isinstance(fields, list) or len(fields) != TYPED_FIELDS.get(kind, LEGACY_FIELDS):
        raise Rejected("rlp: too few elements for types.DynamicFeeTx" if kind else "rlp: too few elements")
    try:
        return _legacy(raw, data, fields) if kind == 0 else _typed(raw, data, kind, fields)
    except (ValueError, TypeError, IndexError):
        raise Rejected("invalid sender: invalid transaction v, r, s values") from None


def _legacy(raw: str, data: bytes, fields: list[Any]) -> Transaction:
    nonce, price, gas, to, value, payload, v, r, s = fields
    mark = _int(v)
    if mark < 35:
        raise Rejected("only replay-protected (EIP-155) transactions allowed over RPC")
    chain_id, parity = divmod(mark - 35, 2)
    signed = rlp.encode([*fields[:6], _bytes(chain_id), b"", b""])
    return Transaction(
        raw=raw,
        hash="0x" + keccak(data).hex(),
        kind=0,
        sender=_sender(keccak(signed), parity, _int(r), _int(s)),
        nonce=_int(nonce),
        cap=_int(price),
        tip=_int(price),
        gas=_int(gas),
        to=_address(to),
        value=_int(value),
        data=bytes(payload),
        accesses=(),
        chain_id=chain_id,
        signature=(mark, _int(r), _int(s)),
    )


def _typed(raw: str, data: bytes, kind: int, fields: list[Any]) -> Transaction:
    *body, parity, r, s = fields
    chain_id, nonce, *prices = body[: 4 if kind == 2 else 3]
    gas, to, value, payload, accesses = body[4 if kind == 2 else 3 :]
    signed = bytes([kind]) + rlp.encode(body)
    return Transaction(
        raw=raw,
        hash="0x" + keccak(data).hex(),
        kind=kind,
        sender=_sender(keccak(signed), _int(parity), _int(r), _int(s)),
        nonce=_int(nonce),
        cap=_int(prices[-1]),
        tip=_int(prices[0]),
        gas=_int(gas),
        to=_address(to),
        value=_int(value),
        data=bytes(payload),
        accesses=tuple(("0x" + a.hex(), tuple("0x" + key.hex() for key in keys)) for a, keys in accesses),
        chain_id=_int(chain_id),
        signature=(_int(parity), _int(r), _int(s)),
    )


def _sender(digest: bytes, parity: int, r: int, s: int) -> str:
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # the library raises bare Exception for a signature that fits no key
        raise ValueError(str(error)) from error
    return str(to_checksum_address(keccak(key.format(compressed=False)[1:])[-20:]))


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _address(data: bytes) -> str | None:
    return "0x" + data.hex() if data else None
