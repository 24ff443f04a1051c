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

from adapters.crash import order_for
from adapters.settings import Settings
from domain.crash_points import ORDERED
from domain.errors import Unavailable
from domain.withdrawal import ENDS, Stage
from ops.chaos import evidence, verdict
from ops.chaos.cells import Cell, Fault
from ops.chaos.installation import Pace, terrain
from ops.chaos.people import CLIENT, Asked, Crowd
from ops.chaos.run import House, house, say
from ops.chaos.schedule import Event, People, What, amount

log = logging.getLogger("strongroom.chaos")

QUICK = Pace(block_s=0.25, bump_after_s=1, window_s=4, batch_wait_s=1)
PORTS_EACH = 40
DEATH_WAIT_S, END_WAIT_S, STRIKE_WAIT_S = 60.0, 120.0, 45.0
LOOK_S = 0.05
_OPEN = "ExecutionStatus='Running' AND WorkflowType!='HotWallet'"


@dataclass(frozen=True, slots=True)
class _Played:
    """A cell after its withdrawals: what did not happen as it should (empty: all did), and how long it took."""

    cell: Cell
    asked: Sequence[Asked]
    failure: str
    seconds: float


async def matrix(wanted: Sequence[Cell], base: Settings, seed: int, at_once: int) -> Mapping[str, Any]:
    """Plays the cells on at most `at_once` installations and returns the report; a cell's word is `once` or what went
    wrong. Where there is nothing to play, nothing is started.
    """
    begun, at_once = time.monotonic(), min(at_once, len(wanted))
    bases = [base.model_copy(update={"port_base": base.port_base + PORTS_EACH * n}) for n in range(at_once)]
    handed = shares(wanted, at_once)
    desks = [_Desk(one, networks, seed) for one, (networks, _) in zip(bases, handed, strict=True)]
    reports = await asyncio.gather(*(desk.work(left) for desk, (_, left) in zip(desks, handed, strict=True)))
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


def completed(report: Mapping[str, Any], again: Mapping[str, Any]) -> Mapping[str, Any]:
    """A report with the words of the cells that were played again; nothing that was found wrong before is forgotten."""
    cells = {**report["cells"], **again["cells"]}
    faults = [*report["faults"], *again["faults"]]
    seconds = round(report["seconds"] + again["seconds"], 1)
    clean = not faults and all(word == "once" for word in cells.values())
    replayed = {
        **{name: report["cells"].get(name, "not-played") for name in again["cells"]},
        **report.get("played_again", {}),
    }
    return {**report, "seconds": seconds, "cells": cells, "faults": faults, "clean": clean, "played_again": replayed}


def shares(wanted: Sequence[Cell], at_once: int) -> list[tuple[list[str], Iterator[Cell]]]:
    """For each installation its networks and the cells from which it takes the next: one network for each where there
    are enough installations, else all of them for all.
    """
    networks = list(dict.fromkeys(cell.network for cell in wanted))
    if at_once < len(networks):
        return [(networks, every) for every in [iter(list(wanted))] * at_once]
    left = {network: iter([cell for cell in wanted if cell.network == network]) for network in networks}
    return [([network], left[network]) for network in (networks[n % len(networks)] for n in range(at_once))]


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
        async with house(self._base, self._networks, QUICK, crash_at=ORDERED) as there:
            crowd = there.crowd(f"matrix-{self._seed}-{self._base.port_base}")
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
            found_words = [words[asked.id] for asked in one.asked] or ["unknown"]
            wrong = [word for word in found_words if word != "once"]
            report.words[one.cell.name] = next(iter(wrong), one.failure or "once")
        report.faults += list(verdict.judge(found).faults)
        return report

    async def _play(self, cell: Cell, number: int, there: House, crowd: Crowd) -> _Played:
        begun = time.monotonic()
        run = _Play(cell, number, there, crowd)
        try:
            failure = await run.play()
        finally:
            run.order.unlink(missing_ok=True)
            await there.terrors[cell.network].harm({})
        seconds = round(time.monotonic() - begun, 1)
        say(f"{cell.name:45} {failure or 'done':12} {seconds:5.1f} s")
        return _Played(cell, run.asked, failure, seconds)


