"""A process dies where it was told to, by SIGKILL and once; where something is at stake it does not even start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters import crash
from adapters.settings import ROOT, Settings
from domain.crash_points import ORDERED, CrashPoint
from domain.errors import Refused

PASSES_TWICE = """
from adapters import crash
from adapters.settings import Settings
from domain.crash_points import CrashPoint, passing
crash.arm(Settings())
for time in (1, 2):
    passing(CrashPoint.SENDING)
    passing(CrashPoint.SENT)
    print("passed", time, flush=True)
"""


def life(state: Path, crash_at: str | None, **more: str) -> subprocess.CompletedProcess[str]:
    """A process that passes two points twice."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    environment |= {"STRONGROOM_STATE_DIR": str(state), **more}
    if crash_at is not None:
        environment["STRONGROOM_CRASH_AT"] = crash_at
    return subprocess.run(
        [sys.executable, "-c", PASSES_TWICE], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_without_the_variable_nobody_dies(tmp_path: Path) -> None:
    done = life(tmp_path, None)
    assert (done.returncode, done.stdout) == (0, "passed 1\npassed 2\n")


@pytest.mark.parametrize(("crash_at", "said"), [("sent", ""), ("sent:2", "passed 1\n")])
def test_it_dies_by_sigkill_at_the_passing_it_was_told(crash_at: str, said: str, tmp_path: Path) -> None:
    done = life(tmp_path, crash_at)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, said)


def test_it_dies_once_and_again_only_after_the_mark_is_gone(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert [life(tmp_path, "sent").returncode for _ in range(2)] == [-signal.SIGKILL, 0]
    crash.mark_of(settings, "sent").unlink()
    assert life(tmp_path, "sent").returncode == -signal.SIGKILL


def test_told_to_wait_it_dies_where_it_is_ordered_and_the_order_is_gone(tmp_path: Path) -> None:
    order = crash.order_for(Settings(state_dir=tmp_path), CrashPoint.SENT)
    assert life(tmp_path, ORDERED).returncode == 0
    order.parent.mkdir(parents=True, exist_ok=True)
    order.touch()
    assert (done := life(tmp_path, ORDERED)).returncode == -signal.SIGKILL, done
    assert not order.exists()
    assert life(tmp_path, ORDERED).returncode == 0


@pytest.mark.parametrize(
    ("profile", "crash_at", "why"),
    [
        ("production", "sent", "devnet profile alone"),
        ("production", ORDERED, "devnet profile alone"),
        ("devnet", "sent-of", "there are request-committed"),
    ],
)
def test_production_and_unknown_names_are_refused_at_the_start(profile: str, crash_at: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as caught:
        Settings(profile=profile, crash_at=crash_at)  # type: ignore[arg-type]
    assert caught.value.code == "CONFIG_INVALID"


@pytest.mark.parametrize("kind", ["books", "chain", "signer", "orchestrator"])
def test_a_worker_of_production_does_not_start_with_it(kind: str, tmp_path: Path) -> None:
    environment = {**os.environ, "STRONGROOM_PROFILE": "production", "STRONGROOM_CRASH_AT": "sent"}
    environment["STRONGROOM_STATE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "workers", kind], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "CONFIG_INVALID" in done.stderr
