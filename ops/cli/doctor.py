"""`strongroom doctor`: is this machine fit, and does what runs answer?"""

import asyncio
import os
import platform
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import typer

from adapters.settings import Settings
from domain.errors import StrongroomError, Unavailable
from ops.cli.exits import Exit
from ops.cli.output import Form, Output, show_json, show_table

DISK_FREE_MIN_GB = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and what to do if not."""

    check: str
    ok: bool
    words: str


Check = Callable[[Settings], Awaitable[str]]


def command(output: Output = Form.TABLE) -> None:
    """Check this machine and what runs on it. Ends with 69 when something is not well."""
    findings = asyncio.run(examine(Settings()))
    if output is Form.JSON:
        show_json([asdict(finding) for finding in findings])
    else:
        show_table("", ("", "check", ""), [("ok" if f.ok else "NO", f.check, f.words) for f in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(Exit.DOWN)


async def examine(settings: Settings) -> list[Finding]:
    """Every check that makes sense now: those of running parts only when something runs."""
    from ops.devnet.running import is_held

    checks = MACHINE + (RUNNING if is_held(settings) else (("ports", _ports),))
    return list(await asyncio.gather(*(_one(name, check, settings) for name, check in checks)))


async def _one(name: str, check: Check, settings: Settings) -> Finding:
    try:
        return Finding(name, True, await check(settings))
    except StrongroomError as error:
        return Finding(name, False, error.message)
    except OSError as error:
        return Finding(name, False, str(error))


# ---------------------------------------------------------------- the machine
async def _python(_: Settings) -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise Unavailable("PYTHON_VERSION", f"Python {platform.python_version()}: 3.11, 3.12 or 3.13 is needed.")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


async def _state(settings: Settings) -> str:
    folder = settings.state_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise Unavailable("STATE_OPEN", f"{folder} can be read by others: chmod 700 {folder}")
    if not os.access(folder, os.W_OK):
        raise Unavailable("STATE_READONLY", f"{folder} cannot be written.")
    free_gb = shutil.disk_usage(folder).free / 2**30
    if free_gb < DISK_FREE_MIN_GB:
        raise Unavailable("DISK_FULL", f"{folder} has {free_gb:.1f} GB left; {DISK_FREE_MIN_GB} GB are needed.")
    return f"{folder}, {free_gb:.0f} GB free"


async def _postgres_way(settings: Settings) -> str:
    if not settings.starts_postgres:
        return "given by STRONGROOM_DATABASE_URL"
    from ops.devnet.postgres import find_runner

    words = {
        "plain": "as this user",
        "namespace": "as root, in a user namespace",
        "copy": "as root, by a private copy in /var/lib/strongroom",
    }
    return words[(await asyncio.to_thread(find_runner, settings.state_dir)).kind]


async def _temporal_binary(settings: Settings) -> str:
    if not settings.starts_temporal:
        return f"given by TEMPORAL_ADDRESS: {settings.temporal_target}"
    from ops.devnet.temporal import binary

    return str(binary())


async def _anvil(settings: Settings) -> str:
    from ops.devnet import tools
    from ops.devnet.parts import node_names

    if "node_proxy" not in node_names(settings):
        return "not needed: no local EVM network is started here"

    path = await asyncio.to_thread(tools.anvil, settings.anvil_bin)
    process = await asyncio.create_subprocess_exec(
        str(path), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    words, _ = await process.communicate()
    if process.returncode:
        raise Unavailable("ANVIL_BROKEN", f"{path} does not run: remove {tools.FOLDER / 'node_modules'} and try again.")
    return words.decode().splitlines()[0]


async def _other_nodes(settings: Settings) -> str:
    from ops.devnet import parts

    networks = [row for row in parts.rows(settings) if row.is_node and row.wanted(settings)]
    gone = await asyncio.to_thread(parts.missing, settings, {row.name for row in networks})
    if gone:
        return f"{', '.join(gone)} is left out: {' '.join(gone.values())}"
    return "every local network's program is there"


async def _ports(settings: Settings) -> str:
    from ops.devnet.parts import rows
    from ops.devnet.ports import raise_if_taken

    wanted = {row.name: row.ports(settings) for row in rows(settings) if row.wanted(settings)}
    raise_if_taken({f"{name} ({port})": port for name, ports in wanted.items() for port in ports})
    return f"{settings.port_base} to {settings.port_base + 49} are free"


# ---------------------------------------------------------------- what runs
async def _parts(settings: Settings) -> str:
    from ops.devnet.running import read

    parts = (read(settings) or {}).get("parts", {})
    if sick := [f"{name} is {row['life']}" for name, row in parts.items() if row["life"] != "ready"]:
        raise Unavailable("PART_DOWN", f"{', '.join(sick)}; see `strongroom logs`.")
    return f"{len(parts)} ready"


async def _database(settings: Settings) -> str:
    from ops.devnet.postgres import asyncpg

    try:
        connection = await asyncpg.connect(settings.dsn, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Unavailable("DATABASE_DOWN", f"The database does not answer: {error or 'no answer in time'}") from error
    try:
        words: str = await connection.fetchval("select version()")
        return words.split(" on ", maxsplit=1)[0]
    finally:
        await connection.close()


async def _temporal(settings: Settings) -> str:
    from ops.devnet.temporal import connect

    await connect(settings)
    return f"{settings.temporal_target}, namespace {settings.temporal_namespace}"


def _running_networks(settings: Settings) -> tuple[str, ...]:
    from ops.devnet.running import RunningStack

    return RunningStack(settings).networks


async def _nodes(settings: Settings) -> str:
    """Each network's adapter asks its own nodes, which must name the right chain. All are asked, whatever one says."""
    from adapters.catalogue import load
    from adapters.wiring import open_chain, open_store

    catalogue, said, down = load(settings.profile, settings.catalogue_dir), [], False
    async with open_store(settings) as store:
        for id_ in _running_networks(settings):
            network, urls = catalogue.networks[id_], settings.chain_urls(id_)
            try:
                async with open_chain(network, catalogue.assets, urls, coins=store.coins(id_)) as chain:
                    said.append(f"{id_} at block {await chain.head()}")
            except StrongroomError as error:
                down = True
                said.append(f"{id_}: {error.code}: {error.message}")
    if down:
        raise Unavailable("NODE_DOWN", "; ".join(said))
    return ", ".join(said)


async def _api(settings: Settings) -> str:
    from ops.devnet.ports import http_status

    status = await http_status(settings.api_bind_port, "/readyz")
    if status != 200:
        raise Unavailable("API_DOWN", f"{settings.api_url}/readyz says {status or 'nothing'}.")
    return f"{settings.api_url}/readyz"


MACHINE: tuple[tuple[str, Check], ...] = (
    ("python", _python),
    ("state directory", _state),
    ("PostgreSQL runs", _postgres_way),
    ("temporal", _temporal_binary),
    ("anvil", _anvil),
    ("other nodes", _other_nodes),
)
RUNNING: tuple[tuple[str, Check], ...] = (
    ("parts", _parts),
    ("database", _database),
    ("Temporal", _temporal),
    ("nodes", _nodes),
    ("API", _api),
)
