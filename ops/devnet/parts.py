"""The parts of an installation, as rows: what runs, what it needs, how one knows that it answers."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.settings import ROOT, WORKER_KINDS, Settings
from ops.devnet import anvil, temporal, tools
from ops.devnet.ports import HOST, answers, http_status
from ops.devnet.postgres import Postgres
from workers.supervisor import Part

WORKER_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One part: when it belongs to an installation, its ports, and how its process is described."""

    name: str
    wanted: Callable[[Settings], bool]
    ports: Callable[[Settings], tuple[int, ...]]
    build: Callable[[Settings], Part]
    is_ours: bool = False  # our own process, started after provisioning


def row(name: str) -> Row:
    """The row called `name`. Raises KeyError."""
    return {row.name: row for row in ROWS}[name]


def _node_proxy(settings: Settings) -> Part:
    ports = settings.ports
    words = ("--port", str(ports.node_proxy), "--node", f"http://{HOST}:{ports.anvil}")
    pace = ("--state-dir", str(settings.state_dir), "--block-time", str(settings.block_time_s))
    return Part(
        name="node_proxy",
        argv=(sys.executable, "-m", "ops.devnet.node_proxy", *words, *pace),
        needs=("anvil",),
        ready=lambda: _is_200(ports.node_proxy, "/_ctl"),
        cwd=ROOT,
    )


def _tron_node(settings: Settings) -> Part:
    ports = settings.ports
    words = ("--port", str(ports.tron_full), "--solidity-port", str(ports.tron_solidity))
    pace = ("--state-dir", str(settings.state_dir), "--block-time", str(settings.block_time_s))
    return Part(
        name="tron_node",
        argv=(sys.executable, "-m", "ops.devnet.tron", *words, *pace),
        ready=lambda: _is_200(ports.tron_full, "/_ctl"),
        cwd=ROOT,
    )


def _worker(kind: str) -> Row:
    hidden: frozenset[str] = _HIDDEN_FROM_SIGNER if kind == "signer" else frozenset()

    def build(settings: Settings) -> Part:
        return Part(
            name=kind,
            argv=(sys.executable, "-m", "workers", kind),
            env={name: value for name, value in settings.environment().items() if name not in hidden},
            drop_env=hidden,
            ready=_port_probe(settings.ports.worker_metrics(kind)),
            grace_s=WORKER_GRACE_S,
            cwd=ROOT,
        )

    return Row(kind, lambda _: True, lambda s: (s.ports.worker_metrics(kind),), build, is_ours=True)


def _api(settings: Settings) -> Part:
    return Part(
        name="api",
        argv=(sys.executable, "-m", "ops", "api"),
        env=settings.environment(),
        ready=lambda: _is_200(settings.api_bind_port, "/livez"),
        grace_s=WORKER_GRACE_S,
        cwd=ROOT,
    )


def _anvil(settings: Settings) -> Part:
    binary: Path = tools.anvil(settings.anvil_bin)
    return anvil.part(settings, binary)


def _port_probe(port: int) -> Callable[[], Awaitable[bool]]:
    return lambda: answers(port)


async def _is_200(port: int, path: str) -> bool:
    return await http_status(port, path) == 200


# The signer holds no database login.
_HIDDEN_FROM_SIGNER = frozenset({"STRONGROOM_DATABASE_URL", "STRONGROOM_DATABASE_URL_FILE"})

ROWS: tuple[Row, ...] = (
    Row(
        "postgres",
        lambda s: s.starts_postgres,
        lambda s: (s.ports.postgres,),
        lambda s: Postgres(s.state_dir, s.ports.postgres).part(),
    ),
    Row(
        "temporal",
        lambda s: s.starts_temporal,
        lambda s: (s.ports.temporal, s.ports.temporal_ui, s.ports.temporal_http, s.ports.temporal_metrics),
        temporal.part,
    ),
    Row("anvil", lambda s: s.starts_chain("ethereum"), lambda s: (s.ports.anvil,), _anvil),
    Row("node_proxy", lambda s: s.starts_chain("ethereum"), lambda s: (s.ports.node_proxy,), _node_proxy),
    Row(
        "tron_node",
        lambda s: s.starts_chain("tron"),
        lambda s: (s.ports.tron_full, s.ports.tron_solidity),
        _tron_node,
    ),
    *(_worker(kind) for kind in WORKER_KINDS),
    Row("api", lambda _: True, lambda s: (s.api_bind_port,), _api, is_ours=True),
)
NETWORK_PARTS = tuple(row.name for row in ROWS if not row.is_ours)
ALL_PARTS = tuple(row.name for row in ROWS)
