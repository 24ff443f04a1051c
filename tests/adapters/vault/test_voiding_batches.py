"""On Bitcoin a void has to outbid the whole sum that a batch offered, with one small output: the caps of the sum hold
it, and the price cap still holds everything that pays somebody.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from btclib.tx import Tx

from adapters.chains.bitcoin.market import Market, void
from domain.errors import Refused
from domain.payout import Draft, Fee, SigningOrder
from domain.procedure import Endorsed, Endorsement, Kind, Procedure, statement
from tests.adapters.vault.bitcoin_desk import (
    COIN,
    FEE_CAP,
    NETWORK,
    WALLET,
    WALLET_SCRIPT,
    Desk,
    paying,
    purse,
    spent_of,
    unsigned,
)
from tests.bitcoin_kernel import kernel_check

PURSES = (purse(1, 3 * COIN),)
PRICE_CAP = NETWORK.fees.price_cap


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.vault.close()


def batch(desk: Desk, size: int, price: int) -> SigningOrder:
    """What a healthy house sends to have so many small payments paid at so much for a vbyte."""
    return desk.order([paying(n) for n in range(1, size + 1)], PURSES, price)


def endorsed(desk: Desk, slot: str, *names: str) -> Endorsed:
    asked = Procedure(Kind.VOID, slot, "the client asked for it", "", "2026-11-22T12:00:00+00:00")
    signed = [desk.people.keys[name].sign(statement(name, asked.hash())).hex() for name in names]
    words = [Endorsement(name, asked.hash(), word) for name, word in zip(names, signed, strict=True)]
    return Endorsed(asked, tuple(words))


def voiding(desk: Desk, order: SigningOrder, fee: Fee, *people: str) -> SigningOrder:
    """The same slot with all coins back to the wallet but that fee."""
    change = sum(int(coin.units) for coin in order.slot.inputs) - fee.most
    draft = Draft(order.slot.id, unsigned(PURSES, [(WALLET, change)]), fee)
    return replace(order, draft=draft, void=endorsed(desk, order.slot.id, *(people or ("anna", "boris"))))


def planned(order: SigningOrder) -> Fee:
    """What the house would offer to void the slot, in a market that moved on by nothing."""
    found = void(order.slot, order.draft.fee, Market(order.draft.fee.price, 1), 0, NETWORK.fees)
    assert found is not None, "the house finds a void within the slot's cap"
    return found.fee


async def code_of(desk: Desk, order: SigningOrder) -> str:
    with pytest.raises(Refused) as refused:
        await desk.vault.sign(order)
    assert refused.value.code in desk.refusals()
    return refused.value.code


@pytest.mark.parametrize(("size", "price"), [(100, 7), (100, 20), (50, 20), (20, 40), (100, 120)])
async def test_an_ordinary_batch_is_voided_within_the_cap_of_its_slot(desk: Desk, size: int, price: int) -> None:
    order = batch(desk, size, price)
    paid = await desk.vault.sign(order)
    fee = planned(order)
    assert fee.price > PRICE_CAP, "or it would prove nothing"
    assert paid.fee.most + fee.weight <= fee.most <= int(FEE_CAP), "it replaces the batch, and stays within the cap"
    version = await desk.vault.sign(voiding(desk, order, fee))
    assert (version.number, version.void) == (2, True)
    raw = bytes.fromhex(version.raw.removeprefix("0x"))
    (output,) = Tx.parse(raw).vout
    assert output.script_pub_key.script == WALLET_SCRIPT
    assert output.value == 3 * COIN - fee.most
    assert kernel_check(raw, spent_of(order)) == [True]


async def test_two_people_are_asked_for_a_void_at_any_price(desk: Desk) -> None:
    order = batch(desk, 100, 20)
    await desk.vault.sign(order)
    assert await code_of(desk, voiding(desk, order, planned(order), "anna")) == "SIGNER_ENDORSEMENTS"


async def test_the_caps_of_the_sum_hold_a_void(desk: Desk) -> None:
    order = batch(desk, 100, 20)
    weight = planned(order).weight
    await desk.vault.sign(order)
    above = Fee(weight, int(FEE_CAP) // weight + 1, 0)
    assert await code_of(desk, voiding(desk, order, above)) == "SIGNER_FEE_ABOVE_CAP"
    small = replace(order, slot=replace(order.slot, fee_cap=str(order.draft.fee.most)))
    assert await code_of(desk, voiding(desk, small, planned(order))) == "SIGNER_FEE_ABOVE_CAP"


async def test_what_voids_above_the_price_cap_add_counts_against_the_day(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order = batch(desk, 100, 20)
    desk.fee_day_max = planned(order).most  # the batch, and what its void adds
    desk.restart()
    try:
        await desk.vault.sign(order)
        dear = replace(planned(order), price=planned(order).price + 1)
        assert await code_of(desk, voiding(desk, order, dear)) == "SIGNER_FEE_DAY_CAP"
        assert (await desk.vault.sign(voiding(desk, order, planned(order)))).void, (
            "just within it, and nothing was bound"
        )
        below = Fee(planned(order).weight, PRICE_CAP, 0)
        assert (await desk.vault.sign(voiding(desk, order, below))).void, "one within the price cap is no matter of it"
    finally:
        desk.vault.close()


async def test_what_pays_somebody_is_refused_above_the_price_cap_whatever_people_endorsed(desk: Desk) -> None:
    order = batch(desk, 2, PRICE_CAP + 1)
    assert await code_of(desk, order) == "SIGNER_PRICE_ABOVE_CAP"
    asked = endorsed(desk, order.slot.id, "anna", "boris")
    assert await code_of(desk, replace(order, void=asked)) == "SIGNER_VOID_PAYS"
    assert (await desk.vault.sign(batch(desk, 2, PRICE_CAP))).number == 1
