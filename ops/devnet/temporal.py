"""The Temporal development server, kept on disk, and what any Temporal server must know before our workers come."""

import asyncio
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.settings import Settings
from adapters.wiring import temporal_tls
from domain.errors import Unavailable
from ops.devnet.ports import HOST, http_status
from workers.supervisor import Part

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from temporalio.client import Client

RETENTION = timedelta(days=365)
SEARCH_ATTRIBUTES = ("State", "Asset", "Network", "Wallet", "Account", "RiskLevel")
SQLITE = ("journal_mode=WAL", "synchronous=NORMAL")
DYNAMIC = (
    "history.transferProcessorMaxPollRPS=2000",  # the default of 20 is the latency of every task on one shard
    'history.timerProcessorMaxTimeShift="20ms"',  # the default of 1 s is the grain of every timer
    # The development server's own default is to ask its database for the namespace and the attributes each time one is
    # named; ours are there from the start, and others are known two seconds later.
    "system.forceSearchAttributesCacheRefreshOnRead=false",
)
CONNECT_TIMEOUT_S = 10
NAMESPACE_SETTLES_S = 10.0


def part(settings: Settings) -> Part:
    """The row by which the supervisor keeps the development server."""
    ports = settings.ports
    options = {
        "ip": HOST,
        "port": ports.temporal,
        "ui-port": ports.temporal_ui,
        "http-port": ports.temporal_http,
        "metrics-port": ports.temporal_metrics,
        "db-filename": settings.state_dir / "temporal.db",
        "log-level": "error",
        "ui-codec-endpoint": settings.codec_url,
    }
    return Part(
        name="temporal",
        argv=(
            str(binary()),
            *("server", "start-dev", "--ui-disable-news-fetch"),
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
            *(word for pragma in SQLITE for word in ("--sqlite-pragma", pragma)),
            *(word for name in SEARCH_ATTRIBUTES for word in ("--search-attribute", f"{name}=Keyword")),
            *(word for pair in DYNAMIC for word in ("--dynamic-config-value", pair)),
        ),
        ready=lambda: _answers(settings),
        grace_s=15.0,
    )


def binary() -> Path:
    """The `temporal` program. Raises Unavailable TEMPORAL_MISSING."""
    beside = Path(sys.executable).parent / "temporal"
    found = beside if beside.exists() else shutil.which("temporal")
    if found is None:
        raise Unavailable(
            "TEMPORAL_MISSING",
            "The `temporal` program is not installed: `uv sync`, or set TEMPORAL_ADDRESS to a server.",
        )
    return Path(found)


async def _answers(settings: Settings) -> bool:
    return await http_status(settings.ports.temporal_http, f"/api/v1/namespaces/{settings.temporal_namespace}") == 200


async def configure(settings: Settings) -> None:
    """Makes the namespace if there is none, gives it its retention and our search attributes; repeating it changes
    nothing.

    Raises Unavailable TEMPORAL_DOWN, or TEMPORAL_CONFLICT when an attribute exists with another type.
    """
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.namespace.v1 import NamespaceConfig
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
    from temporalio.service import RPCError

    client = await connect(settings)
    namespace = settings.temporal_namespace
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    try:
        await _register(client, namespace)
        known = (
            await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
        ).custom_attributes
        if wrong := [name for name in SEARCH_ATTRIBUTES if known.get(name, keyword) != keyword]:
            raise Unavailable(
                "TEMPORAL_CONFLICT", f"Search attribute {', '.join(wrong)} is no Keyword in namespace {namespace}."
            )
        if missing := {name: keyword for name in SEARCH_ATTRIBUTES if name not in known}:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=namespace, search_attributes=missing)
            )
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
        kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
        if settings.starts_temporal and kept < RETENTION:  # another's server keeps the retention its owner chose
            config = NamespaceConfig(workflow_execution_retention_ttl=_duration())
            await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=namespace, config=config))
    except RPCError as error:
        raise Unavailable("TEMPORAL_DOWN", f"Temporal at {settings.temporal_target}: {error.message}") from error


async def _register(client: "Client", namespace: str) -> None:
    """A namespace of that name, with our retention if it is new; a new one is known everywhere after some seconds."""
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
    from temporalio.service import RPCError, RPCStatusCode

    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=_duration())
        )
        await asyncio.sleep(NAMESPACE_SETTLES_S)


def _duration() -> "Duration":
    from google.protobuf.duration_pb2 import Duration

    kept = Duration()
    kept.FromTimedelta(RETENTION)
    return kept


async def connect(settings: Settings) -> "Client":
    """A plain client of the configured server. Raises Unavailable TEMPORAL_DOWN."""
    from temporalio.client import Client

    key = settings.temporal_api_key
    try:
        return await asyncio.wait_for(
            Client.connect(
                settings.temporal_target,
                namespace=settings.temporal_namespace,
                api_key=key.get_secret_value() if key else None,
                tls=temporal_tls(settings),
            ),
            CONNECT_TIMEOUT_S,
        )
    except (RuntimeError, TimeoutError) as error:
        raise Unavailable(
            "TEMPORAL_DOWN", f"Nobody answers as Temporal at {settings.temporal_target}: {error or 'no answer in time'}"
        ) from error
