"""The chain outlives its process."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from ops.devnet.tron import chain, genesis, store
from ops.devnet.tron.keys import address_of
from ops.devnet.tron.packing import unpack
from ops.devnet.tron.transaction import Refusal
from tests.ops.tron.laboratory import TREASURER, TRX, Laboratory, Node, Person

PEOPLE = [Person(f"person {n}") for n in range(4)]


def story(lab: Laboratory) -> tuple[Any, ...]:
    """What a client could tell apart."""
    seen = lab.chain
    blocks = [(block.id, [(entry.tx, entry.record) for entry in block.entries]) for block in seen.blocks]
    return seen.head.id, seen.solid_number, blocks, seen.world.copy().cells


def test_the_committed_first_chain_is_what_the_constructors_leave() -> None:
    rows = genesis.build()
    assert {unpack(key): unpack(value) for key, value in rows} == genesis.first_world().cells
    assert genesis.address_for("UsdtTrc20") == address_of(genesis.USDT)
    assert genesis.address_for("Disperse") == address_of(genesis.DISPERSE)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happened_a_killed_chain_is_the_same_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SNAPSHOT_EVERY_LINES", 25)
    rng, lab = Random(seed), Laboratory(tmp_path)
    lab.give(*PEOPLE)
    for _ in range(60):
        one, other = rng.sample(PEOPLE, 2)
        try:
            match rng.randrange(6):
                case 0 | 1:
                    lab.pay(one, other, rng.randrange(1, TRX))
                case 2:
                    lab.usdt(TREASURER, one, rng.randrange(100))
                case 3:
                    lab.send(one, "FreezeBalanceV2Contract", frozen_balance=TRX, resource="ENERGY")
                case 4:
                    lab.order(fork=rng.randint(1, lab.chain.deepest_fork), fork_loses=rng.random() < 0.3)
        except Refusal:
            pass  # whatever was refused has left nothing behind
        lab.mine(rng.randrange(3))
    lab.chain.pool.take_all()
    lab.mine()
    assert story(Laboratory(tmp_path)) == story(lab)


def test_block_0_is_the_same_at_every_pace_and_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "HISTORY_BLOCKS", 10)
    lab = Laboratory()
    lab.mine(30)
    lab.chain.prune()
    lab.order(lite=2)
    assert len(lab.chain.blocks) == 10
    assert lab.ask("getblockbynum", num=0)["blockID"][-8:] == f"{325463800:08x}"
    assert lab.ask("getblockbynum", num=5) == {}


def test_a_line_that_a_crash_has_cut_off_is_passed_over(tmp_path: Path) -> None:
    lab = Laboratory(tmp_path)
    lab.give(PEOPLE[0])
    before = story(lab)
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"n":99,"p":"00')
    again = Laboratory(tmp_path)
    assert story(again) == before


def test_a_node_that_was_killed_starts_in_a_second_and_knows_what_it_told(tmp_path: Path) -> None:
    node = Node(18910, "--state-dir", str(tmp_path), "--block-time", "0.2")
    node.start()
    try:
        head = node.order()["head_id"]
        node.order(mine=3)
        node.kill()
        assert node.start() < 3, "a second on a quiet machine"
        told = node.ask("wallet/getblockbyid", value=head)
        assert told["blockID"] == head
    finally:
        node.stop()
