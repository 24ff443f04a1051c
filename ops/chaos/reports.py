"""The reports of earlier runs, as far as anything rests on what they say."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ops.chaos.written import Written, fault

_CellName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+/[^/]+$")]


class Matrix(Written):
    """What `chaos matrix --json` printed."""

    seed: int
    seconds: float
    cells: dict[_CellName, str] = Field(min_length=1)
    faults: list[str]
    date: str = ""
    played_again: dict[str, str] = Field(default_factory=dict)


class _Asked(Written):
    asked: int


class _Total(Written):
    total: int


class _Recovery(Written):
    p50: float
    max: float
    after_restart_max: float


class _Simple(Written):
    family: str
    paid_twice: int
    most_for_one: int


class _Naive(Written):
    by_network: dict[str, _Simple]


class Storm(Written):
    """What `chaos payouts --json` printed."""

    seed: int
    minutes: float
    networks: list[str]
    withdrawals: _Asked
    kills: _Total
    reorgs: _Total
    faults_made: _Total
    procedures: dict[str, int] | None = None
    paid_twice: int
    lost: int
    stuck: int
    seconds_to_recover: _Recovery | None = None
    naive: _Naive | None = None


def read(text: str, shape: type[Matrix] | type[Storm]) -> Mapping[str, Any]:
    """The whole report, as it was printed. Raises ValueError for anything else."""
    try:
        shape.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(fault(error)) from None
    report: Mapping[str, Any] = json.loads(text)
    return report
