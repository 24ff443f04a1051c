"""A PostgreSQL server for tests, and databases made on it."""

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
    """A running server of this test session, and the databases made on it."""

    server: Postgres
    state_dir: Path
    template: str | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def dsn(self, database: str) -> str:
        """postgresql:// of one database, as the superuser: tests make and drop databases."""
        password = (self.state_dir / "postgres.superuser.password").read_text().strip()
        return f"postgresql://{SUPERUSER}:{quote(password)}@127.0.0.1:{self.server.port}/{database}"

    def empty(self) -> str:
        """The DSN of a new database without tables."""
        return self._create("template0")

    def migrated(self) -> str:
        """The DSN of a new database with this release's tables; a copy, so it takes no time to speak of."""
        if self.template is None:
            name = f"template_{next(self.numbers)}"
            self._run(f"CREATE DATABASE {name} TEMPLATE template0")
            upgrade(self.dsn(name))
            self.template = name
        return self._create(self.template)

    def drop(self, dsn: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {dsn.rpartition('/')[2]} WITH (FORCE)")

    def _create(self, template: str) -> str:
        name = f"test_{next(self.numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.dsn(name)

    def _run(self, sql: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self.dsn("postgres"), ssl=False)
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        asyncio.run(run())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
