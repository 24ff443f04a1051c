"""The two servers of `bench api`, each started by uvicorn in a process of its own: ours, and the barest that does the
same for the database. They learn from the environment which one to use.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg as _asyncpg
from fastapi import FastAPI
from pydantic import BaseModel

from adapters.catalogue import load
from adapters.chains.addresses import RULES
from adapters.store.opening import open_store
from api.addresses import Addresses
from api.app import build
from api.auth import Authenticator, RateLimiter
from api.commands import Health
from api.http.door import Door, Payloads
from api.metrics import Metrics
from api.networks import Networks
from domain.errors import Unavailable
from domain.intent import Decision, Signed
from domain.ports import Conclusion, DecisionNote
from domain.withdrawal import withdrawal_id
from workflows.state import Plea, WithdrawalOrder

asyncpg: Any = _asyncpg
DSN = "STRONGROOM_BENCH_DSN"
USDT = "USDT-ETHEREUM"
FEE = Decimal("1.5")
UNIT = 10**6
POOL = 16


# ------------------------------------------------------------ ours
def ours() -> FastAPI:
    """The whole API but for Temporal: starting workflows is another process's work."""
    return build(_open)


@asynccontextmanager
async def _open(metrics: Metrics) -> AsyncIterator[Door]:
    shelf = load("devnet")
    async with open_store(os.environ[DSN], shelf, Nobody(), POOL) as store:
        addresses = Addresses(shelf, store.views, store.address_book, store.recipients, RULES)
        async with addresses.followed():
            yield Door(
                books=store.books,
                views=store.views,
                stories=ElsewhereStories(),
                catalogue=shelf,
                addresses=addresses,
                networks=Networks({}, addresses.hot_wallet),
                served=shelf.networks,
                authenticator=Authenticator(store.keys),
                rate=RateLimiter(10**9),
                strangers=RateLimiter(10**9),
                payloads=Payloads(_unread, _unread, frozenset()),
                metrics=metrics,
                history_url=str,
            )


class Nobody:
    """A roster without people; nobody decides here."""

    def verify(self, word: Signed) -> str:
        return "STRANGER"


class ElsewhereStories:
    """Stories told by another process: the sweep of any API process with its relay on starts the workflows."""

    health = Health(up=True)

    def check_up(self) -> None:
        return None

    def submit(self, order: WithdrawalOrder) -> None:
        return None

    async def decide(self, withdrawal_id: str, decision: Decision) -> DecisionNote:
        raise Unavailable("ELSEWHERE", "another process tells the stories")

    async def cancel(self, withdrawal_id: str, plea: Plea) -> Conclusion:
        raise Unavailable("ELSEWHERE", "another process tells the stories")


async def _unread(body: bytes) -> bytes:
    return body


# ------------------------------------------------------------ the reference
class Asked(BaseModel):
    account: str
    client_ref: str
    network: str
    asset: str
    amount: Decimal
    recipient: str


def reference() -> FastAPI:
    """What one writes first: a FastAPI route, a pydantic model, one call of a database function. It asks nothing."""
    held: dict[str, Any] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(os.environ[DSN], min_size=POOL, max_size=POOL) as pool:
            held["pool"] = pool
            held["ids"] = {row["code"]: row["id"] for row in await pool.fetch("SELECT id, code FROM account")}
            yield

    app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.post("/v1/withdrawals", status_code=202)
    async def request_withdrawal(asked: Asked) -> dict[str, str]:
        ids = held["ids"]
        id_ = withdrawal_id(asked.account, asked.client_ref)
        await held["pool"].execute(
            "SELECT reference_request($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            *(id_, asked.account, asked.client_ref, asked.network, USDT, asked.amount * UNIT, FEE * UNIT),
            *(asked.recipient, asked.account, asked.client_ref, "", bytes(32)),
            *(ids[f"client/{asked.account}/available/{USDT}"], ids[f"client/{asked.account}/held/{USDT}"]),
        )
        return {"id": id_, "stage": "REQUESTED"}

    @app.get("/v1/withdrawals/{id_}")
    async def get_withdrawal(id_: str) -> dict[str, Any]:
        return dict(await held["pool"].fetchrow("SELECT * FROM withdrawal WHERE id = $1", id_))

    return app
