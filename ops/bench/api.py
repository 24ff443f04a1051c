"""`bench api`: GET and POST /v1/withdrawals as they are served, against a bare FastAPI route on the same database.

Ours checks the key, the rate, the Idempotency-Key, the amount, the address and the balance; the reference just calls a
database function that writes the same rows. Each runs in a uvicorn process of its own, one at a time, on a fresh copy
of the same database; the relay that starts workflows is off in the measured process, because in production it may be
another one's work.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import uvloop

from adapters.catalogue import load
from adapters.store.opening import Store, open_store
from domain.errors import Unavailable
from domain.ledger import chart
from domain.ports import Request
from domain.withdrawal import Withdrawal, withdrawal_id
from ops.bench.api_servers import DSN, USDT, Nobody
from ops.bench.harness import PAIRS_MIN, Measured, interleave, report, say
from ops.bench.load import drive
from ops.bench.scratch import Cluster, free_port

CLIENTS = 32
CONNECTIONS = 32
WARM = 200
FILLED = 2000
FUNDS = 10**15
START_S = 30
RECIPIENT = "0x52908400098527886E0F7030069857D2E4169EE7"
_REFERENCE = Path(__file__).with_name("api_reference.sql")
_LEFT = """
SELECT (SELECT md5(string_agg(a.code || ' ' || b.units, ',' ORDER BY a.code))
        FROM account a JOIN balance b ON b.account_id = a.id) AS balances,
       (SELECT md5(string_agg(concat_ws(' ', id, account, client_ref, asset, amount, fee, recipient), ',' ORDER BY id))
        FROM withdrawal) AS withdrawals,
       (SELECT count(*) FROM withdrawal_event) AS events, (SELECT count(*) FROM idempotency) AS keys,
       (SELECT count(*) FROM hold) AS holds, (SELECT count(*) FROM posting) AS postings
"""
Which = Literal["ours", "reference"]


def main(pairs: int = PAIRS_MIN, jobs: int = 4000, connections: int = CONNECTIONS) -> dict[str, Any]:
    """`jobs` requests in every round, `connections` at a time."""
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as folder:
        cluster = Cluster.start(Path(folder) / "state")
        try:
            return uvloop.run(_measure(cluster, pairs, jobs, connections))
        finally:
            cluster.stop()


async def _measure(cluster: Cluster, pairs: int, jobs: int, connections: int) -> dict[str, Any]:
    say("filling a database to copy")
    filled, tokens = await _filled(cluster)
    bench = Bench(cluster, filled, tokens, jobs, connections)
    posting = await interleave("POST", bench.round("ours", _posts), bench.round("reference", _posts), pairs)
    reading = await interleave("GET", bench.round("ours", _gets), bench.round("reference", _gets), pairs)
    return {
        "bench": "api",
        "requests_per_round": jobs,
        "connections": connections,
        "note": "the relay is off in the measured process: it may be another process's work",
        "post": report(posting, "requests/s", ">= 0.8"),
        "get": report(reading, "requests/s", ">= 0.8"),
    }


@dataclass(frozen=True, slots=True)
class Bench:
    """Rounds on copies of one filled database, in which client `i` has the key `tokens[i]`."""

    cluster: Cluster
    filled: str
    tokens: Sequence[str]
    jobs: int
    connections: int

    def round(
        self, which: Which, requests: Callable[[Sequence[str], range], Iterator[bytes]]
    ) -> Callable[[int], Awaitable[Measured]]:
        async def one(number: int) -> Measured:
            dsn = await asyncio.to_thread(self.cluster.copy, self.filled)
            try:
                async with _served(which, dsn) as port:
                    warm = requests(self.tokens, range(self.jobs, self.jobs + WARM))
                    await drive("127.0.0.1", port, warm, self.connections)
                    load = await drive("127.0.0.1", port, requests(self.tokens, range(self.jobs)), self.connections)
                async with _store(dsn) as store:
                    row = await store.database.fetchrow("left", _LEFT)
                assert row is not None
                return Measured(load.rate, (dict(load.statuses), *row.values()))
            finally:
                await asyncio.to_thread(self.cluster.drop, dsn)

        return one


@asynccontextmanager
async def _served(which: Which, dsn: str) -> AsyncIterator[int]:
    """The port of a running server. Raises Unavailable BENCH_SERVER_DOWN."""
    port = free_port()
    words = (f"ops.bench.api_servers:{which}", "--factory", "--port", str(port), "--no-access-log")
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "uvicorn", *words, "--log-level", "error", "--loop", "uvloop", "--http", "httptools"],
        env={**os.environ, DSN: dsn},
    )
    try:
        await asyncio.to_thread(_until_up, process, port)
        yield port
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _until_up(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise Unavailable("BENCH_SERVER_DOWN", "A server of the benchmark did not start.")


# ------------------------------------------------------------ requests
def _posts(tokens: Sequence[str], numbers: range) -> Iterator[bytes]:
    """New withdrawals, each another client's than the one before. Ours knows the account by its key."""
    for i in numbers:
        client = i % CLIENTS
        asked = {"account": f"client{client}", "client_ref": f"bench-{i}", "network": "ethereum", "asset": "USDT"}
        body = json.dumps({**asked, "amount": "12.5", "recipient": RECIPIENT}).encode()
        yield _request("POST", "/v1/withdrawals", tokens[client], f"Idempotency-Key: bench-{i}\r\n", body)


def _gets(tokens: Sequence[str], numbers: range) -> Iterator[bytes]:
    """The withdrawals that were there before, over and over."""
    for i in numbers:
        client = i % FILLED % CLIENTS
        id_ = withdrawal_id(f"client{client}", f"filled-{i % FILLED}")
        yield _request("GET", f"/v1/withdrawals/{id_}", tokens[client])


def _request(method: str, path: str, token: str, more: str = "", body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{more}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


# ------------------------------------------------------------ the database both begin with
async def _filled(cluster: Cluster) -> tuple[str, list[str]]:
    """Funded clients with a key each, and FILLED withdrawals to look at."""
    dsn = await asyncio.to_thread(cluster.migrated)
    tokens = []
    async with _store(dsn) as store:
        for client in range(CLIENTS):
            name = f"client{client}"
            await store.books.ensure_account(name)
            tokens.append((await store.keys.create("client", name, name))[1])
            await store.books.post_opening(name, [(chart.available(name, USDT), FUNDS)])
        await asyncio.gather(*(store.books.request_withdrawal(_filling(i)) for i in range(FILLED)))
    await asyncio.to_thread(cluster.run, _REFERENCE.read_text(), dsn)
    await asyncio.to_thread(cluster.run, "VACUUM ANALYZE", dsn)
    return dsn, tokens


def _filling(i: int) -> Request:
    name, ref = f"client{i % CLIENTS}", f"filled-{i}"
    asked = Withdrawal(withdrawal_id(name, ref), name, ref, "ethereum", USDT, "12500000", "1500000", RECIPIENT, name)
    return Request(asked, ref, "-", name)


@asynccontextmanager
async def _store(dsn: str) -> AsyncIterator[Store]:
    async with open_store(dsn, load("devnet"), Nobody(), 2) as store:
        yield store
