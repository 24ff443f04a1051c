"""The parts of an installation, as rows: what runs, what it needs, how one knows that it answers."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from adapters.settings import ROOT, WORKER_KINDS, Settings, network_rows
from domain.errors import Unavailable
from ops.devnet import anvil, temporal, tools
from ops.devnet.bitcoin import node
from ops.devnet.bitcoin.package import bitcoind
from ops.devnet.ports import HOST, answers, http_status
from ops.devnet.postgres import Postgres
from workers.supervisor import Part

WORKER_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One part: when it belongs to an installation, its ports, and how its process is described. `needs`: parts
    that are started before it.
    """

    name: str
    wanted: Callable[[Settings], bool]
    ports: Callable[[Settings], tuple[int, ...]]
    build: Callable[[Settings], Part]
    is_ours: bool = False  # our own process, started after provisioning
    needs: tuple[str, ...] = ()
    is_node: bool = False  # a local network's node, or what stands before one


def rows(settings: Settings) -> tuple[Row, ...]:
    """Every part that an installation with these operator's files may have, in the order of its start."""
    networks: dict[str, list[str]] = {}
    for id_, row in network_rows(settings.catalogue_dir, settings.profile).items():
        networks.setdefault(row["family"], []).append(id_)
    nodes = [row for family, ids in networks.items() if family in NODES for row in NODES[family](settings, ids)]
    return (*SERVERS, *nodes, *OURS)


def names(settings: Settings) -> tuple[str, ...]:
    """What the parts are called."""
    return tuple(row.name for row in rows(settings))


def node_names(settings: Settings) -> frozenset[str]:
    """The parts that are local networks' nodes here."""
    return frozenset(row.name for row in rows(settings) if row.is_node and row.wanted(settings))


# ---------------------------------------------------------------- the networks' nodes
def _evm_rows(settings: Settings, networks: Sequence[str]) -> list[Row]:
    """An anvil for each network, and one proxy before all of them."""
    return [
        *(_anvil(network) for network in networks),
        Row(
            "node_proxy",
            lambda s: any(map(s.starts_chain, networks)),
            lambda s: tuple(s.local_ports(network)[0] for network in networks if s.starts_chain(network)),
            lambda s: _node_proxy(s, [network for network in networks if s.starts_chain(network)]),
            needs=tuple(map(node_name, networks)),
            is_node=True,
        ),
    ]


def node_name(network: str) -> str:
    """What the part is called that runs a network's node."""
    return f"{network}_node"


def _anvil(network: str) -> Row:
    return Row(
        node_name(network),
        lambda s: s.starts_chain(network),
        lambda s: s.local_ports(network)[1:],
        lambda s: _anvil_part(s, network),
        is_node=True,
    )


def _anvil_part(settings: Settings, network: str) -> Part:
    facts = anvil.NodeFacts.read(network, settings.catalogue_dir)
    folder, port = anvil.ChainFolder(settings.state_dir, network), settings.local_ports(network)[1]
    return Part(
        name=node_name(network),
        argv=anvil.command(tools.anvil(settings.anvil_bin), port, facts, folder),
        prepare=lambda: asyncio.to_thread(folder.prepare, facts.decimals),
        ready=lambda: asyncio.to_thread(_has_chain_id, port, facts.chain_id),
        grace_s=5.0,
    )


def _has_chain_id(port: int, chain_id: int) -> bool:
    with suppress(OSError, ValueError):
        return int(anvil.call(port, "eth_chainId", timeout_s=2), 16) == chain_id
    return False


def _node_proxy(settings: Settings, networks: Sequence[str]) -> Part:
    ports = {network: settings.local_ports(network) for network in networks}
    chains = (word for network, (door, node) in ports.items() for word in ("--chain", f"{network}:{door}:{node}"))
    pace = ("--state-dir", str(settings.state_dir), "--block-time", str(settings.block_time_s))
    return Part(
        name="node_proxy",
        argv=(
            *(sys.executable, "-m", "ops.devnet.node_proxy"),
            *(*chains, *pace, "--catalogue", str(settings.catalogue_dir)),
        ),
        needs=tuple(map(node_name, networks)),
        ready=lambda: _all_200([door for door, _ in ports.values()], "/_ctl"),
        cwd=ROOT,
    )


