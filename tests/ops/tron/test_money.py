"""Whatever happens, no coin is made or lost, and the pool's trials leave nothing behind."""

from contextlib import suppress
from random import Random

import pytest

from ops.devnet.tron.genesis import TREASURY_SUN, USDT_UNITS
from ops.devnet.tron.transaction import Refusal
from tests.ops.tron.laboratory import TREASURER, TRX, Laboratory, Person, signed

PEOPLE = [Person(f"holder {n}") for n in range(4)]


def all_sun(lab: Laboratory) -> int:
    """Balances, stakes, what is on its way back, and every fee that a block has burnt."""
    cells = lab.chain.world.copy().cells
    accounts = [value for key, value in cells.items() if key[0] == "account"]
    held = sum(row.balance + row.frozen.bandwidth + row.frozen.energy for row in accounts)
    held += sum(row.delegated.bandwidth + row.delegated.energy for row in accounts)
    held += sum(unfreezing.sun for row in accounts for unfreezing in row.unfreezing)
    return int(held) + sum(entry.record.fee for block in lab.chain.blocks for entry in block.entries)


def something(lab: Laboratory, rng: Random) -> None:
    one, other = rng.sample(PEOPLE, 2)
    sun = rng.choice([1, 5 * TRX, 10**13])
    loan = {"receiver_address": other.address, "balance": rng.choice([TRX, 3 * TRX]), "resource": "ENERGY"}
    match rng.randrange(8):
        case 0 | 1:
            lab.pay(one, rng.choice([other, Person(f"new {rng.random()}")]), sun)
        case 2 | 3:
            lab.usdt(rng.choice([TREASURER, one]), other, rng.randrange(50), fee_limit=rng.choice([100_000, 10**8]))
        case 4:
            lab.send(one, "FreezeBalanceV2Contract", frozen_balance=sun, resource=rng.choice(["ENERGY", "BANDWIDTH"]))
        case 5:
            lab.send(one, "UnfreezeBalanceV2Contract", unfreeze_balance=sun, resource="ENERGY")
        case 6:
            lab.send(one, "DelegateResourceContract", **loan)
        case 7:
            lab.send(one, "UnDelegateResourceContract", **loan)


@pytest.mark.parametrize("seed", range(6))
def test_every_sun_and_every_usdt_is_somewhere(seed: int) -> None:
    rng, lab = Random(seed), Laboratory()
    lab.give(*PEOPLE)
    for _ in range(120):
        with suppress(Refusal):
            something(lab, rng)
        if rng.random() < 0.4:
            lab.order(mine=rng.randrange(3), skip_slots=rng.choice([0, 0, 5, 2_000_000]))
        if rng.random() < 0.1 and lab.chain.deepest_fork:
            lab.order(fork=rng.randint(1, lab.chain.deepest_fork), fork_loses=rng.random() < 0.5)
        if rng.random() < 0.1:
            lab.order(release=True)
        assert all_sun(lab) == TREASURY_SUN
    lab.mine()
    assert sum(map(lab.usdt_of, (*PEOPLE, TREASURER))) == USDT_UNITS


def test_a_refused_transaction_leaves_no_trace() -> None:
    lab = Laboratory()
    lab.give(*PEOPLE)
    before = dict(lab.chain.world.cells)
    for kind, value in (
        ("TransferContract", {"to_address": PEOPLE[1].address, "amount": 10**16}),
        ("FreezeBalanceV2Contract", {"frozen_balance": 10**16, "resource": "ENERGY"}),
        ("TriggerSmartContract", {"contract_address": PEOPLE[1].address}),
        ("VoteWitnessContract", {}),
        ("AccountPermissionUpdateContract", {}),
    ):
        with pytest.raises(Refusal, match="validate error"):
            lab.network.send("a", signed(lab.make(PEOPLE[0], kind, **value), PEOPLE[0]))
        assert lab.chain.world.cells == before


def test_what_waits_in_the_pool_cannot_be_spent_again() -> None:
    lab = Laboratory()
    lab.give(PEOPLE[0], sun=10 * TRX)
    first = lab.pay(PEOPLE[0], PEOPLE[1], 6 * TRX)
    with pytest.raises(Refusal, match="balance is not sufficient"):
        lab.pay(PEOPLE[0], PEOPLE[2], 6 * TRX)
    lab.mine()
    assert [entry.tx.id for entry in lab.chain.head.entries] == [first.id]
