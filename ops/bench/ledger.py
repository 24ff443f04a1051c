"""`bench ledger`: a hold placed and settled through the books, against the barest functions that write the same rows.

Each round works on a database of its own, copied from one that was filled before; afterwards both must hold the same
balances and as many entries, postings and closed holds.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg as _asyncpg
import uvloop

from adapters.store.database import Database, open_database
from adapters.store.ledger import Ledger
from domain.ledger import chart
from domain.ledger.chart import Account
from domain.ledger.entry import Posted, entry_of
from domain.ledger.hold import Hold
from ops.bench.harness import PAIRS_MIN, Measured, interleave, report, say
from ops.bench.scratch import Cluster
from ops.bench.soak import soak as run_soak

asyncpg: Any = _asyncpg

FEW, MANY = 8, 200
CLIENTS = 200
HELD, FEE = 100, 10
FUNDS = 10**15
CALLS_PER_JOB = 2
WARM_JOBS = 64
_REFERENCE = Path(__file__).with_name("ledger_reference.sql")
_LEFT = """
SELECT (SELECT md5(string_agg(a.code || ' ' || b.units, ',' ORDER BY a.code))
        FROM account a JOIN balance b ON b.account_id = a.id) AS balances,
       (SELECT count(*) FROM entry) AS entries, (SELECT count(*) FROM posting) AS postings,
       (SELECT sum(units)::text FROM posting) AS sum, (SELECT count(*) FROM hold WHERE state = 'SETTLED') AS settled
"""


def main(pairs: int = PAIRS_MIN, jobs: int = 1600, soak: float = 0) -> dict[str, Any]:
    """`jobs` holds placed and settled in every round; `soak`: minutes of looking for deadlocks instead."""
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as folder, _cluster(Path(folder)) as cluster:
        if soak:
            return {"bench": "ledger", "soak": uvloop.run(run_soak(cluster.migrated(), soak))}
        return uvloop.run(_measure(cluster, pairs, jobs))


async def _measure(cluster: Cluster, pairs: int, jobs: int) -> dict[str, Any]:
    say("filling a database to copy")
    bench = Bench(cluster, await _filled(cluster), jobs)
    few, many, hot = bench.ours(FEW), bench.ours(MANY), bench.ours(MANY, hot=True)
    single = await interleave("8 clients", few, bench.reference, pairs)
    crowd = await interleave("200 in flight", many, bench.reference, pairs)
    warm = await interleave("one hot account", _uncompared(hot), _uncompared(many), pairs)
    return {
        "bench": "ledger",
        "calls_per_round": jobs * CALLS_PER_JOB,
        "single_calls_8_clients": report(single, "calls/s", ">= 0.8"),
        "200_in_flight_over_single_calls": report(crowd, "calls/s", ">= 2"),
        "hot_account_over_spread": report(warm, "calls/s", ">= 0.7"),
    }


class Bench:
    """Rounds on copies of one filled database. Job `i` is client `i`'s, whoever runs it."""

    def __init__(self, cluster: Cluster, filled: str, jobs: int) -> None:
        self._cluster = cluster
        self._filled = filled
        self._jobs = jobs

    def ours(self, in_flight: int, *, hot: bool = False) -> Callable[[int], Awaitable[Measured]]:
        """A round through the books' ledger with so many callers at once; `hot`: all of them on client 0's accounts."""

        async def one(number: int) -> Measured:
            async with self._copy() as (_, database):
                ledger = Ledger(database)
                await ledger.know(database, (account for i in range(CLIENTS) for account in _accounts(i)))

                async def job(i: int) -> None:
                    client = 0 if hot else i % CLIENTS
                    available, held, flying, revenue = _accounts(client)
                    hold = Hold(f"withdrawal/bench-{i}/hold", available, held, HELD)
                    away = ((flying, HELD - FEE), (revenue, FEE))
                    for move in (hold.place(), hold.settle(f"withdrawal/bench-{i}/settle", away)):
                        if (await ledger.post(move)).posted is not Posted.POSTED:
                            raise RuntimeError(f"{move.entry.key} was refused")

                return Measured(await self._time(job, in_flight), await _left(database))

        return one

    async def reference(self, number: int) -> Measured:
        """A round of single function calls from FEW connections."""
        async with self._copy() as (dsn, database):
            rows = await database.fetch("accounts", "SELECT id, code FROM account")
            ids = {row["code"]: row["id"] for row in rows}
            idle = [await asyncpg.connect(dsn, ssl=False) for _ in range(FEW)]

            async def job(i: int) -> None:
                available, held, flying, revenue = (ids[a.code] for a in _accounts(i % CLIENTS))
                key, connection = f"withdrawal/bench-{i}/hold", idle.pop()
                await connection.execute(
                    "SELECT reference_hold($1, $2, $3, $4, $5)", key, bytes(32), available, held, HELD
                )
                await connection.execute(
                    "SELECT reference_settle($1, $2, $3, $4, $5, $6, $7, $8)",
                    *(f"withdrawal/bench-{i}/settle", bytes(32), key, held, flying, revenue, HELD, FEE),
                )
                idle.append(connection)

            rate = await self._time(job, FEW)
            for connection in idle:
                await connection.close()
            return Measured(rate, await _left(database))

    async def _time(self, job: Callable[[int], Awaitable[None]], in_flight: int) -> float:
        """Calls a second over all jobs, `in_flight` at once, after a few that warm the connections."""
        await _run(job, range(self._jobs, self._jobs + WARM_JOBS), in_flight)
        began = time.perf_counter()
        await _run(job, range(self._jobs), in_flight)
        return self._jobs * CALLS_PER_JOB / (time.perf_counter() - began)

    @asynccontextmanager
    async def _copy(self) -> AsyncIterator[tuple[str, Database]]:
        dsn = await asyncio.to_thread(self._cluster.copy, self._filled)
        try:
            async with open_database(dsn, 4) as database:
                yield dsn, database
        finally:
            await asyncio.to_thread(self._cluster.drop, dsn)


