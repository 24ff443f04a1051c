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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from temporalio.client import Client

from adapters.catalogue import FOLDER, load
from adapters.settings import ROOT, Settings
from adapters.store.database import Database
from adapters.wiring import connect_temporal, open_store
from domain.errors import Refused, Unavailable
from domain.network import Network
from domain.payout import hot_wallet_workflow_id, payout_workflow_id
from domain.ports import Views
from domain.withdrawal import ENDS, Stage, workflow_id
from ops.bench.harness import PAIRS_MIN, Measured, Pair, interleave, report
from ops.bench.noop import WORKFLOW_QUEUE, Noop
from ops.demo.door import Door
from ops.demo.evidence import history_length
from ops.demo.story import fresh_address
from ops.devnet.anvil import ChainFolder, NodeFacts, command
from ops.devnet.household import Household
from ops.devnet.ports import answers
from ops.devnet.stack import Stack
from ops.devnet.tools import anvil

PORT_BASE = 18800
ACTIVITIES = 4  # judge, sign, deliver, settle: what one withdrawal that nobody must approve runs
LOOK_S, LOOK_MAX_S = 0.01, 0.05
WAIT_MAX_S = 120.0
NODE_LOOKS_MAX = 200
AMOUNT = "1.25"
FEW, MANY, AT_ONCE = 10, 60, 20


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


class Ends:
    """Tells when withdrawals have ended: one look at the books for all that are waited for, so that looking itself
    weighs next to nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, asyncio.Future[Stage]] = {}
        self._asked = asyncio.Event()

    async def of(self, id_: str) -> Stage:
        """The stage it ended in. Raises TimeoutError after WAIT_MAX_S."""
        self._waiting[id_] = asyncio.get_running_loop().create_future()
        self._asked.set()
        return await asyncio.wait_for(self._waiting[id_], WAIT_MAX_S)

    async def look(self) -> None:
        """Looks for ever: often for one, and seldom for many, whose ends come in a stream anyway."""
        ended = "SELECT id, stage FROM withdrawal WHERE id = ANY($1) AND stage = ANY($2)"
        while True:
            await self._asked.wait()
            with contextlib.suppress(Unavailable):  # a machine that is busy enough; the next look tells
                for row in await self._database.fetch("ends", ended, list(self._waiting), [str(end) for end in ENDS]):
                    self._waiting.pop(row["id"]).set_result(Stage(row["stage"]))
            if not self._waiting:
                self._asked.clear()
            await asyncio.sleep(min(LOOK_S * max(1, len(self._waiting)), LOOK_MAX_S))


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything under measurement."""

    door: Door
    views: Views
    ends: Ends
    client: Client
    plain: Client
    numbers: "count[int]"
    network: Network

    async def ours(self, n: int, at_once: int) -> Round:
        return await _round(n, at_once, self._withdraw)

    async def reference(self, n: int, at_once: int) -> Round:
        return await _round(n, at_once, self._nothing)

    async def request(self) -> str:
        number = next(self.numbers)
        body = {
            "client_ref": f"bench-{number}",
            "network": self.network.id,
            "asset": "USDT",
            "amount": AMOUNT,
            "recipient": fresh_address(self.network, "bench", number),
        }
        status, answer = await self.door.post("/v1/withdrawals", body, f"bench-{number}")
        if status != 202:
            raise RuntimeError(f"the door answered {status}: {answer}")
        return str(answer["id"])

    async def settled(self, id_: str) -> None:
        """Returns when the books say SETTLED. Raises RuntimeError for any other end."""
        stage = await self.ends.of(id_)
        if stage is not Stage.SETTLED:
            raise RuntimeError(f"{id_} ended {stage}")

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
                total += await history_length(self.client, workflow)
        return total / len(ids)

    async def wallet_events(self) -> int:
        wallet = next(wallet for wallet in await self.views.wallets() if wallet.network == self.network.id)
        handle = self.client.get_workflow_handle(hot_wallet_workflow_id(wallet.network, wallet.address))
        return (await handle.describe()).history_length


