"""Every way to make the bytes say something else than what people approved, and the code each is refused with."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import Refused
from domain.intent import Ruling
from domain.payout import Draft, Fee, SigningOrder
from tests.adapters.vault.desk import (
    CLIENT,
    ETH,
    FEE,
    GWEI,
    LARGE,
    SMALL,
    THIEF,
    USDT_CONTRACT,
    WALLET,
    Desk,
    fields,
    intent,
    rlp_encode,
    unsigned,
)

Change = Callable[[list[Any]], list[Any]]
CHAIN, NONCE, TIP, PRICE, GAS, TO, VALUE, DATA, ACCESS = range(9)
THIEF_BYTES = bytes.fromhex(THIEF[2:])


def put(at: int, value: Any) -> Change:
    return lambda tx: [*tx[:at], value, *tx[at + 1 :]]


def call(selector: str, *words: int | bytes, tail: bytes = b"") -> Change:
    padded = [w.rjust(32, b"\0") if isinstance(w, bytes) else w.to_bytes(32, "big") for w in words]
    return put(DATA, bytes.fromhex(selector) + b"".join(padded) + tail)


CLIENT_BYTES = bytes.fromhex(CLIENT[2:])
FIELDS: dict[str, tuple[str, Change]] = {
    "another chain": ("SIGNER_CHAIN_ID", put(CHAIN, 1)),
    "no chain": ("SIGNER_CHAIN_ID", put(CHAIN, 0)),
    "another nonce": ("SIGNER_NONCE", put(NONCE, 5)),
    "a dearer price than named": ("SIGNER_FEE_MISMATCH", put(PRICE, 31 * GWEI)),
    "another tip than named": ("SIGNER_FEE_MISMATCH", put(TIP, 3 * GWEI)),
    "more gas than named": ("SIGNER_FEE_MISMATCH", put(GAS, 90_000)),
    "a tip above the price": ("SIGNER_TIP_ABOVE_PRICE", put(TIP, 31 * GWEI)),
    "another token": ("SIGNER_TOKEN_UNKNOWN", put(TO, bytes(19) + b"\x77")),
    "the thief as contract": ("SIGNER_TOKEN_UNKNOWN", put(TO, THIEF_BYTES)),
    "contract creation": ("SIGNER_CREATION", put(TO, b"")),
    "a short address": ("SIGNER_RLP", put(TO, CLIENT_BYTES[:19])),
    "coins beside the token": ("SIGNER_VALUE_WITH_TOKEN", put(VALUE, 1)),
    "coins to the token": ("SIGNER_PAYMENT_MISMATCH", lambda tx: put(VALUE, 10**18)(put(DATA, b"")(tx))),
    "another recipient": ("SIGNER_PAYMENT_MISMATCH", call("a9059cbb", THIEF_BYTES, int(SMALL))),
    "one unit more": ("SIGNER_PAYMENT_MISMATCH", call("a9059cbb", CLIENT_BYTES, int(SMALL) + 1)),
    "nothing": ("SIGNER_PAYMENT_MISMATCH", call("a9059cbb", CLIENT_BYTES, 0)),
    "everything": ("SIGNER_PAYMENT_MISMATCH", call("a9059cbb", CLIENT_BYTES, 2**256 - 1)),
    "approve": ("SIGNER_CALL", call("095ea7b3", THIEF_BYTES, int(SMALL))),
    "transferFrom": ("SIGNER_CALL", call("23b872dd", CLIENT_BYTES, THIEF_BYTES, int(SMALL))),
    "increaseAllowance": ("SIGNER_CALL", call("39509351", THIEF_BYTES, int(SMALL))),
    "a byte after the call": ("SIGNER_CALL", call("a9059cbb", CLIENT_BYTES, int(SMALL), tail=b"\0")),
    "a word after the call": ("SIGNER_CALL", call("a9059cbb", CLIENT_BYTES, int(SMALL), 1)),
    "a byte less": ("SIGNER_CALL", lambda tx: put(DATA, tx[DATA][:-1])(tx)),
    "only the selector": ("SIGNER_CALL", call("a9059cbb")),
    "a dirty address word": (
        "SIGNER_CALL",
        put(DATA, bytes.fromhex("a9059cbb" + "01".rjust(24, "0")) + CLIENT_BYTES + int(SMALL).to_bytes(32, "big")),
    ),
    "an access list": ("SIGNER_ACCESS_LIST", put(ACCESS, [[bytes.fromhex(USDT_CONTRACT[2:]), []]])),
    "an access list that is a string": ("SIGNER_ACCESS_LIST", put(ACCESS, b"")),
    "a list for an address": ("SIGNER_RLP", put(TO, [])),
    "a list for calldata": ("SIGNER_RLP", put(DATA, [])),
    "a list for a number": ("SIGNER_RLP", put(NONCE, [b"\1"])),
    "a number with a leading zero": ("SIGNER_RLP", put(PRICE, b"\0" + (30 * GWEI).to_bytes(5, "big"))),
    "zero as a zero byte": ("SIGNER_RLP", put(NONCE, b"\0")),
    "a field too many": ("SIGNER_RLP", lambda tx: [*tx, b""]),
    "a field too few": ("SIGNER_RLP", lambda tx: tx[:-1]),
    "signed already": ("SIGNER_RLP", lambda tx: [*tx, 1, 2**200, 2**200]),
    "a nonce beyond 64 bits": ("SIGNER_FIELD_RANGE", put(NONCE, 2**64)),
    "gas beyond 64 bits": ("SIGNER_FIELD_RANGE", put(GAS, 2**64)),
    "a value beyond 256 bits": ("SIGNER_FIELD_RANGE", put(VALUE, 2**256)),
}


def framed(items: list[Any], written: dict[int, bytes]) -> str:
    """The list with some of its items written otherwise, under a list head that fits."""
    body = b"".join(written.get(at, rlp_encode(item)) for at, item in enumerate(items))
    return (b"\xf8" + bytes([len(body)]) + body).hex()


_HONEST = unsigned(intent())
_LIST = bytes.fromhex(_HONEST[4:])
BYTES: dict[str, tuple[str, str]] = {
    "a trailing byte": ("SIGNER_RLP", _HONEST + "00"),
    "two transactions": ("SIGNER_RLP", _HONEST + _HONEST[4:]),
    "cut short": ("SIGNER_RLP", _HONEST[:-2]),
    "only the type": ("SIGNER_RLP", "0x02"),
    "a string for a list": ("SIGNER_RLP", "0x0283616263"),
    "a needlessly long list head": ("SIGNER_RLP", "0x02f900" + _LIST[1:2].hex() + _LIST[2:].hex()),
    "a length of eight bytes that overflows": ("SIGNER_RLP", "0x02ff" + "ff" * 8),
    "lists in lists in lists": ("SIGNER_RLP", "0x02" + "c6c5c4c3c2c1c0"),
    "a needless prefix": ("SIGNER_RLP", "0x02" + framed(fields(intent()), {VALUE: b"\x81\x07"})),
    "a needless long form": ("SIGNER_RLP", "0x02" + framed(fields(intent()), {TO: b"\xb8\x14" + CLIENT_BYTES})),
    "legacy, with the chain (EIP-155)": (
        "SIGNER_TYPE",
        "0x" + rlp_encode([0, 30 * GWEI, 80_000, CLIENT_BYTES, 10**18, b"", 31337, 0, 0]).hex(),
    ),
    "type 1, access list": ("SIGNER_TYPE", "0x01" + _HONEST[4:]),
    "type 3, blobs": ("SIGNER_TYPE", "0x03" + _HONEST[4:]),
    "type 4, delegations": ("SIGNER_TYPE", "0x04" + _HONEST[4:]),
    "a message to sign (EIP-191)": ("SIGNER_TYPE", "0x19" + b"Ethereum Signed Message:\n32".hex() + "00" * 32),
    "no bytes": ("SIGNER_BYTES_MALFORMED", "0x"),
    "no prefix": ("SIGNER_BYTES_MALFORMED", _HONEST[2:]),
    "capitals": ("SIGNER_BYTES_MALFORMED", _HONEST.upper().replace("0X", "0x")),
    "a line end": ("SIGNER_BYTES_MALFORMED", _HONEST + "\n"),
    "half a byte": ("SIGNER_BYTES_MALFORMED", _HONEST + "0"),
    "a megabyte": ("SIGNER_BYTES_MALFORMED", "0x02" + "00" * 2**20),
}


@pytest.mark.parametrize("name", FIELDS)
async def test_a_field_that_says_something_else_is_refused(desk: Desk, name: str) -> None:
    code, change = FIELDS[name]
    bytes_ = "0x02" + rlp_encode(change(fields(intent()))).hex()
    assert await refused(desk, with_bytes(desk.order(intent()), bytes_)) == code


@pytest.mark.parametrize("name", BYTES)
async def test_bytes_in_another_form_are_refused(desk: Desk, name: str) -> None:
    code, bytes_ = BYTES[name]
    assert await refused(desk, with_bytes(desk.order(intent()), bytes_)) == code


def slot(**change: Any) -> Callable[[SigningOrder], SigningOrder]:
    return lambda o: dataclasses.replace(o, slot=dataclasses.replace(o.slot, **change))


def payment(**change: Any) -> Callable[[SigningOrder], SigningOrder]:
    return lambda o: slot(payments=(dataclasses.replace(o.slot.payments[0], **change),))(o)


def item(**change: Any) -> Callable[[SigningOrder], SigningOrder]:
    def changed(order: SigningOrder) -> SigningOrder:
        one = order.items[0]
        return dataclasses.replace(
            order, items=(dataclasses.replace(one, intent=dataclasses.replace(one.intent, **change)),)
        )

    return changed


def twice(order: SigningOrder) -> SigningOrder:
    return dataclasses.replace(slot(payments=order.slot.payments * 2)(order), items=order.items * 2)


ORDERS: dict[str, tuple[str, Callable[[SigningOrder], SigningOrder]]] = {
    "a foreign wallet": ("SIGNER_WALLET_FOREIGN", slot(wallet=THIEF)),
    "an unknown network": ("SIGNER_NETWORK_UNKNOWN", slot(network="dogecoin")),
    "a slot with another id": ("SIGNER_SLOT_ID", slot(id=f"ethereum/{WALLET.lower()}/1")),
    "a slot whose id is not lower case": ("SIGNER_SLOT_ID", slot(id=f"ethereum/{WALLET}/0")),
    "a number with a zero in front": ("SIGNER_SLOT_ID", slot(scarce="00")),
    "a draft of another slot": ("SIGNER_SLOT_ID", lambda o: with_draft(o, slot_id=f"ethereum/{WALLET.lower()}/1")),
    "a fee that is not in the bytes": ("SIGNER_FEE_MISMATCH", lambda o: with_draft(o, fee=Fee(80_000, GWEI, GWEI))),
    "a slot that pays somebody else": ("SIGNER_PAYMENT_MISMATCH", payment(recipient=THIEF)),
    "a slot that pays more": ("SIGNER_PAYMENT_MISMATCH", payment(amount="500000001")),
    "a slot that pays another asset": ("SIGNER_PAYMENT_MISMATCH", payment(asset=ETH)),
    "a slot that pays an asset nobody knows": ("SIGNER_PAYMENT_MISMATCH", payment(asset="USDC-ETHEREUM")),
    "a recipient in lower case": ("SIGNER_PAYMENT_MISMATCH", payment(recipient=CLIENT.lower())),
    "an intent for another recipient": ("SIGNER_INTENT_MISMATCH", item(recipient=THIEF)),
    "an intent for another amount": ("SIGNER_INTENT_MISMATCH", item(amount="1")),
    "an intent for another asset": ("SIGNER_INTENT_MISMATCH", item(asset=ETH)),
    "an intent for another network": ("SIGNER_INTENT_MISMATCH", item(network="tron")),
    "an intent of another withdrawal": ("SIGNER_ITEMS", item(withdrawal_id="wd_other")),
    "a smaller fee cap in the intent": ("SIGNER_FEE_ABOVE_CAP", item(fee_cap="1")),
    "a smaller fee cap in the slot": ("SIGNER_FEE_ABOVE_CAP", slot(fee_cap="1")),
    "the same payment twice": ("SIGNER_ITEMS", twice),
    "no payment": ("SIGNER_ORDER_MALFORMED", lambda o: dataclasses.replace(slot(payments=())(o), items=())),
    "no intent": ("SIGNER_ORDER_MALFORMED", lambda o: dataclasses.replace(o, items=())),
    "an amount with a sign": ("SIGNER_ORDER_MALFORMED", payment(amount="+500000000")),
    "an amount in other digits": ("SIGNER_ORDER_MALFORMED", payment(amount="٥٠٠")),
    "an amount with a line end": ("SIGNER_ORDER_MALFORMED", payment(amount="500000000\n")),
    "an amount of zero": ("SIGNER_ORDER_MALFORMED", payment(amount="0")),
    "an amount of a thousand digits": ("SIGNER_ORDER_MALFORMED", payment(amount="9" * 1000)),
    "a negative fee cap": ("SIGNER_ORDER_MALFORMED", item(fee_cap="-1")),
    "half a character": ("SIGNER_ORDER_MALFORMED", item(account="\ud800")),
    "an account with control characters": ("SIGNER_ORDER_MALFORMED", item(account="acme\x1b[2J")),
    "no requester": ("SIGNER_ORDER_MALFORMED", item(requester="")),
}


@pytest.mark.parametrize("name", ORDERS)
async def test_an_order_that_does_not_hang_together_is_refused(desk: Desk, name: str) -> None:
    code, change = ORDERS[name]
    assert await refused(desk, change(desk.order(intent()))) == code


@pytest.mark.parametrize(
    ("recipient", "why"),
    [
        (WALLET, "the wallet itself"),
        (USDT_CONTRACT, "a token contract"),
        ("0x" + "00" * 20, "the zero address"),
        ("0x" + "00" * 19 + "01", "a precompiled contract"),
    ],
)
@pytest.mark.parametrize("asset", ["USDT-ETHEREUM", ETH])
async def test_nothing_is_paid_where_coins_are_lost(desk: Desk, recipient: str, why: str, asset: str) -> None:
    order = desk.order(intent(recipient=recipient, asset=asset, amount="1000"))
    assert await refused(desk, order) == "SIGNER_RECIPIENT_FORBIDDEN", why


async def test_the_signers_own_fee_cap_holds_whatever_people_approved(desk: Desk) -> None:
    generous = intent(amount=LARGE, fee_cap=str(10**18))
    order = slot(fee_cap=str(10**18))(
        desk.order(generous, fee=Fee(80_000, 400 * GWEI, GWEI), approvers=["anna", "boris"])
    )
    assert await refused(desk, order) == "SIGNER_FEE_ABOVE_CAP"


async def test_a_refusal_is_remembered_with_its_facts(desk: Desk) -> None:
    await refused(desk, payment(recipient=THIEF)(desk.order(intent())))
    assert desk.refusals() == ["SIGNER_PAYMENT_MISMATCH"]


async def test_too_many_decisions_are_not_even_looked_at(desk: Desk) -> None:
    order = desk.order(intent())
    word = desk.people.decide("anna", intent(), Ruling.APPROVE)
    flood = dataclasses.replace(order, items=(dataclasses.replace(order.items[0], decisions=(word,) * 33),))
    assert await refused(desk, flood) == "SIGNER_ORDER_MALFORMED"


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(bit=st.integers(0, 8 * (len(_HONEST) // 2 - 1) - 1), large=st.booleans())
async def test_a_single_flipped_bit_is_refused(desk: Desk, bit: int, large: bool) -> None:
    """Nothing in the bytes is free: every bit is either the payment, the slot, the named fee or the form."""
    paid = intent(amount=LARGE) if large else intent()
    order = desk.order(paid, approvers=["anna", "boris"] if large else [])
    plain = bytearray.fromhex(order.draft.unsigned[2:])
    plain[bit // 8 % len(plain)] ^= 1 << bit % 8
    assert (await refused(desk, with_bytes(order, "0x" + plain.hex()))).startswith("SIGNER_")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(noise=st.binary(max_size=200), typed=st.booleans())
async def test_noise_is_refused_and_never_crashes(desk: Desk, noise: bytes, typed: bool) -> None:
    bytes_ = "0x" + ("02" if typed else "") + noise.hex()
    assert (await refused(desk, with_bytes(desk.order(intent()), bytes_))).startswith("SIGNER_")


def with_bytes(order: SigningOrder, unsigned_: str) -> SigningOrder:
    return dataclasses.replace(order, draft=Draft(order.slot.id, unsigned_, FEE))


def with_draft(order: SigningOrder, **change: Any) -> SigningOrder:
    return dataclasses.replace(order, draft=dataclasses.replace(order.draft, **change))


async def refused(desk: Desk, order: SigningOrder) -> str:
    with pytest.raises(Refused) as caught:
        await desk.vault.sign(order)
    return caught.value.code
