"""`bench withdrawals`: N withdrawals from the REST door to final, against N workflows of as many no-op activities.

Both run on the same Temporal server, interleaved A B A B: ours through API, orchestrator, books, chain and signer
processes, PostgreSQL and an EVM node that mines at once; the reference in two processes that do nothing else.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from ops.bench.harness import Pair, report
from temporalio.client import Client

from adapters.catalogue import FOLDER
from adapters.settings import ROOT, Settings
from adapters.wiring import connect_temporal, open_views
from domain.payout import hot_wallet_workflow_id, payout_workflow_id
from domain.ports import Views
from domain.withdrawal import ENDS, Stage, workflow_id
from ops.bench.noop import WORKFLOW_QUEUE, Noop
from ops.demo.door import Door
from ops.devnet.household import Household
from ops.devnet.stack import Stack

PORT_BASE = 18800
ACTIVITIES = 4  # judge, sign, deliver, settle: what one withdrawal that nobody must approve runs
LOOK_S = 0.01
WAIT_MAX_S = 120.0
AMOUNT = "1.25"


@dataclass(frozen=True, slots=True)
class Round:
    """One measured round: how many finished, in how many seconds, and each one's latency in seconds."""

    done: int
    seconds: float
    latencies: Sequence[float]

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def p50(self) -> float:
        return statistics.median(self.latencies)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything under measurement."""

    door: Door
    views: Views
    client: Client
    plain: Client
    numbers: "count[int]"

    async def ours(self, n: int, at_once: int) -> Round:
        return await _round(n, at_once, self._withdraw)

    async def reference(self, n: int, at_once: int) -> Round:
        return await _round(n, at_once, self._nothing)

    async def request(self) -> str:
        number = next(self.numbers)
        body = {
            "client_ref": f"bench-{number}",
            "network": "ethereum",
            "asset": "USDT",
            "amount": AMOUNT,
            "recipient": to_checksum_address(keccak(text=f"strongroom/bench/{number}")[-20:]),
        }
        status, answer = await self.door.post("/v1/withdrawals", body, f"bench-{number}")
        if status != 202:
            raise RuntimeError(f"the door answered {status}: {answer}")
        return str(answer["id"])

    async def settled(self, id_: str) -> None:
        """Returns when the books say SETTLED. Raises RuntimeError for any other end."""
        for _ in range(int(WAIT_MAX_S / LOOK_S)):
            view = await self.views.withdrawal(id_)
            if view is not None and view.stage in ENDS:
                if view.stage is not Stage.SETTLED:
                    raise RuntimeError(f"{id_} ended {view.stage}: {view.reason}")
                return
            await asyncio.sleep(LOOK_S)
        raise RuntimeError(f"{id_} is not final after {WAIT_MAX_S:.0f} s")

    async def _withdraw(self) -> None:
        await self.settled(await self.request())

    async def _nothing(self) -> None:
        id_ = f"noop-{next(self.numbers)}"
        if await self.plain.execute_workflow(Noop.run, ACTIVITIES, id=id_, task_queue=WORKFLOW_QUEUE) != ACTIVITIES:
            raise RuntimeError("the reference did not run all of its activities")

    async def events(self, ids: Sequence[str]) -> float:
        """History events per withdrawal over all its workflows, the hot wallet's own shared out."""
        total = 0
        for id_ in ids:
            view = await self.views.withdrawal(id_)
            assert view is not None
            assert view.slot_id is not None
            for workflow in (workflow_id(id_), payout_workflow_id(view.slot_id)):
                total += (await self.client.get_workflow_handle(workflow).describe()).history_length
        return total / len(ids)

    async def wallet_events(self) -> int:
        wallet = (await self.views.wallets())[0]
        handle = self.client.get_workflow_handle(hot_wallet_workflow_id(wallet.network, wallet.address))
        return (await handle.describe()).history_length


