"""An installation of its own to be measured, whose chain's pace is not what is measured: every transaction is mined at
once, and one confirmation is final.
"""

import asyncio
import contextlib
import re
import statistics
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

from adapters.catalogue import FOLDER, Catalogue, load
from adapters.settings import Settings
from adapters.store.database import Database
from adapters.wiring import connect_temporal, open_store
from domain.errors import Unavailable
from domain.money import Amount
from domain.network import Network
from domain.payout import hot_wallet_workflow_id, payout_workflow_id
from domain.ports import Views
from domain.withdrawal import ENDS, Stage, workflow_id
from ops.demo.door import Door
from ops.demo.evidence import history_length
from ops.demo.story import fresh_address
from ops.devnet.anvil import ChainFolder, NodeFacts, command
from ops.devnet.household import Household
from ops.devnet.ports import answers
from ops.devnet.stack import Stack
from ops.devnet.tools import anvil

BESIDE = 100  # ports from the installation's own first one, which may be up meanwhile
LOOK_S, LOOK_MAX_S = 0.01, 0.05
WAIT_MAX_S = 120.0
NODE_LOOKS_MAX = 200
TOKEN, TOKEN_AMOUNT = "USDT", "1.25"
MINIMUM_TIMES = 2  # where there is no token: so many times the least that may be withdrawn
BROADCASTS = 60


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
class Asked:
    """One withdrawal that was accepted, and where its coins should arrive."""

    id: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Installation:
    """One that runs, seen from its front door, its books and its histories. `settings` are its own."""

    settings: Settings
    door: Door
    views: Views
    ends: Ends
    client: Client
    numbers: "count[int]"
    network: Network
    asset: str
    amount: Amount

    async def request(self) -> Asked:
        number = next(self.numbers)
        body = {
            "client_ref": f"bench-{number}",
            "network": self.network.id,
            "asset": self.asset,
            "amount": self.amount.text(),
            "recipient": fresh_address(self.network, "bench", number),
        }
        status, answer = await self.door.post("/v1/withdrawals", body, f"bench-{number}")
        if status != 202:
            raise RuntimeError(f"the door answered {status}: {answer}")
        return Asked(str(answer["id"]), str(answer["recipient"]))

    async def settled(self, asked: Asked) -> None:
        """Returns when the books say SETTLED. Raises RuntimeError for any other end."""
        stage = await self.ends.of(asked.id)
        if stage is not Stage.SETTLED:
            raise RuntimeError(f"{asked.id} ended {stage}")

    async def withdraw(self) -> Asked:
        asked = await self.request()
        await self.settled(asked)
        return asked

    async def events(self, paid: Sequence[Asked]) -> float:
        """History events per withdrawal over all its workflows but the hot wallet's; one that tells of several
        withdrawals counts once.
        """
        workflows = set()
        for asked in paid:
            view = await self.views.withdrawal(asked.id)
            assert view is not None
            assert view.slot_id is not None
            workflows |= {workflow_id(asked.id), payout_workflow_id(view.slot_id)}
        return sum([await history_length(self.client, id_) for id_ in workflows]) / len(paid)

    async def wallet_events(self) -> int:
        wallet = next(wallet for wallet in await self.views.wallets() if wallet.network == self.network.id)
        handle = self.client.get_workflow_handle(hot_wallet_workflow_id(wallet.network, wallet.address))
        return (await handle.describe()).history_length


async def in_flight(n: int, at_once: int, one: Callable[[], Awaitable[object]]) -> Round:
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


async def open_loop(there: Installation, rate: float, n: int = BROADCASTS) -> dict[str, Any]:
    """Withdrawals asked for at a steady `rate`, whatever the answers take: seconds from request to broadcast."""
    asked: list[asyncio.Task[Asked]] = []
    for _ in range(n):
        asked.append(asyncio.create_task(there.request()))
        await asyncio.sleep(1 / rate)
    paid = await asyncio.gather(*asked)
    await asyncio.gather(*map(there.settled, paid))
    waits = []
    for one in paid:
        at = {row.stage: row.at for row in reversed(await there.views.timeline(one.id))}
        waits.append((at[Stage.BROADCAST] - at[Stage.REQUESTED]).total_seconds())
    waits.sort()
    return {
        "rate_per_s": round(rate, 2),
        "p50_s": round(statistics.median(waits), 3),
        "p95_s": round(waits[int(len(waits) * 0.95)], 3),
        "goal": "p95 < 30 s",
    }


@asynccontextmanager
async def open_installation(
    network: str, *, port_base: int | None = None, node: str | None = None, batch_max: int | None = None
) -> AsyncIterator[Installation]:
    """Starts it. `node`: the URL of a node that runs already, instead of one of its own; `batch_max`: payouts in one
    transaction, instead of what networks.toml says.
    """
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-bench-")))
        settings = Settings(
            state_dir=folder / "state",
            port_base=Settings().port_base + BESIDE if port_base is None else port_base,
            catalogue_dir=_catalogue(folder, batch_max),
            block_time_s=0,
            networks=(network,),
        )
        shelf = load("devnet", settings.catalogue_dir)
        if node is not None:
            settings = settings.model_copy(update={"nodes": {network: (node,)}})
        elif bare := BARE_NODES.get(shelf.networks[network].family):
            url = await held.enter_async_context(bare(settings, network))
            settings = settings.model_copy(update={"nodes": {network: (url,)}})
        await held.enter_async_context(Stack(settings))
        session = await held.enter_async_context(aiohttp.ClientSession())
        store = await held.enter_async_context(open_store(settings))
        ends = Ends(store.database)
        looking = asyncio.create_task(ends.look())
        held.callback(looking.cancel)
        amount = _amount(shelf, network)
        yield Installation(
            settings=settings,
            door=Door(session, settings.api_url, Household(settings.state_dir).keys()["alice"]),
            views=store.views,
            ends=ends,
            client=await connect_temporal(settings),
            numbers=count(time.time_ns()),
            network=shelf.networks[network],
            asset=amount.asset.code,
            amount=amount,
        )


def _amount(shelf: Catalogue, network: str) -> Amount:
    """What each withdrawal is of: the token where there is one, else the native coin."""
    for asset in shelf.assets.values():
        if (asset.network, asset.code) == (network, TOKEN):
            return Amount.parse(TOKEN_AMOUNT, asset)
    native = shelf.native(network)
    return Amount(MINIMUM_TIMES * shelf.policy.assets[native.id].minimum_units, native)


def _catalogue(folder: Path, batch_max: int | None) -> Path:
    """The operators' files with one confirmation as final, so that the chain's own pace is not what is measured."""
    copy = folder / "catalogue"
    copy.mkdir()
    for path in FOLDER.glob("*.toml"):
        (copy / path.name).write_text(path.read_text())
    networks = copy / "networks.toml"
    text = networks.read_text().replace("confirmations = 3", "confirmations = 1")
    text = text.replace("needs_finalized_tag = true", "needs_finalized_tag = false")
    networks.write_text(text if batch_max is None else re.sub(r"batch_max = \d+", f"batch_max = {batch_max}", text))
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
