"""The bytes of a payout, read back by an independent library."""

from dataclasses import replace

import pytest
from eth_abi.abi import decode
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from adapters.chains.evm import tx
from domain.asset import Asset
from domain.errors import Refused
from domain.payout import Fee, Payment, Slot
from tests.adapters.chains.worlds import unsigned_fields

KEY = "0x" + "11" * 32
COIN = Asset("ETH-ETHEREUM", "ETH", "ethereum", 18)
TOKEN = Asset("USDT-ETHEREUM", "USDT", "ethereum", 6, "0xdAC17F958D2ee523a2206206994597C13D831ec7")
ASSETS = {COIN.id: COIN, TOKEN.id: TOKEN}
RECIPIENT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def slot(asset: Asset = TOKEN, units: int = 5, scarce: int = 7, cap: int = 10**30) -> Slot:
    payments = (Payment("wd_1", asset.id, str(units), RECIPIENT),)
    return Slot(f"ethereum/0xaa/{scarce}", "ethereum", "0xaa", str(scarce), payments, str(cap), 3)


fees = st.integers(0, 10**12).flatmap(
    lambda tip: st.builds(Fee, st.integers(21_000, 10**6), st.integers(tip, 10**12), st.just(tip))
)


@given(fee=fees, units=st.integers(1, 2**256 - 1), scarce=st.integers(0, 2**63), chain_id=st.integers(1, 2**40))
def test_a_token_payment_says_exactly_what_was_ordered(fee: Fee, units: int, scarce: int, chain_id: int) -> None:
    fields = unsigned_fields(tx.draft(slot(TOKEN, units, scarce), fee, chain_id, ASSETS))
    assert fields["chainId"] == chain_id
    assert fields["nonce"] == scarce
    assert (fields["gas"], fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]) == (fee.weight, fee.price, fee.tip)
    assert fields["to"] == TOKEN.contract
    assert fields["value"] == 0
    assert fields["data"][:4] == tx.TRANSFER
    to, amount = decode(["address", "uint256"], fields["data"][4:])
    assert (to, amount) == (RECIPIENT.lower(), units)


@given(fee=fees, units=st.integers(1, 2**256 - 1))
def test_a_coin_payment_moves_value_and_calls_nothing(fee: Fee, units: int) -> None:
    fields = unsigned_fields(tx.draft(slot(COIN, units), fee, 1, ASSETS))
    assert (fields["to"], fields["value"], fields["data"]) == (RECIPIENT, units, b"")


def test_what_is_signed_is_what_was_drafted() -> None:
    """An independent signer, given the fields, hashes these very bytes."""
    draft = tx.draft(slot(), Fee(60_000, 30, 2), 1, ASSETS)
    transaction = Account.sign_transaction(unsigned_fields(draft), KEY)
    assert Account.recover_transaction(transaction.raw_transaction) == Account.from_key(KEY).address
    assert draft.unsigned.startswith("0x02")
    assert tx.draft(slot(), Fee(60_000, 30, 2), 1, ASSETS) == draft


def test_a_nonce_pays_one_payment() -> None:
    double = replace(slot(), payments=slot().payments * 2)
    with pytest.raises(Refused, match="SLOT_SHAPE"):
        tx.draft(double, Fee(60_000, 30, 2), 1, ASSETS)


@pytest.mark.parametrize("units", [0, 2**256])
def test_an_amount_is_more_than_nothing_and_fits(units: int) -> None:
    with pytest.raises(Refused, match="SLOT_SHAPE"):
        tx.draft(slot(units=units), Fee(60_000, 30, 2), 1, ASSETS)


@pytest.mark.parametrize("fee", [Fee(60_000, 30, 31), Fee(60_000, 31, 2)])
def test_a_fee_beyond_its_slot_is_not_drafted(fee: Fee) -> None:
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        tx.draft(slot(cap=60_000 * 30), fee, 1, ASSETS)