async def main(pairs: int = 7, rounds: int = 40) -> dict[str, Any]:
    """The whole measurement; progress on stderr. `rounds` is N at 20 in flight; at one in flight a quarter of it."""
    async with _bench() as bench:
        await bench.ours(10, 5)
        await bench.reference(10, 5)
        single = await _pairs(bench, pairs, max(5, rounds // 4), 1)
        many = await _pairs(bench, pairs, rounds, 20)
        ceiling = statistics.median(reference.rate for _, reference in many)
        before = await bench.wallet_events()
        ids = [await bench.request() for _ in range(20)]
        await asyncio.gather(*map(bench.settled, ids))
        share = max(0, await bench.wallet_events() - before) / len(ids)
        return {
            "bench": "withdrawals",
            "activities": ACTIVITIES,
            "p50_one_in_flight": report(
                [Pair(ours.p50, reference.p50) for ours, reference in single], unit="s", goal="<= 1.3"
            ),
            "rate_20_in_flight": report(
                [Pair(ours.rate, reference.rate) for ours, reference in many], unit="1/s", goal=">= 0.8"
            ),
            "history_events": {"per_withdrawal": await bench.events(ids) + share, "goal": "<= 45"},
            "request_to_broadcast": await _open_loop(bench, ceiling / 2, rounds),
        }


async def _pairs(bench: Bench, pairs: int, n: int, at_once: int) -> list[tuple[Round, Round]]:
    found = []
    for pair in range(pairs):
        found.append((await bench.ours(n, at_once), await bench.reference(n, at_once)))
        ours, reference = found[-1]
        print(
            f"{at_once:>2} in flight, pair {pair + 1}: ours {ours.rate:.2f}/s p50 {ours.p50 * 1000:.0f} ms, "
            f"reference {reference.rate:.2f}/s p50 {reference.p50 * 1000:.0f} ms",
            file=sys.stderr,
        )
    return found


async def _open_loop(bench: Bench, rate: float, n: int) -> dict[str, Any]:
    """Withdrawals asked for at a steady `rate`, whatever the answers take: seconds from request to broadcast."""
    asked: list[asyncio.Task[str]] = []
    for _ in range(n):
        asked.append(asyncio.create_task(bench.request()))
        await asyncio.sleep(1 / rate)
    ids = await asyncio.gather(*asked)
    await asyncio.gather(*map(bench.settled, ids))
    waits = []
    for id_ in ids:
        at = {row.stage: row.at for row in reversed(await bench.views.timeline(id_))}
        waits.append((at[Stage.BROADCAST] - at[Stage.REQUESTED]).total_seconds())
    waits.sort()
    return {
        "rate_per_s": round(rate, 2),
        "p50_s": round(statistics.median(waits), 3),
        "p95_s": round(waits[int(len(waits) * 0.95)], 3),
        "goal": "p95 < 30 s",
    }


async def _round(n: int, at_once: int, one: Callable[[], Awaitable[None]]) -> Round:
    """`n` of them, never more than `at_once` in flight."""
    latencies: list[float] = []
    left = iter(range(n))

    async def lane() -> None:
        for _ in left:
            began = time.perf_counter()
            await one()
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return Round(n, time.perf_counter() - began, latencies)


@asynccontextmanager
async def _bench() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-bench-")))
        settings = Settings(
            state_dir=folder / "state", port_base=PORT_BASE, block_time_s=0, catalogue_dir=_catalogue(folder)
        )
        await held.enter_async_context(Stack(settings))
        for kind in ("workflows", "activities"):
            await held.enter_async_context(_reference_worker(kind, settings.temporal_target))
        session = await held.enter_async_context(aiohttp.ClientSession())
        yield Bench(
            door=Door(session, settings.api_url, Household(settings.state_dir).keys()["alice"]),
            views=await held.enter_async_context(open_views(settings)),
            client=await connect_temporal(settings),
            plain=await Client.connect(settings.temporal_target),
            numbers=count(time.time_ns()),
        )


def _catalogue(folder: Path) -> Path:
    """The operators' files with one confirmation as final, so that the chain's own pace is not what is measured."""
    copy = folder / "catalogue"
    copy.mkdir()
    for path in FOLDER.glob("*.toml"):
        (copy / path.name).write_text(path.read_text())
    networks = copy / "networks.toml"
    networks.write_text(networks.read_text().replace("confirmations = 3", "confirmations = 1"))
    return copy


@asynccontextmanager
async def _reference_worker(kind: str, address: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "ops.bench.noop", kind, address, cwd=ROOT)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
