"""`bench withdrawals`: N withdrawals from the REST door to final, against N workflows of as many no-op activities.

Both run on the same Temporal server, interleaved A B A B: ours through API, orchestrator, books, chain and signer
processes, PostgreSQL and a node that mines at once; the reference in two processes that do nothing else. A network that
pays in batches is measured by `ops.bench.batches` instead: there the question is what batching saves.
"""

import asyncio
import contextlib
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from adapters.catalogue import load
from adapters.settings import ROOT
from domain.errors import Refused
from ops.bench import batches
from ops.bench.harness import PAIRS_MIN, Measured, Pair, interleave, report
from ops.bench.installation import Installation, Round, in_flight, open_installation, open_loop
from ops.bench.noop import WORKFLOW_QUEUE, Noop

ACTIVITIES = 4  # judge, sign, deliver, settle: what one withdrawal that nobody must approve runs
FEW, MANY, AT_ONCE = 10, 60, 20


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything under measurement. `plain` is a client that seals nothing."""

    there: Installation
    plain: Client

    async def ours(self, n: int, at_once: int) -> Round:
        return await in_flight(n, at_once, self.there.withdraw)

    async def reference(self, n: int, at_once: int) -> Round:
        return await in_flight(n, at_once, self._nothing)

    async def _nothing(self) -> None:
        id_ = f"noop-{next(self.there.numbers)}"
        if await self.plain.execute_workflow(Noop.run, ACTIVITIES, id=id_, task_queue=WORKFLOW_QUEUE) != ACTIVITIES:
            raise RuntimeError("the reference did not run all of its activities")


async def main(pairs: int = PAIRS_MIN, network: str | None = None) -> dict[str, Any]:
    """The whole measurement on one network, the first of networks.toml unless given; progress on stderr. Raises Refused
    NETWORK_UNKNOWN.
    """
    known = load("devnet").networks
    network = network or next(iter(known))
    if network not in known:
        raise Refused("NETWORK_UNKNOWN", f"Measure one of {', '.join(known)}.", network=network)
    if known[network].batch_max > 1:
        return await batches.measure(network, pairs)
    async with _bench(network) as bench:
        await bench.ours(10, 5)
        await bench.reference(10, 5)
        single = await _pairs(bench, "p50 at one in flight (ms)", pairs, FEW, 1, lambda r: r.p50 * 1000)
        many = await _pairs(bench, f"rate at {AT_ONCE} in flight (1/s)", pairs, MANY, AT_ONCE, lambda r: r.rate)
        ceiling = statistics.median(pair.reference for pair in many)
        return {
            "bench": "withdrawals",
            "network": network,
            "activities_each": ACTIVITIES,
            "p50_one_in_flight": report(single, "ms", "<= 1.3"),
            "rate_20_in_flight": report(many, "1/s", ">= 0.8"),
            "history_events": await _events(bench.there),
            "request_to_broadcast": await open_loop(bench.there, ceiling / 2),
        }


async def _pairs(
    bench: Bench, name: str, pairs: int, n: int, at_once: int, figure: Callable[[Round], float]
) -> list[Pair]:
    async def ours(_: int) -> Measured:
        done = await bench.ours(n, at_once)
        return Measured(figure(done), done.done)

    async def reference(_: int) -> Measured:
        done = await bench.reference(n, at_once)
        return Measured(figure(done), done.done)

    return await interleave(name, ours, reference, pairs)


async def _events(there: Installation) -> dict[str, Any]:
    """History events per withdrawal over all its workflows, asked for one by one: nothing is shared out to hide."""
    before = await there.wallet_events()
    paid = [await there.withdraw() for _ in range(FEW)]
    share = max(0, await there.wallet_events() - before) / len(paid)
    return {"per_withdrawal": round(await there.events(paid) + share, 1), "goal": "<= 45"}


@asynccontextmanager
async def _bench(network: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as held:
        there = await held.enter_async_context(open_installation(network))
        for kind in ("workflows", "activities"):
            await held.enter_async_context(_reference_worker(kind, there.settings.temporal_target))
        yield Bench(there, await Client.connect(there.settings.temporal_target))


@asynccontextmanager
async def _reference_worker(kind: str, address: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "ops.bench.noop", kind, address, cwd=ROOT)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
