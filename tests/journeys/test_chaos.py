"""Schedules that once did harm, made to happen again: every withdrawal is paid exactly once or returned, and the nodes
say so. A storm with a seed nobody chose is a command of its own, `./run chaos payouts`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.chaos.schedule import Schedule

ROOT = Path(__file__).resolve().parents[2]
KEPT = sorted(Path(__file__).with_name("storms").glob("*.json"))
PORT_BASE = 20040
START_AND_EVIDENCE_S = 300


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_a_schedule_that_did_harm_once_does_none_now(path: Path) -> None:
    schedule = Schedule.read(path)
    report = replayed(path, schedule.minutes * 60 + START_AND_EVIDENCE_S)
    assert (report["paid_twice"], report["lost"], report["stuck"]) == (0, 0, 0)
    assert report["seed"] == schedule.seed
    assert report["withdrawals"]["by_end"]["SETTLED"] > 0
    assert set(report["trial_balance"].values()) == set(report["chain_minus_ledger"].values()) == {"0"}
    assert report["workflows_replayed"] > report["withdrawals"]["asked"] / 2
    if path.stem.startswith("simple"):
        harmed = {name: row["paid_twice"] for name, row in report["naive"]["by_network"].items()}
        assert all(harmed.values()), f"{harmed}: what harms nobody proves nothing; keep one that harms the simple sender"


def replayed(path: Path, timeout_s: float) -> Mapping[str, Any]:
    foreign = ("STRONGROOM_", "TEMPORAL_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        [sys.executable, "-m", "ops", "chaos", "payouts", "--replay", path, "--json"],
        cwd=ROOT,
        env=environment | {"STRONGROOM_PORT_BASE": str(PORT_BASE)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{path.name}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    report: Mapping[str, Any] = json.loads(done.stdout)
    return report


def test_what_the_simple_sender_cannot_stand_is_kept_for_every_family() -> None:
    simple = [Schedule.read(path) for path in KEPT if path.stem.startswith("simple")]
    assert {network for schedule in simple for network in schedule.networks} >= {"ethereum", "tron", "bitcoin"}
