"""What a transaction really does, read from its bytes alone.

Only one shape is ever accepted: an EIP-1559 transaction (type 0x02) that either moves the native coin with empty
calldata or calls ERC-20 `transfer(address,uint256)` on a contract of our own catalogue. Everything else is refused
with the code that says what it was.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.vault import rlp
from adapters.vault.secp256k1 import to_checksum
from domain.asset import Asset
from domain.errors import Refused
from domain.network import Network
from domain.payout import Fee

UNSIGNED_BYTES_MAX = 1024
_HEX = re.compile(r"0x(?:[0-9a-f]{2})+")
_DYNAMIC_FEE_TYPE = 0x02  # EIP-1559
_UNSIGNED_FIELDS = 9
_TRANSFER = bytes.fromhex("a9059cbb")  # transfer(address,uint256), ERC-20
_TRANSFER_BYTES = 4 + 32 + 32
_WORD_PADDING = bytes(12)
_UINT64_MAX, _UINT256_MAX = 2**64 - 1, 2**256 - 1


@dataclass(frozen=True, slots=True)
class Transaction:
    """The fields of an unsigned type-2 transaction, each within the range the protocol gives it."""

    chain_id: int
    nonce: int
    tip: int
    price: int
    gas: int
    to: bytes
    value: int
    data: bytes

    @property
    def fee(self) -> Fee:
        return Fee(weight=self.gas, price=self.price, tip=self.tip)

    def fields(self) -> list[rlp.Item]:
        """The nine fields in the order of EIP-1559, the access list empty."""
        numbers = (self.chain_id, self.nonce, self.tip, self.price, self.gas)
        return [*map(rlp.of_integer, numbers), self.to, rlp.of_integer(self.value), self.data, []]


@dataclass(frozen=True, slots=True)
class Paid:
    """What the transaction pays: `units` base units of `asset` to `recipient` (EIP-55)."""

    asset: Asset
    units: int
    recipient: str


def from_hex(text: str, bytes_max: int = UNSIGNED_BYTES_MAX) -> bytes:
    """Bytes from "0x" and lower-case hex. Raises Refused SIGNER_BYTES_MALFORMED."""
    if len(text) > 2 + 2 * bytes_max or not _HEX.fullmatch(text):
        raise Refused(
            "SIGNER_BYTES_MALFORMED", f"Send the unsigned bytes as 0x and lower-case hex, at most {bytes_max} bytes."
        )
    return bytes.fromhex(text[2:])


def transaction(unsigned: bytes) -> Transaction:
    """The transaction in `unsigned`.

    Raises Refused SIGNER_TYPE, SIGNER_RLP, SIGNER_CREATION, SIGNER_ACCESS_LIST or SIGNER_FIELD_RANGE.
    """
    if unsigned[0] != _DYNAMIC_FEE_TYPE:
        raise Refused("SIGNER_TYPE", "Only type 0x02 transactions are signed.", type=f"{unsigned[0]:#04x}")
    try:
        fields = rlp.decode(unsigned[1:])
        if not isinstance(fields, list) or len(fields) != _UNSIGNED_FIELDS:
            raise rlp.NotCanonical(f"an unsigned type 0x02 transaction is a list of {_UNSIGNED_FIELDS} fields")
        return _transaction(fields)
    except rlp.NotCanonical as error:
        raise Refused("SIGNER_RLP", f"The bytes are not a canonical transaction: {error}.") from None


def _transaction(fields: list[rlp.Item]) -> Transaction:
    chain_id, nonce, tip, price, gas = map(rlp.integer, fields[:5])
    to, value, data, access_list = fields[5], rlp.integer(fields[6]), fields[7], fields[8]
    if not isinstance(to, bytes) or not isinstance(data, bytes):
        raise rlp.NotCanonical("a list stands where bytes belong")
    if access_list != []:
        raise Refused("SIGNER_ACCESS_LIST", "The access list must be empty.")
    if not to:
        raise Refused("SIGNER_CREATION", "A payment has a recipient; this would create a contract.")
    if len(to) != 20:
        raise rlp.NotCanonical("an address has 20 bytes")
    if max(chain_id, nonce, gas) > _UINT64_MAX or max(tip, price, value) > _UINT256_MAX:
        raise Refused("SIGNER_FIELD_RANGE", "A number in the transaction is larger than the protocol allows.")
    return Transaction(chain_id, nonce, tip, price, gas, to, value, data)


def paid(tx: Transaction, network: Network, assets: Iterable[Asset]) -> Paid:
    """What `tx` pays on `network`. Raises Refused SIGNER_CALL, SIGNER_TOKEN_UNKNOWN or SIGNER_VALUE_WITH_TOKEN."""
    here = [asset for asset in assets if asset.network == network.id]
    if not tx.data:
        native = next(asset for asset in here if asset.id == network.native_asset)
        return Paid(native, tx.value, to_checksum(tx.to))
    token = next((a for a in here if a.contract and bytes.fromhex(a.contract[2:]) == tx.to), None)
    if token is None:
        raise Refused("SIGNER_TOKEN_UNKNOWN", "The contract is not a token of our catalogue.", to=to_checksum(tx.to))
    if tx.value:
        raise Refused("SIGNER_VALUE_WITH_TOKEN", "A token transfer must not move the native coin as well.")
    recipient, units = _transfer(tx.data)
    return Paid(token, units, to_checksum(recipient))


def _transfer(data: bytes) -> tuple[bytes, int]:
    """Recipient and amount of exactly `transfer(address,uint256)`; an unclean word or a byte more is refused."""
    if data[:4] != _TRANSFER or len(data) != _TRANSFER_BYTES or data[4:16] != _WORD_PADDING:
        raise Refused(
            "SIGNER_CALL",
            "Only transfer(address,uint256) with exactly 68 bytes of calldata is signed.",
            selector=data[:4].hex(),
            length=len(data),
        )
    return data[16:36], int.from_bytes(data[36:], "big")
