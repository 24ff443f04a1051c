"""A hot wallet's payouts through two faulty nodes, reorgs, fee spikes and deaths: each lands exactly once."""

import asyncio
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.chains.evm.receipts import TRANSFER_TOPIC
from adapters.wiring import open_chain
from domain.errors import Refused, Unavailable, Uncertain
from domain.payout import Act, Fee, Final, Offer, Slot, Step, Version, bump_due, decide, look_pause_s, offered
from domain.ports import Chain
from tests.adapters.chains.worlds import ASSETS, NETWORK, TOKEN, EvmWorld, K, new_slot, sign_evm
from tests.ops.chain import ROOT, LocalChain, Spender

log = logging.getLogger(__name__)

PAYOUTS = 24
IN_FLIGHT = 8
BLOCK_S = 0.15
SEED = int(os.environ.get("CHAOS_SEED", "20261121"))
CHAOS_S = 10.0
END_S = 40.0
FAULTS = {"lose_reply": 0.15, "blackhole": 0.15, "http_error": 0.1, "null_receipt": 0.2}
PACE = replace(NETWORK, block_time_ms=int(BLOCK_S * 1000))
BUMP_AFTER = timedelta(seconds=NETWORK.fees.bump_after_s)


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalChain, LocalChain]]:
    """Two nodes of one network: two proxies, each with its own pool and faults, before one anvil. The first makes the
    blocks.
    """
    port = 18340 + 4 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = LocalChain(tmp_path_factory.mktemp("chaos"), port, BLOCK_S, kept=False)
    second = LocalChain(tmp_path_factory.mktemp("unused"), port + 1, 3600, kept=False)
    words = ["--chain", f"{first.network}:{port + 2}:{port}", "--block-time", "3600"]
    try:
        first.start()
        proxy = subprocess.Popen((sys.executable, "-m", "ops.devnet.node_proxy", *words), cwd=ROOT, stderr=-3)
        try:
            second.wait()
            yield first, second
        finally:
            proxy.terminate()
            proxy.wait(10)
    finally:
        first.stop()


@dataclass
class Stored:
    """What survives the death of a deliverer."""

    slot: Slot
    versions: list[Version] = field(default_factory=list)
    final: Final | None = None


class Deliverer:
    """The prose of `domain.payout`, in the fewest lines; it may be killed at every await."""

    def __init__(self, chain: Chain, key: Spender, acts: Counter[str]) -> None:
        self._chain = chain
        self._key = key
        self._acts = acts

    async def deliver(self, stored: Stored) -> None:
        offer: Offer | None = None
        looks = 0
        while stored.final is None:
            try:
                offer = await self._step(stored, offer)
            except (Unavailable, Uncertain, Refused) as error:
                self._acts[error.code] += 1
            looks += 1
            await asyncio.sleep(look_pause_s(PACE.block_time_ms, looks))

    async def _step(self, stored: Stored, offer: Offer | None) -> Offer | None:
        if not stored.versions:
            fee = await self._chain.quote(stored.slot.payments, stored.slot.wallet)
            await self._sign(stored, fee, 1)
        versions = tuple(stored.versions)
        step = await self._decide(stored.slot, versions, offer)
        self._acts[step.act.value] += 1
        if step.act is Act.FINAL and step.final is not None:
            assert stored.final in (None, step.final)
            stored.final = step.final
        elif step.act is Act.HALT:
            raise AssertionError(step.reason)
        elif step.act is Act.BUMP and step.fee is not None:
            await self._sign(stored, step.fee, versions[-1].number + 1)
        elif step.act is Act.OFFER:
            return await self._offer(versions[(step.offer or 1) - 1], offer)
        return offer

    async def _sign(self, stored: Stored, fee: Fee, number: int) -> None:
        """Stored before it is sent; the first to store a number wins, as a unique key would have it."""
        draft = await self._chain.draft(stored.slot, fee)
        if len(stored.versions) < number:
            stored.versions.append(sign_evm(draft, number, self._key.key))

    async def _decide(self, slot: Slot, versions: tuple[Version, ...], offer: Offer | None) -> Step:
        facts = await self._chain.observe(slot, versions)
        next_fee, now, last = None, datetime.now(UTC), versions[-1].fee
        if bump_due(versions, facts, offer, BUMP_AFTER, now):
            next_fee = self._chain.bump(slot, last, await self._chain.market(last.weight))
        return decide(slot, versions, facts, offer=offer, next_fee=next_fee, bump_after=BUMP_AFTER, now=now)

    async def _offer(self, version: Version, offer: Offer | None) -> Offer:
        low = False
        try:
            await self._chain.broadcast(version)
        except (Uncertain, Refused) as answer:
            self._acts[answer.code] += 1
            low = answer.code == "BROADCAST_UNDERPRICED"
        return offered(offer, version.number, datetime.now(UTC), underpriced=low)


