"""Stakes, loans and what they are worth; permissions and who may sign."""

from typing import Any

import pytest

from ops.devnet.tron.transaction import Refusal
from tests.ops.tron.laboratory import TRX, Laboratory, Person, signed

ALICE, BOB, CAROL = Person("alice"), Person("bob"), Person("carol")
WEEKS_2_SLOTS = 14 * 86_400


@pytest.fixture
def lab() -> Laboratory:
    lab = Laboratory()
    lab.give(ALICE, BOB)
    return lab


def freeze(lab: Laboratory, sun: int, resource: str = "ENERGY") -> None:
    lab.done(ALICE, "FreezeBalanceV2Contract", frozen_balance=sun, resource=resource)


def account(lab: Laboratory, person: Person) -> dict[str, Any]:
    told: dict[str, Any] = lab.ask("getaccount", address=person.text, visible=True)
    return told


def test_a_stake_gives_energy_in_proportion_to_everybody_s(lab: Laboratory) -> None:
    before = lab.balance(ALICE)
    freeze(lab, 900 * TRX)
    told = lab.ask("getaccountresource", address=ALICE.text, visible=True)
    assert told["EnergyLimit"] == 900 * told["TotalEnergyLimit"] // told["TotalEnergyWeight"]
    assert lab.balance(ALICE) == before - 900 * TRX
    assert account(lab, ALICE)["frozenV2"][1] == {"type": "ENERGY", "amount": 900 * TRX}


def test_a_stake_comes_back_two_weeks_after_it_was_asked_for(lab: Laboratory) -> None:
    freeze(lab, 100 * TRX)
    lab.done(ALICE, "UnfreezeBalanceV2Contract", unfreeze_balance=60 * TRX, resource="ENERGY")
    with pytest.raises(Refusal, match="no unFreeze balance to withdraw"):
        lab.send(ALICE, "WithdrawExpireUnfreezeContract")
    before = lab.balance(ALICE)
    lab.order(mine=1, skip_slots=WEEKS_2_SLOTS)
    entry = lab.done(ALICE, "WithdrawExpireUnfreezeContract")
    assert entry.record.withdrawn == 60 * TRX
    assert lab.balance(ALICE) == before + 60 * TRX - entry.record.fee


def test_what_is_on_its_way_back_can_be_staked_again(lab: Laboratory) -> None:
    freeze(lab, 100 * TRX)
    lab.done(ALICE, "UnfreezeBalanceV2Contract", unfreeze_balance=60 * TRX, resource="ENERGY")
    lab.done(ALICE, "CancelAllUnfreezeV2Contract")
    told = account(lab, ALICE)
    assert told["frozenV2"][1]["amount"] == 100 * TRX
    assert "unfrozenV2" not in told


def test_lent_energy_works_for_the_receiver_and_its_use_comes_home_with_it(lab: Laboratory) -> None:
    freeze(lab, 900 * TRX)
    loan = {"receiver_address": BOB.address, "balance": 500 * TRX, "resource": "ENERGY"}
    lab.done(ALICE, "DelegateResourceContract", **loan)
    words = {"fromAddress": ALICE.text, "toAddress": BOB.text, "visible": True}
    (told,) = lab.ask("getdelegatedresourcev2", **words)["delegatedResource"]
    assert told == {"from": ALICE.text, "to": BOB.text, "frozen_balance_for_energy": 500 * TRX}
    index = lab.ask("getdelegatedresourceaccountindexv2", value=ALICE.text, visible=True)
    assert index == {"account": ALICE.text, "toAccounts": [BOB.text]}
    entry = lab.entry_of_usdt(BOB, ALICE, 0)
    used = entry.record.receipt["energy_usage"]
    assert used == 900 * 180_000_000_000 // 19_000_000_900 * 5 // 9, "all of it was used, the rest burnt"
    lab.done(ALICE, "UnDelegateResourceContract", **loan)
    assert lab.ask("getdelegatedresourcev2", **words) == {}
    home = lab.ask("getaccountresource", address=ALICE.text, visible=True)["EnergyUsed"]
    assert home == pytest.approx(used, rel=0.01)
    assert "EnergyLimit" not in lab.ask("getaccountresource", address=BOB.text, visible=True)


