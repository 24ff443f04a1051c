"""The supervisor keeps processes alive, drains them, and says what it does."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import Unavailable
from workers.processes import birth, is_same
from workers.supervisor import DELAY_MAX_S, FIRST_DELAY_S, Life, Part, Supervisor, pause_s

PYTHON = sys.executable


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    kept = Supervisor(tmp_path / "state.json", tmp_path / "logs")
    yield kept
    await kept.stop()


def sleeper(name: str = "sleeper", **fields: object) -> Part:
    return Part(name=name, argv=("sleep", "1000"), **fields)  # type: ignore[arg-type]


def life(supervisor: Supervisor, name: str) -> str:
    return str(supervisor.snapshot()["parts"][name]["life"])


async def test_a_killed_part_is_back_within_a_moment(supervisor: Supervisor) -> None:
    supervisor.keep([sleeper()])
    await supervisor.wait_ready()
    dead = supervisor.kill("sleeper")
    begun = time.monotonic()
    while (row := supervisor.snapshot()["parts"]["sleeper"])["pid"] in (dead, None):
        await asyncio.sleep(0.01)
        assert time.monotonic() - begun < 2
    assert row["restarts"] == 1
    assert row["last_exit"] == "killed by SIGKILL"


async def test_pauses_grow_are_capped_and_never_the_same_for_all() -> None:
    rng = random.Random(1)
    assert FIRST_DELAY_S / 2 <= pause_s(1, rng) <= FIRST_DELAY_S
    assert all(DELAY_MAX_S / 2 <= pause_s(exits, rng) <= DELAY_MAX_S for exits in range(7, 60))
    assert len({pause_s(5, rng) for _ in range(10)}) == 10


async def test_a_part_that_keeps_ending_is_reported_with_the_end_of_its_log(supervisor: Supervisor) -> None:
    supervisor.keep([Part("broken", (PYTHON, "-c", "raise SystemExit('no such table')"))])
    with pytest.raises(Unavailable, match="no such table"):
        await supervisor.wait_ready()


async def test_a_program_that_is_not_there_is_reported(supervisor: Supervisor) -> None:
    supervisor.keep([Part("absent", ("/no/such/program",))])
    with pytest.raises(Unavailable, match="cannot be started"):
        await supervisor.wait_ready()


async def test_a_part_waits_for_those_it_needs(supervisor: Supervisor) -> None:
    answer = asyncio.Event()

    async def ready() -> bool:
        return answer.is_set()

    supervisor.keep([sleeper("second", needs=("first",)), sleeper("first", ready=ready)])
    await asyncio.sleep(0.2)
    assert life(supervisor, "first") == Life.STARTING
    assert life(supervisor, "second") == Life.WAITING
    answer.set()
    await supervisor.wait_ready(timeout_s=5)


async def test_draining_lets_a_part_finish_its_work(supervisor: Supervisor, tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    time.sleep(0.3); pathlib.Path({str(done)!r}).write_text('done'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(100)"
    )

    async def ready() -> bool:
        return "up" in (tmp_path / "logs" / "worker.log").read_text()

    supervisor.keep([Part("worker", (PYTHON, "-c", program), ready=ready)])
    await supervisor.wait_ready()
    await supervisor.stop()
    assert done.read_text() == "done"


async def test_a_part_that_will_not_drain_is_killed_after_its_grace(supervisor: Supervisor, tmp_path: Path) -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )

    async def ready() -> bool:
        return "up" in (tmp_path / "logs" / "deaf.log").read_text()

    supervisor.keep([Part("deaf", (PYTHON, "-c", program), ready=ready, grace_s=0.3)])
    await supervisor.wait_ready()
    pid = supervisor.snapshot()["parts"]["deaf"]["pid"]
    begun = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - begun < 3
    assert birth(pid) is None


async def test_who_is_needed_ends_last(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    program = (
        "import signal, sys, time\n"
        f"def end(*_): open({str(order)!r}, 'a').write(sys.argv[1] + ' '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); time.sleep(100)"
    )
    supervisor.keep(
        [Part(n, (PYTHON, "-c", program, n), needs=needs) for n, needs in (("base", ()), ("top", ("base",)))]
    )
    await supervisor.wait_ready()
    await asyncio.sleep(0.3)
    await supervisor.stop()
    assert order.read_text().split() == ["top", "base"]


async def test_the_state_file_tells_others_what_runs(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.note(phase="starting")
    supervisor.keep([sleeper()])
    await supervisor.wait_ready()
    told = json.loads((tmp_path / "state.json").read_text())
    row = told["parts"]["sleeper"]
    assert told["pid"] == os.getpid()
    assert told["phase"] == "starting"
    assert row["life"] == "ready"
    assert is_same(row["pid"], row["birth"])


async def test_what_a_part_must_not_see_it_does_not_see(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_DATABASE_URL", "postgresql://secret")
    supervisor.keep([Part("shy", ("sh", "-c", "env; sleep 100"), drop_env=frozenset({"STRONGROOM_DATABASE_URL"}))])
    await supervisor.wait_ready()
    assert "postgresql://secret" not in (tmp_path / "logs" / "shy.log").read_text()


async def test_nothing_that_a_dead_part_had_started_lingers(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.keep([Part("parent", ("sh", "-c", "sleep 1000 & echo $!; wait"))])
    await supervisor.wait_ready()
    child = int((tmp_path / "logs" / "parent.log").read_text().split()[0])
    supervisor.kill("parent", signal.SIGKILL)
    until = time.monotonic() + 2
    while birth(child) is not None:
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


def test_a_pid_is_no_identity() -> None:
    mine = birth(os.getpid())
    assert is_same(os.getpid(), mine)
    assert not is_same(os.getpid(), "another boot")
    assert birth(2**22 + 1) is None
