"""The signer on TRON: it reads every field of the bytes, and never has two versions of a payment alive."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from tronpy.keys import PublicKey as TronPublicKey
from tronpy.keys import Signature

from adapters import roster
from adapters.catalogue import FOLDER, load
from adapters.chains.tron import codec, tx, wire
from adapters.chains.tron.address import bytes_of, text_of
from adapters.vault.families import FAMILIES
from adapters.vault.keystore import SigningKey
from adapters.vault.rules import load_rules
from adapters.vault.store import Store
from adapters.vault.vault import SigningVault
from domain.errors import Refused, Unavailable
from domain.intent import Intent
from domain.payout import Draft, Fee, Item, Payment, SigningOrder, Slot, slot_id
from domain.procedure import Endorsed, Kind, Procedure
from tests.adapters.vault.desk import NOON, Clock, intent

SECRET = bytes.fromhex("da146374a75310b9666e834ee4ad0866d6f4035967bfc76217c5a495fff9f0d1")
CLIENT, THIEF = (text_of(b"\x41" + bytes([n]) * 20) for n in (0x77, 0x66))
CATALOGUE = load("devnet")
NETWORK = CATALOGUE.networks["tron"]
WALLET = FAMILIES["tron"].address(SigningKey(SECRET).account, NETWORK)
USDT = str(CATALOGUE.assets["USDT-TRON"].contract)
FEE_CAP = "40000000"
FEE = Fee(18_000_000, 1, 0)
NATIVE_FEE = Fee(NETWORK.fees.overhead_cap, 1, 0)
NOON_MS = int(NOON.timestamp() * 1000)
WINDOW_MS = NETWORK.window_s * 1000
REFERENCE = tx.Reference(0x1234, f"{0x1234:016x}" + "ab" * 24)


class Desk:
    """A signer with TRON's key in a temporary directory."""

    def __init__(self, home: Path) -> None:
        home.chmod(0o700)
        self.home = home
        self.clock = Clock()
        self.open()

    def open(self) -> None:
        self.vault = SigningVault(
            catalogue=CATALOGUE,
            keys={"tron": SigningKey(SECRET)},
            rules=load_rules(FOLDER / "signer.toml", "devnet", CATALOGUE),
            roster=roster.Roster(self.home / "roster.toml"),
            store=Store.open(self.home / "memory.sqlite3", create=True),
            clock=self.clock,
        )

    def order(self, of: Intent, scarce: int = 7, fee: Fee = FEE, at_ms: int = NOON_MS, **draft: Any) -> SigningOrder:
        payment = Payment(of.withdrawal_id, of.asset, of.amount, of.recipient)
        id_ = slot_id("tron", WALLET, str(scarce))
        slot = Slot(id_, "tron", WALLET, str(scarce), (payment,), FEE_CAP, NETWORK.confirmations)
        drawn = tx.draft(slot, fee, NETWORK, CATALOGUE.assets, REFERENCE, at_ms + WINDOW_MS)
        return SigningOrder(slot, replace(drawn, **draft), (Item(of, ()),))


def paying(n: int = 1, asset: str = "USDT-TRON", amount: str = "5000000", recipient: str = CLIENT) -> Intent:
    return intent(n, amount, asset, recipient, network="tron", fee_cap=FEE_CAP)


def redrawn(order: SigningOrder, **fields: Any) -> SigningOrder:
    """The order with other fields in its bytes; None takes one out."""
    values = codec.decode("raw", bytes.fromhex(order.draft.unsigned[2:])) | fields
    kept = {name: value for name, value in values.items() if value is not None}
    return replace(order, draft=replace(order.draft, unsigned="0x" + codec.encode("raw", kept).hex()))


def with_contract(order: SigningOrder, kind: str | None = None, **fields: Any) -> SigningOrder:
    [contract] = codec.decode("raw", bytes.fromhex(order.draft.unsigned[2:]))["contract"]
    box = contract["parameter"]
    value = {name: part for name, part in (box["value"] | fields).items() if part is not None}
    url = box["type_url"] if kind is None else f"type.googleapis.com/protocol.{kind}"
    changed = contract | {"type": kind or contract["type"], "parameter": {"type_url": url, "value": value}}
    return redrawn(order, contract=(changed,))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.vault.close()


# ---------------------------------------------------------------- what is signed
@pytest.mark.parametrize(("asset", "fee"), [("USDT-TRON", FEE), ("TRX-TRON", NATIVE_FEE)])
async def test_the_signature_is_the_wallet_s_over_exactly_these_bytes(desk: Desk, asset: str, fee: Fee) -> None:
    order = desk.order(paying(asset=asset), fee=fee)
    version = await desk.vault.sign(order)
    raw, [signature] = codec.opened(bytes.fromhex(version.raw[2:]))
    assert "0x" + raw.hex() == order.draft.unsigned
    assert version.txid == codec.txid(raw)
    recovered = Signature(signature).recover_public_key_from_msg_hash(bytes.fromhex(version.txid))
    assert isinstance(recovered, TronPublicKey)
    assert recovered.to_base58check_address() == WALLET


