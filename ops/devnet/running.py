"""Who runs an installation: at most one process per state directory, known to everybody by a lock and a state file."""

import asyncio
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from adapters.settings import Settings
from domain.errors import Unavailable
from ops.devnet.endpoints import Endpoints, endpoints
from workers.processes import is_same, signal_group

ORPHAN_GRACE_S = 8.0
POLL_S = 0.1
LOCK_TRIES = 10


@contextmanager
def sole_runner(settings: Settings) -> Iterator[None]:
    """Holds the installation while the block runs. Raises Unavailable ALREADY_RUNNING. A crash lets go of it."""
    make_folders(settings)
    handle = os.open(settings.run_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(handle):
            raise Unavailable(
                "ALREADY_RUNNING",
                f"{settings.state_dir} is in use by process {last_state(settings).get('pid')}; see `strongroom "
                "status`. Another checkout needs its own STRONGROOM_STATE_DIR and STRONGROOM_PORT_BASE.",
            )
        yield
    finally:
        os.close(handle)


def make_folders(settings: Settings) -> None:
    """The state directory and what every part writes to; nobody else may look inside."""
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (settings.run_dir, settings.log_dir):
        folder.mkdir(mode=0o700, exist_ok=True)


def _take(handle: int) -> bool:
    """Takes the lock. Somebody who only looks whether it is held has it for a moment, so one try is too few."""
    for _ in range(LOCK_TRIES):
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def write_state(settings: Settings, facts: dict[str, Any]) -> None:
    """Says what has become of the installation, where no supervisor says it."""
    draft = state_file(settings).with_suffix(".new")
    draft.write_text(json.dumps(facts))
    draft.replace(state_file(settings))


def state_file(settings: Settings) -> Path:
    return settings.run_dir / "stack.json"


def is_held(settings: Settings) -> bool:
    """Whether a process holds the installation at this moment."""
    try:
        with (settings.run_dir / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def read(settings: Settings) -> dict[str, Any] | None:
    """What is running, as its keeper wrote it; None when nobody keeps the installation."""
    return last_state(settings) or None if is_held(settings) else None


def last_state(settings: Settings) -> dict[str, Any]:
    """What was last written of the installation, whether or not anybody keeps it now; empty when nothing was."""
    try:
        facts: dict[str, Any] = json.loads(state_file(settings).read_text())
    except (OSError, ValueError):
        return {}
    return facts


def orphans(settings: Settings) -> dict[str, int]:
    """Processes that a dead keeper left behind, by part."""
    parts = last_state(settings).get("parts", {})
    return {name: row["pid"] for name, row in parts.items() if row["pid"] and is_same(row["pid"], row["birth"])}


def end_orphans(settings: Settings) -> dict[str, int]:
    """Ends what a dead keeper left behind, in order and then by force; returns what there was.

    Only for who holds the installation, or after seeing that nobody does: a keeper's parts are no orphans.
    """
    found = orphans(settings)
    for name, pid in found.items():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    until = monotonic() + ORPHAN_GRACE_S
    while (left := orphans(settings)) and monotonic() < until:
        time.sleep(0.05)
    for pid in left.values():
        signal_group(pid, signal.SIGKILL)
    return found


class RunningStack:
    """An installation that another process keeps: it can be looked at, waited for and hurt, and it outlives us."""

    owned = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def endpoints(self) -> Endpoints:
        return endpoints(self.settings)

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that are worked on."""
        named: list[str] = (read(self.settings) or {}).get("networks", [])
        return tuple(id_ for id_ in self.settings.served if id_ in named)

    @property
    def without(self) -> dict[str, str]:
        """The networks that are not worked on for want of a program, each with what to do."""
        return dict((read(self.settings) or {}).get("without", {}))

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = (read(self.settings) or {}).get("parts", {})
        return rows

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signals a part's process; its keeper starts it again. Returns the pid. Raises Unavailable PART_DOWN."""
        row = self.parts.get(name)
        if row is None or not row["pid"] or not is_same(row["pid"], row["birth"]):
            raise Unavailable("PART_DOWN", f"{name} does not run at this moment.")
        pid = int(row["pid"])
        os.kill(pid, number)
        return pid

    async def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Returns when the keeper says that all is ready. Raises Unavailable with its reason when it gave up."""
        until = monotonic() + timeout_s
        while True:
            facts = read(self.settings) or last_state(self.settings)
            if facts.get("phase") == "failed":
                raise Unavailable("START_FAILED", str(facts.get("error")))
            rows = facts.get("parts", {}).values()
            if facts.get("phase") == "ready" and all(row["life"] == "ready" for row in rows):
                return
            if monotonic() > until:
                waiting = ", ".join(name for name, row in facts.get("parts", {}).items() if row["life"] != "ready")
                raise Unavailable(
                    "PART_SLOW", f"Not ready within {timeout_s:.0f} s: {waiting or 'nothing was started'}."
                )
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """Asks the keeper to drain everything and end, and waits until it has. Raises Unavailable STOP_SLOW."""
        facts = read(self.settings)
        if facts is None:
            return
        if is_same(facts["pid"], facts["birth"]):
            os.kill(facts["pid"], signal.SIGTERM)
        until = monotonic() + 60
        while is_held(self.settings):
            if monotonic() > until:
                raise Unavailable("STOP_SLOW", f"Process {facts['pid']} has not ended within 60 s.")
            await asyncio.sleep(POLL_S)
