"""The verdict finds what it is there to find: a second payment, a missing one, one that never ends."""

from dataclasses import replace

import pytest

from domain.withdrawal import Stage
from ops.chaos.verdict import Evidence, Row, judge, judge_row
from ops.chaos.witness import Paid

ONE = Paid("0x01", None, "0xrecipient", 500)
TWO = Paid("0x02", None, "0xrecipient", 500)
GOOD = Row("wd_a", "ethereum", accepted=True, units=500, stage=Stage.SETTLED, payments=(ONE,))
ZERO = {"USDT-ETHEREUM": "0"}
CLEAN = Evidence(rows=[GOOD], sums=ZERO, differences=ZERO, clients=ZERO)


def test_a_run_in_which_all_is_well_is_clean() -> None:
    verdict = judge(CLEAN)
    assert verdict.clean
    assert (verdict.paid_twice, verdict.lost, verdict.stuck, verdict.ends) == (0, 0, 0, {"SETTLED": 1})


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (GOOD, "once"),
        (replace(GOOD, payments=(ONE, TWO)), "paid_twice"),
        (replace(GOOD, payments=(ONE, TWO), stage=Stage.BROADCAST), "paid_twice"),
        (replace(GOOD, stage=Stage.FAILED), "paid_twice"),
        (replace(GOOD, stage=Stage.CANCELLED), "paid_twice"),
        (replace(GOOD, stage=None, accepted=False), "paid_twice"),
        (replace(GOOD, payments=()), "lost"),
        (replace(GOOD, payments=(replace(ONE, units=499),)), "lost"),
        (replace(GOOD, payments=(), stage=None), "lost"),
        (replace(GOOD, stage=Stage.BROADCAST), "stuck"),
        (replace(GOOD, payments=(), stage=Stage.REFERRED), "stuck"),
        (replace(GOOD, payments=(), stage=Stage.FAILED), "returned"),
        (replace(GOOD, payments=(), stage=Stage.REJECTED), "returned"),
        (replace(GOOD, payments=(), stage=None, accepted=False), "refused"),
    ],
)
def test_every_withdrawal_has_its_word(row: Row, word: str) -> None:
    kind, sentence = judge_row(row)
    assert kind == word
    assert bool(sentence) is (word in ("paid_twice", "lost", "stuck"))
    assert judge(replace(CLEAN, rows=[row])).clean is (word in ("once", "returned", "refused"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"unasked": [TWO]},
        {"sums": {"USDT-ETHEREUM": "1"}},
        {"differences": {"USDT-ETHEREUM": "-0.5"}},
        {"clients": {"USDT-ETHEREUM": "3"}},
        {"open": {"withdrawal/wd_a": "nobody named a reason"}},
        {"broken": {"withdrawal/wd_a": "does not replay"}},
    ],
)
def test_books_chain_and_histories_each_make_it_fail(wrong: dict[str, object]) -> None:
    verdict = judge(replace(CLEAN, **wrong))  # type: ignore[arg-type]
    assert not verdict.clean
    assert len(verdict.faults) == 1


def test_a_payment_nobody_asked_for_counts_as_one_too_many() -> None:
    assert judge(replace(CLEAN, unasked=[TWO])).paid_twice == 1
