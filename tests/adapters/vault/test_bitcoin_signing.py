"""The signer on Bitcoin: what it signs is valid by Bitcoin Core's own rules, the same for ever, and quick."""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import bdkpython as bdk
import pytest
from btclib.b58 import wif_from_prv_key
from btclib.tx import Tx

from adapters.chains.bitcoin import tx
from adapters.vault.bitcoin import address
from adapters.vault.families import FAMILIES
from adapters.vault.keystore import Account, SigningKey, write_keystore
from domain.errors import Refused
from domain.payout import Fee
from tests.adapters.vault.bitcoin_desk import (
    COIN,
    NETWORK,
    SECRET,
    WALLET,
    WALLET_SCRIPT,
    Desk,
    client,
    paying,
    purse,
    script_of,
    size,
    spent_of,
    unsigned,
)
from tests.bitcoin_kernel import kernel_check


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.vault.close()


async def test_a_batch_is_signed_as_the_consensus_code_wants_it(desk: Desk) -> None:
    order = desk.order([paying(n) for n in range(1, 21)], [purse(n) for n in range(1, 4)])
    version = await desk.vault.sign(order)
    sent = Tx.parse(version.raw[2:])
    assert kernel_check(bytes.fromhex(version.raw[2:]), spent_of(order)) == [True] * 3
    assert version.txid == sent.id.hex()
    assert [(o.script_pub_key.script, o.value) for o in sent.vout[:-1]] == [
        (script_of(p.recipient), int(p.amount)) for p in order.slot.payments
    ]
    assert sent.vout[-1].script_pub_key.script == WALLET_SCRIPT
    assert version.fee == order.draft.fee


async def test_the_size_we_reckon_with_is_the_size_it_has(desk: Desk) -> None:
    for inputs, payments in ((1, 1), (3, 20), (20, 2)):
        order = desk.order(
            [paying(inputs * 1000 + n) for n in range(payments)], [purse(inputs * 100 + n) for n in range(inputs)]
        )
        sent = Tx.parse((await desk.vault.sign(order)).raw[2:])
        assert 0 <= order.draft.fee.weight - sent.vsize <= 1 + inputs // 4
        paid = sum(int(c.units) for c in order.slot.inputs) - sum(o.value for o in sent.vout)
        assert paid == order.draft.fee.most


async def test_another_wallet_makes_the_very_same_bytes(desk: Desk) -> None:
    order = desk.order([paying(n) for n in range(1, 8)], [purse(n) for n in range(1, 6)])
    version = await desk.vault.sign(order)
    psbt = bdk.Psbt(as_base64(order.draft.unsigned))
    options = bdk.SignOptions(
        trust_witness_utxo=False,
        assume_height=None,
        allow_all_sighashes=False,
        try_finalize=True,
        sign_with_tap_internal_key=False,
        allow_grinding=True,
    )
    assert bdk_wallet(SECRET).sign(psbt, options)
    assert psbt.extract_tx().serialize().hex() == version.raw[2:]


async def test_the_same_order_gives_the_same_version_across_a_restart(desk: Desk) -> None:
    order = desk.order([paying(1), paying(2)])
    version = await desk.vault.sign(order)
    desk.restart()
    assert await desk.vault.sign(order) == version


async def test_a_dearer_version_takes_it_from_the_change_alone(desk: Desk) -> None:
    intents, purses = [paying(1), paying(2)], [purse(1), purse(2)]
    one = await desk.vault.sign(desk.order(intents, purses))
    two = await desk.vault.sign(desk.order(intents, purses, price=9))
    before, after = Tx.parse(one.raw[2:]), Tx.parse(two.raw[2:])
    assert (two.number, before.vin == after.vin, before.vout[:-1] == after.vout[:-1]) == (2, False, True)
    assert [i.prev_out for i in before.vin] == [i.prev_out for i in after.vin]
    assert before.vout[-1].value - after.vout[-1].value == two.fee.most - one.fee.most


async def test_the_same_bytes_under_another_fee_s_name_are_the_same_version(desk: Desk) -> None:
    order = desk.order([paying(1)])
    version = await desk.vault.sign(order)
    fee = order.draft.fee
    assert await desk.vault.sign(replace(order, draft=replace(order.draft, fee=Fee(fee.weight, 6, 0)))) == version