async def _run(job: Callable[[int], Awaitable[None]], numbers: range, in_flight: int) -> None:
    left = iter(numbers)

    async def lane() -> None:
        for i in left:
            await job(i)

    await asyncio.gather(*(lane() for _ in range(in_flight)))


def _uncompared(round_: Callable[[int], Awaitable[Measured]]) -> Callable[[int], Awaitable[Measured]]:
    """Hot and spread end with other balances by nature; that each is whole is compared elsewhere."""

    async def one(number: int) -> Measured:
        measured = await round_(number)
        assert isinstance(measured.left, tuple)
        return Measured(measured.figure, measured.left[1:])

    return one


def _accounts(client: int) -> tuple[Account, Account, Account, Account]:
    """Available, held, in flight and fee revenue of one client, whose asset is nobody else's."""
    asset = f"BENCH{client}-ETHEREUM"
    name = f"client{client}"
    return (
        chart.available(name, asset),
        chart.held(name, asset),
        chart.in_flight("ethereum", asset),
        chart.withdrawal_fee(asset),
    )


async def _filled(cluster: Cluster) -> str:
    """A database with every client's accounts, funded, and the reference's functions."""
    dsn = await asyncio.to_thread(cluster.migrated)
    async with open_database(dsn, 2) as database:
        ledger = Ledger(database)

        async def fund(client: int) -> None:
            available, _, flying, _ = _accounts(client)
            lines = ((flying, FUNDS), (available, -FUNDS))
            await ledger.post(entry_of(f"opening/{client}", "opening", lines))

        await asyncio.gather(*map(fund, range(CLIENTS)))
        await ledger.know(database, (account for i in range(CLIENTS) for account in _accounts(i)))
    await asyncio.to_thread(cluster.run, _REFERENCE.read_text(), dsn)
    await asyncio.to_thread(cluster.run, "VACUUM ANALYZE", dsn)
    return dsn


async def _left(database: Database) -> tuple[object, ...]:
    row = await database.fetchrow("left", _LEFT)
    assert row is not None
    return tuple(row.values())


@contextmanager
def _cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster.start(folder / "state")
    try:
        yield cluster
    finally:
        cluster.stop()
