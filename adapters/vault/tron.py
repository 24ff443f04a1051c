"""TRON as the signer sees it: transactions read from their bytes alone, with a decoder of its own.

One shape is accepted: the nine fields below, each in canonical protobuf, one contract, either TransferContract or
`transfer(address,uint256)` on a token of the catalogue. Whatever is read is written again, and bytes that differ are
refused: unknown fields, another order, longer numbers and data left over all end there. Nothing on this network
excludes two transactions but time, so the expiration is part of what is judged.

The slot's own number stands in `timestamp`, which the network does not judge: two slots can then
never have the same bytes, and a payment of one slot can be told from the same payment of another.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from adapters.vault import secp256k1
from adapters.vault.decode import Paid, from_hex
from adapters.vault.family import Reading, Signed
from adapters.vault.keystore import Account, SigningKey
from domain.asset import Asset
from domain.errors import Refused
from domain.network import Network
from domain.payout import Fee

_TYPES = {1: b"TransferContract", 31: b"TriggerSmartContract"}
_TYPE_URL = b"type.googleapis.com/protocol."
_TRANSFER = bytes.fromhex("a9059cbb")  # transfer(address,uint256)
_TRANSFER_BYTES = 4 + 32 + 32
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SYSTEM_BELOW = 0x20000
_PRECOMPILES = range(0x1000000, 0x1000020)
_NUMBER, _BYTES = 0, 2

Fields = dict[int, int | bytes]


@dataclass(frozen=True, slots=True)
class Transaction:
    """An unsigned transaction. Addresses have 21 bytes; `contract` is empty where the native coin moves."""

    reference: bytes
    expires_at_ms: int
    number: int
    fee_limit: int
    owner: bytes
    to: bytes
    units: int
    contract: bytes = b""

    def encode(self) -> bytes:
        """The one way to write it."""
        if self.contract:
            data = _TRANSFER + bytes(12) + self.to[1:] + self.units.to_bytes(32, "big")
            kind, body = 31, _field(1, self.owner) + _field(2, self.contract) + _field(4, data)
        else:
            kind, body = 1, _field(1, self.owner) + _field(2, self.to) + _field(3, self.units)
        box = _field(1, _TYPE_URL + _TYPES[kind]) + _field(2, body)
        return (
            _field(1, self.reference[:2])
            + _field(4, self.reference[2:])
            + _field(8, self.expires_at_ms)
            + _field(11, _field(1, kind) + _field(2, box))
            + (_field(14, self.number) if self.number else b"")
            + (_field(18, self.fee_limit) if self.fee_limit else b"")
        )


class Tron:
    """Accounts without a nonce: one contract a transaction, excluded by its expiration alone."""

    def address(self, account: Account, network: Network) -> str:
        return _text_of(b"\x41" + bytes.fromhex(account.address[2:]))

    def read(self, unsigned: str, network: Network, assets: Collection[Asset]) -> Reading:
        tx = _transaction(from_hex(unsigned))
        overhead = network.fees.overhead_cap
        return Reading(
            scarce=str(tx.number),
            payload=hashlib.sha256(b"strongroom/payload/tron/v1\n" + _payload(tx)).hexdigest(),
            fee=Fee(weight=tx.fee_limit + overhead, price=1, tip=0),
            paid=(_paid(tx, network, assets),),
            wallet=_text_of(tx.owner),
            expires_at_ms=tx.expires_at_ms,
        )

    def expires_at_ms(self, raw: str) -> int:
        return _transaction(_opened(from_hex(raw))[0]).expires_at_ms

    def sign(self, unsigned: str, key: SigningKey) -> Signed:
        plain = from_hex(unsigned)
        digest = hashlib.sha256(plain).digest()
        parity, r, s = key.sign_digest(digest)
        raw = _field(1, plain) + _field(2, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity]))
        self._read_back(raw, plain, key)
        return Signed(raw="0x" + raw.hex(), txid=digest.hex())

    def refuse_recipient(self, recipient: str, network: Network, assets: Collection[Asset]) -> str:
        number = int.from_bytes(_bytes_of(recipient)[1:], "big")
        if number < _SYSTEM_BELOW or number in _PRECOMPILES:
            return "it is the zero address or a precompiled contract"
        if any(asset.contract == recipient for asset in assets):
            return "it is a token contract"
        return ""

    def _read_back(self, raw: bytes, plain: bytes, key: SigningKey) -> None:
        """The signed bytes must carry exactly what was unsigned, and must be ours. A fault here is of the machine."""
        inside, signature = _opened(raw)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        signer = secp256k1.recover(hashlib.sha256(inside).digest(), signature[64], r, s)
        owner = b"\x41" + bytes.fromhex(key.address[2:])
        if inside != plain or signer != key.address or _transaction(plain).owner != owner:
            raise Refused(
                "SIGNER_SELF_CHECK", "The signature did not verify when read back; stop the signer, check the machine."
            )


# ---------------------------------------------------------------- what the bytes say
def _transaction(unsigned: bytes) -> Transaction:
    """Raises Refused SIGNER_MEMO, SIGNER_TYPE, SIGNER_PERMISSION, SIGNER_CALL, SIGNER_VALUE_WITH_TOKEN,
    SIGNER_PROTOBUF.
    """
    try:
        tx = _read(unsigned)
        if tx.encode() != unsigned:
            raise _NotCanonicalError("they are not what their own fields encode to")
    except (_NotCanonicalError, KeyError) as error:
        raise Refused("SIGNER_PROTOBUF", f"The bytes are not a canonical transaction: {error}.") from None
    return tx


def _read(unsigned: bytes) -> Transaction:
    fields = _fields(unsigned)
    if 10 in fields:
        raise Refused("SIGNER_MEMO", "A payment carries no memo: it costs extra and nobody approved it.")
    _only(fields, {1, 4, 8, 11, 14, 18}, "the transaction")
    contract = _fields(_bytes(fields, 11))
    if 5 in contract:
        raise Refused("SIGNER_PERMISSION", "Payments are signed with the account's own permission, number 0.")
    _only(contract, {1, 2}, "the contract")
    kind, box = _number(contract, 1), _fields(_bytes(contract, 2))
    if kind not in _TYPES or box.get(1) != _TYPE_URL + _TYPES[kind]:
        raise Refused("SIGNER_TYPE", "Only TransferContract and TriggerSmartContract are signed.", type=kind)
    _only(box, {1, 2}, "the parameter")
    body = _fields(_bytes(box, 2))
    owner, to, units, token = _trigger(body) if kind == 31 else _transfer(body)
    return Transaction(
        reference=_sized(fields, 1, 2) + _sized(fields, 4, 8),
        expires_at_ms=_number(fields, 8),
        number=_number(fields, 14) if 14 in fields else 0,
        fee_limit=_number(fields, 18) if 18 in fields else 0,
        owner=owner,
        to=to,
        units=units,
        contract=token,
    )


def _transfer(body: Fields) -> tuple[bytes, bytes, int, bytes]:
    _only(body, {1, 2, 3}, "the transfer")
    return _address(body, 1), _address(body, 2), _number(body, 3), b""


def _trigger(body: Fields) -> tuple[bytes, bytes, int, bytes]:
    if {3, 5, 6} & set(body):
        raise Refused("SIGNER_VALUE_WITH_TOKEN", "A token transfer must not move TRX or TRC10 tokens as well.")
    _only(body, {1, 2, 4}, "the call")
    data = _bytes(body, 4)
    if data[:4] != _TRANSFER or len(data) != _TRANSFER_BYTES or data[4:16] != bytes(12):
        raise Refused(
            "SIGNER_CALL",
            "Only transfer(address,uint256) with exactly 68 bytes of calldata is signed.",
            selector=data[:4].hex(),
            length=len(data),
        )
    return _address(body, 1), b"\x41" + data[16:36], int.from_bytes(data[36:], "big"), _address(body, 2)


def _paid(tx: Transaction, network: Network, assets: Collection[Asset]) -> Paid:
    here = [asset for asset in assets if asset.network == network.id]
    if not tx.contract:
        native = next(asset for asset in here if asset.id == network.native_asset)
        if tx.fee_limit:
            raise Refused("SIGNER_PROTOBUF", "A transfer of the native coin has no fee limit.")
        return Paid(native, tx.units, _text_of(tx.to))
    token = next((a for a in here if a.contract == _text_of(tx.contract)), None)
    if token is None:
        raise Refused("SIGNER_TOKEN_UNKNOWN", "The contract is not a token of our catalogue.", to=_text_of(tx.contract))
    return Paid(token, tx.units, _text_of(tx.to))


def _payload(tx: Transaction) -> bytes:
    """What may never change within a slot: all but the reference block, the expiration and the fee limit."""
    words = (tx.number, tx.owner.hex(), tx.contract.hex(), tx.to.hex(), tx.units)
    return "\n".join(map(str, words)).encode()


# ---------------------------------------------------------------- protobuf, as little as is needed
class _NotCanonicalError(ValueError):
    pass


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _NUMBER) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def _fields(data: bytes) -> Fields:
    """Every field once, in ascending order."""
    found: Fields = {}
    for number, value in _parts(data):
        if number <= max(found, default=0):
            raise _NotCanonicalError(f"field {number} is out of order or said twice")
        found[number] = value
    return found


def _parts(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        value, at = _read_varint(data, at)
        if key & 7 == _NUMBER:
            yield key >> 3, value
        elif key & 7 == _BYTES and at + value <= len(data):
            yield key >> 3, data[at : at + value]
            at += value
        else:
            raise _NotCanonicalError(f"field {key >> 3} is cut off or of no type we use")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 63:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _NotCanonicalError("a number is cut off, negative or too long")


def _only(fields: Fields, allowed: set[int], where: str) -> None:
    if extra := sorted(set(fields) - allowed):
        raise _NotCanonicalError(f"{where} has field {extra[0]}, which no payment needs")


def _number(fields: Fields, at: int) -> int:
    value = fields[at]
    if not isinstance(value, int) or not 0 < value < 2**63:
        raise _NotCanonicalError(f"field {at} is no number above zero")
    return value


def _bytes(fields: Fields, at: int) -> bytes:
    value = fields[at]
    if not isinstance(value, bytes):
        raise _NotCanonicalError(f"field {at} is no bytes")
    return value


def _sized(fields: Fields, at: int, size: int) -> bytes:
    value = _bytes(fields, at)
    if len(value) != size:
        raise _NotCanonicalError(f"field {at} has {size} bytes")
    return value


def _address(fields: Fields, at: int) -> bytes:
    value = _sized(fields, at, 21)
    if value[0] != 0x41:
        raise _NotCanonicalError("an address begins with 0x41")
    return value


def _opened(signed: bytes) -> tuple[bytes, bytes]:
    fields = _fields(signed)
    if set(fields) != {1, 2}:
        raise _NotCanonicalError("a signed transaction has its raw bytes and one signature")
    return _bytes(fields, 1), _sized(fields, 2, 65)


# ---------------------------------------------------------------- Base58Check
def _text_of(address: bytes) -> str:
    number, out = int.from_bytes(address + _check(address), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = _ALPHABET[digit] + out
    return out


def _bytes_of(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + _ALPHABET.index(character)
    return number.to_bytes(25, "big")[:21]


def _check(body: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
