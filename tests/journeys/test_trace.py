"""One trace for each withdrawal: from the API through workflow, activities, database and node calls."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = 18540
EXPORT_WAIT_S = 60
ASKED_AND_PAID = (
    ("api", "POST /v1/withdrawals"),
    ("orchestrator", "RunWorkflow:Withdrawal"),
    ("signer", "RunActivity:sign"),
    ("chain", "RunActivity:deliver"),
    ("books", "RunActivity:settle"),
)


@dataclass
class Collector:
    """An OTLP collector that keeps (service, span name) of each trace."""

    url: str = ""
    traces: dict[bytes, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                self.traces[span.trace_id].append((named["service.name"].removeprefix("strongroom-"), span.name))

    def paid(self) -> dict[str, list[tuple[str, str]]]:
        """The traces of requests whose payout's story was told to its end, by trace id."""
        return {id.hex(): spans for id, spans in list(self.traces.items()) if set(ASKED_AND_PAID) <= set(spans)}


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """The test's output is its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        server.shutdown()


@pytest.fixture
def environment(collector: Collector, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An installation of its own that exports its traces."""
    foreign = ("STRONGROOM_", "TEMPORAL_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "STRONGROOM_STATE_DIR": str(tmp_path / "state"),
        "STRONGROOM_PORT_BASE": str(PORT_BASE),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }
    try:
        _strongroom(environment, "up", "--detach")
        yield environment
    finally:
        _strongroom(environment, "down")


BROADCASTS = ("node eth_sendRawTransaction", "node wallet/broadcasthex", "node sendrawtransaction")


@pytest.mark.timeout(240)
def test_one_trace_leads_from_the_request_to_the_node(environment: dict[str, str], collector: Collector) -> None:
    report = json.loads(_strongroom(environment, "demo", "--json"))
    settled = [row for row in report["withdrawals"] if row["stage"] == "SETTLED"]
    deadline = time.monotonic() + EXPORT_WAIT_S
    payouts = {row["txid"] for row in settled}
    while len(collector.paid()) < len(payouts) and time.monotonic() < deadline:
        time.sleep(0.2)
    traces = collector.paid()
    assert len(traces) == len(payouts), "one trace for each withdrawal; a batch's payout is told in that of its first"
    for trace in traces.values():
        assert {service for service, _ in trace} == {"api", "orchestrator", "books", "chain", "signer"}
        assert ("api", "store request_withdrawal") in trace
        assert {("chain", name) for name in BROADCASTS} & set(trace), "the node call that offers the bytes is a span"
        for step in ("RunWorkflow:Withdrawal", "RunActivity:judge", "RunActivity:sign", "RunActivity:settle"):
            assert [name for _, name in trace].count(step) == 1, step
    logs = "".join(path.read_text() for path in (Path(environment["STRONGROOM_STATE_DIR"]) / "logs").glob("*.log"))
    assert all(id in logs for id in traces), "a log line leads to its trace"


def _strongroom(environment: dict[str, str], *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "ops", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout
