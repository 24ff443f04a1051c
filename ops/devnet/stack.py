"""The whole installation as one object: started together, each part kept alive, stopped in order.

async with Stack(Settings(state_dir=..., port_base=18100), parts=("postgres", "temporal")) as stack:
    stack.endpoints.temporal
    stack.kill("postgres")            # as `kill -9` would; it comes back by itself
    await stack.wait_ready()
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from adapters.settings import Settings
from domain.errors import Unavailable
from ops.devnet import parts as rows
from ops.devnet import ports, provision
from ops.devnet.endpoints import Endpoints, endpoints
from ops.devnet.running import RunningStack, end_orphans, is_held, sole_runner, state_file, write_state
from workers.supervisor import HEALTHY_AFTER_S, Part, Supervisor

__all__ = ["Endpoints", "RunningStack", "Stack", "open_stack"]

READY_TIMEOUT_S = 120.0


class Stack:
    """An installation kept by this process; `parts` chooses some of `parts.names`, all that belong unless given.
    Not `provisioned`, it is left as empty as its parts come up. `healthy_after_s` is the supervisor's.
    """

    owned = True

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        parts: Collection[str] | None = None,
        provisioned: bool = True,
        healthy_after_s: float = HEALTHY_AFTER_S,
    ) -> None:
        self.settings = settings or Settings()
        every = rows.rows(self.settings)
        known = [row.name for row in every]
        if unknown := sorted(set(parts or ()) - set(known)):
            raise ValueError(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
        asked = frozenset(known if parts is None else parts)
        self._rows = [row for row in every if row.name in asked and row.wanted(self.settings)]
        self._given = {row.name for row in every if row.name in asked and not row.wanted(self.settings)}
        self.without: Mapping[str, str] = {}  # networks that are not worked on for want of a program, and what to do
        self._provisioned = provisioned
        self._healthy_after_s = healthy_after_s
        self._held = ExitStack()
        self._supervisor: Supervisor | None = None

    @property
    def endpoints(self) -> Endpoints:
        return endpoints(self.settings)

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that are worked on."""
        return self.settings.served

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """What each part is doing."""
        found: dict[str, dict[str, Any]] = self._kept.snapshot()["parts"]
        return found

    async def start(self) -> None:
        """Starts the parts and provisions the installation; returns when our own processes have been started too.

        Raises Unavailable: ALREADY_RUNNING, PORT_IN_USE, or what kept a part from starting; nothing runs then.
        """
        self._held.enter_context(sole_runner(self.settings))
        try:
            await self._leave_out()
            await asyncio.to_thread(end_orphans, self.settings)  # read from the old state, so before it is replaced
            write_state(self.settings, {"phase": "starting", "parts": {}})
            taken = {f"{row.name}": row.ports(self.settings) for row in self._rows}
            ports.raise_if_taken({f"{name} ({p})": p for name, numbers in taken.items() for p in numbers})
            self._supervisor = Supervisor(
                state_file(self.settings), self.settings.log_dir, healthy_after_s=self._healthy_after_s
            )
            self._supervisor.note(
                phase="starting",
                endpoints=asdict(self.endpoints),
                networks=list(self.settings.served),
                without=dict(self.without),
            )
            await self._start_in_order(self._supervisor)
        except BaseException as error:
            await self.abandon(error)
            raise

    async def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Returns when every part answers. Raises Unavailable with the end of the log of one that does not."""
        await self._kept.wait_ready(timeout_s=timeout_s)
        self._kept.note(phase="ready", doing="")

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signals a part's process; it comes back by itself. Returns the pid."""
        return self._kept.kill(name, number)

    async def exchange(self, part: Part) -> None:
        """Drains the part of that name and keeps this one in its place."""
        await self._kept.stop([part.name])
        self._kept.keep([part])

    async def stop(self) -> None:
        """Drains everything in order; our own processes first, PostgreSQL last."""
        if self._supervisor is not None:
            self._supervisor.note(phase="stopping")
            own = [row.name for row in self._rows if row.is_ours and row.name in self.parts]
            await self._supervisor.stop(own)
            await self._supervisor.stop()
            self._supervisor.note(phase="stopped")
            self._supervisor = None
        self._held.close()

    async def abandon(self, error: BaseException) -> None:
        """Stops everything because a start has failed, and leaves the reason for whoever looks."""
        if self._supervisor is not None:
            supervisor, self._supervisor = self._supervisor, None
            await supervisor.stop()
        write_state(self.settings, {"phase": "failed", "error": str(error) or type(error).__name__, "parts": {}})
        self._held.close()

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.wait_ready()
        except BaseException as error:
            await self.abandon(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # ------------------------------------------------------------ inside
    @property
    def _kept(self) -> Supervisor:
        if self._supervisor is None:
            raise Unavailable("NOT_STARTED", "Start the stack first.")
        return self._supervisor

    async def _leave_out(self) -> None:
        """Goes on without the networks whose nodes cannot be had here. Raises Unavailable when none is left."""
        self.without = await asyncio.to_thread(rows.missing, self.settings, {row.name for row in self._rows})
        if self.without:
            left = tuple(id_ for id_ in self.settings.served if id_ not in self.without)
            if not left:
                raise Unavailable("NODE_MISSING", " ".join(self.without.values()))
            self.settings = self.settings.model_copy(update={"networks": left})
            self._rows = [row for row in self._rows if row.wanted(self.settings)]

    async def _start_in_order(self, supervisor: Supervisor) -> None:
        networks = [row for row in self._rows if not row.is_ours]
        supervisor.note(doing="starting the networks")
        starting = [asyncio.create_task(self._keep(supervisor, row)) for row in networks if not row.needs]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
        supervisor.keep([row.build(self.settings) for row in networks if row.needs])
        await supervisor.wait_ready(timeout_s=READY_TIMEOUT_S)
        if self._provisioned:
            await self._provision(supervisor)
        supervisor.note(doing="starting our processes")
        supervisor.keep([row.build(self.settings) for row in self._rows if row.is_ours])

    async def _provision(self, supervisor: Supervisor) -> None:
        there = self._given | set(self.parts)
        await provision.provision(self.settings, there, lambda doing: supervisor.note(doing=doing))

    async def _keep(self, supervisor: Supervisor, row: rows.Row) -> None:
        """Building a part may install programs, so it happens in a thread, beside the others' starts."""
        supervisor.keep([await asyncio.to_thread(row.build, self.settings)])


@asynccontextmanager
async def open_stack(
    settings: Settings | None = None, *, parts: Collection[str] | None = None
) -> AsyncIterator[Stack | RunningStack]:
    """The installation that runs already, or else one started here and stopped at the end of the block."""
    settings = settings or Settings()
    if is_held(settings):
        running = RunningStack(settings)
        await running.wait_ready()
        yield running
        return
    async with Stack(settings, parts=parts) as stack:
        yield stack
