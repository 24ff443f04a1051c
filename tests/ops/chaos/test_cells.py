"""The matrix has a cell for everything, and its page says of each what it was."""

from adapters.catalogue import load
from domain.crash_points import STEPS, CrashPoint
from ops.chaos.cells import Cell, Fault, cells
from ops.chaos.page import matrix_page
from ops.chaos.schedule import Harm, People

LOCAL = load("devnet").networks
NETWORKS = {network.family: network for network in reversed(list(LOCAL.values()))}


def test_every_point_meets_every_family_and_every_fault() -> None:
    names = [cell.name for cell in cells(NETWORKS)]
    assert len(names) == len(set(names))
    every = {f"{point}/{family}/{fault}" for point in CrashPoint for family in NETWORKS for fault in Fault}
    assert every - set(names) == {
        f"{point}/{family}/{fault}"
        for point in CrashPoint
        for family, network in NETWORKS.items()
        for fault in Fault
        if (STEPS[point].coins and not network.inputs_max) or (STEPS[point].priced and network.window_s)
    }
    assert "sent/evm/lost-reply" in names


def test_where_several_are_paid_together_a_cell_is_a_batch() -> None:
    for cell in cells(NETWORKS):
        assert cell.together == (2 if LOCAL[cell.network].batch_max > 1 else 1)


def test_what_a_point_needs_to_be_reached_is_arranged() -> None:
    bumped = Cell(CrashPoint.BUMP_SIGNED, "tron", "tron", Fault.LOST_REPLY)
    assert (bumped.harms, bumped.harms_after) == ({Harm.SWALLOW: 1.0}, {Harm.LOSE_REPLY: 1.0})
    assert Cell(CrashPoint.DECISION_RECORDED, "tron", "tron", Fault.CLEAN).people is People.APPROVE
    resumed = Cell(CrashPoint.PAYOUT_RESUMED, "tron", "tron", Fault.CLEAN)
    assert (resumed.late, resumed.resumed, resumed.harms) == (True, True, {Harm.SWALLOW: 1.0})
    applied = Cell(CrashPoint.BLOCKS_APPLIED, "bitcoin", "bitcoin", Fault.CLEAN)
    assert (applied.late, applied.resumed, applied.harms) == (True, False, {})
    assert Cell(CrashPoint.SENT, "ethereum", "evm", Fault.CLEAN).harms == {}


def test_the_page_shows_every_word_and_a_dash_where_nothing_was_played() -> None:
    report = {"seed": 9, "seconds": 12.0, "cells": {"sent/evm/clean": "once", "sent/evm/reorg": "paid_twice"}}
    page = matrix_page(report)
    assert "| `sent` | chain | once | paid_twice | – |" in page
    assert "--seed 9" in page
    assert "1 of 2 cells" in page
    assert all(f"`{point}`" in page for point in CrashPoint)


def test_the_page_has_the_simple_senders_figures_beside_ours() -> None:
    storm = {
        "seed": 5,
        "minutes": 10.0,
        "networks": ["ethereum", "bsc", "tron"],
        "withdrawals": {"asked": 500},
        "kills": {"total": 75},
        "reorgs": {"total": 140},
        "faults_made": {"total": 200},
        "procedures": {"SPEED_UP TAKEN": 7, "SPEED_UP SLOT_ENDED": 1, "VOID TAKEN": 3},
        "paid_twice": 0,
        "lost": 0,
        "stuck": 0,
        "seconds_to_recover": {"p50": 3.5, "max": 8.0, "after_restart_max": 5.25},
        "naive": {
            "paid_twice": 9,
            "by_network": {
                "ethereum": {"family": "evm", "paid_twice": 4, "most_for_one": 4},
                "bsc": {"family": "evm", "paid_twice": 2, "most_for_one": 2},
                "tron": {"family": "tron", "paid_twice": 3, "most_for_one": 3},
            },
        },
    }
    page = matrix_page({"seed": 9, "seconds": 12.0, "cells": {"sent/evm/clean": "once"}}, [storm])
    assert "| 5 | 10 | 3 | 500 | 75 | 140 | 200 | 7 / 3 | 0 | 0 | 0 | 3.5 / 8 s (5.25 s) | evm 6, tron 3 | 4 |" in page
