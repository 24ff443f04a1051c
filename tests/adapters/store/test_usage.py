"""A rolling day is counted exactly, to the second, whatever was judged, cancelled or failed when."""

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest_asyncio

from adapters.store.opening import Store, open_store
from adapters.store.usage import DAY, usage_before
from domain.errors import Refused
from domain.policy import Usage
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, T0, USDT, World, final_of, postgres_world

_BRUTE = """
SELECT coalesce(sum(v.units) FILTER (WHERE v.account = $2 AND v.outcome <> 'decline'), 0)::text AS account_day,
       coalesce(sum(v.units) FILTER (WHERE v.outcome = 'accept'), 0)::text AS auto_day
FROM verdict v JOIN withdrawal w ON w.id = v.withdrawal_id
WHERE v.asset = $1 AND v.at > $3 AND w.stage NOT IN ('REJECTED', 'EXPIRED', 'CANCELLED', 'FAILED')
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(database_url: str) -> AsyncIterator[World]:
    async with postgres_world(database_url) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(database_url: str, world: World) -> AsyncIterator[Store]:
    async with open_store(database_url, world.catalogue, world.people, pool_max=2) as store:
        yield store


async def test_any_history_is_counted_as_if_all_of_it_were_read_again(world: World, store: Store) -> None:
    dice, now = random.Random(11), T0
    await world.fund_wallet()
    for account in ("acme", "other"):
        await world.fund(10**9 * COIN, account=account)
    pending: list[str] = []
    for number in range(120):
        now += timedelta(seconds=dice.choice((0, 0.5, 1, 29, 31, 600, 4000)))
        world.now = now
        asked = world.ask(dice.choice((5, 700, 2000)) * COIN, account=dice.choice(("acme", "other")))
        await world.books.request_withdrawal(world.request(asked))
        verdict = await world.books.judge(asked.id, now)
        pending.append(asked.id)
        if number % 7 == 0 and verdict.outcome == "accept":
            slot = await world.planned(asked)
            version = await world.broadcast(slot)
            await world.books.settle(slot, final_of(version, paid=dice.random() < 0.5), now)
        elif dice.random() < 0.5:
            await _cancel(world, pending.pop(dice.randrange(len(pending))), now)
        for account in ("acme", "other"):
            at = now + timedelta(seconds=dice.choice((0, 1, 86_399, 86_400, 50_000)))
            assert await _counted(store, account, at) == await _read_again(store, account, at)


async def _cancel(world: World, id_: str, now: datetime) -> None:
    try:
        await world.books.return_hold(id_, Stage.CANCELLED, "CLIENT", "olga", now)
    except Refused as refusal:
        assert refusal.code == "TOO_LATE"  # noqa: PT017 - it was planned or declined before


async def _counted(store: Store, account: str, now: datetime) -> Usage:
    async with store.database.transaction("usage") as connection:
        return await usage_before(connection, USDT, account, now)


async def _read_again(store: Store, account: str, now: datetime) -> Usage:
    row = await store.database.fetchrow("brute", _BRUTE, USDT, account, now - DAY)
    assert row is not None
    return Usage(int(row["account_day"]), int(row["auto_day"]))
