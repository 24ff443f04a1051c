"""The bytes of a payout: one type-2 transaction (EIP-1559, EIP-2718), unsigned, the same bytes every time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import rlp.codec
import rlp.exceptions

from domain.asset import Asset
from domain.errors import Refused
from domain.payout import Draft, Fee, Payment, Slot

TYPE_2 = b"\x02"
TRANSFER = bytes.fromhex("a9059cbb")  # transfer(address,uint256)
BALANCE_OF = bytes.fromhex("70a08231")  # balanceOf(address)
_WORD_MAX = 2**256
_encode: Callable[[list[object]], bytes] = rlp.codec.encode


@dataclass(frozen=True, slots=True)
class Payload:
    """What the wallet is to do: call `to` (20 bytes) with `value` native units and `data`."""

    to: bytes
    value: int
    data: bytes

    def rpc(self, wallet: str) -> dict[str, str]:
        """As `eth_call` and `eth_estimateGas` want it."""
        return {"from": wallet, "to": hex_of(self.to), "value": hex(self.value), "data": hex_of(self.data)}


def payload(payments: tuple[Payment, ...], assets: Mapping[str, Asset]) -> Payload:
    """What pays `payments`. Raises Refused SLOT_SHAPE unless it is exactly one: a nonce moves one transfer."""
    if len(payments) != 1:
        raise Refused("SLOT_SHAPE", f"One transaction carries one payment here, not {len(payments)}.")
    [payment] = payments
    asset, amount = assets[payment.asset], int(payment.amount)
    if not 0 < amount < _WORD_MAX:
        raise Refused("SLOT_SHAPE", "A payment is more than nothing and fits 256 bits.", asset=asset.id)
    recipient = bytes_of(payment.recipient)
    if asset.contract is None:
        return Payload(recipient, amount, b"")
    return Payload(bytes_of(asset.contract), 0, TRANSFER + _word(recipient) + amount.to_bytes(32, "big"))


def nothing(wallet: str) -> Payload:
    """What takes a nonce and pays nobody: no coins, from the wallet to itself."""
    return Payload(bytes_of(wallet), 0, b"")


def is_void(raw: str, wallet: str) -> bool:
    """Whether signed bytes do nothing but take their nonce."""
    try:
        fields = rlp.codec.decode(bytes_of(raw)[len(TYPE_2) :])  # type: ignore[no-untyped-call]
        return tuple(fields[5:8]) == (bytes_of(wallet), b"", b"")
    except (rlp.exceptions.DecodingError, ValueError, IndexError, TypeError):
        return False


def balance_query(address: str) -> str:
    """The data of `balanceOf(address)`, hex."""
    return hex_of(BALANCE_OF + _word(bytes_of(address)))


def draft(slot: Slot, fee: Fee, chain_id: int, assets: Mapping[str, Asset]) -> Draft:
    """The unsigned transaction of `slot` at `fee`: what is hashed to be signed, type byte included."""
    if fee.tip > fee.price or fee.most > int(slot.fee_cap):
        raise Refused("FEE_ABOVE_CAP", "The fee passes the cap of its slot.", slot=slot.id)
    return drafted(slot, fee, chain_id, payload(slot.payments, assets))


def drafted(slot: Slot, fee: Fee, chain_id: int, what: Payload) -> Draft:
    """The unsigned transaction that does `what` in `slot`."""
    fields = [chain_id, int(slot.scarce), fee.tip, fee.price, fee.weight, what.to, what.value, what.data]
    no_access_list: list[bytes] = []
    return Draft(slot.id, hex_of(TYPE_2 + _encode([*fields, no_access_list])), fee)


def bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def hex_of(data: bytes) -> str:
    return f"0x{data.hex()}"


def _word(data: bytes) -> bytes:
    return data.rjust(32, b"\0")