async def test_the_same_order_gives_the_same_version_across_a_restart(desk: Desk) -> None:
    order = desk.order(paying())
    version = await desk.vault.sign(order)
    desk.vault.close()
    desk.open()
    desk.clock.pass_(minutes=30)
    assert await desk.vault.sign(order) == version


# ---------------------------------------------------------------- two versions of a payment
async def test_a_second_version_is_not_signed_while_the_first_may_live(desk: Desk) -> None:
    one = await desk.vault.sign(desk.order(paying()))
    again = desk.order(paying(), at_ms=NOON_MS + 1000)
    assert await desk.vault.sign(again) == one
    with pytest.raises(Refused, match="SIGNER_ATTEMPT_ALIVE"):
        await desk.vault.sign(desk.order(paying(), at_ms=NOON_MS + 1000, after=(one.txid,)))


async def test_a_dead_version_has_to_be_named_and_then_a_new_one_is_signed(desk: Desk) -> None:
    one = await desk.vault.sign(desk.order(paying()))
    desk.clock.pass_(minutes=5)
    at_ms = NOON_MS + 300_000
    assert await desk.vault.sign(desk.order(paying(), at_ms=at_ms)) == one
    two = await desk.vault.sign(desk.order(paying(), at_ms=at_ms, after=(one.txid,)))
    assert (two.number, two.fee) == (2, one.fee)
    assert two.txid != one.txid
    assert await desk.vault.sign(desk.order(paying(), at_ms=at_ms + 2000, after=(one.txid,))) == two


async def test_the_margin_is_as_long_as_solid_blocks_lag(desk: Desk) -> None:
    one = await desk.vault.sign(desk.order(paying()))
    lag_ms = NETWORK.block_time_ms * (NETWORK.confirmations - 1)
    desk.clock.pass_(milliseconds=WINDOW_MS + lag_ms - 1)
    order = desk.order(paying(), at_ms=NOON_MS + WINDOW_MS + lag_ms, after=(one.txid,))
    with pytest.raises(Unavailable, match="SIGNER_ATTEMPT_ALIVE"):
        await desk.vault.sign(order)
    desk.clock.pass_(milliseconds=1)
    assert (await desk.vault.sign(order)).number == 2


async def test_a_clock_that_is_behind_makes_it_wait_and_one_that_is_wrong_makes_it_refuse(desk: Desk) -> None:
    """A refusal halts the wallet until people have looked: that is not for a second's difference between two clocks."""
    one = await desk.vault.sign(desk.order(paying()))
    lag_ms = NETWORK.block_time_ms * (NETWORK.confirmations - 1)
    order = desk.order(paying(), at_ms=NOON_MS + WINDOW_MS, after=(one.txid,))
    desk.clock.pass_(milliseconds=WINDOW_MS + lag_ms - 60_001)
    with pytest.raises(Refused, match="SIGNER_ATTEMPT_ALIVE"):
        await desk.vault.sign(order)
    desk.clock.pass_(milliseconds=1)
    with pytest.raises(Unavailable, match="SIGNER_ATTEMPT_ALIVE"):
        await desk.vault.sign(order)


async def test_a_new_version_pays_the_same_or_nothing(desk: Desk) -> None:
    one = await desk.vault.sign(desk.order(paying()))
    desk.clock.pass_(minutes=5)
    with pytest.raises(Refused, match="SIGNER_SLOT_TAKEN"):
        await desk.vault.sign(desk.order(paying(2), at_ms=NOON_MS + 300_000, after=(one.txid,)))


async def test_no_slot_is_given_up_where_only_time_ends_a_version(desk: Desk) -> None:
    """Whoever endorses it: no stranger's transaction excludes a version that is out."""
    of = paying()
    first = desk.order(of)
    await desk.vault.sign(first)
    asked = Procedure(Kind.REPLAN, first.slot.id, "looked into", "5e" * 32, "2026-11-21T12:00:00+00:00")
    second = desk.order(of, scarce=8)
    shown = tuple(replace(item, replans=(Endorsed(asked, ()),)) for item in second.items)
    with pytest.raises(Refused) as refused:
        await desk.vault.sign(replace(second, items=shown))
    assert refused.value.code == "SIGNER_REPLAN_BY_TIME"


async def test_a_withdrawal_takes_one_slot_for_ever(desk: Desk) -> None:
    await desk.vault.sign(desk.order(paying()))
    with pytest.raises(Refused, match="SIGNER_SECOND_SLOT"):
        await desk.vault.sign(desk.order(paying(), scarce=8))


