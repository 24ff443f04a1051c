"""Shows how an installation starts: live on a terminal, one line per event elsewhere; always on stderr."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

REFRESH_S = 0.1
MARKS = {"ready": "[green]●[/]", "starting": "[yellow]◐[/]", "resting": "[red]○[/]", "waiting": "○", "stopped": "○"}


class StartProgress:
    """Follows the state of a stack, read from `look`, for as long as the block runs."""

    def __init__(self, look: Callable[[], dict[str, Any]]) -> None:
        self._look = look
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._live() if sys.stderr.isatty() else self._lines())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), transient=True, refresh_per_second=10) as live:
            while True:
                live.update(_picture(self._look()))
                await asyncio.sleep(REFRESH_S)

    async def _lines(self) -> None:
        said: set[str] = set()
        while True:
            facts = self._look()
            news = [f"{name}: {row['life']}" for name, row in facts.get("parts", {}).items()]
            for line in [*news, facts.get("doing", "")]:
                if line and line not in said:
                    said.add(line)
                    print(line, file=sys.stderr, flush=True)
            await asyncio.sleep(REFRESH_S)


def _picture(facts: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, row in facts.get("parts", {}).items():
        table.add_row(MARKS.get(row["life"], "○"), name, row["life"], row.get("last_exit") or "")
    table.add_row("", f"[dim]{facts.get('doing') or ''}[/]", "", "")
    return table
