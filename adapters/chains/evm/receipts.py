"""What a receipt says a transaction did: whether it succeeded, what it cost, and whether the payment arrived."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.chains.evm.tx import bytes_of
from domain.asset import Asset
from domain.payout import Inclusion, Slot

TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass(frozen=True, slots=True)
class Expected:
    """The effect a slot is paid for. `contract` is None for the native coin, whose transfer leaves no log: there the
    signed bytes themselves name recipient and value, so success is delivery. `void`: they pay nobody.
    """

    contract: bytes | None
    wallet: bytes
    recipient: bytes
    amount: int
    void: bool = False


def expected(slot: Slot, assets: Mapping[str, Asset]) -> Expected:
    [payment] = slot.payments
    contract = assets[payment.asset].contract
    return Expected(
        contract=None if contract is None else bytes_of(contract),
        wallet=bytes_of(slot.wallet),
        recipient=bytes_of(payment.recipient),
        amount=int(payment.amount),
    )


def read_inclusion(receipt: Mapping[str, Any], effect: Expected) -> Inclusion:
    """The inclusion a receipt claims. Raises KeyError, TypeError or ValueError when it is no receipt.

    A token's own return value is not asked: some return nothing, some return false without failing. Only the Transfer
    log of the token's contract counts, from the wallet to the recipient with exactly the amount (EIP-20).
    """
    succeeded = number(receipt["status"]) == 1
    moves = _moves(receipt, effect) if succeeded and effect.contract is not None else []
    arrived = effect.contract is None or (effect.recipient, effect.amount) in moves
    delivered = succeeded and arrived and not effect.void
    cost = number(receipt["gasUsed"]) * number(receipt["effectiveGasPrice"]) + number(receipt.get("l1Fee") or "0x0")
    return Inclusion(
        block=number(receipt["blockNumber"]),
        block_hash=str(receipt["blockHash"]).lower(),
        succeeded=succeeded,
        delivered=delivered,
        fee_units=str(cost),
        strayed=bool(moves) and moves != [(effect.recipient, effect.amount)],
    )


def number(text: str) -> int:
    """A JSON-RPC quantity."""
    return int(text, 16)


def _moves(receipt: Mapping[str, Any], effect: Expected) -> list[tuple[bytes, int]]:
    """(recipient, amount) of every move of the token out of the wallet."""
    return [
        (bytes_of(log["topics"][2])[12:], number(log["data"]))
        for log in receipt["logs"]
        if bytes_of(log["address"]) == effect.contract
        and len(log["topics"]) == 3
        and log["topics"][0] == TRANSFER_TOPIC
        and bytes_of(log["topics"][1])[12:] == effect.wallet
    ]
