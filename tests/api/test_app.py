"""The API as uvicorn starts it: real adapters, put together by the settings, whatever of the world is up."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from adapters import codec
from adapters.catalogue import load
from adapters.settings import Settings
from adapters.store.database import open_database
from adapters.store.keys import ApiKeys
from adapters.store.opening import open_store
from api.app import create_app, history_url
from domain.ledger import chart
from domain.withdrawal import workflow_id
from ops.bench.scratch import free_port
from tests.api.engine import Engine
from tests.fakes.people import People

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """The application sets up the logs of its process; this process has other tests to run."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def installation(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an installation whose database is up and whose Temporal is not."""
    monkeypatch.setenv("STRONGROOM_DATABASE_URL", database_url)
    monkeypatch.setenv("STRONGROOM_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    settings = Settings()
    codec.create(settings.codec_keys, datetime.now(UTC).date())
    return settings


async def test_it_starts_while_temporal_is_down_and_says_so(installation: Settings) -> None:
    app = create_app()
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            assert (await client.get("/livez")).status_code == 200
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["database"]["ok"]) == (503, True)
            assert ready.json()["temporal"]["ok"] is False
            assert (await client.get("/metrics")).status_code == 200

            sealed = await codec.Codec(installation.codec_keys).encode([Payload(data=b"secret")])
            body = json_format.MessageToJson(Payloads(payloads=sealed))
            opened = await client.post("/codec/decode", content=body, headers={"Origin": installation.temporal_ui})
            assert json_format.Parse(opened.text, Payloads()).payloads[0].data == b"secret"


async def test_with_everything_up_an_accepted_withdrawal_has_a_workflow_that_only_we_can_read(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path, free_port())
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{engine.port}")
    await engine.start()
    try:
        await _accepted_and_started(Settings(), engine)
    finally:
        engine.kill()
        await asyncio.sleep(0.5)  # the SDK may abort an interpreter that exits right after its last call


async def _accepted_and_started(settings: Settings, engine: Engine) -> None:
    async with open_store(settings.dsn, load("devnet"), People(), 2) as store:
        await store.books.ensure_account("acme")
        await store.books.post_opening("acme", [(chart.available("acme", "USDT-ETHEREUM"), 10**9)])
        token = (await store.keys.create("client", "bot", "acme"))[1]
    app = create_app()
    async with app.router.lifespan_context(app):
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api", headers=headers
        ) as client:
            assert (await client.get("/readyz")).json()["ready"] is True
            body = {"client_ref": "one", "network": "ethereum", "asset": "USDT", "amount": "12.5"}
            answer = await client.post(
                "/v1/withdrawals", json={**body, "recipient": "0x52908400098527886E0F7030069857D2E4169EE7"}
            )
            assert answer.status_code == 202, answer.text
    handle = (await engine.connect()).get_workflow_handle(workflow_id(answer.json()["id"]))
    history = (await handle.fetch_history()).to_json()
    assert "12.5 USDT" not in history
    assert "binary/encrypted" in json.dumps(history) or "YmluYXJ5L2VuY3J5cHRlZA==" in history


def test_the_history_of_a_withdrawal_has_an_address_in_the_ui(installation: Settings) -> None:
    url = history_url(installation, "wd_x")
    assert url == f"{installation.temporal_ui}/namespaces/default/workflows/withdrawal%2Fwd_x"


_TRACED = """
import asyncio, hashlib, json, sys
from functools import partial
import httpx
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from adapters import telemetry
from adapters.settings import Settings
from adapters.store.database import open_database
from adapters.store.keys import ApiKeys
from adapters.store.opening import open_store
from api.app import build, open_door

async def main():
    seen = InMemorySpanExporter()
    told = telemetry.set_up("api", processor=SimpleSpanProcessor(seen))
    app = build(partial(open_door, Settings(), told), traced=told.traced)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            given = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "Authorization": "Bearer " + sys.argv[1]}
            await client.get("/livez")
            await client.get("/v1/withdrawals/wd_" + "a" * 26, headers=given)
    spans = [s for s in seen.get_finished_spans() if f"{s.context.trace_id:032x}" == "a" * 32]
    print(json.dumps([[s.name, s.kind.name, s.attributes.get("http.route")] for s in spans]))

asyncio.run(main())
"""


async def test_a_request_is_one_span_of_the_callers_trace_with_the_database_below_it(
    installation: Settings, database_url: str
) -> None:
    async with open_database(database_url, 1) as database:
        _, token = await ApiKeys(database).create("auditor", "eve")
    run = subprocess.run(  # noqa: ASYNC221 - a process of its own, because a tracer is set once in each
        [sys.executable, "-c", _TRACED, token], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    spans = json.loads(run.stdout)
    servers = [span for span in spans if span[1] == "SERVER"]
    assert servers == [["GET /v1/withdrawals/{withdrawal_id}", "SERVER", "/v1/withdrawals/{withdrawal_id}"]]
    assert ["store withdrawal", "CLIENT", None] in spans
    assert token not in run.stdout + run.stderr
