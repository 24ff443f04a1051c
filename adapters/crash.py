"""Makes this process die by SIGKILL at a crash point, once: for those who want to see what is left then.

A process that is kept alive would die again at every start, so the death leaves a mark in the installation's run
directory and nobody dies there again until it is removed (`mark_of`).

A process armed with ORDERED dies wherever somebody orders it to while it runs: the order is a file, and the first to
pass its point takes it with it.
"""

import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

from adapters.settings import Settings
from domain import crash_points
from domain.crash_points import ORDERED, CrashPoint

log = logging.getLogger("strongroom.crash")


def arm(settings: Settings) -> None:
    """Arms this process as STRONGROOM_CRASH_AT says, unless somebody has died there before. Settings have refused
    unknown names and every profile but the local one.
    """
    if not settings.crash_at:
        return
    if settings.crash_at == ORDERED:
        crash_points.die_by(lambda point: _die_if_ordered(order_for(settings, point)))
        log.warning("armed: this process dies where it is ordered to")
        return
    mark = mark_of(settings, settings.crash_at)
    if mark.exists():
        log.warning("not armed: a process has died at %s already", settings.crash_at)
        return
    wanted, nth = crash_points.parse(settings.crash_at)
    left = nth

    def die(point: CrashPoint) -> None:
        nonlocal left
        if point is not wanted:
            return
        left -= 1
        if left == 0:
            _die(mark)

    crash_points.die_by(die)
    log.warning("armed: this process dies at %s", settings.crash_at)


def mark_of(settings: Settings, crash_at: str) -> Path:
    """The file that says that somebody died there; once it is gone, the next process armed there dies again."""
    return settings.run_dir / f"died-at-{crash_at.replace(':', '-')}"


def order_for(settings: Settings, point: CrashPoint) -> Path:
    """The file that orders the next process armed with ORDERED that passes `point` to die there; gone once one did."""
    return settings.run_dir / f"die-at-{point}"


def _die_if_ordered(order: Path) -> None:
    if order.exists():
        with suppress(FileNotFoundError):  # somebody else was faster, and it is their death
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def _die(mark: Path) -> None:
    with suppress(FileExistsError):  # a twin was faster: both die
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.kill(os.getpid(), signal.SIGKILL)