async def deliver_all(deliverer: Deliverer, queue: list[Stored], dice: random.Random, chaos: asyncio.Event) -> int:
    """IN_FLIGHT at once, a third of them twice over; while there is chaos one is killed now and then. Returns how many
    died.
    """
    deaths = 0
    running: dict[asyncio.Task[None], Stored] = {}
    while any(stored.final is None for stored in queue):
        waiting = [stored for stored in queue if stored.final is None][:IN_FLIGHT]
        for at, stored in enumerate(waiting):
            copies = sum(other is stored for other in running.values())
            for _ in range(copies, 2 if at % 3 == 0 else 1):
                running[asyncio.create_task(deliverer.deliver(stored))] = stored
        done, _ = await asyncio.wait(running, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
            del running[task]
        if running and not chaos.is_set() and dice.random() < 0.5:
            victim = dice.choice(list(running))
            victim.cancel()
            await asyncio.wait([victim])
            del running[victim]
            deaths += 1
    for task in running:
        task.cancel()
    return deaths


async def disturb(
    world: EvmWorld, nodes: tuple[LocalChain, LocalChain], dice: random.Random, over: asyncio.Event
) -> Counter[str]:
    """Reorgs up to one short of finality, fee spikes and every fault of the proxies, for CHAOS_S seconds."""
    met: Counter[str] = Counter()
    until = time.monotonic() + CHAOS_S
    for at, node in enumerate(nodes):
        await asyncio.to_thread(node.control, **FAULTS, seed=at)
    while time.monotonic() < until:
        await asyncio.sleep(0.3)
        kind = dice.choice(["reorg", "reorg", "spike", "lag", "calm"])
        met[kind] += 1
        match kind:
            case "reorg":
                await asyncio.to_thread(world.reorg, dice.randint(1, K - 1))
            case "spike":
                await asyncio.to_thread(world.spike, dice.choice([5, 20, 80]) * 10**9)
            case "lag":
                await asyncio.to_thread(dice.choice(nodes).control, stale_head=dice.randint(1, 2))
            case "calm":
                await asyncio.to_thread(dice.choice(nodes).control, stale_head=0)
    for node in nodes:
        met.update((await asyncio.to_thread(node.counters))["struck"])
        await asyncio.to_thread(node.control, reset=True)
    over.set()
    return met


@pytest.mark.timeout(90)
async def test_through_reorgs_spikes_faults_and_deaths_each_payment_lands_exactly_once(
    nodes: tuple[LocalChain, LocalChain],
) -> None:
    first, _ = nodes
    key, dice, acts, calm = Spender(), random.Random(SEED), Counter[str](), asyncio.Event()
    async with open_chain(PACE, ASSETS, [node.url for node in nodes], [key.address]) as chain:
        world = EvmWorld(first, chain, key)
        world.fund()
        queue = [Stored(new_slot(key.address, nonce, TOKEN, 1000 + nonce)) for nonce in range(PAYOUTS)]
        disturbing = asyncio.create_task(disturb(world, nodes, dice, calm))
        deaths = await asyncio.wait_for(deliver_all(Deliverer(chain, key, acts), queue, dice, calm), END_S)
        met = await disturbing
        assert await chain.next_scarce(key.address) == (PAYOUTS, PAYOUTS)

    for stored in queue:
        transfers = logs_to(first, stored)
        assert len(transfers) == 1, f"{stored.slot.id} was paid {len(transfers)} times"
        assert stored.final is not None
        assert stored.final.paid
        assert transfers[0]["transactionHash"] == stored.final.txid
        assert int(transfers[0]["data"], 16) == int(stored.slot.payments[0].amount)
    versions = sum(len(stored.versions) for stored in queue)
    log.info("%d payouts, %d versions, %d deaths; met %s; did %s", PAYOUTS, versions, deaths, dict(met), dict(acts))
    assert deaths > 0
    assert met["reorg"] > 0
    assert all(met[fault] > 0 for fault in FAULTS), met


def logs_to(node: LocalChain, stored: Stored) -> list[dict[str, Any]]:
    """Every Transfer of the token to the payment's recipient, from the first block to the last."""
    to = "0x" + stored.slot.payments[0].recipient[2:].lower().rjust(64, "0")
    wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": TOKEN.contract, "topics": [TRANSFER_TOPIC, None, to]}
    found: list[dict[str, Any]] = node.rpc("eth_getLogs", wanted)
    return found
