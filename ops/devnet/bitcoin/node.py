"""The Bitcoin node of this machine: regtest, speaking to nobody, with everything it knows in one folder.

Its login is drawn at the first start and kept beside the chain; on the command line stands none.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from domain.errors import Unavailable
from ops.devnet.bitcoin.regtest import TREASURY, Regtest, join, split
from ops.devnet.bitcoin.rpc import NodeDown, Rpc, RpcError
from ops.devnet.ports import HOST
from workers.supervisor import Part

USER = "strongroom"
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 30.0
LOOK_S = 0.02
FLAGS = (
    "-regtest",
    "-server",
    f"-rpcbind={HOST}",
    f"-rpcallowip={HOST}",
    "-rpcthreads=8",
    "-rpcworkqueue=256",
    "-txindex=1",
    "-fallbackfee=0.0002",
    "-keypool=20",
    "-dbcache=16",
    "-maxmempool=50",
    "-par=1",
    "-printtoconsole=0",
    # It finds and asks nobody.
    "-listenonion=0",
    "-dnsseed=0",
    "-fixedseeds=0",
    "-discover=0",
    "-natpmp=0",
    f"-whitelist=noban@{HOST}",  # two nodes of ours tell each other at once, without the usual delay
)
SUPERVISED_FLAGS = ("-printtoconsole=1", "-nodebuglogfile")  # its words go where those of all parts go
KNOTS_FLAGS = ("-corepolicy=1",)  # relay as Bitcoin Core does


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """Where a node lives between starts."""

    path: Path

    def prepare(self) -> None:
        """Makes the folder and the login at the first start."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = _secret(self.path / "rpc.password")
        salt = hashlib.sha256(password.encode()).hexdigest()[:32]
        proof = hmac.new(salt.encode(), password.encode(), "sha256").hexdigest()  # as Bitcoin Core's rpcauth.py does
        conf = self.path / "bitcoin.conf"
        if not conf.exists():
            draft = conf.with_suffix(f".{os.getpid()}")
            draft.write_text(f"rpcauth={USER}:{salt}${proof}\n")
            draft.replace(conf)

    @property
    def login(self) -> tuple[str, str]:
        """Raises FileNotFoundError before the first start."""
        return USER, (self.path / "rpc.password").read_text().strip()


def command(binary: Path, folder: NodeFolder, rpc_port: int, peer_port: int) -> tuple[str, ...]:
    """How the node is started; it stays in the foreground."""
    places = (f"-datadir={folder.path}", f"-rpcport={rpc_port}", f"-bind={HOST}:{peer_port}")
    return (str(binary), *FLAGS, *(KNOTS_FLAGS if _is_knots(binary) else ()), *places)


def part(name: str, binary: Path, folder: NodeFolder, ports: Sequence[int]) -> Part:
    """The row by which the supervisor keeps the node; `ports`: for clients, for peers."""
    rpc_port, peer_port = ports
    folder.prepare()

    async def ready() -> bool:
        async with Rpc(f"http://{HOST}:{rpc_port}", folder.login) as rpc:
            return await answers(rpc)

    return Part(
        name=name,
        argv=(*command(binary, folder, rpc_port, peer_port), *SUPERVISED_FLAGS),
        prepare=lambda: asyncio.to_thread(folder.prepare),
        ready=ready,
        grace_s=STOP_GRACE_S,
    )


async def answers(rpc: Rpc) -> bool:
    """Whether the node is up and past its warm-up."""
    with suppress(NodeDown, RpcError):
        return bool((await rpc("getblockchaininfo"))["chain"] == "regtest")
    return False


class RegtestNode(Regtest):
    """One node kept by this process: started, stopped, killed, and started again on the same chain."""

    def __init__(self, binary: Path, path: Path, rpc_port: int, peer_port: int) -> None:
        self.folder = NodeFolder(path)
        self.rpc_port = rpc_port
        self.peer_port = peer_port
        self._binary = binary
        self._popen: subprocess.Popen[bytes] | None = None
        self.folder.prepare()
        super().__init__(Rpc(self.url, self.folder.login), Rpc(self.url, self.folder.login, TREASURY))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.rpc_port}"

    @property
    def login_url(self) -> str:
        """The same with the login in it, as adapters take it."""
        return "http://{}:{}@{}:{}".format(*self.folder.login, HOST, self.rpc_port)

    @property
    def peer_address(self) -> str:
        return f"{HOST}:{self.peer_port}"

    async def start(self, *flags: str) -> None:
        """Returns when the node answers. `flags` are added for this one life. Raises Unavailable NODE_DOWN."""
        log = self.folder.path / "output.log"
        popen = self._popen = await asyncio.to_thread(self._spawn, log, flags)
        until = monotonic() + START_TIMEOUT_S
        while not await answers(self.rpc):
            if popen.poll() is not None or monotonic() > until:
                raise Unavailable("NODE_DOWN", f"bitcoind did not start: {log.read_text()[-500:].strip()}")
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """Ends the node in order, and by force when that takes too long. It may be started again."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """`kill -9`, as a crash would; returns when the process is gone. Blocks since `flush` may be undone."""
        await self._end(signal.SIGKILL)

    async def close(self) -> None:
        """Ends the node and lets go of its connections."""
        await self.stop()
        await self.rpc.close()
        await self._treasury.close()

    def _spawn(self, log: Path, flags: Sequence[str]) -> subprocess.Popen[bytes]:
        words = (*command(self._binary, self.folder, self.rpc_port, self.peer_port), *flags)
        with log.open("ab") as out:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    async def _end(self, number: signal.Signals) -> None:
        popen, self._popen = self._popen, None
        if popen is None:
            return
        popen.send_signal(number)
        until = monotonic() + STOP_GRACE_S
        while popen.poll() is None:
            if monotonic() > until:
                popen.kill()
            await asyncio.sleep(LOOK_S)
        await self.rpc.close()
        await self._treasury.close()


@dataclass(frozen=True, slots=True)
class TwoNodes:
    """Two nodes of one network, which can be parted and brought together again."""

    one: RegtestNode
    other: RegtestNode

    async def split(self) -> None:
        """From here on each lives on a chain of its own."""
        await split(self.one, self.other)

    async def join(self) -> None:
        """Returns when both agree on the tip: that of the longer branch."""
        await join(self.one, self.other, self.other.peer_address)


def _is_knots(binary: Path) -> bool:
    told = subprocess.run((str(binary), "-version"), capture_output=True, text=True, timeout=30, check=False).stdout
    return "Knots" in told


def _secret(path: Path) -> str:
    """The password kept in `path`, drawn at the first call; readable by us only."""
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()