class _Play:
    """One cell."""

    def __init__(self, cell: Cell, number: int, there: House, crowd: Crowd) -> None:
        self.order = order_for(there.settings, cell.point)
        self._cell = cell
        self._number = number
        self._there = there
        self._crowd = crowd
        self._terror = there.terrors[cell.network]
        self._place = len(crowd.asked)
        self._struck_before = 0

    async def play(self) -> str:
        """Empty when the death and the fault came as they should and the withdrawals ended; else what did not."""
        cell = self._cell
        if await self._is_halted():
            return "halted"
        await self._terror.harm(cell.harms)
        self._struck_before = (await self._terror.struck()).get("lose_reply", 0)
        if not cell.late:
            self.order.touch()
        asking = [asyncio.create_task(self._crowd.withdraw(event)) for event in self._events()]
        replacing = asyncio.create_task(self._reorg_when_included()) if cell.fault is Fault.REORG else None
        try:
            if cell.late:
                await self._until(self._is_out, DEATH_WAIT_S)
                self._order_now()
            if not await self._until(self._died, DEATH_WAIT_S):
                return "not-reached"
            await self._terror.harm(cell.harms_after)
            if cell.fault is Fault.LOST_REPLY and not await self._until(self._struck, STRIKE_WAIT_S):
                return "no-lost-reply"
            await self._terror.harm({})
            await asyncio.gather(*asking)
            if not await self._until(self._ended, END_WAIT_S):
                return "stuck"
            return "no-reorg" if replacing and not await replacing else ""
        finally:
            for task in (*asking, replacing):
                if task is not None:
                    task.cancel()

    @property
    def asked(self) -> Sequence[Asked]:
        """The withdrawals of this cell that somebody asked for so far."""
        return self._crowd.asked[self._place :]

    def _events(self) -> list[Event]:
        people, terms = self._cell.people, terrain(self._there.catalogue, self._cell.network)
        native = people is People.NOTHING and self._number % 2 == 0
        coin, by_people = terms.coins[-1 if native else 0], people is People.APPROVE
        words = {
            "asset": coin.code,
            "amount": amount(coin, 120 if by_people else 700, by_people),
            "people": people.value,
            "after_s": 0,
        }
        first = self._number * self._cell.together
        rows = [{**words, "n": n} for n in range(first, first + self._cell.together)]
        return [Event(0, What.WITHDRAW, self._cell.network, row) for row in rows]

    def _order_now(self) -> None:
        """The next to pass the point dies; where somebody new must find the slot, who has it dies first."""
        self.order.touch()
        if self._cell.resumed:
            with suppress(Unavailable):
                self._there.ward.stack.kill(self._cell.process)

    async def _reorg_when_included(self) -> bool:
        """Whether blocks were replaced, the one that first held a payment among them."""
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
        return not self.order.exists()

    async def _struck(self) -> bool:
        return (await self._terror.struck()).get("lose_reply", 0) > self._struck_before

    async def _is_included(self) -> bool:
        for asked in self.asked:
            asset = self._there.catalogue.asset(asked.network, asked.asset)
            if await self._terror.witness.balance(asked.recipient, asset.contract) > 0:
                return True
        return False

    async def _is_halted(self) -> bool:
        wallets = await self._there.store.views.wallets()
        return any(wallet.halted for wallet in wallets if wallet.network == self._cell.network)

    async def _stages(self) -> list[Stage | None]:
        views = [await self._there.store.views.withdrawal(asked.id) for asked in self.asked]
        return [view.stage if view else None for view in views]

    async def _is_out(self) -> bool:
        return any(stage in (Stage.BROADCAST, Stage.CONFIRMING) for stage in await self._stages())

    async def _ended(self) -> bool:
        """The books say so of all, and every story but the hot wallets' is told."""
        if not all(stage in ENDS for stage in await self._stages()):
            return False
        return (await self._there.temporal.count_workflows(_OPEN)).count == 0