async def test_change_too_small_to_be_worth_it_may_go_to_the_fee(desk: Desk) -> None:
    order = desk.order([paying(1, str(COIN - 2000))], [purse(1)])
    bare = [(client(1), COIN - 2000)]
    fee = Fee(size(1, bare), -(-2000 // size(1, bare)), 0)
    drawn = unsigned([purse(1)], bare)
    version = await desk.vault.sign(replace(order, draft=replace(order.draft, unsigned=drawn, fee=fee)))
    assert len(Tx.parse(version.raw[2:]).vout) == 1
    assert kernel_check(bytes.fromhex(version.raw[2:]), spent_of(order)) == [True]


@pytest.mark.parametrize(("payments", "coins", "left"), [(1, 1, 5000), (20, 3, 10**6), (100, 50, 10**6), (2, 2, 900)])
async def test_what_the_house_drafts_is_signed(desk: Desk, payments: int, coins: int, left: int) -> None:
    """The drafting side and the signer share no line: whatever the one plans, change or none, the other understands."""
    amount = (coins * COIN - left) // payments
    of = [paying(n, str(amount)) for n in range(1, payments + 1)]
    purses = [purse(n) for n in range(1, coins + 1)]
    order = desk.order(of, purses, price=1, approvals={i.withdrawal_id: ("anna", "boris") for i in of})
    what = tx.planned(order.slot, Fee(0, 1, 0), NETWORK.fees)
    drawn = tx.draft(order.slot, what, {p.tx.id.hex(): p.tx.serialize(include_witness=True) for p in purses})
    version = await desk.vault.sign(replace(order, draft=drawn))
    assert version.fee == drawn.fee
    assert len(Tx.parse(version.raw[2:]).vout) == payments + bool(what.change)
    assert kernel_check(bytes.fromhex(version.raw[2:]), spent_of(order)) == [True] * coins


async def test_two_payments_to_one_address_are_two_outputs(desk: Desk) -> None:
    order = desk.order([paying(1), paying(2, recipient=client(1)), paying(3, recipient=client(1))])
    sent = Tx.parse((await desk.vault.sign(order)).raw[2:])
    assert [o.script_pub_key.script for o in sent.vout[:3]] == [script_of(client(1))] * 3


async def test_fifty_coins_are_signed_for_much_less_than_two_seconds_of_cpu(desk: Desk) -> None:
    order = desk.order([paying(n) for n in range(1, 101)], [purse(n) for n in range(1, 51)])
    begun = time.process_time()
    version = await desk.vault.sign(order)
    took_s = time.process_time() - begun
    assert kernel_check(bytes.fromhex(version.raw[2:]), spent_of(order)) == [True] * 50
    assert took_s < 2, f"{took_s:.2f} s"


# ---------------------------------------------------------------- the wallet's address
def test_the_wallet_s_address_is_told_without_its_passphrase(tmp_path: Path) -> None:
    from adapters.vault import keystore_file, wallet_address

    tmp_path.chmod(0o700)
    write_keystore(keystore_file(tmp_path, "bitcoin"), SECRET, "a long enough one", 2**4)
    assert wallet_address(tmp_path, NETWORK) == WALLET
    assert wallet_address(tmp_path, replace(NETWORK, chain_id=0x0A8CE26F)).startswith("bc1q")


def test_a_keystore_from_before_public_keys_says_what_to_do() -> None:
    with pytest.raises(Refused, match="KEYSTORE_UNREADABLE"):
        FAMILIES["bitcoin"].address(Account(SigningKey(SECRET).address, b""), NETWORK)


def test_an_independent_library_names_the_same_address() -> None:
    assert str(bdk_wallet(SECRET).peek_address(bdk.KeychainKind.EXTERNAL, 0).address) == WALLET


@pytest.mark.parametrize("n", range(1, 11))
def test_every_address_stands_for_one_script_and_is_written_one_way(n: int) -> None:
    letters, text = address.alphabet(NETWORK), client(n)
    script = address.script_of(text, letters)
    assert script == script_of(text)
    assert address.address_of(script, letters) == text
    assert address.script_of(text.upper(), letters) is None
    flipped = text[:-1] + ("q" if text[-1] != "q" else "p")
    assert address.script_of(flipped, letters) is None


@pytest.mark.parametrize(
    ("script", "least"),
    [
        (b"\x76\xa9\x14" + b"\1" * 20 + b"\x88\xac", 546),
        (b"\xa9\x14" + b"\1" * 20 + b"\x87", 540),
        (b"\x00\x14" + b"\1" * 20, 294),
        (b"\x00\x20" + b"\1" * 32, 330),
        (b"\x51\x20" + b"\1" * 32, 330),
    ],
)
def test_dust_is_what_bitcoin_core_says_it_is(script: bytes, least: int) -> None:
    assert address.dust(script) == least


def bdk_wallet(secret: bytes) -> bdk.Wallet:
    one = bdk.Descriptor(f"wpkh({wif_from_prv_key(secret, network='regtest')})", bdk.NetworkKind.TEST)
    return bdk.Wallet.create_single(one, bdk.Network.REGTEST, bdk.Persister.new_in_memory())


def as_base64(unsigned_: str) -> str:
    return base64.b64encode(bytes.fromhex(unsigned_[2:])).decode()
