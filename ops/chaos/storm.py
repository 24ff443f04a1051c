"""Makes a schedule happen on an installation, keeps count, and makes everything good again at its end."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.errors import Unavailable
from domain.ports import Views
from domain.withdrawal import ENDS, Stage
from ops.chaos.installation import Ward
from ops.chaos.nodes import Terror
from ops.chaos.people import Crowd
from ops.chaos.recovery import Progress, Recovery, measure
from ops.chaos.schedule import Event, Schedule, What

QUIET_WAIT_S = 180.0  # without a single end nothing moves any more
QUIET_MAX_S = 1800.0
QUIET_LOOK_S = 1.0
UNDECIDED_EVERY_S = 5.0

Say = Callable[[str], None]


@dataclass
class Tally:
    """What really happened; a part that is down already cannot be killed, a chain that is too short not be turned."""

    kills: Counter[str] = field(default_factory=Counter)
    reorgs: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    recoveries: list[Recovery] = field(default_factory=list)


class Storm:
    """One run of one schedule."""

    def __init__(
        self,
        schedule: Schedule,
        ward: Ward,
        terrors: Mapping[str, Terror],
        crowd: Crowd,
        views: Views,
        progress: Progress,
        say: Say,
    ) -> None:
        self._schedule = schedule
        self._ward = ward
        self._terrors = terrors
        self._crowd = crowd
        self._views = views
        self._progress = progress
        self._say = say
        self._wallets: dict[str, str] = {}
        self.tally = Tally()

    async def rage(self) -> None:
        """Everything the schedule says, to the end of what it began. Raises what a fault of our own raises."""
        self._wallets = {wallet.network: wallet.address for wallet in await self._views.wallets()}
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for event in self._schedule.events:
                await asyncio.sleep(max(0.0, begun + event.at_s - time.monotonic()))
                group.create_task(self._happen(event))
                if event.what is not What.WITHDRAW:
                    self._say(f"{event.at_s:7.1f} s  {event.what} {event.target} {event.words or ''}")

    async def calm(self) -> None:
        """Every node is well and every part is there."""
        for terror in self._terrors.values():
            await terror.harm({})
            await terror.raise_fees(1)
        await self._ward.close()
        await self._ward.stack.wait_ready()

    async def quiet(self) -> None:
        """Returns when every withdrawal has ended and no slot is open, or when patience is over, which is not worn out
        by a machine that is merely slow: who is right is for the verdict to say.
        """
        begun, undecided_at = time.monotonic(), 0.0
        fewest, until = len(self._crowd.asked) + 1, begun + QUIET_WAIT_S
        while time.monotonic() < min(until, begun + QUIET_MAX_S):
            try:
                left = await self._left()
                if len(left) < fewest:
                    fewest, until = len(left), time.monotonic() + QUIET_WAIT_S
                if not left and not any(wallet.open_slots for wallet in await self._views.wallets()):
                    return
                if time.monotonic() > undecided_at:
                    self._say(f"waiting for {len(left)}: {dict(Counter(str(stage) for stage in left.values()))}")
                    await self._crowd.see_to_the_undecided({i for i, s in left.items() if s is Stage.REFERRED})
                    undecided_at = time.monotonic() + UNDECIDED_EVERY_S
            except Unavailable as outage:
                self._say(f"waiting: {outage}")
            await asyncio.sleep(QUIET_LOOK_S)

    async def _left(self) -> dict[str, Stage]:
        views = [await self._views.withdrawal(asked.id) for asked in self._crowd.asked]
        return {view.id: view.stage for view in views if view is not None and view.stage not in ENDS}

    # ------------------------------------------------------------ the events
    async def _happen(self, event: Event) -> None:
        acts: Mapping[What, Callable[[Event], Coroutine[Any, Any, object]]] = {
            What.WITHDRAW: self._crowd.withdraw,
            What.FAULT: self._fault,
            What.REORG: self._reorg,
            What.FEES: self._fees,
            What.EMPTY: self._empty,
            What.KILL: self._kill,
            What.JOIN: self._join,
            What.LEAVE: self._leave,
        }
        await acts[event.what](event)

    async def _fault(self, event: Event) -> None:
        terror = self._terrors[event.target]
        await terror.harm(event.words["harms"])
        self.tally.faults.update(f"{event.target}/{harm}" for harm in event.words["harms"])
        await asyncio.sleep(event.words["for_s"])
        await terror.harm({})

    async def _reorg(self, event: Event) -> None:
        done = await self._terrors[event.target].reorg(event.words["depth"])
        (self.tally.reorgs if done else self.tally.missed)[event.target] += 1

    async def _fees(self, event: Event) -> None:
        terror = self._terrors[event.target]
        await terror.raise_fees(event.words["times"])
        self.tally.faults[f"{event.target}/fees"] += 1
        await asyncio.sleep(event.words["for_s"])
        await terror.raise_fees(1)

    async def _empty(self, event: Event) -> None:
        terror, wallet = self._terrors[event.target], self._wallets[event.target]
        units = await terror.empty(wallet)
        self.tally.faults[f"{event.target}/empty"] += 1
        await asyncio.sleep(event.words["for_s"])
        await terror.refill(wallet, units)

    async def _kill(self, event: Event) -> None:
        before = self._ward.pid(event.target)
        try:
            killed = self._ward.kill(event.target)
        except (Unavailable, ProcessLookupError):
            killed = None
        if killed is None:
            self.tally.missed[event.target] += 1
            return
        self.tally.kills[event.target] += 1

        def is_back() -> bool:
            gone = event.target not in self._ward.parts  # a twin that left has nothing to come back to
            return gone or (self._ward.pid(event.target) not in (before, None) and self._ward.is_up(event.target))

        self.tally.recoveries.append(await measure(event.target, event.at_s, is_back, self._progress))

    async def _join(self, event: Event) -> None:
        self._ward.join(event.target)

    async def _leave(self, event: Event) -> None:
        await self._ward.leave(event.target)
