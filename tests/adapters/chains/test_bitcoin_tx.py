"""The arithmetic of a payout on Bitcoin: what a transaction weighs, pays and gives back, and which coins it takes."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.chains.bitcoin import market, tx
from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.choose import choose
from domain.coin import Coin, units_of
from domain.errors import Refused
from domain.payout import Fee, Payment, Slot
from tests.adapters.chains.bitcoin_world import RULES, slot_of

WALLET = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
KEY_HASH, SCRIPT_HASH = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "2N2JD6wb56AfK4tfmM6PwdVmoYk2dCKf4Br"
WITNESS_SCRIPT = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85"
TAPROOT = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6"
RECIPIENTS = (WALLET, KEY_HASH, SCRIPT_HASH, WITNESS_SCRIPT, TAPROOT)

coins_ = st.lists(st.integers(300, 10**8), min_size=1, max_size=30).map(
    lambda units: [Coin(f"{at:064x}:{at % 3}", str(u)) for at, u in enumerate(units)]
)
payments_ = st.lists(st.tuples(st.integers(600, 10**7), st.sampled_from(RECIPIENTS)), min_size=1, max_size=20).map(
    lambda rows: [Payment(f"wd_{at}", "BTC-BITCOIN", str(units), to) for at, (units, to) in enumerate(rows)]
)
prices = st.integers(1, 500)


def one_of(*units: int) -> list[Coin]:
    return [Coin(f"{at:064x}:0", str(u)) for at, u in enumerate(units)]


def pay(*units: int, to: str = WALLET) -> list[Payment]:
    return [Payment(f"wd_{at}", "BTC-BITCOIN", str(u), to) for at, u in enumerate(units)]


@pytest.mark.parametrize(
    ("inputs", "recipients", "vbytes"),
    [(1, 2, 141), (1, 1, 110), (2, 1, 178), (1, 101, 3210), (50, 2, 3473), (1, 253, 7924)],
)
def test_the_size_is_that_of_the_signed_transaction(inputs: int, recipients: int, vbytes: int) -> None:
    """The well-known sizes of P2WPKH: 10.5 and 68 for an input and 31 for an output, rounded up once."""
    assert tx.vbytes(inputs, [script_of(WALLET)] * recipients) == vbytes


@pytest.mark.parametrize(
    ("to", "least"), [(WALLET, 294), (TAPROOT, 330), (WITNESS_SCRIPT, 330), (KEY_HASH, 546), (SCRIPT_HASH, 540)]
)
def test_dust_is_refused_by_name_and_one_unit_more_is_not(to: str, least: int) -> None:
    tx.payable(pay(least, to=to))
    with pytest.raises(Refused, match="PAYMENT_DUST") as refusal:
        tx.payable([*pay(10_000), Payment("wd_dust", "BTC-BITCOIN", str(least - 1), to)])
    assert refusal.value.facts["withdrawal"] == "wd_dust"


@given(coins_, payments_, prices, st.integers(0, 3000))
def test_a_plan_pays_everyone_and_loses_nothing(
    coins: list[Coin], payments: list[Payment], price: int, weight: int
) -> None:
    what = tx.plan(coins, payments, WALLET, Fee(weight, price, 0))
    assume(what is not None)
    assert what is not None
    assert [units for units, _ in what.outputs] == [int(payment.amount) for payment in payments]
    assert units_of(coins) == sum(units for units, _ in what.outputs) + what.change + what.paid
    scripts = [script for _, script in what.outputs] + [script_of(WALLET)] * (what.change > 0)
    size = tx.vbytes(len(coins), scripts)
    assert what.fee.weight >= (max(weight, size) if what.change else size)
    assert what.fee.price >= price
    assert what.fee.most - what.fee.price < what.paid <= what.fee.most
    assert what.paid > size * price - price
    assert what.change == 0 or what.change >= tx.worth_keeping(script_of(WALLET))


@given(coins_, payments_, prices)
def test_a_plan_at_its_own_fee_is_the_same_plan(coins: list[Coin], payments: list[Payment], price: int) -> None:
    what = tx.plan(coins, payments, WALLET, Fee(0, price, 0))
    assume(what is not None)
    assert what is not None
    assert tx.plan(coins, payments, WALLET, what.fee) == what


def test_change_that_is_not_worth_its_own_spending_goes_to_the_fee() -> None:
    least = tx.worth_keeping(script_of(WALLET))
    kept = tx.plan(one_of(100_000), pay(100_000 - 1410 - least), WALLET, Fee(0, 10, 0))
    left = tx.plan(one_of(100_000), pay(100_000 - 1410 - least + 1), WALLET, Fee(0, 10, 0))
    assert kept is not None
    assert left is not None
    assert (kept.change, kept.paid) == (least, 1410)
    assert (left.change, left.paid) == (0, 1410 + least - 1)


def test_coins_that_do_not_cover_the_fee_make_no_plan() -> None:
    assert tx.plan(one_of(10_000), pay(10_000), WALLET, Fee(0, 1, 0)) is None
    assert tx.plan(one_of(10_000), pay(8_901), WALLET, Fee(0, 10, 0)) is None
    assert tx.plan(one_of(10_000), pay(8_900), WALLET, Fee(0, 10, 0)) is not None


def test_a_slot_must_name_its_anchor_first() -> None:
    slot = slot_of(WALLET, one_of(100_000, 100_000), pay(50_000))
    for other in (replace(slot, inputs=()), replace(slot, inputs=slot.inputs[::-1]), replace(slot, payments=())):
        with pytest.raises(Refused, match="SLOT_SHAPE"):
            tx.planned(other, Fee(200, 10, 0), RULES)


def test_the_fee_is_bounded_by_the_slot_and_by_the_share_of_what_is_paid() -> None:
    slot = slot_of(WALLET, one_of(10**6), pay(20_000), fee_cap=3_000)
    assert tx.planned(slot, Fee(150, 20, 0), RULES).paid == 3_000
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        tx.planned(slot, Fee(151, 20, 0), RULES)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        tx.planned(slot, Fee(150, 20, 0), replace(RULES, share_cap_percent=14))
    assert tx.planned(slot, Fee(150, 20, 0), replace(RULES, share_cap_percent=15)).paid == 3_000


# ---------------------------------------------------------------- which coins
@given(coins_, payments_, prices)
def test_the_chosen_coins_suffice_are_few_enough_and_always_the_same(
    coins: list[Coin], payments: list[Payment], price: int
) -> None:
    chosen = choose(coins, payments, WALLET, price, 10, RULES)
    assert chosen == choose(coins[::-1], payments, WALLET, price, 10, RULES)
    if chosen:
        assert len(chosen) <= 10
        assert list(chosen) == sorted(chosen, key=lambda coin: coin.outpoint)
        assert len({coin.outpoint for coin in chosen}) == len(chosen)
        assert tx.plan(chosen, payments, WALLET, Fee(0, price, 0)) is not None
        assert all(int(coin.units) > price * tx.INPUT_VBYTES for coin in chosen), "it costs more than it is worth"
    else:
        richest = sorted(coins, key=lambda coin: -int(coin.units))[:10]
        worthy = [coin for coin in richest if int(coin.units) > price * tx.INPUT_VBYTES]
        what = tx.plan(worthy, payments, WALLET, Fee(0, price, 0)) if worthy else None
        assert what is None or what.fee.price > RULES.price_cap


def test_dust_sent_to_us_is_never_spent() -> None:
    coins = [*one_of(50_000), *(Coin(f"{at:064x}:9", "600") for at in range(2, 40))]
    assert choose(coins, pay(40_000), WALLET, 10, 50, RULES) == tuple(coins[:1])


# ---------------------------------------------------------------- what a replacement pays
def bumped(slot: Slot, last: Fee, price: int = 0, step: int = 1, evicted: int = 0) -> Fee | None:
    return market.bump(slot, last, price, step, evicted, RULES)


def test_a_bump_pays_what_the_market_asks_and_at_least_a_step_more() -> None:
    slot, last = slot_of(WALLET, one_of(10**6), pay(50_000)), Fee(141, 10, 0)
    assert bumped(slot, last) == Fee(141, 11, 0)
    assert bumped(slot, last, price=35) == Fee(141, 35, 0)
    assert bumped(slot, last, price=3, step=5) == Fee(141, 15, 0)


def test_a_bump_pays_for_what_others_built_on_the_version_it_pushes_out() -> None:
    """BIP125 rules 3 and 4: all fees of what is evicted, and the relay of the replacement on top."""
    slot, last = slot_of(WALLET, one_of(10**6), pay(50_000)), Fee(141, 10, 0)
    fee = bumped(slot, last, evicted=5_000)
    assert fee is not None
    assert fee.most >= 141 * 10 + 5_000 + 141
    assert fee.most - 141 < 141 * 10 + 5_000 + 141, "and no more than that"


def test_a_bump_stops_at_the_caps_and_at_the_end_of_the_change() -> None:
    slot, last = slot_of(WALLET, one_of(60_000), pay(50_000), fee_cap=9_000), Fee(141, 60, 0)
    assert bumped(slot, last) is not None
    assert bumped(slot, last, price=64) is None, "the slot's cap"
    roomy = replace(slot, fee_cap="100000")
    assert bumped(roomy, last, price=91) is None, "the coins hold no more"
    assert bumped(roomy, Fee(141, RULES.price_cap, 0)) is None, "the price cap"
    all_in = tx.planned(roomy, Fee(141, 70, 0), RULES)
    assert all_in.change == 0
    assert bumped(roomy, all_in.fee) is None, "no change is left to shrink"


@pytest.mark.parametrize(("payments", "price"), [(100, 20), (50, 40), (20, 90)])
def test_what_gives_a_batch_back_outbids_its_whole_sum_within_the_slot_s_cap(payments: int, price: int) -> None:
    slot = slot_of(WALLET, one_of(10**8), pay(*[50_000] * payments))
    last = tx.planned(slot, Fee(0, price, 0), RULES)
    what = market.void(slot, last.fee, market.Market(price, 1), 0, RULES)
    assert what is not None
    assert what.fee.price > RULES.price_cap, "one small output carries the fee of many"
    assert last.paid + what.fee.weight <= what.paid <= last.paid + 3 * what.fee.weight, "as much more as it takes"
    assert what.outputs == ()
    for cap, found in ((what.fee.most, what), (what.fee.most - 1, None)):
        assert market.void(replace(slot, fee_cap=str(cap)), last.fee, market.Market(price, 1), 0, RULES) == found


def test_a_market_above_the_price_cap_voids_nothing() -> None:
    slot = slot_of(WALLET, one_of(10**8), pay(50_000))
    assert market.void(slot, None, market.Market(RULES.price_cap, 1), 0, RULES) is not None
    assert market.void(slot, None, market.Market(RULES.price_cap + 1, 1), 0, RULES) is None
