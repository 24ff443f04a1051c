"""Runs the demonstration from the first start to the evidence, and, if asked, kills parts in the middle of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from rich.console import Console
from rich.live import Live
from temporalio.client import Client

from adapters.catalogue import Catalogue, load
from adapters.settings import Settings
from adapters.wiring import connect_temporal, open_views
from domain.ledger import chart
from domain.money import Amount
from domain.ports import Views
from domain.withdrawal import Stage
from ops.cli.approver import read_key
from ops.demo import evidence, screen
from ops.demo.door import Door
from ops.demo.node import open_node
from ops.demo.story import BATCH_TITLE, Case, Cast, WentWrong, cases, play
from ops.devnet.household import APPROVERS, CLIENTS, Household
from ops.devnet.stack import RunningStack, Stack, open_stack

KILL_PAUSE_S = 2.0
QUIET_LOOKS_MAX = 600
EXTRA_WHILE_KILLING = 8
NOT_YET_PLANNED = ("", Stage.REQUESTED, Stage.REFERRED, Stage.QUEUED)


@dataclass(slots=True)
class Showing:
    """What a spectator sees now."""

    console: Console
    live: bool
    cases: list[Case] = field(default_factory=list)
    happenings: list[str] = field(default_factory=list)
    doing: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    faults: Sequence[str]
    report: Mapping[str, Any]


async def run(settings: Settings, console: Console, kill: Sequence[str] = ()) -> Outcome:
    """The demonstration on a running installation, or on one started for it, on the networks of `settings` that run
    there. `kill`: parts to SIGKILL meanwhile.
    """
    showing = Showing(console, live=console.is_terminal)
    async with _progress(showing), _stack(settings, showing) as stack, _session() as session:
        temporal = _patient_temporal(settings)
        catalogue = load(settings.profile, settings.catalogue_dir)
        for network, line in stack.without.items():
            console.print(f"{network} is left out: {line}", soft_wrap=True)
        async with open_views(settings) as views:
            nodes = {
                id_: await open_node(catalogue.networks[id_], session, settings.node_urls(id_)[0])
                for id_ in stack.networks
            }
            before, run_id = await _accounts(views, catalogue), f"{time.time_ns() // 1_000_000:x}"
            showing.cases[:] = cases(run_id, catalogue, list(nodes), EXTRA_WHILE_KILLING if kill else 0)
            faults = await _play_all(showing, _cast(settings, session, temporal), stack, kill)
            await stack.wait_ready()
            await _until_quiet(views)
            rows = [
                await evidence.gather_row(case, nodes, catalogue, await temporal(), views) for case in showing.cases
            ]
            proof = {
                "trial_balance": await evidence.trial_balance(views),
                "chain_minus_ledger": await evidence.chain_minus_ledger(nodes, catalogue, views),
            }
            if not kill:  # while parts are killed withdrawals are begun one by one, and batches close meanwhile
                faults += evidence.small_batches(rows, catalogue)
            after = await _accounts(views, catalogue)
            return _judge(showing, settings, rows, proof, (before, after), faults)


async def _play_all(showing: Showing, cast: Cast, stack: Stack | RunningStack, kill: Sequence[str]) -> list[str]:
    """Plays every case: all at once or, while parts are killed, begun one by one so that each kill hits some. Those of
    a batch begin last, when the others are on their way, so that they come close together on a busy machine too.
    """
    killing = asyncio.create_task(_kill_each(showing, stack, kill))
    spread_s = KILL_PAUSE_S * len(kill) / max(1, len(showing.cases))
    plays: list[asyncio.Task[None]] = []
    others = [case for case in showing.cases if case.title != BATCH_TITLE]
    for case in sorted(showing.cases, key=lambda case: case.title == BATCH_TITLE):
        if len(plays) == len(others) and not kill:
            await _until_on_their_way(others, plays)
        plays.append(asyncio.create_task(play(case, cast)))
        await asyncio.sleep(spread_s)
    ended = await asyncio.gather(*plays, killing, return_exceptions=True)
    unexpected = [error for error in ended if isinstance(error, BaseException) and not isinstance(error, WentWrong)]
    if unexpected:
        raise unexpected[0]
    return [str(error) for error in ended if isinstance(error, WentWrong)]


async def _until_on_their_way(cases: Sequence[Case], plays: Sequence[asyncio.Task[None]]) -> None:
    """Until each of the cases is planned, or has ended otherwise."""
    for _ in range(QUIET_LOOKS_MAX):
        waiting = [case for case in cases if case.stage in NOT_YET_PLANNED]
        if not waiting or all(task.done() for task in plays):
            return
        await asyncio.sleep(0.1)


async def _kill_each(showing: Showing, stack: Stack | RunningStack, kill: Sequence[str]) -> None:
    for part in kill:
        await asyncio.sleep(KILL_PAUSE_S)
        pid = stack.kill(part)
        showing.happenings.append(f"kill -9 {pid} ({part})")


def _judge(
    showing: Showing,
    settings: Settings,
    rows: Sequence[evidence.Row],
    proof: Mapping[str, Mapping[str, str]],
    ledger: tuple[Mapping[str, str], Mapping[str, str]],
    faults: list[str],
) -> Outcome:
    """Shows the result and says what is wrong with it."""
    faults += [fault for row, case in zip(rows, showing.cases, strict=True) if (fault := row.fault(case.should_end))]
    faults += [
        f"{name} of {asset} is {units}" for name, line in proof.items() for asset, units in line.items() if units != "0"
    ]
    links = {"api": f"{settings.api_url}/docs", "temporal_ui": settings.temporal_ui}
    screen.result(showing.console, rows, showing.cases, ledger, proof, links)
    for fault in faults:
        showing.console.print(f"[bold red]{fault}")
    return Outcome(faults, {**screen.as_json(rows, proof, links), "killed": list(showing.happenings)})


async def _until_quiet(views: Views) -> None:
    """Until no slot is open: while one is, the chain may have moved what the books still call in flight."""
    for _ in range(QUIET_LOOKS_MAX):
        if not any(wallet.open_slots for wallet in await views.wallets()):
            return
        await asyncio.sleep(0.1)


async def _accounts(views: Views, catalogue: Catalogue) -> dict[str, str]:
    """The ledger accounts that the demonstration can move, with their balances in whole coins."""
    units = dict(await views.house())
    for client in CLIENTS:
        for line in await views.balances(client):
            units[chart.available(client, line.asset).code] = line.available
            units[chart.held(client, line.asset).code] = line.held
    return {code: str(Amount(int(held), catalogue.assets[code.rpartition("/")[2]])) for code, held in units.items()}


def _cast(settings: Settings, session: aiohttp.ClientSession, temporal: Callable[[], Awaitable[Client]]) -> Cast:
    household = Household(settings.state_dir)
    keys, url = household.keys(), settings.api_url
    return Cast(
        clients={name: Door(session, url, keys[name]) for name in CLIENTS},
        approver_doors={name: Door(session, url, keys[name]) for name in APPROVERS},
        approvers={name: read_key(household.approver_key(name)) for name in APPROVERS},
        temporal=temporal,
    )


def _patient_temporal(settings: Settings) -> Callable[[], Awaitable[Client]]:
    """One connection, made when it is first needed; it finds its way back by itself when the server was killed."""
    made: list[Client] = []

    async def client() -> Client:
        if not made:
            made.append(await connect_temporal(settings))
        return made[0]

    return client


@asynccontextmanager
async def _stack(settings: Settings, showing: Showing) -> AsyncIterator[Stack | RunningStack]:
    showing.doing = "starting PostgreSQL, Temporal, the networks' nodes, workers and API"
    async with open_stack(settings) as stack:
        showing.doing = ""
        yield stack
        showing.doing = "stopping" if stack.owned else ""


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@asynccontextmanager
async def _progress(showing: Showing) -> AsyncIterator[None]:
    """Redraws the progress four times a second on a terminal; elsewhere nothing is drawn until the end."""
    if not showing.live:
        yield
        return
    with Live(console=showing.console, refresh_per_second=4, transient=True) as live:

        async def draw() -> None:
            while True:
                live.update(screen.progress(showing.cases, [*showing.happenings, showing.doing]))
                await asyncio.sleep(0.25)

        drawing = asyncio.create_task(draw())
        try:
            yield
        finally:
            drawing.cancel()
