"""The stages of a withdrawal and its derived ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Refused
from domain.withdrawal import CANCELLABLE, ENDS, NEXT, SENTENCE, Stage, check_step, withdrawal_id

MOVED = {Stage.BROADCAST, Stage.CONFIRMING}


def test_every_stage_has_a_sentence_and_a_row() -> None:
    assert set(SENTENCE) == set(NEXT) == set(Stage)


def test_every_stage_can_be_reached_and_every_stage_can_reach_an_end() -> None:
    def reach(start: Stage) -> set[Stage]:
        seen: set[Stage] = set()
        todo = [start]
        while todo:
            stage = todo.pop()
            if stage not in seen:
                seen.add(stage)
                todo += NEXT[stage]
        return seen

    assert reach(Stage.REQUESTED) == set(Stage)
    assert all(reach(stage) & ENDS for stage in Stage)


def test_once_coins_may_be_moving_only_facts_from_the_chain_end_a_withdrawal() -> None:
    for stage in MOVED:
        assert NEXT[stage] <= MOVED | {Stage.SETTLED, Stage.FAILED, Stage.QUEUED}
        assert not NEXT[stage] & CANCELLABLE - {Stage.QUEUED}, "back only to be paid anew, by proof that it cannot be"


def test_a_planned_withdrawal_can_no_longer_be_cancelled() -> None:
    assert {Stage.REQUESTED, Stage.REFERRED, Stage.QUEUED} == CANCELLABLE
    with pytest.raises(Refused) as refusal:
        check_step(Stage.PLANNED, Stage.CANCELLED)
    assert refusal.value.code == "WITHDRAWAL_STAGE"


def test_nothing_follows_an_end() -> None:
    for end in ENDS:
        for stage in Stage:
            with pytest.raises(Refused):
                check_step(end, stage)


# The door and the books take printable names only, so the line end between account and reference parts them for ever.
NAMES = st.text(st.characters(exclude_categories=["C"]), max_size=64)


@given(NAMES, NAMES, NAMES, NAMES)
def test_one_account_and_reference_name_one_withdrawal_for_ever(a: str, b: str, c: str, d: str) -> None:
    one, other = (a, b), (c, d)
    assert (withdrawal_id(*one) == withdrawal_id(*other)) == (one == other)
