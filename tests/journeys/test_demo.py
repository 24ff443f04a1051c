"""The demonstration is a promise: real withdrawals, each paid exactly once, also while parts are being killed."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.catalogue import load
from domain.withdrawal import Stage
from ops.cli.demo import ALL
from ops.demo.run import EXTRA_WHILE_KILLING
from ops.demo.story import BATCH_PAYOUTS_MIN

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = 19400
DEMO_MAX_S = 170
WHOLE_STORY = ("ethereum", "tron")  # the first network of each family
ONE_BY_ONE = tuple(id_ for id_, network in load("devnet").networks.items() if network.batch_max == 1)
WHOLE = {
    "native coin": Stage.SETTLED,
    "paid at once": Stage.SETTLED,
    "2 of 3 approve": Stage.SETTLED,
    "rejected": Stage.REJECTED,
    "not enough funds": "REFUSED",
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An installation that stays up for all journeys, as `up --detach` leaves it, away from anybody's own."""
    foreign = ("STRONGROOM_", "TEMPORAL_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "STRONGROOM_STATE_DIR": str(tmp_path_factory.mktemp("journey") / "state"),
        "STRONGROOM_PORT_BASE": str(PORT_BASE),
    }
    try:
        _strongroom(environment, "up", "--detach")
        yield environment
    finally:
        _strongroom(environment, "down")


@pytest.mark.timeout(300)
def test_the_demonstration_pays_each_withdrawal_exactly_once(installation: dict[str, str]) -> None:
    report = _demo(installation)
    told: dict[str, dict[str, str]] = {}
    for row in report["withdrawals"]:
        told.setdefault(row["network"], {})[row["title"]] = row["stage"]
        if row["title"] == "paid at once":
            assert row["transfers"] == 1
            assert row["history_events"] <= 45
    paid = {"native coin": Stage.SETTLED, "paid at once": Stage.SETTLED}
    assert {id_: told[id_] for id_ in ONE_BY_ONE} == {id_: WHOLE if id_ in WHOLE_STORY else paid for id_ in ONE_BY_ONE}
    _is_one_batch(report)
    _zeroes(report)


@pytest.mark.timeout(300)
def test_killing_every_part_in_the_middle_pays_each_withdrawal_exactly_once(installation: dict[str, str]) -> None:
    report = _demo(installation, "--kill", "all")
    assert [line.split("(")[1].rstrip(")") for line in report["killed"]] == ALL.split(",")
    settled = [row for row in report["withdrawals"] if row["stage"] == Stage.SETTLED]
    one_by_one = [row for row in settled if row["network"] in ONE_BY_ONE]
    short = len(ONE_BY_ONE) - len(WHOLE_STORY)
    assert len(one_by_one) == len(WHOLE_STORY) * (3 + EXTRA_WHILE_KILLING) + 2 * short
    assert all(row["transfers"] == 1 and row["destination_balance"] == row["amount"] for row in settled)
    _zeroes(report)


def _is_one_batch(report: dict[str, Any]) -> None:
    """Where payouts go in batches one transaction pays many, and the node shows each of them once."""
    rows = [row for row in report["withdrawals"] if row["network"] not in ONE_BY_ONE]
    assert {row["stage"] for row in rows} == {Stage.SETTLED}
    assert all(row["transfers"] == 1 and row["confirmations"] > 0 for row in rows)
    assert max(Counter(row["txid"] for row in rows).values()) >= BATCH_PAYOUTS_MIN


def _zeroes(report: dict[str, Any]) -> None:
    for proof in ("trial_balance", "chain_minus_ledger"):
        assert report[proof], f"{proof} names no asset"
        assert set(report[proof].values()) == {"0"}, report[proof]


def _demo(environment: dict[str, str], *words: str) -> dict[str, Any]:
    done = _strongroom(environment, "demo", "--json", *words)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _strongroom(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ops", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEMO_MAX_S,
        check=False,
    )
    assert done.returncode == 0, f"strongroom {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    return done
