"""`chaos matrix`: one withdrawal for every cell, and a word for each."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.service import RPCError

from adapters.crash import mark_of
from adapters.settings import Settings
from domain.errors import Unavailable
from domain.withdrawal import ENDS, Stage
from ops.chaos import evidence, verdict
from ops.chaos.cells import Cell, Fault
from ops.chaos.installation import Pace, again, terrain
from ops.chaos.people import CLIENT, Asked, Crowd
from ops.chaos.run import House, house, say
from ops.chaos.schedule import Event, People, What

log = logging.getLogger("strongroom.chaos")

QUICK = Pace(block_s=0.25, bump_after_s=1, window_s=4)
PORTS_EACH = 40
DEATH_WAIT_S, END_WAIT_S, STRIKE_WAIT_S = 45.0, 90.0, 20.0
LOOK_S = 0.05
_LEAVING_IN_ORDER = ("chain",)  # it serves the hot wallets all the time: whoever comes next takes over at once
_OPEN = "ExecutionStatus='Running' AND WorkflowType!='HotWallet'"


@dataclass(frozen=True, slots=True)
class _Played:
    """A cell after its withdrawal: what did not happen as it should (empty: all did), and how long it took."""

    cell: Cell
    asked: Asked | None
    failure: str
    seconds: float


async def matrix(wanted: Sequence[Cell], base: Settings, seed: int, at_once: int) -> Mapping[str, Any]:
    """Plays the cells on `at_once` installations and returns the report; a cell's word is `once` or what went wrong."""
    begun, left = time.monotonic(), iter(list(wanted))
    networks = sorted({cell.network for cell in wanted})
    bases = [base.model_copy(update={"port_base": base.port_base + PORTS_EACH * n}) for n in range(at_once)]
    desks = [_Desk(one, networks, seed) for one in bases]
    reports = await asyncio.gather(*(desk.work(left) for desk in desks))
    words = {name: word for report in reports for name, word in report.words.items()}
    faults = [fault for report in reports for fault in report.faults]
    seconds = [row for report in reports for row in report.seconds]
    return {
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.monotonic() - begun, 1),
        "seconds_a_cell": round(sum(seconds) / max(1, len(seconds)), 1),
        "clean": not faults and all(word == "once" for word in words.values()) and len(words) == len(wanted),
        "cells": {cell.name: words.get(cell.name, "not-played") for cell in wanted},
        "faults": faults,
    }


@dataclass
class _Report:
    words: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class _Desk:
    """One installation that plays one cell after another."""

    def __init__(self, base: Settings, networks: Sequence[str], seed: int) -> None:
        self._base = base
        self._networks = networks
        self._seed = seed

    async def work(self, left: Iterator[Cell]) -> _Report:
        """Plays cells until there are none left, then asks the nodes about all of them."""
        async with house(self._base, self._networks, QUICK) as there:
            crowd = Crowd(there.settings, there.session, f"matrix-{self._seed}-{self._base.port_base}")
            before = await there.store.views.balances(CLIENT)
            played = [await self._play(cell, number, there, crowd) for number, cell in enumerate(left)]
            return await self._judge(played, there, crowd, before)

    async def _judge(self, played: Sequence[_Played], there: House, crowd: Crowd, before: Any) -> _Report:
        found = await evidence.gather(
            crowd.asked, there.terrors, there.catalogue, there.store.views, there.temporal, before
        )
        words = {row.id: verdict.judge_row(row)[0] for row in found.rows}
        report = _Report(seconds=[one.seconds for one in played])
        for one in played:
            word = words.get(one.asked.id, "unknown") if one.asked else "unknown"
            report.words[one.cell.name] = word if word != "once" else one.failure or word
        report.faults += list(verdict.judge(found).faults)
        return report

    async def _play(self, cell: Cell, number: int, there: House, crowd: Crowd) -> _Played:
        begun = time.monotonic()
        run = _Play(cell, number, there, crowd)
        try:
            failure = await run.play()
        finally:
            await there.terrors[cell.network].harm({})
        seconds = round(time.monotonic() - begun, 1)
        say(f"{cell.name:45} {failure or 'done':12} {seconds:5.1f} s")
        return _Played(cell, run.asked, failure, seconds)