@pytest.mark.parametrize(
    ("skew_s", "code"),
    [(600, "SIGNER_DRAFT_STALE"), (-600, "SIGNER_EXPIRATION_FAR"), (-59, ""), (59, "")],
)
async def test_clocks_that_are_ten_minutes_apart_sign_nothing(desk: Desk, skew_s: int, code: str) -> None:
    desk.clock.pass_(seconds=skew_s)
    if not code:
        assert (await desk.vault.sign(desk.order(paying()))).number == 1
        return
    with pytest.raises(Refused, match=code):
        await desk.vault.sign(desk.order(paying()))


# ---------------------------------------------------------------- what is refused
TRX = bytes_of(CLIENT)
OTHER_DATA = tx.TRANSFER + bytes(12) + bytes_of(THIEF)[1:] + (5_000_000).to_bytes(32, "big")
DIRTY_DATA = tx.TRANSFER + b"\x41".rjust(12, b"\0") + TRX[1:] + (5_000_000).to_bytes(32, "big")
APPROVE = bytes.fromhex("095ea7b3") + OTHER_DATA[4:]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"data": b"memo"}, "SIGNER_MEMO"),
        ({"scripts": b"\x01"}, "SIGNER_PROTOBUF"),
        ({"ref_block_num": 1}, "SIGNER_PROTOBUF"),
        ({"ref_block_hash": b"\x01" * 7}, "SIGNER_PROTOBUF"),
        ({"expiration": None}, "SIGNER_PROTOBUF"),
        ({"expiration": -1}, "SIGNER_PROTOBUF"),
        ({"contract": ()}, "SIGNER_PROTOBUF"),
        ({"timestamp": 8}, "SIGNER_NONCE"),
        ({"timestamp": None}, "SIGNER_NONCE"),
        ({"fee_limit": 17_000_000}, "SIGNER_FEE_MISMATCH"),
    ],
)
async def test_no_field_of_a_transaction_is_taken_on_trust(desk: Desk, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused, match=code):
        await desk.vault.sign(redrawn(desk.order(paying()), **fields))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"owner_address": bytes_of(THIEF)}, "SIGNER_WALLET_FOREIGN"),
        ({"contract_address": bytes_of(THIEF)}, "SIGNER_TOKEN_UNKNOWN"),
        ({"call_value": 1}, "SIGNER_VALUE_WITH_TOKEN"),
        ({"call_token_value": 1}, "SIGNER_VALUE_WITH_TOKEN"),
        ({"token_id": 1_000_001}, "SIGNER_VALUE_WITH_TOKEN"),
        ({"data": OTHER_DATA}, "SIGNER_PAYMENT_MISMATCH"),
        ({"data": OTHER_DATA + b"\0"}, "SIGNER_CALL"),
        ({"data": OTHER_DATA[:-1]}, "SIGNER_CALL"),
        ({"data": DIRTY_DATA}, "SIGNER_CALL"),
        ({"data": APPROVE}, "SIGNER_CALL"),
        ({"data": None}, "SIGNER_PROTOBUF"),
    ],
)
async def test_no_field_of_a_call_is_taken_on_trust(desk: Desk, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused, match=code):
        await desk.vault.sign(with_contract(desk.order(paying()), **fields))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to_address": bytes_of(THIEF)}, "SIGNER_PAYMENT_MISMATCH"),
        ({"amount": 6_000_000}, "SIGNER_PAYMENT_MISMATCH"),
        ({"amount": -5}, "SIGNER_PROTOBUF"),
        ({"owner_address": bytes_of(THIEF)}, "SIGNER_WALLET_FOREIGN"),
        ({"to_address": TRX[1:]}, "SIGNER_PROTOBUF"),
    ],
)
async def test_no_field_of_a_transfer_is_taken_on_trust(desk: Desk, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused, match=code):
        await desk.vault.sign(with_contract(desk.order(paying(asset="TRX-TRON"), fee=NATIVE_FEE), **fields))


@pytest.mark.parametrize("kind", ["FreezeBalanceV2Contract", "AccountPermissionUpdateContract"])
async def test_nothing_but_payments_is_signed(desk: Desk, kind: str) -> None:
    order = desk.order(paying())
    blank = {"data": None, "contract_address": None}
    with pytest.raises(Refused, match="SIGNER_TYPE"):
        await desk.vault.sign(with_contract(order, kind, **blank))


async def test_a_type_that_does_not_fit_its_url_is_refused(desk: Desk) -> None:
    order = desk.order(paying())
    [contract] = codec.decode("raw", bytes.fromhex(order.draft.unsigned[2:]))["contract"]
    with pytest.raises(Refused, match="SIGNER_TYPE"):
        await desk.vault.sign(redrawn(order, contract=(contract | {"type": "TransferContract"},)))
    with pytest.raises(Refused, match="SIGNER_PERMISSION"):
        await desk.vault.sign(redrawn(order, contract=(contract | {"Permission_id": 2},)))
    with pytest.raises(Refused, match="SIGNER_PROTOBUF"):
        await desk.vault.sign(redrawn(order, contract=(contract, contract)))