def test_a_locked_loan_cannot_be_taken_back_before_its_time(lab: Laboratory) -> None:
    freeze(lab, 900 * TRX)
    loan = {"receiver_address": BOB.address, "balance": 500 * TRX, "resource": "ENERGY"}
    lab.done(ALICE, "DelegateResourceContract", **loan, lock=True, lock_period=1_200)
    with pytest.raises(Refusal, match="insufficient delegatedFrozenBalance"):
        lab.send(ALICE, "UnDelegateResourceContract", **loan)
    lab.order(mine=1, skip_slots=3_600)
    lab.done(ALICE, "UnDelegateResourceContract", **loan)


def test_nobody_lends_to_an_account_that_is_not_activated_or_more_than_is_unused(lab: Laboratory) -> None:
    freeze(lab, 10 * TRX)
    with pytest.raises(Refusal, match="not exists"):
        lab.send(ALICE, "DelegateResourceContract", receiver_address=CAROL.address, balance=TRX, resource="ENERGY")
    with pytest.raises(Refusal, match="available FreezeEnergyV2 balance"):
        lab.send(ALICE, "DelegateResourceContract", receiver_address=BOB.address, balance=11 * TRX, resource="ENERGY")
    lab.entry_of_usdt(ALICE, BOB, 0)
    left = lab.ask("getcandelegatedmaxsize", owner_address=ALICE.text, type=1, visible=True)
    assert left == {}, "all of the energy has been used today"


def permit(lab: Laboratory, threshold: int, operations: bytes) -> None:
    keys = [{"address": person.address, "weight": 1} for person in (BOB, CAROL)]
    owner = {"permission_name": "owner", "threshold": 1, "keys": [{"address": ALICE.address, "weight": 1}]}
    active = {"type": "Active", "permission_name": "pay", "threshold": threshold, "operations": operations}
    lab.done(ALICE, "AccountPermissionUpdateContract", owner=owner, actives=[{**active, "keys": keys}])


ONLY_TRANSFERS = bytes([0b10]) + bytes(31)


def test_a_permission_needs_its_weights_and_allows_only_its_operations(lab: Laboratory) -> None:
    permit(lab, 2, ONLY_TRANSFERS)
    tx = lab.make(ALICE, "TransferContract", permission=2, to_address=BOB.address, amount=1)
    for people in ((BOB,), (BOB, BOB), (BOB, ALICE), (ALICE,)):
        with pytest.raises(Refusal) as caught:
            lab.network.send("a", signed(tx, *people))
        assert caught.value.code == "SIGERROR"
    lab.network.send("a", signed(tx, BOB, CAROL))
    lab.mine()
    record = lab.entry(tx).record
    assert record.fee - record.receipt["net_fee"] == 1 * TRX
    other = lab.make(ALICE, "FreezeBalanceV2Contract", permission=2, frozen_balance=TRX)
    with pytest.raises(Refusal, match="Permission denied"):
        lab.network.send("a", signed(other, BOB, CAROL))


def test_a_key_that_may_lend_energy_cannot_move_trx(lab: Laboratory) -> None:
    permit(lab, 1, bytes(7) + bytes([0b110]) + bytes(24))
    freeze(lab, 10 * TRX)
    loan = {"receiver_address": BOB.address, "balance": TRX, "resource": "ENERGY"}
    lab.network.send("a", signed(lab.make(ALICE, "DelegateResourceContract", permission=2, **loan), CAROL))
    theft = lab.make(ALICE, "TransferContract", permission=2, to_address=CAROL.address, amount=1)
    with pytest.raises(Refusal, match="Permission denied"):
        lab.network.send("a", signed(theft, CAROL))


def test_a_permission_that_nobody_could_reach_is_refused(lab: Laboratory) -> None:
    with pytest.raises(Refusal, match="should not be less than threshold"):
        permit(lab, 3, ONLY_TRANSFERS)