async def main(pairs: int = PAIRS_MIN, network: str | None = None) -> dict[str, Any]:
    """The whole measurement on one network, the first of networks.toml unless given; progress on stderr. Raises Refused
    NETWORK_UNKNOWN.
    """
    known = load("devnet").networks
    network = network or next(iter(known))
    if network not in known:
        raise Refused("NETWORK_UNKNOWN", f"Measure one of {', '.join(known)}.", network=network)
    async with _bench(known[network]) as bench:
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
            "history_events": await _events(bench),
            "request_to_broadcast": await _open_loop(bench, ceiling / 2),
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


async def _events(bench: Bench) -> dict[str, Any]:
    """History events per withdrawal over all its workflows, asked for one by one: nothing is shared out to hide."""
    before, ids = await bench.wallet_events(), []
    for _ in range(FEW):
        ids.append(await bench.request())
        await bench.settled(ids[-1])
    share = max(0, await bench.wallet_events() - before) / len(ids)
    return {"per_withdrawal": round(await bench.events(ids) + share, 1), "goal": "<= 45"}


async def _open_loop(bench: Bench, rate: float, n: int = MANY) -> dict[str, Any]:
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
async def _bench(network: Network) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-bench-")))
        settings = Settings(
            state_dir=folder / "state",
            port_base=PORT_BASE,
            catalogue_dir=_catalogue(folder),
            block_time_s=0,
            networks=(network.id,),
        )
        if bare := BARE_NODES.get(network.family):
            url = await held.enter_async_context(bare(settings, network.id))
            settings = settings.model_copy(update={"nodes": {network.id: (url,)}})
        await held.enter_async_context(Stack(settings))
        for kind in ("workflows", "activities"):
            await held.enter_async_context(_reference_worker(kind, settings.temporal_target))
        session = await held.enter_async_context(aiohttp.ClientSession())
        store = await held.enter_async_context(open_store(settings))
        ends = Ends(store.database)
        looking = asyncio.create_task(ends.look())
        held.callback(looking.cancel)
        yield Bench(
            door=Door(session, settings.api_url, Household(settings.state_dir).keys()["alice"]),
            views=store.views,
            ends=ends,
            client=await connect_temporal(settings),
            plain=await Client.connect(settings.temporal_target),
            numbers=count(time.time_ns()),
            network=network,
        )


def _catalogue(folder: Path) -> Path:
    """The operators' files with one confirmation as final, so that the chain's own pace is not what is measured."""
    copy = folder / "catalogue"
    copy.mkdir()
    for path in FOLDER.glob("*.toml"):
        (copy / path.name).write_text(path.read_text())
    networks = copy / "networks.toml"
    text = networks.read_text().replace("confirmations = 3", "confirmations = 1")
    networks.write_text(text.replace("needs_finalized_tag = true", "needs_finalized_tag = false"))
    return copy


@asynccontextmanager
async def _bare_anvil(settings: Settings, network: str) -> AsyncIterator[str]:
    """An anvil that mines each transaction at once, without the proxy that plays geth: neither is what is measured."""
    facts, chain = NodeFacts.read(network, settings.catalogue_dir), ChainFolder(settings.state_dir, network)
    port = settings.local_ports(network)[1]
    chain.prepare(facts.decimals)
    words = [word for word in command(anvil(None), port, facts, chain) if word != "--no-mining"]
    process = await asyncio.create_subprocess_exec(*words)
    try:
        for _ in range(NODE_LOOKS_MAX):
            if await answers(port):
                break
            await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


# Families whose local node can be had without what stands before it.
BARE_NODES: Mapping[str, Callable[[Settings, str], AbstractAsyncContextManager[str]]] = {"evm": _bare_anvil}


@asynccontextmanager
async def _reference_worker(kind: str, address: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "ops.bench.noop", kind, address, cwd=ROOT)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
