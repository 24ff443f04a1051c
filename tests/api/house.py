"""The API on a real PostgreSQL, with people who hold keys to it."""

import itertools
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI

from adapters.catalogue import Catalogue, load
from adapters.chains.addresses import RULES
from adapters.store.opening import Store, open_store
from api.addresses import Addresses
from api.app import build
from api.auth import Authenticator, RateLimiter
from api.http.door import Door, Payloads
from api.metrics import Metrics
from api.networks import Networks
from domain.intent import Ruling
from domain.ledger import chart
from domain.ports import Chain, WithdrawalView
from tests.fakes.people import People
from tests.fakes.stories import FakeStories

RECIPIENT = "0x52908400098527886E0F7030069857D2E4169EE7"
WALLET = "0xde709f2102306220921060314715629080e2fb77"
USDT, ETH = "USDT-ETHEREUM", "ETH-ETHEREUM"
COIN = 10**6
STAFF = {"olga": "operator", "ann": "approver", "ben": "approver", "dan": "approver", "ada": "auditor", "max": "admin"}
CLIENTS = ("acme", "other")
UI = "http://127.0.0.1:17432"


@dataclass
class House:
    """An API that runs, its store, and a token for everybody: clients by account, staff by name."""

    app: FastAPI
    store: Store
    stories: FakeStories
    catalogue: Catalogue
    people: People
    tokens: dict[str, str]
    sealed: list[bytes] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def client(self, who: str = "acme", **headers: str) -> httpx.AsyncClient:
        """`who`'s browser, so to speak. Nobody has no key."""
        given = {"Authorization": f"Bearer {self.tokens[who]}"} if who != "nobody" else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://api",
            headers={**given, **headers},
        )

    def body(self, **changes: Any) -> dict[str, Any]:
        """A good request; `changes` with None take a field away."""
        good = {
            "client_ref": f"ref-{next(self.numbers)}",
            "network": "ethereum",
            "asset": "USDT",
            "amount": "10",
            "recipient": RECIPIENT,
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    async def ask(
        self, body: dict[str, Any] | None = None, *, who: str = "acme", key: str = "", **changes: Any
    ) -> httpx.Response:
        body = self.body(**changes) if body is None else body
        async with self.client(who) as client:
            return await client.post(
                "/v1/withdrawals", json=body, headers={"Idempotency-Key": key or f"key-{next(self.numbers)}"}
            )

    async def get(self, path: str, who: str = "acme") -> httpx.Response:
        async with self.client(who) as client:
            return await client.get(path)

    async def post(self, path: str, body: Any = None, who: str = "acme") -> httpx.Response:
        async with self.client(who) as client:
            return await client.post(path, json=body) if body is not None else await client.post(path)

    async def fund(self, units: int, account: str = "acme", asset: str = USDT) -> None:
        await self.store.books.post_opening(f"api-{next(self.numbers)}", [(chart.available(account, asset), units)])

    async def referred(self, who: str = "acme", account: str | None = None) -> WithdrawalView:
        """A withdrawal that waits for two approvals."""
        answer = await self.ask(who=who, amount="1500", account=account)
        assert answer.status_code == 202, answer.text
        await self.store.books.judge(answer.json()["id"], datetime.now(UTC))
        view = await self.store.views.withdrawal(answer.json()["id"])
        assert view is not None
        assert view.intent_hash
        return view

    def decision(self, name: str, view: WithdrawalView, ruling: Ruling = Ruling.APPROVE) -> dict[str, str]:
        said = self.people.decision(name, ruling, str(view.intent_hash))
        return {
            "approver": said.approver,
            "ruling": said.ruling.value,
            "intent_hash": said.intent_hash,
            "signature": said.signature,
        }


@asynccontextmanager
async def open_house(
    dsn: str,
    per_minute: int = 1_000_000,
    strangers: int = 1_000_000,
    wrap: Callable[[Any], Any] = lambda x: x,
    chain: Chain | None = None,
    served: Collection[str] | None = None,
) -> AsyncIterator[House]:
    """The API of `dsn`, funded: acme has 1,000,000 USDT and 1,000 ETH, other 100 USDT. Without `chain` it knows no
    node; without `served` it pays on every network.
    """
    catalogue, people = load("devnet"), People("ann", "ben", "cat", "olga")
    async with open_store(dsn, catalogue, people, pool_max=8) as store:
        stories = FakeStories(store.books)
        sealed: list[bytes] = []

        async def payload(body: bytes) -> bytes:
            sealed.append(body)
            return b'{"payloads": []}'

        @asynccontextmanager
        async def open_(metrics: Metrics) -> AsyncIterator[Door]:
            addresses = Addresses(catalogue, store.views, store.address_book, store.recipients, RULES)
            async with addresses.followed():
                yield Door(
                    books=wrap(store.books),
                    views=store.views,
                    stories=stories,
                    catalogue=catalogue,
                    addresses=addresses,
                    networks=Networks({} if chain is None else {"ethereum": chain}, addresses.hot_wallet),
                    served=catalogue.networks if served is None else served,
                    authenticator=Authenticator(store.keys),
                    rate=RateLimiter(per_minute),
                    strangers=RateLimiter(strangers),
                    payloads=Payloads(payload, payload, frozenset({UI})),
                    metrics=metrics,
                    history_url=lambda id_: f"{UI}/namespaces/default/workflows/withdrawal%2F{id_}",
                )

        await store.books.ensure_wallet("ethereum", WALLET, 0)
        tokens = {}
        for account in CLIENTS:
            await store.books.ensure_account(account)
            tokens[account] = (await store.keys.create("client", f"{account}-bot", account))[1]
        for name, role in STAFF.items():
            tokens[name] = (await store.keys.create(role, name))[1]
        app = build(open_)
        async with app.router.lifespan_context(app):
            house = House(app, store, stories, catalogue, people, tokens, sealed)
            await house.fund(10**6 * COIN)
            await house.fund(10**21, asset=ETH)
            await house.fund(100 * COIN, "other")
            yield house


def code_of(answer: httpx.Response) -> str:
    """The code of a problem, after a look whether it is a whole one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/v1/problems/{problem['code']}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("/")
    assert problem["retryable"] is (problem["retry_after"] is not None)
    if problem["retryable"]:
        assert answer.headers["retry-after"] == str(problem["retry_after"])
    return str(problem["code"])