@pytest.mark.parametrize("tail", [b"\0", wire.field(19, 1), wire.field(18, 0), wire.field(9, b"\x01")])
async def test_bytes_with_anything_behind_them_are_refused(desk: Desk, tail: bytes) -> None:
    order = desk.order(paying())
    longer = replace(order.draft, unsigned=order.draft.unsigned + tail.hex())
    with pytest.raises(Refused, match="SIGNER_PROTOBUF"):
        await desk.vault.sign(replace(order, draft=longer))


async def test_a_number_that_is_longer_than_need_be_is_refused(desk: Desk) -> None:
    order = desk.order(paying())
    raw = bytes.fromhex(order.draft.unsigned[2:])
    plain = wire.field(14, 7)
    longer = raw.replace(plain, plain[:-1] + b"\x87\x00")
    assert longer != raw
    with pytest.raises(Refused, match="SIGNER_PROTOBUF"):
        await desk.vault.sign(replace(order, draft=replace(order.draft, unsigned="0x" + longer.hex())))


@pytest.mark.parametrize(
    "recipient", [WALLET, USDT, text_of(b"\x41" + bytes(20)), text_of(b"\x41" + bytes(19) + b"\x09")]
)
async def test_coins_go_to_people(desk: Desk, recipient: str) -> None:
    with pytest.raises(Refused, match="SIGNER_RECIPIENT_FORBIDDEN"):
        await desk.vault.sign(desk.order(paying(recipient=recipient)))


async def test_a_fee_above_the_signer_s_own_cap_is_refused(desk: Desk) -> None:
    order = desk.order(paying())
    dear = Fee(41_000_000, 1, 0)
    limit = dear.most - NETWORK.fees.overhead_cap
    order = redrawn(replace(order, draft=replace(order.draft, fee=dear)), fee_limit=limit)
    with pytest.raises(Refused, match="SIGNER_FEE_ABOVE_CAP"):
        await desk.vault.sign(order)


async def test_ethereum_s_bytes_are_none_of_ours(desk: Desk) -> None:
    order = desk.order(paying())
    with pytest.raises(Refused, match="SIGNER_PROTOBUF"):
        await desk.vault.sign(replace(order, draft=Draft(order.slot.id, "0x02c0", FEE)))


async def test_the_real_recipient_of_a_substituted_transaction_gets_no_signature(desk: Desk) -> None:
    """A node that answers a build call with a payment to somebody else: its bytes are read like anybody's."""
    honest, evil = desk.order(paying(asset="TRX-TRON"), fee=NATIVE_FEE), paying(asset="TRX-TRON", recipient=THIEF)
    stolen = desk.order(evil, fee=NATIVE_FEE).draft
    with pytest.raises(Refused, match="SIGNER_PAYMENT_MISMATCH"):
        await desk.vault.sign(replace(honest, draft=stolen))


def test_two_keys_have_two_addresses_that_an_independent_library_names_too() -> None:
    key = PrivateKey()
    from tronpy.keys import PrivateKey as TronKey

    theirs = TronKey(key.secret).public_key.to_base58check_address()
    assert FAMILIES["tron"].address(SigningKey(key.secret).account, NETWORK) == theirs


def test_a_memory_from_before_expirations_is_widened_with_all_it_knows(tmp_path: Path) -> None:
    import sqlite3

    tmp_path.chmod(0o700)
    path = tmp_path / "memory.sqlite3"
    Store.open(path, create=True).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE version")
        db.execute(
            "CREATE TABLE version (slot_id TEXT NOT NULL, number INTEGER NOT NULL, txid TEXT NOT NULL UNIQUE,"
            " raw TEXT NOT NULL, weight TEXT NOT NULL, price TEXT NOT NULL, tip TEXT NOT NULL, signed_at TEXT NOT NULL,"
            " PRIMARY KEY (slot_id, number), UNIQUE (slot_id, weight, price, tip)) STRICT"
        )
        db.execute("INSERT INTO slot VALUES ('s', 'p', '{}', 0)")
        db.execute("INSERT INTO version VALUES ('s', 1, 't', '0x00', '1', '2', '1', '2026-11-21T12:00:00+00:00')")
    store = Store.open(path)
    with store.page() as page:
        [version] = page.versions("s")
        assert (version.txid, version.fee) == ("t", Fee(1, 2, 1))
    store.close()
    with sqlite3.connect(path) as db, pytest.raises(sqlite3.IntegrityError, match="forgets nothing"):
        db.execute("DELETE FROM version")
