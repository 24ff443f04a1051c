"""Keeps processes alive: one operating-system process per part, started again when it dies, drained when asked.

A part that dies is back within a moment; one that dies again and again is started ever more rarely, until it has been
well for a minute. Nothing here knows what the parts do: they are rows.
"""

import asyncio
import json
import logging
import os
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any

from domain.errors import Unavailable
from workers.processes import birth, signal_group

log = logging.getLogger("strongroom.supervisor")

FIRST_DELAY_S = 0.2
DELAY_MAX_S = 5.0
HEALTHY_AFTER_S = 60.0
PROBE_EVERY_S = 0.05
PROBE_TIMEOUT_S = 5.0
SETTLED_AFTER_S = 0.3  # a part without a probe counts as ready when it has lived this long
GIVE_UP_AFTER_EXITS = 4  # a part that never became ready is reported, though it is still tried
LOG_MAX_BYTES = 20_000_000


class Life(StrEnum):
    """Where a part is in its life."""

    WAITING = "waiting"  # for the parts it needs
    STARTING = "starting"  # its process runs and does not answer yet
    READY = "ready"  # it answers
    RESTING = "resting"  # it died; the next start comes after a pause
    STOPPED = "stopped"  # it was asked to end


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep. `prepare` runs before each start, `ready` is asked until it says yes."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    drop_env: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    prepare: Callable[[], Awaitable[None]] | None = None
    ready: Callable[[], Awaitable[bool]] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    cwd: Path | None = None
    uid: int | None = None
    gid: int | None = None


def pause_s(exits: int, rng: random.Random) -> float:
    """How long to wait before the next start after `exits` deaths in a row: doubling, capped, with jitter."""
    full = min(DELAY_MAX_S, FIRST_DELAY_S * float(2 ** min(exits - 1, 16)))
    return full * rng.uniform(0.5, 1.0)


class Supervisor:
    """Keeps a set of parts. `state_file` always holds what is running, readable by any other process. A part that lived
    for `healthy_after_s` starts anew without a pause that grows: less where somebody kills parts on purpose.
    """

    def __init__(self, state_file: Path, log_dir: Path, *, healthy_after_s: float = HEALTHY_AFTER_S) -> None:
        self._state_file = state_file
        self._log_dir = log_dir
        self._healthy_after_s = healthy_after_s
        self._keepers: dict[str, _Keeper] = {}
        self._rng = random.Random()  # noqa: S311  # jitter, not a secret
        self._notes: dict[str, Any] = {"pid": os.getpid(), "birth": birth(os.getpid()), "since": _now()}
        log_dir.mkdir(parents=True, exist_ok=True)
        state_file.parent.mkdir(parents=True, exist_ok=True)

    def note(self, **facts: Any) -> None:
        """Writes facts about the whole beside those of the parts."""
        self._notes |= facts
        self._write()

    def keep(self, parts: Iterable[Part]) -> None:
        """Starts keeping parts; each waits for those it needs. Needs the running loop."""
        for part in parts:
            if part.name in self._keepers:
                raise ValueError(f"{part.name} is kept already")
            log_file = self._log_dir / f"{part.name}.log"
            self._keepers[part.name] = _Keeper(part, log_file, self._rng, self._write, self._healthy_after_s)
        for keeper in self._keepers.values():
            keeper.begin(tuple(self._keepers[name] for name in keeper.part.needs if name in self._keepers))

    async def wait_ready(self, names: Iterable[str] | None = None, timeout_s: float = 60.0) -> None:
        """Returns when the named parts (all) answer. Raises Unavailable PART_DOWN with the end of the log of a part
        that keeps dying, or PART_SLOW."""
        pending = [self._keepers[name] for name in names] if names is not None else list(self._keepers.values())
        until = monotonic() + timeout_s
        while waiting := [keeper for keeper in pending if keeper.life is not Life.READY]:
            for keeper in waiting:
                keeper.raise_if_hopeless()
            if monotonic() > until:
                keeper = waiting[0]
                raise Unavailable(
                    "PART_SLOW", f"{keeper.part.name} did not answer within {timeout_s:.0f} s.{keeper.last_words()}"
                )
            await asyncio.sleep(PROBE_EVERY_S)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signals a part's process as `kill` would; the part is started again if it dies. Returns the pid."""
        pid = self._keepers[name].pid
        if pid is None:
            raise Unavailable("PART_DOWN", f"{name} does not run at this moment.")
        os.kill(pid, number)
        return pid

    async def stop(self, names: Iterable[str] | None = None) -> None:
        """Drains parts: those that need others end first. A part that outlives its grace is killed."""
        left = dict(self._keepers) if names is None else {name: self._keepers[name] for name in names}
        while left:
            needed = {name for keeper in left.values() for name in keeper.part.needs}
            wave = {name: keeper for name, keeper in left.items() if name not in needed} or dict(left)
            await asyncio.gather(*(keeper.end() for keeper in wave.values()))
            for name in wave:
                del left[name], self._keepers[name]
        self._write()

    def snapshot(self) -> dict[str, Any]:
        return self._notes | {"parts": {name: keeper.facts() for name, keeper in self._keepers.items()}}

    def _write(self) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._state_file.parent, prefix=".state-")
        with os.fdopen(handle, "w") as file:
            json.dump(self.snapshot(), file, indent=1)
        Path(temporary).replace(self._state_file)


