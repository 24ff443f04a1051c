"""Which process is this? A pid alone is no identity: it is given out again after a reboot, and sooner."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def birth(pid: int) -> str | None:
    """A mark that no other process ever shares with `pid`; None when there is no such process (a zombie is none)."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        state, *rest = stat.rpartition(")")[2].split()
        return None if state in "ZX" else f"{_boot_id()}:{rest[18]}"
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def is_same(pid: int, mark: str | None) -> bool:
    """Whether `pid` still is the process that bore `mark`."""
    return mark is not None and birth(pid) == mark


def command_of(pid: int) -> str:
    """The command line of a process, for messages and checks; empty when it cannot be read."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signals the process group that `pid` leads; nothing happens when it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
