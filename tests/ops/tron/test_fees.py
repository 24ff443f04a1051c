"""What things cost: bandwidth, energy, activation, memos and signatures."""

import pytest

from ops.devnet.tron.keys import address_of
from ops.devnet.tron.transaction import Refusal
from tests.ops.tron.laboratory import TREASURER, TRX, Laboratory, Person, signed

ALICE, BOB, CAROL = Person("alice"), Person("bob"), Person("carol")


@pytest.fixture
def lab() -> Laboratory:
    lab = Laboratory()
    lab.give(ALICE, BOB)
    return lab


def test_a_transfer_takes_free_bandwidth_first_and_burns_trx_when_it_is_used_up(lab: Laboratory) -> None:
    first, second, third = [lab.entry_of_payment(ALICE, BOB) for _ in range(3)]
    size = first.record.receipt["net_usage"]
    assert 260 < size < 275
    assert (first.record.fee, second.record.fee) == (0, 0)
    assert third.record.receipt == {"net_fee": size * 1_000}
    assert third.record.fee == size * 1_000


def test_a_new_account_costs_one_trx_and_a_tenth_and_free_bandwidth_does_not_help(lab: Laboratory) -> None:
    before = lab.balance(ALICE)
    entry = lab.entry_of_payment(ALICE, CAROL)
    assert entry.record.fee == 1_100_000
    assert entry.record.receipt == {"net_fee": 100_000}
    assert lab.balance(ALICE) == before - entry.record.fee - 1


def test_a_memo_costs_one_trx(lab: Laboratory) -> None:
    assert lab.entry_of_payment(ALICE, BOB, raw={"data": b"invoice 7"}).record.fee == 1 * TRX


def test_usdt_costs_more_energy_for_one_who_has_none_yet(lab: Laboratory) -> None:
    lab.usdt(TREASURER, ALICE, 100)
    lab.mine()
    to_new, to_holder = [lab.entry_of_usdt(ALICE, BOB, 10) for _ in range(2)]
    energy = [entry.record.receipt["energy_usage_total"] for entry in (to_new, to_holder)]
    assert 28_000 < energy[0] < 31_000
    assert energy[0] - energy[1] == 15_000, "a slot that is filled costs 20,000, one that changes 5,000"
    assert to_new.record.receipt["energy_fee"] == energy[0] * 100


def test_the_transfer_of_usdt_says_false_and_has_moved_the_coins(lab: Laboratory) -> None:
    entry = lab.entry_of_usdt(TREASURER, ALICE, 100)
    assert entry.record.result == "SUCCESS"
    assert int.from_bytes(entry.record.output, "big") == 0
    assert lab.usdt_of(ALICE) == 100
    (log,) = entry.record.logs
    assert log.address == address_of("TUQLn5PAkatvhbbyEvCrQqkvVJYDk3wPAN")[1:]
    assert int.from_bytes(log.data, "big") == 100


def test_the_fee_limit_caps_all_energy_and_burns_what_it_allows(lab: Laboratory) -> None:
    lab.done(ALICE, "FreezeBalanceV2Contract", frozen_balance=500 * TRX, resource="ENERGY")
    entry = lab.entry_of_usdt(ALICE, BOB, 0, fee_limit=500_000)
    assert entry.record.result == "OUT_OF_ENERGY"
    assert entry.record.receipt["energy_usage_total"] == 5_000
    assert not entry.record.logs


def test_a_revert_pays_only_for_what_has_run(lab: Laboratory) -> None:
    lab.issuer("addBlackList(address)", ALICE.text)
    entry = lab.entry_of_usdt(ALICE, BOB, 0)
    assert entry.record.result == "REVERT"
    assert 0 < entry.record.receipt["energy_usage_total"] < 10_000


def test_more_usdt_than_there_is_burns_everything_that_was_allowed(lab: Laboratory) -> None:
    entry = lab.entry_of_usdt(ALICE, BOB, 1, fee_limit=20 * TRX)
    assert entry.record.result == "ILLEGAL_OPERATION"
    assert entry.record.receipt["energy_fee"] == 20 * TRX


def test_staked_energy_is_used_before_trx_is_burnt_and_comes_back_over_a_day(lab: Laboratory) -> None:
    lab.usdt(TREASURER, ALICE, 100)
    lab.give(ALICE, sun=100_000 * TRX)
    lab.done(ALICE, "FreezeBalanceV2Contract", frozen_balance=90_000 * TRX, resource="ENERGY")
    entry = lab.entry_of_usdt(ALICE, BOB, 1)
    assert entry.record.receipt["energy_usage"] == entry.record.receipt["energy_usage_total"]
    assert "energy_fee" not in entry.record.receipt
    used = lab.ask("getaccountresource", address=ALICE.text, visible=True)["EnergyUsed"]
    lab.order(mine=1, skip_slots=43_200)  # half a day
    half = lab.ask("getaccountresource", address=ALICE.text, visible=True)["EnergyUsed"]
    assert half == pytest.approx(used / 2, rel=0.01)


def test_the_energy_penalty_of_a_busy_contract_is_in_the_estimate_and_in_the_price(lab: Laboratory) -> None:
    lab.order(energy_factor=34_000, mine=1)
    words = {"owner_address": TREASURER.text, "contract_address": "TUQLn5PAkatvhbbyEvCrQqkvVJYDk3wPAN"}
    data = {"function_selector": "transfer(address,uint256)", "parameter": f"{ALICE.address.hex():0>64}{1:064x}"}
    told = lab.ask("triggerconstantcontract", **words, **data, visible=True)
    entry = lab.entry_of_usdt(TREASURER, ALICE, 1)
    assert entry.record.receipt["energy_usage_total"] == told["energy_used"]
    assert entry.record.receipt["energy_penalty_total"] == pytest.approx(told["energy_penalty"], abs=1)
    assert told["energy_used"] == pytest.approx((told["energy_used"] - told["energy_penalty"]) * 4.4, rel=0.001)


def test_who_can_pay_neither_bandwidth_nor_energy_is_refused_with_the_misspelt_code(lab: Laboratory) -> None:
    poor = Person("poor")
    lab.pay(TREASURER, poor, 1)
    lab.mine()
    lab.entry_of_usdt(poor, ALICE, 0)  # free bandwidth is enough once; the call itself fails for want of energy
    with pytest.raises(Refusal) as refused:
        lab.usdt(poor, ALICE, 0)
    assert refused.value.code == "BANDWITH_ERROR"


def test_a_second_signature_costs_one_trx(lab: Laboratory) -> None:
    keys = [{"address": person.address, "weight": 1} for person in (ALICE, BOB)]
    owner = {"permission_name": "owner", "threshold": 2, "keys": keys}
    active = {"type": "Active", "permission_name": "pay", "threshold": 1, "operations": bytes(32), "keys": keys}
    assert lab.done(ALICE, "AccountPermissionUpdateContract", owner=owner, actives=[active]).record.fee == 100 * TRX
    tx = signed(lab.make(ALICE, "TransferContract", to_address=BOB.address, amount=1), ALICE, BOB)
    lab.network.send("a", tx)
    lab.mine()
    assert lab.entry(tx).record.fee >= 1 * TRX


def test_chain_parameters_are_what_the_witnesses_say(lab: Laboratory) -> None:
    lab.order(parameters={"getMemoFee": 7 * TRX}, mine=1)
    told = {row["key"]: row.get("value", 0) for row in lab.ask("getchainparameters")["chainParameter"]}
    assert told["getMemoFee"] == 7 * TRX
    assert lab.entry_of_payment(ALICE, BOB, raw={"data": b"dear"}).record.fee == 7 * TRX