def _tron_rows(settings: Settings, networks: Sequence[str]) -> list[Row]:
    """The emulator, once for each network."""
    return [_tron(network) for network in networks]


def _tron(network: str) -> Row:
    return Row(
        node_name(network),
        lambda s: s.starts_chain(network),
        lambda s: s.local_ports(network),
        lambda s: _tron_node(s, network),
        is_node=True,
    )


def _tron_node(settings: Settings, network: str) -> Part:
    full, solidity = settings.local_ports(network)
    words = ("--port", str(full), "--solidity-port", str(solidity))
    pace = ("--state-dir", str(settings.state_dir), "--block-time", str(settings.block_time_s))
    return Part(
        name=node_name(network),
        argv=(sys.executable, "-m", "ops.devnet.tron", *words, *pace),
        ready=lambda: _is_200(full, "/_ctl"),
        cwd=ROOT,
    )


def _bitcoin_rows(settings: Settings, networks: Sequence[str]) -> list[Row]:
    """A node for each network, and before it a front door of its own."""
    return [row for network in networks for row in (_bitcoind(network), _bitcoin_proxy(network))]


def _bitcoind(network: str) -> Row:
    return Row(
        node_name(network),
        lambda s: s.starts_chain(network),
        lambda s: s.local_ports(network)[1:],
        lambda s: node.part(
            node_name(network), bitcoind(s.bitcoind), _bitcoin_folder(s, network), s.local_ports(network)[1:]
        ),
        is_node=True,
    )


def _bitcoin_proxy(network: str) -> Row:
    def build(settings: Settings) -> Part:
        door, rpc, _ = settings.local_ports(network)
        words = ("--port", str(door), "--node", f"http://{HOST}:{rpc}")
        pace = ("--folder", str(_bitcoin_folder(settings, network).path), "--block-time", str(settings.block_time_s))
        return Part(
            name=f"{network}_proxy",
            argv=(sys.executable, "-m", "ops.devnet.bitcoin", *words, *pace),
            needs=(node_name(network),),
            ready=lambda: _is_200(door, "/_ctl"),
            cwd=ROOT,
        )

    return Row(
        f"{network}_proxy",
        lambda s: s.starts_chain(network),
        lambda s: s.local_ports(network)[:1],
        build,
        needs=(node_name(network),),
        is_node=True,
    )


def _bitcoin_folder(settings: Settings, network: str) -> node.NodeFolder:
    return node.NodeFolder(settings.state_dir / network)


# How each family's local networks are run.
NODES: Mapping[str, Callable[[Settings, Sequence[str]], list[Row]]] = {
    "bitcoin": _bitcoin_rows,
    "evm": _evm_rows,
    "tron": _tron_rows,
}
# Families without whose program an installation goes on, and how the program is found. Raises Unavailable.
DISPENSABLE: Mapping[str, Callable[[Settings], object]] = {"bitcoin": lambda s: bitcoind(s.bitcoind)}


def missing(settings: Settings, asked: Collection[str]) -> dict[str, str]:
    """The networks whose node is among the parts `asked` and cannot be had here, each with the line that says why and
    what to do. It may fetch programs, so it belongs in a thread.
    """
    found: dict[str, str] = {}
    for id_, row in network_rows(settings.catalogue_dir, settings.profile).items():
        if row["family"] in DISPENSABLE and node_name(id_) in asked and settings.starts_chain(id_):
            try:
                DISPENSABLE[row["family"]](settings)
            except Unavailable as error:
                found[id_] = error.message
    return found


# ---------------------------------------------------------------- our own
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


def _port_probe(port: int) -> Callable[[], Awaitable[bool]]:
    return lambda: answers(port)


async def _is_200(port: int, path: str) -> bool:
    return await http_status(port, path) == 200


async def _all_200(ports: Sequence[int], path: str) -> bool:
    return all([await _is_200(port, path) for port in ports])


# The signer holds no database login.
_HIDDEN_FROM_SIGNER = frozenset({"STRONGROOM_DATABASE_URL", "STRONGROOM_DATABASE_URL_FILE"})

SERVERS: tuple[Row, ...] = (
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
)
OURS: tuple[Row, ...] = (
    *(_worker(kind) for kind in WORKER_KINDS),
    Row("api", lambda _: True, lambda s: (s.api_bind_port,), _api, is_ours=True),
)
