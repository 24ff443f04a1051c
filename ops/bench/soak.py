"""The soak of `bench ledger`: everything the books do at once, from several processes' worth of callers, on few
accounts, for minutes. No deadlock may occur, no base unit may be lost, and it must not get slower as the tables grow.
"""

import asyncio
import hashlib
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from adapters.catalogue import load
from adapters.store.opening import Store, open_store
from domain.errors import Refused, StrongroomError
from domain.intent import Signed
from domain.ledger import chart
from domain.ledger.entry import entry_of
from domain.network import Network
from domain.payout import Fee, Final, Slot, Version
from domain.ports import Request
from domain.withdrawal import Stage, Withdrawal, withdrawal_id
from ops.bench.harness import say

STORES = 4
TASKS_PER_STORE = 24
CLIENTS = 6
ASSET, NATIVE, NETWORK = "USDT-ETHEREUM", "ETH-ETHEREUM", "ethereum"
WALLETS = tuple(f"0x{i:040x}" for i in range(1, 4))
AMOUNT, FEE = 10**6, 10**4
WINDOW_S = 30


class Everybody:
    """A roster that takes everybody's word; nobody decides in a soak."""

    def verify(self, word: Signed) -> str:
        return ""


@dataclass
class Soak:
    """What happened so far: calls by name, and refusals and failures by code."""

    network: Network
    calls: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)


async def soak(dsn: str, minutes: float) -> dict[str, Any]:
    """Runs for `minutes`; raises Refused SOAK_FAILED when there was a deadlock or the books do not agree."""
    catalogue = load("devnet")
    caps = replace(catalogue.policy.assets[ASSET], day_units_max=10**40, auto_day_units_max=10**40)
    catalogue = replace(catalogue, policy=replace(catalogue.policy, assets={ASSET: caps}))
    state = Soak(catalogue.networks[NETWORK])
    rates: list[float] = []
    async with AsyncExitStack() as held:
        stores = [
            await held.enter_async_context(open_store(dsn, catalogue, Everybody(), pool_max=6)) for _ in range(STORES)
        ]
        await _fill(stores[0])
        until = time.monotonic() + minutes * 60
        tasks = [
            asyncio.create_task(_life(state, store, f"{s}-{t}", until))
            for s, store in enumerate(stores)
            for t in range(TASKS_PER_STORE)
        ]
        while time.monotonic() < until:
            before, began = state.calls.total(), time.monotonic()
            await asyncio.sleep(min(WINDOW_S, max(0.1, until - began)))
            rates.append((state.calls.total() - before) / (time.monotonic() - began))
            say(f"{rates[-1]:,.0f} calls/s, {state.calls.total():,} so far, troubles {dict(state.troubles)}")
        await asyncio.gather(*tasks)
        return await _verdict(stores[0], state, rates, minutes)


async def _fill(store: Store) -> None:
    books = store.books
    for i in range(CLIENTS):
        await books.ensure_account(f"client{i}")
        await books.post_opening(f"client{i}", [(chart.available(f"client{i}", ASSET), 10**9 * AMOUNT)])
    for wallet in WALLETS:
        await books.ensure_wallet(NETWORK, wallet, 0)
        coins = ((chart.hot_wallet(NETWORK, wallet, ASSET), 10**9 * AMOUNT), (_gas(wallet), 10**30))
        await books.post_opening(wallet, coins)


def _gas(wallet: str) -> chart.Account:
    return chart.hot_wallet(NETWORK, wallet, NATIVE)


async def _life(state: Soak, store: Store, name: str, until: float) -> None:
    dice, number = random.Random(name), 0
    while time.monotonic() < until:
        number += 1
        story = dice.choice((_withdraw, _withdraw, _swap))
        try:
            await story(state, store, dice, f"{name}-{number}")
        except StrongroomError as error:
            state.troubles[error.code] += 1


async def _swap(state: Soak, store: Store, dice: random.Random, name: str) -> None:
    """Two accounts in any order, so that whoever locks them as they come deadlocks."""
    one, two = dice.sample(range(CLIENTS), 2)
    lines = ((chart.available(f"client{one}", ASSET), 1), (chart.available(f"client{two}", ASSET), -1))
    await store.books.ledger.post(entry_of(f"swap/{name}", "swap", lines))
    state.calls["post"] += 1


async def _withdraw(state: Soak, store: Store, dice: random.Random, name: str) -> None:
    """From the door to its end: cancelled, paid, or failed."""
    books, now, account = store.books, datetime.now(UTC), f"client{dice.randrange(CLIENTS)}"
    id_ = withdrawal_id(account, name)
    asked = Withdrawal(id_, account, name, NETWORK, ASSET, str(AMOUNT), str(FEE), "0x1", "soak")
    await books.request_withdrawal(Request(asked, name, hashlib.sha256(name.encode()).hexdigest(), "soak"))
    await books.judge(id_, now)
    state.calls.update(("request_withdrawal", "judge"))
    if dice.random() < 0.3:
        await books.return_hold(id_, Stage.CANCELLED, "CLIENT", "soak", now)
        state.calls["return_hold"] += 1
        return
    wallet = dice.choice(WALLETS)
    items = [i for i in await books.queued(NETWORK, wallet, 50) if i.payment.withdrawal_id == id_]
    slot = await books.plan_slot(replace(state.network, in_flight_max=1000), wallet, items, now)
    state.calls.update(("queued", "plan_slot"))
    if not isinstance(slot, Slot):
        state.troubles[slot.code] += 1
        await books.return_hold(id_, Stage.CANCELLED, "CLIENT", "soak", now)
        return
    txid = hashlib.sha256(slot.id.encode()).hexdigest()
    await books.begin_delivery(Version(slot.id, 1, txid, "0x02", Fee(60_000, 10**9, 10**8), now), now)
    await books.settle(slot, Final(txid, 1, "0x3", dice.random() < 0.9, str(10**15)), now)
    state.calls.update(("begin_delivery", "settle"))


async def _verdict(store: Store, state: Soak, rates: list[float], minutes: float) -> dict[str, Any]:
    counted = "SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()"
    row = await store.database.fetchrow("deadlocks", counted)
    trial = await store.views.trial_balance()
    deadlocks = row["n"] if row else None
    answer = {
        "minutes": minutes,
        "calls": dict(sorted(state.calls.items())),
        "calls_per_s": [round(rate) for rate in rates],
        "refusals_and_failures": dict(state.troubles),
        "deadlocks": deadlocks,
        "trial_balance": dict(trial.sums),
        "disagreements": dict(trial.disagreements),
    }
    if deadlocks != 0 or any(units != "0" for units in trial.sums.values()) or trial.disagreements:
        raise Refused("SOAK_FAILED", f"The books did not stand it: {answer}")
    return answer
