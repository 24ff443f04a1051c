"""What our processes tell about themselves holds no secret, and leads from a log line to its trace."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters import telemetry

CANARY = "canary-3f1c-never-seen"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lines() -> Iterator[Callable[[], list[Any]]]:
    """Reads the records written so far; leaves the logging of the tests as it was."""
    root, written = logging.getLogger(), io.StringIO()
    level = root.level
    telemetry.set_up("books", level="INFO", secrets=[CANARY])
    (ours,) = (handler for handler in root.handlers if isinstance(handler, logging.StreamHandler))
    ours.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(ours)
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_record_is_one_line_of_json_with_who_when_and_what(lines: Any) -> None:
    logging.getLogger("workers").info("working on queue %s", "books", extra={"queue": "books"})
    structlog.get_logger("api").info("a request", status=202)
    first, second = lines()
    assert (first["message"], first["service"], first["level"], first["queue"]) == (
        "working on queue books",
        "books",
        "info",
        "books",
    )
    assert first["timestamp"].endswith("Z")
    assert (second["message"], second["status"], second["service"]) == ("a request", 202, "books")


@pytest.mark.parametrize(
    "said",
    [
        {"api_key": CANARY},
        {"Authorization": f"Bearer {CANARY}"},
        {"headers": {"authorization": CANARY, "x-request-id": "7"}},
        {"rows": [{"signature": CANARY}]},
        {"raw": CANARY},
        {"keystore_password": CANARY},
        {"url": f"postgresql://strongroom:{CANARY}@127.0.0.1/strongroom"},
        {"note": f"the value {CANARY} stands in the middle of a sentence"},
        {"error": ValueError(f"cannot open {CANARY}")},
    ],
    ids=lambda said: next(iter(said)),
)
def test_no_secret_passes_in_a_field(lines: Any, said: dict[str, Any]) -> None:
    structlog.get_logger("x").info("something happened", **said)
    text = json.dumps(lines())
    assert CANARY not in text
    assert telemetry.BLOT in text


@pytest.mark.parametrize(
    "message",
    [
        "sent Authorization: Bearer abcdef.0123456789.xyz",
        "the key sr_ab12cd34_0123456789abcdefghijklmnop was used",
        "connecting to https://node:0123456789abcdef@rpc.example.com/v3",
        "mail to somchai.jaidee@example.co.th bounced",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----",
    ],
)
def test_no_secret_passes_in_a_message_or_a_stack_trace(lines: Any, message: str) -> None:
    log = logging.getLogger("x")
    log.warning("%s", message)
    try:
        raise RuntimeError(f"{message} {CANARY}")
    except RuntimeError:
        log.exception("it broke")
    said, broke = lines()
    for text in (said["message"], broke["exception"]):
        assert telemetry.BLOT in text
        for secret in ("0123456789", "MC4CAQAw", "somchai", CANARY):
            assert secret not in text
    assert "RuntimeError" in broke["exception"], "what broke is still told"


def test_without_a_collector_nothing_is_traced_and_nothing_is_loaded_for_it() -> None:
    code = (
        "import sys; from adapters import telemetry as t; "
        "print(t.set_up('x').traced, 'opentelemetry.sdk' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_a_record_within_a_span_carries_its_trace() -> None:
    """In a process of its own: a process has one tracer provider for good."""
    code = """
import logging
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from adapters import telemetry
kept = InMemorySpanExporter()
told = telemetry.set_up("books", processor=SimpleSpanProcessor(kept))
with trace.get_tracer("test").start_as_current_span("work"):
    logging.getLogger("x").info("inside")
logging.getLogger("x").info("outside")
(span,) = kept.get_finished_spans()
print(f"{span.context.trace_id:032x}", span.resource.attributes["service.name"], told.traced)
told.close()
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    inside, outside = (json.loads(line) for line in run.stderr.splitlines())
    trace_id, service, traced = run.stdout.split()
    assert (inside["trace_id"], service, traced) == (trace_id, "strongroom-books", "True")
    assert "trace_id" not in outside
