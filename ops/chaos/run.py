"""`chaos payouts`: an installation of its own, a storm on it, and the evidence."""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from temporalio.client import Client

from adapters.catalogue import Catalogue
from adapters.settings import Settings
from adapters.store.opening import Store
from adapters.wiring import connect_temporal, open_store
from domain.errors import Refused, Unavailable
from ops.chaos import evidence, recovery, verdict
from ops.chaos.desk import Desk, carried_out
from ops.chaos.installation import Pace, Ward, catalogue_of, settings_for, terrain
from ops.chaos.naive import Naive
from ops.chaos.nodes import Terror, terror
from ops.chaos.people import CLIENT, Crowd
from ops.chaos.recovery import Progress
from ops.chaos.schedule import Schedule, What, plan
from ops.chaos.storm import Storm
from ops.devnet.stack import Stack

HEALTHY_AFTER_S = 2.0  # who is killed all the time is not to blame


@dataclass(frozen=True, slots=True)
class House:
    """An installation that is up, and the lines into it."""

    settings: Settings
    catalogue: Catalogue
    ward: Ward
    session: aiohttp.ClientSession
    store: Store
    temporal: Client
    terrors: Mapping[str, Terror]

    def crowd(self, run: str) -> Crowd:
        """Everybody outside, whose words and addresses are those of `run`."""
        desk = Desk(self.settings, self.store.views, self.temporal)
        return Crowd(self.settings, self.catalogue, self.session, desk, run)


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def schedule_for(seed: int, networks: Sequence[str], minutes: float, withdrawals: int, settings: Settings) -> Schedule:
    """The schedule of a seed on networks of the catalogue. Raises Refused NETWORK_UNKNOWN."""
    catalogue = catalogue_of(settings)
    must_know(networks, catalogue)
    return plan(seed, [terrain(catalogue, network) for network in networks], minutes, withdrawals)


def must_know(networks: Sequence[str], catalogue: Catalogue) -> None:
    """Raises Refused NETWORK_UNKNOWN for a network that is not in the catalogue."""
    if unknown := sorted(set(networks) - set(catalogue.networks)):
        raise Refused("NETWORK_UNKNOWN", f"There is no {', '.join(unknown)}: {', '.join(catalogue.networks)}.")


def must_be_playable(schedule: Schedule, settings: Settings) -> None:
    """Asked of a schedule from a file, before anything is started for it. Raises Refused NETWORK_UNKNOWN, ASSET_UNKNOWN
    or CHAOS_NO_ISSUER.
    """
    catalogue = catalogue_of(settings)
    must_know(schedule.networks, catalogue)
    for event in schedule.only(What.WITHDRAW):
        catalogue.asset(event.target, event.words["asset"])
    for network in {event.target for event in schedule.only(What.EMPTY)}:
        if not terrain(catalogue, network).has_issuer:
            raise Refused("CHAOS_NO_ISSUER", f"Nobody can take coins from a wallet on {network}.")


@asynccontextmanager
async def house(
    base: Settings, networks: Sequence[str], pace: Pace, crash_at: str | None = None
) -> AsyncIterator[House]:
    """An installation of its own on the ports of `base`, gone at the end; kept, and named, when something failed."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-chaos-"))
    if (task := asyncio.current_task()) is not None:  # a process that is told to end stops what it started
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    settings = settings_for(base, folder, pace, networks, crash_at)
    try:
        async with AsyncExitStack() as held:
            say(f"starting an installation in {folder}, ports from {settings.port_base}")
            stack = await held.enter_async_context(Stack(settings, healthy_after_s=HEALTHY_AFTER_S))
            if stack.without:
                raise Unavailable("NODE_MISSING", " ".join(stack.without.values()))
            timeout = aiohttp.ClientTimeout(total=20)
            session = await held.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            store = await held.enter_async_context(open_store(settings))
            catalogue = catalogue_of(settings)
            terrors = {name: terror(settings, catalogue.networks[name], session) for name in networks}
            ward = Ward(stack)
            held.push_async_callback(ward.close)
            temporal = await connect_temporal(settings)
            yield House(settings, catalogue, ward, session, store, temporal, terrors)
    except BaseException:
        say(f"kept for a look: {folder}")
        raise
    shutil.rmtree(folder, ignore_errors=True)


class Unclean(Exception):
    """The run ended with faults; `report` has them. Raised inside the house, so that it is kept for a look."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        super().__init__("unclean")
        self.report = report


async def payouts(schedule: Schedule, base: Settings, pace: Pace, *, naive: bool = True) -> Mapping[str, Any]:
    """Makes the schedule happen and returns the report; `report["clean"]` says whether all is well."""
    try:
        async with house(base, schedule.networks, pace) as there:
            report = await _through(schedule, there, naive)
            if not report["clean"]:
                (there.settings.state_dir / "schedule.json").write_text(schedule.text())
                raise Unclean({**report, "kept": str(there.settings.state_dir.parent)})
            return report
    except Unclean as unclean:
        return unclean.report


async def _through(schedule: Schedule, there: House, naive: bool) -> Mapping[str, Any]:
    views, begun = there.store.views, time.monotonic()
    before = await views.balances(CLIENT)
    crowd = there.crowd(f"chaos-{schedule.seed}")
    progress = Progress(there.store.database, lambda: crowd.knocking)
    storm = Storm(schedule, there.ward, there.terrors, crowd, views, progress, say)
    witnesses = {name: terror.witness for name, terror in there.terrors.items()}
    simple = Naive(there.settings, there.catalogue, witnesses, schedule) if naive else None
    watching = asyncio.create_task(progress.watch())
    try:
        paying = asyncio.create_task(simple.pay()) if simple else None
        await storm.rage()
        await storm.calm()
        await storm.quiet()
        figures = await simple.figures(paying) if simple and paying else None
    finally:
        watching.cancel()
    found = await evidence.gather(crowd.asked, there.terrors, there.catalogue, views, there.temporal, before)
    judged = verdict.judge(found)
    for fault in judged.faults:
        say(fault)
    return {
        "seed": schedule.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "networks": list(schedule.networks),
        "minutes": schedule.minutes,
        "seconds": round(time.monotonic() - begun, 1),
        **verdict.as_json(judged, found),
        **_happened(storm),
        "procedures": await carried_out(there.store.database),
        "seconds_to_recover": recovery.figures(storm.tally.recoveries),
        **({"naive": figures} if figures is not None else {}),
    }


def _happened(storm: Storm) -> dict[str, Any]:
    tally = storm.tally
    return {
        "kills": {"total": tally.kills.total(), **tally.kills},
        "reorgs": {"total": tally.reorgs.total(), **tally.reorgs},
        "faults_made": {"total": tally.faults.total(), **tally.faults},
        "missed": dict(tally.missed),
    }