class _Play:
    """One cell."""

    def __init__(self, cell: Cell, number: int, there: House, crowd: Crowd) -> None:
        self._cell = cell
        self._number = number
        self._there = there
        self._crowd = crowd
        self._terror = there.terrors[cell.network]
        self._mark = mark_of(there.settings, cell.point.value)
        self._place = len(crowd.asked)
        self._struck_before = 0

    async def play(self) -> str:
        """Empty when the death and the fault came as they should and the withdrawal ended; else what did not."""
        cell = self._cell
        if await self._is_halted():
            return "halted"
        self._mark.unlink(missing_ok=True)
        await self._terror.harm(cell.harms)
        self._struck_before = (await self._terror.struck()).get("lose_reply", 0)
        if not cell.armed_late:
            await self._arm()
        asking = asyncio.create_task(self._crowd.withdraw(self._event()))
        replacing = asyncio.create_task(self._reorg_when_included()) if cell.fault is Fault.REORG else None
        try:
            if cell.armed_late:
                await self._until(self._is_out, DEATH_WAIT_S)
                await self._arm()
            if not await self._until(self._died, DEATH_WAIT_S):
                return "not-reached"
            await self._terror.harm(cell.harms_after)
            if cell.fault is Fault.LOST_REPLY and not await self._until(self._struck, STRIKE_WAIT_S):
                return "no-lost-reply"
            await self._terror.harm({})
            await asking
            if not await self._until(self._ended, END_WAIT_S):
                return "stuck"
            return "no-reorg" if replacing and not await replacing else ""
        finally:
            for task in (asking, replacing):
                if task is not None:
                    task.cancel()

    @property
    def asked(self) -> Asked | None:
        """The withdrawal of this cell, once somebody asked for it."""
        asked = self._crowd.asked
        return asked[self._place] if len(asked) > self._place else None

    def _event(self) -> Event:
        people, terms = self._cell.people, terrain(self._there.catalogue, self._cell.network)
        native = people is People.NOTHING and self._number % 2 == 0
        words = {
            "n": self._number,
            "asset": terms.native if native else "USDT",
            "amount": terms.native_amount if native else "1234.56" if people is People.APPROVE else "7.25",
            "people": people.value,
            "after_s": 0,
        }
        return Event(0, What.WITHDRAW, self._cell.network, words)

    async def _arm(self) -> None:
        """The process is exchanged for one that dies at the point, once; whoever keeps it starts it again."""
        process, settings, stack = self._cell.process, self._there.settings, self._there.ward.stack
        if process not in _LEAVING_IN_ORDER:
            with suppress(Unavailable):
                stack.kill(process)  # it has nothing in hand between two cells
        await stack.exchange(again(settings, process, process, {"STRONGROOM_CRASH_AT": self._cell.point.value}))

    async def _reorg_when_included(self) -> bool:
        """Whether blocks were replaced, the one that first held the payment among them."""
        depth = terrain(self._there.catalogue, self._cell.network).reorg_max
        return await self._until(self._is_included, DEATH_WAIT_S + END_WAIT_S) and await self._terror.reorg(depth)

    # ------------------------------------------------------------ what is waited for
    async def _until(self, reached: Callable[[], Awaitable[bool]], wait_s: float) -> bool:
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            try:
                if await reached():
                    return True
            except (Unavailable, RPCError) as outage:
                log.debug("asked again: %s", outage)
            await asyncio.sleep(LOOK_S)
        return False

    async def _died(self) -> bool:
        return self._mark.exists()

    async def _struck(self) -> bool:
        return (await self._terror.struck()).get("lose_reply", 0) > self._struck_before

    async def _is_included(self) -> bool:
        asked = self.asked
        if asked is None:
            return False
        asset = self._there.catalogue.asset(asked.network, asked.asset)
        return await self._terror.witness.balance(asked.recipient, asset.contract) > 0

    async def _is_halted(self) -> bool:
        wallets = await self._there.store.views.wallets()
        return any(wallet.halted for wallet in wallets if wallet.network == self._cell.network)

    async def _stage(self) -> Stage | None:
        asked = self.asked
        view = await self._there.store.views.withdrawal(asked.id) if asked else None
        return view.stage if view else None

    async def _is_out(self) -> bool:
        return await self._stage() in (Stage.BROADCAST, Stage.CONFIRMING)

    async def _ended(self) -> bool:
        """The books say so, and every story but the hot wallets' is told."""
        if await self._stage() not in ENDS:
            return False
        return (await self._there.temporal.count_workflows(_OPEN)).count == 0
