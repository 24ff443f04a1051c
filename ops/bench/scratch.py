"""Scratch databases on a server of their own: made by copying, dropped when done with. Tests use them too."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg as _asyncpg

from adapters.store.migrate import upgrade
from ops.devnet.postgres import SUPERUSER, Postgres

asyncpg: Any = _asyncpg


@dataclass
class Cluster:
    """A PostgreSQL server and the databases made on it. Nothing here may be called where an event loop runs: use
    asyncio.to_thread there.
    """

    server: Postgres
    state_dir: Path
    _template: str | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def start(cls, state_dir: Path) -> "Cluster":
        """Starts a server on a free port, its data in `state_dir`."""
        cluster = cls(Postgres(state_dir, free_port()), state_dir)
        cluster.server.start()
        return cluster

    def stop(self) -> None:
        self.server.stop()

    def dsn(self, database: str) -> str:
        """postgresql:// of one database, as the superuser: whoever uses a scratch database makes and drops it."""
        password = (self.state_dir / "postgres.superuser.password").read_text().strip()
        return f"postgresql://{SUPERUSER}:{quote(password)}@127.0.0.1:{self.server.port}/{database}"

    def empty(self) -> str:
        """The DSN of a new database without tables."""
        return self._create("template0")

    def migrated(self) -> str:
        """The DSN of a new database with this release's tables."""
        if self._template is None:
            dsn = self._create("template0")
            upgrade(dsn)
            self._template = _name(dsn)
        return self._create(self._template)

    def copy(self, dsn: str) -> str:
        """The DSN of a copy of a database that nobody is connected to."""
        return self._create(_name(dsn))

    def drop(self, dsn: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {_name(dsn)} WITH (FORCE)")

    def run(self, sql: str, dsn: str | None = None) -> None:
        """Statements without results, in the database of `dsn`."""

        async def execute() -> None:
            connection = await asyncpg.connect(dsn or self.dsn("postgres"), ssl=False)
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        asyncio.run(execute())

    def _create(self, template: str) -> str:
        name = f"scratch_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.dsn(name)


def _name(dsn: str) -> str:
    return dsn.rpartition("/")[2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
