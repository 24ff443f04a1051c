"""The bytes of a payout on TRON: `Transaction.raw` with one transfer, and the little that is read back from it.

A fee is counted in sun (weight) at a price of one: the fee limit that the bytes carry, and on top of it the network's
`overhead_cap`, which no field limits (bytes that are not free, the activation of a new account). The slot's own number
stands in `timestamp`, a field that the network does not judge: so no two slots ever have the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.chains.tron import codec
from adapters.chains.tron.address import bytes_of
from adapters.chains.tron.messages import TYPE_URL
from domain.asset import Asset
from domain.errors import Refused
from domain.network import Network
from domain.payout import Draft, Fee, Payment, Slot

TRANSFER = bytes.fromhex("a9059cbb")  # transfer(address,uint256)
BALANCE_OF = bytes.fromhex("70a08231")  # balanceOf(address)
SIGNATURE_BYTES = 65
RESULT_BYTES = 64  # the network counts as many for the result it will add (MAX_RESULT_SIZE_IN_TX)
_SUN_MAX, _UNITS_MAX = 2**63 - 1, 2**256 - 1


@dataclass(frozen=True, slots=True)
class Reference:
    """The block a transaction names: its height and the hash that is its id, hex."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Window:
    """What stored bytes say of time: the reference block (the two low bytes of its height, eight of its hash) and the
    expiration.
    """

    low_height: int
    hash_part: str
    expires_at_ms: int

    def names(self, number: int, block_hash: str) -> bool:
        return number % 2**16 == self.low_height and block_hash[16:32] == self.hash_part


@dataclass(frozen=True, slots=True)
class Payload:
    """What the wallet is to do. `contract` is None where the native coin moves; addresses have 21 bytes."""

    owner: bytes
    recipient: bytes
    amount: int
    contract: bytes | None

    @property
    def data(self) -> bytes:
        return TRANSFER + self.recipient[1:].rjust(32, b"\0") + self.amount.to_bytes(32, "big")

    def contract_fields(self) -> dict[str, object]:
        if self.contract is None:
            kind: str = "TransferContract"
            value = {"owner_address": self.owner, "to_address": self.recipient, "amount": self.amount}
        else:
            kind = "TriggerSmartContract"
            value = {"owner_address": self.owner, "contract_address": self.contract, "data": self.data}
        return {"type": kind, "parameter": {"type_url": TYPE_URL + kind, "value": value}}


def payload(payments: tuple[Payment, ...], wallet: str, assets: Mapping[str, Asset]) -> Payload:
    """What pays `payments`. Raises Refused SLOT_SHAPE unless it is exactly one."""
    if len(payments) != 1:
        raise Refused("SLOT_SHAPE", f"One transaction carries one payment here, not {len(payments)}.")
    [payment] = payments
    asset, amount = assets[payment.asset], int(payment.amount)
    if not 0 < amount <= (_SUN_MAX if asset.contract is None else _UNITS_MAX):
        raise Refused("SLOT_SHAPE", "A payment is more than nothing and fits its field.", asset=asset.id)
    token = None if asset.contract is None else bytes_of(asset.contract)
    return Payload(bytes_of(wallet), bytes_of(payment.recipient), amount, token)


def draft(
    slot: Slot, fee: Fee, network: Network, assets: Mapping[str, Asset], reference: Reference, expires_at_ms: int
) -> Draft:
    """The unsigned bytes of `slot`: what is hashed to be signed. Raises Refused FEE_ABOVE_CAP."""
    if fee.most > int(slot.fee_cap) or fee.most < network.fees.overhead_cap:
        raise Refused("FEE_ABOVE_CAP", "The fee passes the cap of its slot.", slot=slot.id)
    what = payload(slot.payments, slot.wallet, assets)
    block = bytes.fromhex(reference.hash)
    fields = {
        "ref_block_bytes": block[6:8],
        "ref_block_hash": block[8:16],
        "expiration": expires_at_ms,
        "contract": (what.contract_fields(),),
        "timestamp": int(slot.scarce),
        "fee_limit": 0 if what.contract is None else fee.most - network.fees.overhead_cap,
    }
    return Draft(slot.id, "0x" + codec.encode("raw", fields).hex(), fee)


def window(signed: str) -> Window:
    """Of signed bytes of ours (hex with 0x)."""
    raw, _ = codec.opened(bytes.fromhex(signed.removeprefix("0x")))
    fields = codec.decode("raw", raw)
    low = int.from_bytes(fields["ref_block_bytes"], "big")
    return Window(low, fields["ref_block_hash"].hex(), fields["expiration"])


def size(what: Payload) -> int:
    """Bytes of bandwidth that the signed transaction takes at most."""
    fields = {
        "ref_block_bytes": bytes(2),
        "ref_block_hash": bytes(8),
        "expiration": 2**42,
        "contract": (what.contract_fields(),),
        "timestamp": 2**42,
        "fee_limit": 2**35,
    }
    return len(codec.signed(codec.encode("raw", fields), bytes(SIGNATURE_BYTES))) + RESULT_BYTES


def balance_query(address: str) -> str:
    """The data of `balanceOf(address)`, hex."""
    return (BALANCE_OF + bytes_of(address)[1:].rjust(32, b"\0")).hex()
