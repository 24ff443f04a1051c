"""The cells are shared out so that each is played once and no installation runs nodes that it does not need."""

import pytest

from adapters.catalogue import load
from ops.chaos.cells import cells
from ops.chaos.matrix import completed, shares

NETWORKS = {network.family: network for network in load("devnet").networks.values()}
WANTED = list(cells(NETWORKS))


@pytest.mark.parametrize("at_once", [1, 2, 3, 6, 8])
def test_every_cell_is_played_once_however_many_installations_there_are(at_once: int) -> None:
    handed = shares(WANTED, at_once)
    assert len(handed) == at_once
    played = [cell for _, left in handed for cell in left]
    assert sorted(cell.name for cell in played) == sorted(cell.name for cell in WANTED)


def test_with_enough_installations_each_has_one_network() -> None:
    handed = shares(WANTED, 2 * len(NETWORKS))
    assert {len(networks) for networks, _ in handed} == {1}
    for networks, left in handed:
        assert {cell.network for cell in left} <= set(networks)


def test_with_fewer_each_has_them_all() -> None:
    [(networks, left)] = shares(WANTED, 1)
    assert set(networks) == {cell.network for cell in left}


def test_what_is_played_again_completes_a_report_and_forgets_no_fault() -> None:
    before = {"cells": {"a": "once", "b": "no-lost-reply"}, "faults": [], "seconds": 5.0, "clean": False, "seed": 3}
    again = {"cells": {"b": "once"}, "faults": [], "seconds": 1.5, "clean": True, "seed": 4}
    whole = completed(before, again)
    assert (whole["clean"], whole["seed"], whole["seconds"]) == (True, 3, 6.5)
    assert (whole["cells"], whole["played_again"]) == ({"a": "once", "b": "once"}, {"b": "no-lost-reply"})
    assert not completed({**before, "faults": ["wd_1: paid twice"]}, again)["clean"]
    assert not completed(before, {**again, "cells": {"b": "stuck"}})["clean"]
