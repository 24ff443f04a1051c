"""One pool of connections, and the translation of everything that can go wrong on it into our three failures.

*Unavailable*: the statement or transaction certainly left nothing behind. *Uncertain*: its commit was on the way when
the connection broke; it may stand. No message carries SQL or values.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from asyncpg.exceptions import (
    AdminShutdownError,
    CrashShutdownError,
    InterfaceError,
    InternalClientError,
    PostgresConnectionError,
    PostgresError,
)
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from domain.errors import StrongroomError, Unavailable, Uncertain

CONNECT_S = 5
ACQUIRE_S = 5
STATEMENT_S = 15
IDLE_IN_TRANSACTION_S = 30
LOCK_S = 10

_TRACER = trace.get_tracer("strongroom.store")
_SESSION = {
    "application_name": "strongroom",
    "jit": "off",
    "timezone": "UTC",
    "statement_timeout": str(STATEMENT_S * 1000),
    "lock_timeout": str(LOCK_S * 1000),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_S * 1000),
}
# The wire broke or never stood.
_LOST = (
    OSError,
    asyncio.TimeoutError,
    PostgresConnectionError,
    InterfaceError,
    InternalClientError,
    AdminShutdownError,
    CrashShutdownError,
)
# asyncpg carries no types: a row by column name, and its pooled connection, used for fetch, fetchrow and execute.
Row = Mapping[str, Any]
Connection = Any


class Database:
    """A pool of asyncpg connections. Connects when first used, so a process starts while the database is down."""

    def __init__(self, pool: Any, dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn

    async def fetch(self, name: str, sql: str, *args: object) -> Sequence[Row]:
        """The rows of one reading statement. `name` says in traces what it is for."""
        with span(name), _failures():
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                rows: Sequence[Row] = await connection.fetch(sql, *args)
                return rows

    async def fetchrow(self, name: str, sql: str, *args: object) -> Row | None:
        with span(name), _failures():
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                row: Row | None = await connection.fetchrow(sql, *args)
                return row

    async def write(self, name: str, sql: str, *args: object) -> Row | None:
        """One writing statement that is its own transaction. Raises Uncertain when the answer was lost."""
        with span(name):
            with _failures():
                connection = await self._pool.acquire(timeout=ACQUIRE_S)
            try:
                with _failures(commit=True):
                    row: Row | None = await connection.fetchrow(sql, *args)
                    return row
            finally:
                await self._give_back(connection)

    @asynccontextmanager
    async def snapshot(self, name: str) -> AsyncIterator[Connection]:
        """Several reads of one and the same moment."""
        with span(name), _failures():
            async with (
                self._pool.acquire(timeout=ACQUIRE_S) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection

    @asynccontextmanager
    async def transaction(self, name: str) -> AsyncIterator[Connection]:
        """One transaction. Raises Uncertain when the answer to COMMIT was lost, Unavailable for what broke before."""
        with span(name):
            with _failures():
                connection = await self._pool.acquire(timeout=ACQUIRE_S)
            try:
                transaction = connection.transaction()
                with _failures():
                    await transaction.start()
                try:
                    with _failures():
                        yield connection
                except BaseException:
                    await _roll_back(connection, transaction)
                    raise
                with _failures(commit=True):
                    await transaction.commit()
            finally:
                await self._give_back(connection)

    async def listen(self) -> Connection:
        """A connection of its own, for notifications; the caller closes it."""
        with _failures():
            connect: Any = asyncpg.connect
            return await connect(self.dsn, timeout=CONNECT_S, server_settings={"application_name": "strongroom"})

    async def _give_back(self, connection: Connection) -> None:
        with _failures():
            await self._pool.release(connection)


@asynccontextmanager
async def open_database(dsn: str, pool_max: int = 16) -> AsyncIterator[Database]:
    """The database at `dsn` (postgresql://...), with at most `pool_max` connections."""
    plain = dsn.replace("postgresql+asyncpg://", "postgresql://", 1)
    pool: Any = asyncpg.create_pool(  # type: ignore[no-untyped-call]
        plain,
        min_size=0,
        max_size=pool_max,
        timeout=CONNECT_S,
        command_timeout=STATEMENT_S + 5,
        server_settings=_SESSION,
        reset=_keep_session,
        max_inactive_connection_lifetime=300,
    )
    # With no connections to open, this does not touch the network.
    await pool
    try:
        yield Database(pool, plain)
    finally:
        try:
            await asyncio.wait_for(pool.close(), CONNECT_S)
        except (TimeoutError, *_LOST):
            pool.terminate()


async def _keep_session(connection: Connection) -> None:
    """Nothing of ours changes a session, so giving a connection back costs no round trip."""


async def _roll_back(connection: Connection, transaction: Any) -> None:
    try:
        await transaction.rollback()
    except (*_LOST, PostgresError):
        with suppress(InterfaceError):  # a connection that broke has left the pool by itself
            connection.terminate()


class _failures:
    """Turns a failure inside into Unavailable, or, while a commit is on the way, into Uncertain if the wire broke."""

    def __init__(self, commit: bool = False) -> None:
        self._commit = commit

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_: object) -> None:
        if error is None or isinstance(error, StrongroomError) or not isinstance(error, Exception):
            return
        if isinstance(error, _LOST):
            if self._commit:
                raise Uncertain("STORE_UNCERTAIN", "The database did not answer in time; look before acting.") from None
            raise Unavailable("STORE_UNAVAILABLE", "The database does not answer; try again shortly.") from None
        if isinstance(error, PostgresError):
            # The server said no: it rolled back.
            raise Unavailable(
                "STORE_UNAVAILABLE",
                "The database could not do this now; try again shortly.",
                sqlstate=getattr(error, "sqlstate", None),
                constraint=getattr(error, "constraint_name", None),
            ) from None


class span:
    """A trace span around one piece of work of the store; costs next to nothing where nobody traces."""

    __slots__ = ("_open",)

    def __init__(self, name: str) -> None:
        self._open = _TRACER.start_span(
            f"store {name}",
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.operation.name": name},
        )

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_: object) -> None:
        if error is not None:
            code = error.code if isinstance(error, StrongroomError) else type(error).__name__
            self._open.set_status(Status(StatusCode.ERROR, code))
        self._open.end()
