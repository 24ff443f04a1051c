"""How long it takes after a kill until the part works again and something of its own work was done."""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.store.database import Database
from domain.errors import Unavailable, Uncertain
from domain.withdrawal import ENDS
from ops.chaos.schedule import TWIN

LOOK_S = 0.1
PATIENCE_S = 60.0

_MARKS = """
SELECT (SELECT count(*) FROM withdrawal) AS asked,
       (SELECT count(*) FROM withdrawal_event WHERE stage <> 'REQUESTED') AS moved,
       (SELECT count(*) FROM verdict) + (SELECT count(*) FROM slot WHERE state = 'CLOSED') AS booked,
       (SELECT count(*) FROM slot) + (SELECT count(*) FROM sighting) AS watched,
       (SELECT count(*) FROM version) AS signed,
       (SELECT count(*) FROM withdrawal WHERE stage <> ALL($1)) AS open,
       (SELECT count(*) FROM slot s WHERE s.state = 'OPEN'
           AND NOT EXISTS (SELECT 1 FROM version v WHERE v.slot_id = s.id)) AS unsigned
"""
# What grows when a part does its work.
_MARK_OF = {
    "api": "asked",
    "orchestrator": "moved",
    "books": "booked",
    "chain": "watched",
    "signer": "signed",
    "temporal": "moved",
    "postgres": "moved",
}


@dataclass(frozen=True, slots=True)
class Recovery:
    """One kill. Seconds from the kill until the part answered again, and until its work went on; None: it did not
    within PATIENCE_S.
    """

    part: str
    at_s: float
    up_s: float | None
    works_s: float | None


@dataclass
class Progress:
    """Watches the books for work being done; `at` is when each mark last grew, by the monotonic clock."""

    database: Database
    knocking: Callable[[], int] = lambda: 0  # how many wait for the door's answer
    at: dict[str, float] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    looked_at: float = 0.0

    async def watch(self) -> None:
        """Looks for ever; a database that is away is asked again."""
        while True:
            begun = time.monotonic()
            try:
                row = await self.database.fetchrow("chaos_progress", _MARKS, [str(end) for end in ENDS])
            except (Unavailable, Uncertain):
                row = None
            if row is not None:
                self.looked_at = begun
            for name, value in (row or {}).items():
                if self.marks.get(name) != value:
                    self.marks[name], self.at[name] = value, time.monotonic()
            await asyncio.sleep(LOOK_S)

    def since(self, part: str, moment: float) -> bool:
        """Whether work of the part was seen after `moment`; also when there was none to do at a look after it."""
        kind = part.removesuffix(TWIN)
        return self.at.get(_MARK_OF[kind], 0) > moment or (self.looked_at > moment and self._left(kind) == 0)

    def _left(self, kind: str) -> int:
        """How much waits for a part of that kind, as of the last look."""
        if kind == "api":
            return self.knocking()
        return self.marks.get("unsigned" if kind == "signer" else "open", 0)


async def measure(part: str, at_s: float, is_back: Callable[[], bool], progress: Progress) -> Recovery:
    """Follows one kill that happened now, until the part is back at work."""
    killed = time.monotonic()

    async def until(reached: Callable[[], bool]) -> float | None:
        while not reached():
            if time.monotonic() - killed > PATIENCE_S:
                return None
            await asyncio.sleep(LOOK_S / 2)
        return time.monotonic()

    up = await until(is_back)
    works = None if up is None else await until(lambda: progress.since(part, up))
    return Recovery(part, at_s, _span(killed, up), _span(killed, works))


def _span(begun: float, ended: float | None) -> float | None:
    return None if ended is None else round(ended - begun, 2)


def figures(recoveries: Sequence[Recovery]) -> Mapping[str, Any]:
    """p50 and max of all kills and of each part's; one that never came back counts with PATIENCE_S."""
    parts = sorted({row.part for row in recoveries})
    works = {part: [_or_patience(row.works_s) for row in recoveries if row.part == part] for part in parts}
    every = [seconds for rows in works.values() for seconds in rows]
    after_start = [_or_patience(r.works_s) - _or_patience(r.up_s) for r in recoveries]
    return {
        "kills": len(recoveries),
        "p50": _p50(every),
        "max": max(every, default=0.0),
        "after_restart_p50": _p50(after_start),
        "after_restart_max": round(max(after_start, default=0.0), 2),
        "by_part": {part: {"p50": _p50(rows), "max": max(rows)} for part, rows in works.items()},
    }


def _or_patience(seconds: float | None) -> float:
    return PATIENCE_S if seconds is None else seconds


def _p50(rows: Sequence[float]) -> float:
    return round(statistics.median(rows), 2) if rows else 0.0
