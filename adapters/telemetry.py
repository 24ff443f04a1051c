"""What our processes tell about themselves: JSON logs with trace ids, traces to a collector, metrics for Prometheus.

Secrets never pass: fields with a secret's name, bearer tokens, API keys, passwords in URLs, mail addresses and every
value named to `set_up` are blotted out of each record, in messages and stack traces too.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from temporalio.client import Plugin
    from temporalio.runtime import Runtime

BLOT = "[redacted]"
WORKER_HEARTBEAT_S = 15
FLUSH_MS = 3000
_SECRET_FIELDS = re.compile(
    r"passw|secret|token|api_?key|authorization|cookie|private|keystore|mnemonic|seed|signature|\braw\b|codec_key", re.I
)
_SECRET_TEXT = (
    (re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]+"), f"Bearer {BLOT}"),
    (re.compile(r"\bsr_[A-Za-z0-9]{4,32}_[A-Za-z0-9_-]{16,128}"), BLOT),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), BLOT),
    (re.compile(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\b"), BLOT),
    (re.compile(r"-----BEGIN [^-]+-----.*?(-----END [^-]+-----|$)", re.S), BLOT),
)
Event = MutableMapping[str, Any]


@dataclass(frozen=True)
class Telemetry:
    """What a process got from `set_up`. `plugins` belong to its Temporal client; `close` sends what still waits."""

    service: str
    plugins: Sequence["Plugin"]
    close: Callable[[], None]

    @property
    def traced(self) -> bool:
        return bool(self.plugins)


def set_up(
    service: str,
    *,
    level: str = "INFO",
    otlp_endpoint: str | None = None,
    secrets: Iterable[str] = (),
    processor: "SpanProcessor | None" = None,
) -> Telemetry:
    """Logs to stderr, and traces when there is somewhere to send them: a collector (OTLP over HTTP), or `processor`."""
    _log_as_json(service, level, tuple(secret for secret in secrets if len(secret) >= 6))
    if otlp_endpoint is None and processor is None:
        return Telemetry(service, (), lambda: None)
    return _trace(service, otlp_endpoint, processor)


def runtime(metrics_address: str | None) -> "Runtime":
    """The Temporal SDK's engine room of this process: its metrics (and ours) at http://<metrics_address>/metrics, its
    own log lines among ours.
    """
    from temporalio.runtime import (
        LogForwardingConfig,
        LoggingConfig,
        PrometheusConfig,
        Runtime,
        TelemetryConfig,
        TelemetryFilter,
    )

    prometheus = metrics_address and PrometheusConfig(
        bind_address=metrics_address, durations_as_seconds=True, unit_suffix=True, counters_total_suffix=True
    )
    forwarding = LogForwardingConfig(logging.getLogger("temporal.core"), append_log_fields_to_message=False)
    return Runtime(
        telemetry=TelemetryConfig(
            metrics=prometheus or None,
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding
            ),
            attach_service_name=False,
        ),
        worker_heartbeat_interval=timedelta(seconds=WORKER_HEARTBEAT_S),
    )


# ---------------------------------------------------------------- traces
def _trace(service: str, otlp_endpoint: str | None, processor: "SpanProcessor | None") -> Telemetry:
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, create_tracer_provider

    provider = create_tracer_provider(resource=Resource.create({"service.name": f"strongroom-{service}"}))
    if otlp_endpoint is not None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    if processor is not None:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)

    def close() -> None:
        provider.force_flush(FLUSH_MS)
        provider.shutdown()

    return Telemetry(service, (OpenTelemetryPlugin(add_temporal_spans=True),), close)


# ---------------------------------------------------------------- logs
def _log_as_json(service: str, level: str, secrets: Sequence[str]) -> None:
    def name_service(_: Any, __: str, event: Event) -> Event:
        event["service"] = service
        return event

    def redact(_: Any, __: str, event: Event) -> Event:
        return {key: _clean(key, value, secrets) for key, value in event.items()}

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
        _name_trace,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared[:-2],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared[:-2],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *shared[-2:],
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)


def _name_trace(_: Any, __: str, event: Event) -> Event:
    """The ids that lead from a log line to its trace, when there is one."""
    api = sys.modules.get("opentelemetry.trace")
    if api is not None:
        context = api.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = f"{context.trace_id:032x}"
            event["span_id"] = f"{context.span_id:016x}"
    return event


def _clean(key: str, value: Any, secrets: Sequence[str]) -> Any:
    if _SECRET_FIELDS.search(key):
        return BLOT
    if isinstance(value, str):
        return _clean_text(value, secrets)
    if isinstance(value, Mapping):
        return {str(k): _clean(str(k), v, secrets) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", v, secrets) for v in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _clean_text(str(value), secrets)


def _clean_text(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, BLOT)
    for pattern, blot in _SECRET_TEXT:
        text = pattern.sub(blot, text)
    return text
