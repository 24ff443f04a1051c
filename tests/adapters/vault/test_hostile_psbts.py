"""Bitcoin drafts by whoever wants the coins: every byte of a PSBT is read, and nothing in it is taken on trust."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from btclib.script.script_pub_key import ScriptPubKey
from btclib.tx import OutPoint, Tx, TxIn, TxOut
from btclib_wallet.psbt import PsbtIn
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.vault.bitcoin import psbt
from domain.coin import Coin
from domain.errors import Refused
from domain.payout import Fee, SigningOrder, slot_id
from tests.adapters.vault.bitcoin_desk import (
    COIN,
    NETWORK,
    PRICE,
    SMALL,
    WALLET,
    WALLET_SCRIPT,
    Desk,
    client,
    paying,
    purse,
    script_of,
    size,
    unsigned,
    with_bytes,
)

PURSES = [purse(1), purse(2)]
PAID = [(client(1), int(SMALL))]
CHANGE = 2 * COIN - int(SMALL) - PRICE * size(2, [*PAID, (WALLET, 0)])
OUTPUTS: list[tuple[str | bytes, int]] = [*PAID, (WALLET, CHANGE)]
Maps = list[dict[bytes, bytes]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.vault.close()


def order(desk: Desk) -> SigningOrder:
    return desk.order([paying(1)], PURSES)


async def refused(desk: Desk, of: SigningOrder) -> str:
    with pytest.raises(Refused) as caught:
        await desk.vault.sign(of)
    assert desk.refusals()[-1] == caught.value.code
    return caught.value.code


# ---------------------------------------------------------------- the container
def compact(value: int) -> bytes:
    return bytes([value]) if value < 253 else b"\xfd" + value.to_bytes(2, "little")


def pairs(fields: dict[bytes, bytes]) -> bytes:
    return b"".join(compact(len(k)) + k + compact(len(v)) + v for k, v in fields.items()) + b"\0"


def written(maps: Maps) -> str:
    return "0x" + (b"psbt\xff" + b"".join(map(pairs, maps))).hex()


def maps() -> Maps:
    """The honest PSBT as its maps: global, two inputs, two outputs."""
    tx = bytes.fromhex(unsigned(PURSES, OUTPUTS)[2:])
    body = tx[tx.index(b"\x01\x00") + 2 :]
    spent = [{b"\0": p.tx.serialize(include_witness=True), b"\1": p.tx.vout[p.vout].serialize()} for p in PURSES]
    return [{b"\0": body[1 : 1 + body[0]]}, *spent, {}, {}]


def test_the_maps_of_these_tests_are_the_honest_psbt() -> None:
    assert written(maps()) == unsigned(PURSES, OUTPUTS)


def put(at: int, key: bytes, value: bytes) -> Callable[[Maps], None]:
    return lambda found: found[at].update({key: value})


def lose(at: int, key: bytes) -> Callable[[Maps], None]:
    def lost(found: Maps) -> None:
        del found[at][key]

    return lost


def turn(at: int) -> Callable[[Maps], None]:
    def work(found: Maps) -> None:
        found[at] = dict(reversed(found[at].items()))

    return work


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(0, b"\xfb", b"\0\0\0\0"), "SIGNER_PSBT"),
        (put(0, b"\xfcours", b"word"), "SIGNER_PSBT"),
        (put(0, b"\x01" + b"\x04" * 78, b"\0" * 4), "SIGNER_PSBT"),
        (lose(0, b"\0"), "SIGNER_PSBT"),
        (put(1, b"\x02" + b"\x02" * 33, b"\x30" * 70), "SIGNER_PSBT"),
        (put(1, b"\x04", b"\x51"), "SIGNER_PSBT"),
        (put(1, b"\x05", b"\x51"), "SIGNER_PSBT"),
        (put(1, b"\x06" + b"\x02" * 33, b"\0" * 8), "SIGNER_PSBT"),
        (put(1, b"\x07", b"\x51"), "SIGNER_PSBT"),
        (put(1, b"\x08", b"\x00"), "SIGNER_PSBT"),
        (put(1, b"\x13", b"\x00" * 64), "SIGNER_PSBT"),
        (put(1, b"\xfcours", b"word"), "SIGNER_PSBT"),
        (put(1, b"\x00\x00", b"longer key"), "SIGNER_PSBT"),
        (put(3, b"\x02" + b"\x02" * 33, b"\0" * 8), "SIGNER_PSBT"),
        (put(4, b"\xfcours", b"word"), "SIGNER_PSBT"),
        (turn(1), "SIGNER_PSBT"),
        (lose(1, b"\0"), "SIGNER_PREVIOUS_MISSING"),
        (lose(2, b"\1"), "SIGNER_PREVIOUS_MISSING"),
        (put(2, b"\3", b"\x02\0\0\0"), "SIGNER_SIGHASH"),
        (put(2, b"\3", b"\x03\0\0\0"), "SIGNER_SIGHASH"),
        (put(2, b"\3", b"\x81\0\0\0"), "SIGNER_SIGHASH"),
        (put(2, b"\3", b"\x01"), "SIGNER_SIGHASH"),
    ],
)
async def test_a_psbt_says_a_plain_payment_and_nothing_else(
    desk: Desk, change: Callable[[Maps], None], code: str
) -> None:
    found = maps()
    change(found)
    assert await refused(desk, with_bytes(order(desk), written(found))) == code


async def test_sighash_all_may_be_said_aloud(desk: Desk) -> None:
    found = maps()
    found[1][b"\3"] = b"\x01\0\0\0"
    spoken = await desk.vault.sign(with_bytes(order(desk), written(found)))
    assert await desk.vault.sign(order(desk)) == spoken


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda text: text + "00", "SIGNER_PSBT"),
        (lambda text: text[:-2], "SIGNER_PSBT"),
        (lambda text: "0x70736274fe" + text[12:], "SIGNER_PSBT"),
        (lambda text: text.upper(), "SIGNER_BYTES_MALFORMED"),
        (lambda text: text + "00" * 750_000, "SIGNER_BYTES_MALFORMED"),
    ],
)
async def test_bytes_that_are_not_the_one_way_to_write_it_are_refused(
    desk: Desk, spoil: Callable[[str], str], code: str
) -> None:
    honest = order(desk)
    assert await refused(desk, with_bytes(honest, spoil(honest.draft.unsigned))) == code


async def test_a_length_longer_than_need_be_is_refused(desk: Desk) -> None:
    honest = order(desk)
    raw = bytes.fromhex(honest.draft.unsigned[2:])
    assert raw[5:7] == b"\x01\x00"
    longer = raw[:5] + b"\xfd\x01\x00\x00" + raw[7:]
    assert await refused(desk, with_bytes(honest, "0x" + longer.hex())) == "SIGNER_PSBT"


async def test_ethereum_s_bytes_are_none_of_ours(desk: Desk) -> None:
    assert await refused(desk, with_bytes(order(desk), "0x02c0")) == "SIGNER_PSBT"


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_means_the_same_coins(at: int, bit: int) -> None:
    """Whatever one bit does, the decoder gives back exactly what was sent or refuses in its own words."""
    raw = bytearray.fromhex(unsigned(PURSES, OUTPUTS)[2:])
    raw[at % len(raw)] ^= 1 << bit
    with contextlib.suppress(Refused):
        opened = psbt.read(bytes(raw))
        assert [o.script for o in opened.spent] == [WALLET_SCRIPT] * 2
        assert bytes(raw).count(opened.tx.encode()) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_in_words(tail: bytes) -> None:
    with pytest.raises(Refused, match="SIGNER_PSBT"):
        psbt.read(b"psbt\xff" + tail)


# ---------------------------------------------------------------- the coins
async def test_the_amount_of_a_coin_is_what_its_own_transaction_says(desk: Desk) -> None:
    """The old trick: a witness amount that is too small makes a fee look small, twice, and the halves fit together."""
    told = TxOut(COIN - 5_000_000, ScriptPubKey(WALLET_SCRIPT, "regtest"))
    lie = [PsbtIn(non_witness_utxo=PURSES[0].tx, witness_utxo=told, check_validity=False), PURSES[1].spent()]
    drawn = unsigned(PURSES, OUTPUTS, inputs=lie)
    assert await refused(desk, with_bytes(order(desk), drawn)) == "SIGNER_PREVIOUS_MISMATCH"


async def test_a_previous_transaction_that_is_not_the_one_named_is_refused(desk: Desk) -> None:
    other = Tx(2, 0, PURSES[0].tx.vin, [PURSES[0].tx.vout[0], TxOut(COIN * 2, ScriptPubKey(WALLET_SCRIPT, "regtest"))])
    lie = [PsbtIn(non_witness_utxo=other, witness_utxo=other.vout[1], check_validity=False), PURSES[1].spent()]
    drawn = unsigned(PURSES, OUTPUTS, inputs=lie)
    assert await refused(desk, with_bytes(order(desk), drawn)) == "SIGNER_PREVIOUS_MISMATCH"


async def test_an_output_that_its_transaction_does_not_have_is_refused(desk: Desk) -> None:
    beyond = replace(PURSES[0], vout=0)
    spent = [TxIn(OutPoint(beyond.tx.id, 9), b"", 0xFFFFFFFD)]
    tx = Tx(2, 0, spent, [TxOut(1000, ScriptPubKey.from_address(client(1)))])
    found: Maps = [{b"\0": tx.serialize(include_witness=False)}, maps()[1], {}]
    assert await refused(desk, with_bytes(order(desk), written(found))) == "SIGNER_PREVIOUS_MISMATCH"


async def test_a_coin_of_somebody_else_is_refused(desk: Desk) -> None:
    strange = purse(3, script=script_of(client(5)))
    drawn = desk.order([paying(1)], [purse(1), strange])
    assert await refused(desk, drawn) == "SIGNER_INPUT_FOREIGN"


async def test_a_whole_wallet_of_somebody_else_is_refused(desk: Desk) -> None:
    theirs = b"\x00\x14" + b"\x55" * 20
    drawn = desk.order([paying(1)], [purse(1, script=theirs)])
    change = (theirs, int(drawn.slot.inputs[0].units) - int(SMALL) - drawn.draft.fee.most)
    with_theirs = unsigned([purse(1, script=theirs)], [*PAID, change])
    assert await refused(desk, with_bytes(drawn, with_theirs)) == "SIGNER_WALLET_FOREIGN"


@pytest.mark.parametrize(
    "spent", [[PURSES[1], PURSES[0]], [PURSES[0]], [*PURSES, purse(3)], [PURSES[0], purse(3)]], ids=str
)
async def test_exactly_the_slot_s_coins_are_spent_in_their_order(desk: Desk, spent: Sequence[object]) -> None:
    drawn = unsigned(spent, OUTPUTS if len(spent) > 1 else [*PAID, (WALLET, CHANGE - COIN)])  # type: ignore[arg-type]
    code = "SIGNER_NONCE" if spent[0] is not PURSES[0] else "SIGNER_INPUTS"
    honest = order(desk)
    fee = Fee(honest.draft.fee.weight, 190 * 10**4, 0)
    named = replace(honest, draft=replace(honest.draft, fee=fee))
    assert await refused(desk, with_bytes(named, drawn)) == code


async def test_an_amount_that_the_slot_names_otherwise_is_refused(desk: Desk) -> None:
    honest = order(desk)
    anchor, other = honest.slot.inputs
    slot = replace(honest.slot, inputs=(anchor, Coin(other.outpoint, str(COIN + 1))))
    assert await refused(desk, replace(honest, slot=slot)) == "SIGNER_INPUTS"


async def test_a_coin_spent_twice_in_one_transaction_is_refused(desk: Desk) -> None:
    assert await refused(desk, with_bytes(order(desk), unsigned([PURSES[0]] * 2, OUTPUTS))) == "SIGNER_INPUTS"


async def test_more_coins_than_the_network_s_rule_are_refused(desk: Desk) -> None:
    many = desk.order([paying(1)], [purse(n) for n in range(1, NETWORK.inputs_max + 2)])
    assert await refused(desk, many) == "SIGNER_INPUTS"


@pytest.mark.parametrize("shape", [{"version": 1}, {"locktime": 900_000}, {"sequence": 0xFFFFFFFF}, {"sequence": 0}])
async def test_a_transaction_that_waits_or_cannot_be_replaced_is_refused(desk: Desk, shape: dict[str, Any]) -> None:
    assert await refused(desk, with_bytes(order(desk), unsigned(PURSES, OUTPUTS, **shape))) == "SIGNER_TX_SHAPE"


# ---------------------------------------------------------------- the outputs
BURNT: Sequence[tuple[list[tuple[str | bytes, int]], str]] = [
    ([(client(2), int(SMALL)), OUTPUTS[1]], "SIGNER_PAYMENT_MISMATCH"),
    ([(client(1), int(SMALL) + 1), OUTPUTS[1]], "SIGNER_PAYMENT_MISMATCH"),
    ([*PAID, (client(2), CHANGE)], "SIGNER_PAYMENT_MISMATCH"),
    ([*PAID, (client(2), 1000), (WALLET, CHANGE - 1000)], "SIGNER_PAYMENT_MISMATCH"),
    ([*PAID, *PAID, (WALLET, CHANGE - int(SMALL))], "SIGNER_PAYMENT_MISMATCH"),
    ([OUTPUTS[1], *PAID], "SIGNER_PAYMENT_MISMATCH"),
    ([*PAID, (WALLET, 1000), (WALLET, CHANGE - 1000)], "SIGNER_PAYMENT_MISMATCH"),
    ([(WALLET, CHANGE + int(SMALL))], "SIGNER_PAYMENT_MISMATCH"),
    ([*PAID, (b"\x6a\x04memo", 0), (WALLET, CHANGE)], "SIGNER_DUST"),
    ([*PAID, (b"\x6a\x04memo", 1000), (WALLET, CHANGE - 1000)], "SIGNER_OUTPUT"),
    ([*PAID, (b"\x51\x02\x4e\x73", 1000), (WALLET, CHANGE - 1000)], "SIGNER_OUTPUT"),
    ([*PAID, (b"\x52\x20" + b"\1" * 32, 1000), (WALLET, CHANGE - 1000)], "SIGNER_OUTPUT"),
    ([*PAID, (b"\x51", 1000), (WALLET, CHANGE - 1000)], "SIGNER_OUTPUT"),
    ([*PAID, (b"", 1000), (WALLET, CHANGE - 1000)], "SIGNER_OUTPUT"),
    ([*PAID, (WALLET, 293)], "SIGNER_DUST"),
    ([*PAID, (WALLET, CHANGE + 100_000)], "SIGNER_FEE_MISMATCH"),
    ([*PAID, (WALLET, CHANGE - 100)], "SIGNER_FEE_MISMATCH"),
]


@pytest.mark.parametrize(("outputs", "code"), BURNT)
async def test_exactly_the_payments_are_made_and_the_change_comes_back(
    desk: Desk, outputs: list[tuple[str | bytes, int]], code: str
) -> None:
    assert await refused(desk, with_bytes(order(desk), unsigned(PURSES, outputs))) == code


NOBODY = (b"\x51\x20" + b"\xff" * 32, b"\x00\x14" + bytes(20), b"\x76\xa9\x14" + bytes(20) + b"\x88\xac")


@pytest.mark.parametrize("script", [*NOBODY, WALLET_SCRIPT, b"\xa9\x14" + bytes(20) + b"\x87"])
async def test_coins_go_to_somebody(desk: Desk, script: bytes) -> None:
    recipient = ScriptPubKey(script, "regtest").address
    assert await refused(desk, desk.order([paying(1, recipient=recipient)], PURSES)) == "SIGNER_RECIPIENT_FORBIDDEN"


@pytest.mark.parametrize("network", ["mainnet", "testnet"])
async def test_an_address_of_another_network_is_refused(desk: Desk, network: str) -> None:
    elsewhere = ScriptPubKey(script_of(client(5)), network).address
    found = desk.order([paying(1, recipient=elsewhere)], PURSES, outputs=[(client(5), int(SMALL))])
    assert await refused(desk, found) == "SIGNER_PAYMENT_MISMATCH"


# ---------------------------------------------------------------- the fee
async def test_a_price_above_the_network_s_is_refused(desk: Desk) -> None:
    assert await refused(desk, desk.order([paying(1)], PURSES, price=201)) == "SIGNER_PRICE_ABOVE_CAP"


async def test_a_price_cannot_hide_behind_a_large_weight(desk: Desk) -> None:
    dear = desk.order([paying(1)], PURSES, price=201)
    named = replace(dear, draft=replace(dear.draft, fee=Fee(dear.draft.fee.most, 1, 0)))
    assert await refused(desk, named) == "SIGNER_FEE_MISMATCH"


async def test_a_fee_above_the_slot_s_cap_is_refused(desk: Desk) -> None:
    cheap = order(desk)
    slot = replace(cheap.slot, fee_cap=str(cheap.draft.fee.most - 1))
    assert await refused(desk, replace(cheap, slot=slot)) == "SIGNER_FEE_ABOVE_CAP"


async def test_a_fee_is_at_most_its_share_of_what_is_paid(tmp_path: Path) -> None:
    desk = Desk(tmp_path, network=replace(NETWORK, fees=replace(NETWORK.fees, share_cap_percent=1)))
    try:
        assert await refused(desk, desk.order([paying(1)], PURSES)) == "SIGNER_FEE_ABOVE_CAP"
        assert (await desk.vault.sign(desk.order([paying(2, "1000000")], PURSES))).number == 1
    finally:
        desk.vault.close()


# ---------------------------------------------------------------- slots
async def test_the_slot_is_named_after_the_anchor(desk: Desk) -> None:
    honest = order(desk)
    other = honest.slot.inputs[1].outpoint
    id_ = slot_id("bitcoin", WALLET, other)
    slot = replace(honest.slot, id=id_, scarce=other)
    assert await refused(desk, replace(honest, slot=slot, draft=replace(honest.draft, slot_id=id_))) == "SIGNER_NONCE"


async def test_a_coin_of_one_slot_is_never_spent_in_another(desk: Desk) -> None:
    await desk.vault.sign(desk.order([paying(1)], [purse(1), purse(2), purse(3)]))
    desk.restart()
    for shared in ([purse(4), purse(2)], [purse(3)]):
        assert await refused(desk, desk.order([paying(2)], shared)) == "SIGNER_COIN_TAKEN"
    assert (await desk.vault.sign(desk.order([paying(2)], [purse(4), purse(5)]))).number == 1


async def test_a_slot_keeps_its_coins_and_payments_for_ever(desk: Desk) -> None:
    await desk.vault.sign(desk.order([paying(1), paying(2)], [purse(1), purse(2)]))
    for intents, purses in (
        ([paying(1), paying(2)], [purse(1)]),
        ([paying(1), paying(2)], [purse(1), purse(2), purse(3)]),
        ([paying(1)], [purse(1), purse(2)]),
        ([paying(2), paying(1)], [purse(1), purse(2)]),
        ([paying(1), paying(3)], [purse(1), purse(2)]),
    ):
        assert await refused(desk, desk.order(intents, purses, price=9)) == "SIGNER_SLOT_TAKEN"


async def test_a_withdrawal_never_takes_a_second_anchor(desk: Desk) -> None:
    await desk.vault.sign(desk.order([paying(1), paying(2)], [purse(1)]))
    assert await refused(desk, desk.order([paying(3), paying(2)], [purse(2)])) == "SIGNER_SECOND_SLOT"


async def test_a_refused_batch_takes_neither_coins_nor_withdrawals(desk: Desk) -> None:
    dear = desk.order([paying(1)], [purse(1)])
    assert await refused(desk, replace(dear, slot=replace(dear.slot, fee_cap="1"))) == "SIGNER_FEE_ABOVE_CAP"
    needs_people = desk.order([paying(1), paying(2, "30000000")], [purse(1, 10 * COIN)])
    assert await refused(desk, needs_people) == "SIGNER_QUORUM"
    assert (await desk.vault.sign(desk.order([paying(1)], [purse(2), purse(1)]))).number == 1