class _Keeper:
    """Keeps one part."""

    def __init__(
        self, part: Part, log_file: Path, rng: random.Random, changed: Callable[[], None], healthy_after_s: float
    ) -> None:
        self.part = part
        self.life = Life.WAITING
        self.restarts = 0
        self.answered = asyncio.Event()
        self._log_file = log_file
        self._rng = rng
        self._changed = changed
        self._healthy_after_s = healthy_after_s
        self._since = _now()
        self._last_exit: str | None = None
        self._exits_in_a_row = 0
        self._was_ready = False
        self._process: asyncio.subprocess.Process | None = None
        self._birth: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.returncode is None else None

    def begin(self, needs: "tuple[_Keeper, ...]") -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._keep(needs), name=f"keep {self.part.name}")

    async def end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if (process := self._process) is not None:
            await self._drain(process)
        self._become(Life.STOPPED)

    def facts(self) -> dict[str, Any]:
        return {
            "life": self.life,
            "pid": self.pid,
            "birth": self._birth if self.pid else None,
            "restarts": self.restarts,
            "since": self._since,
            "last_exit": self._last_exit,
            "log": str(self._log_file),
        }

    def raise_if_hopeless(self) -> None:
        if not self._was_ready and self._exits_in_a_row >= GIVE_UP_AFTER_EXITS:
            raise Unavailable("PART_DOWN", f"{self.part.name} keeps ending ({self._last_exit}).{self.last_words()}")

    def last_words(self, lines: int = 12) -> str:
        """The end of the part's log, for an error message."""
        with suppress(OSError):
            text = self._log_file.read_text(errors="replace")[-4000:].strip()
            if text:
                return " Its log ends with:\n" + "\n".join(text.splitlines()[-lines:])
        return f" Its log is {self._log_file}."

    # ------------------------------------------------------------ the life of a part
    async def _keep(self, needs: "tuple[_Keeper, ...]") -> None:
        for other in needs:
            await other.answered.wait()
        while True:
            begun = monotonic()
            try:
                await self._live_once()
            except Unavailable as error:
                self._last_exit = str(error)
            except OSError as error:
                self._last_exit = f"cannot be started: {error}"
            self._exits_in_a_row = 1 if monotonic() - begun > self._healthy_after_s else self._exits_in_a_row + 1
            pause = pause_s(self._exits_in_a_row, self._rng)
            log.warning("%s: %s; next start in %.1f s", self.part.name, self._last_exit, pause)
            self._become(Life.RESTING)
            await asyncio.sleep(pause)
            self.restarts += 1

    async def _live_once(self) -> None:
        """One life from start to death. Raises Unavailable or OSError when it cannot be started."""
        part = self.part
        if part.prepare is not None:
            await part.prepare()
        process = self._process = await self._spawn()
        self._birth = birth(process.pid)
        self._become(Life.STARTING)
        log.info("%s: started as %d", part.name, process.pid)
        probing = asyncio.create_task(self._probe())
        try:
            code = await process.wait()
        finally:
            probing.cancel()
        signal_group(process.pid, signal.SIGKILL)  # nothing of it may linger and hold its port
        self._last_exit = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _spawn(self) -> asyncio.subprocess.Process:
        part = self.part
        env = {k: v for k, v in os.environ.items() if k not in part.drop_env} | dict(part.env)
        identity: dict[str, Any] = {}
        if part.uid is not None:
            identity = {"user": part.uid, "group": part.gid, "extra_groups": []}
        output = await asyncio.to_thread(_open_log, self._log_file)
        try:
            return await asyncio.create_subprocess_exec(
                *part.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=part.cwd,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to hand on, in order
                **identity,
            )
        finally:
            os.close(output)

    async def _probe(self) -> None:
        """Asks until the part answers; a probe that fails or hangs is a no."""
        if self.part.ready is None:
            await asyncio.sleep(SETTLED_AFTER_S)
        while self.part.ready is not None:
            with suppress(OSError, TimeoutError, Unavailable):
                if await asyncio.wait_for(self.part.ready(), PROBE_TIMEOUT_S):
                    break
            await asyncio.sleep(PROBE_EVERY_S)
        self._was_ready = True
        self.answered.set()
        self._become(Life.READY)

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(self.part.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.part.grace_s)
            except TimeoutError:
                log.warning("%s: still there after %.0f s of grace, killed", self.part.name, self.part.grace_s)
        signal_group(process.pid, signal.SIGKILL)
        await process.wait()

    def _become(self, life: Life) -> None:
        if life is not self.life:
            self.life, self._since = life, _now()
        self._changed()


def _open_log(path: Path) -> int:
    """Opens a part's log for appending; a large one is set aside first, and the one set aside before is let go."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > LOG_MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
