"""A short storm with a seed nobody chose, on a network of each family: every withdrawal is paid exactly once or
returned, and the nodes say so.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = 20040
NETWORKS = "ethereum,tron,bitcoin"
MINUTES = float(os.environ.get("STRONGROOM_CHAOS_MINUTES", "1"))
REST_S = 420  # start, what is still under way at the end, and the evidence


@pytest.mark.timeout(MINUTES * 60 + REST_S + 30)
def test_under_a_storm_each_withdrawal_is_paid_exactly_once_or_returned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = secrets.randbits(32)
    with capsys.disabled():
        # The seed is what a reader needs.
        print(f"\nreplay with: ./run chaos payouts --network {NETWORKS} --seed {seed} --minutes {MINUTES}")  # noqa: T201
    foreign = ("STRONGROOM_", "TEMPORAL_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    words = ("--network", NETWORKS, "--seed", str(seed), "--minutes", str(MINUTES), "--json")
    done = subprocess.run(
        [sys.executable, "-m", "ops", "chaos", "payouts", *words],
        cwd=ROOT,
        env=environment | {"STRONGROOM_PORT_BASE": str(PORT_BASE)},
        capture_output=True,
        text=True,
        timeout=MINUTES * 60 + REST_S,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    report = json.loads(done.stdout)
    assert (report["paid_twice"], report["lost"], report["stuck"]) == (0, 0, 0)
    assert report["seed"] == seed
    assert report["kills"]["total"] >= 5 * MINUTES
    assert report["reorgs"]["total"] >= 8 * MINUTES
    assert report["withdrawals"]["by_end"]["SETTLED"] > 0
    assert set(report["trial_balance"].values()) == set(report["chain_minus_ledger"].values()) == {"0"}
    assert report["workflows_replayed"] > report["withdrawals"]["asked"] / 2
