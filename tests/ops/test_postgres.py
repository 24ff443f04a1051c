"""PostgreSQL as we start it: for every kind of user, through crashes and reboots, closed to strangers."""

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Unavailable
from ops.devnet.postgres import Kind, Postgres, asyncpg, find_runner
from tests.cluster import free_port


def ways() -> tuple[Kind, ...]:
    """How the server can run on this machine."""
    if os.geteuid() != 0:
        return ("plain",)
    natural = find_runner(Path("/nonexistent")).kind
    return ("namespace", "copy") if natural == "namespace" else ("copy",)


def made(state_dir: Path, way: Kind) -> Iterator[Postgres]:
    server = Postgres(state_dir, free_port(), way)
    yield server
    server.stop()
    if way == "copy":
        shutil.rmtree(server.runner.data.parent)


@pytest.fixture(params=ways(), scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One server for each way to run it; a test may find it running or not."""
    yield from made(tmp_path_factory.mktemp("postgres") / "state", request.param)


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Postgres]:
    """A server that was never started."""
    yield from made(tmp_path / "state", ways()[0])


def ask(server: Postgres, statement: str, dsn: str | None = None) -> Any:
    async def once() -> Any:
        connection = await asyncpg.connect(dsn or server.dsn, timeout=5)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(once())


def test_what_was_committed_survives_kill_9_and_the_next_start(server: Postgres) -> None:
    server.start()
    ask(server, "create table kept as select 42 as answer")
    server.kill()
    assert server.pid() is None
    server.start()
    assert ask(server, "select answer from kept") == 42


def test_a_pid_file_that_names_a_stranger_does_not_stop_the_next_start(server: Postgres) -> None:
    """As after a reboot, when the old server's pid belongs to somebody else."""
    server.start()
    server.kill()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lock = server.runner.data / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        server.start()
        assert ask(server, "select 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_first_start_is_begun_anew(untouched: Postgres) -> None:
    server, draft = untouched, untouched.runner.data.with_name("postgres.new")
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    server.start()
    assert ask(server, "select 1") == 1
    assert not draft.exists()


def test_a_second_start_changes_nothing(server: Postgres) -> None:
    server.start()
    pid = server.pid()
    server.start()
    assert server.pid() == pid


def test_strangers_are_turned_away_and_passwords_are_ours_alone(server: Postgres) -> None:
    server.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(server, "select 1", f"postgresql://strongroom:guess@127.0.0.1:{server.port}/strongroom")
    assert ask(server, "select rolsuper from pg_roles where rolname = current_user") is False
    for name in ("postgres.password", "postgres.superuser.password"):
        assert stat.S_IMODE((server.password_file.parent / name).stat().st_mode) == 0o600


def test_it_is_set_up_to_keep_what_it_was_given(server: Postgres) -> None:
    server.start()
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",
        "shared_buffers": "512MB",
        "server_encoding": "UTF8",
        "password_encryption": "scram-sha-256",
    }
    assert {name: ask(server, f"show {name}") for name in wanted} == wanted
    locale = "select datlocprovider::text || ' ' || datlocale from pg_database where datname = 'strongroom'"
    assert ask(server, locale) == "b C.UTF-8"


def test_a_lost_password_of_our_role_is_made_anew(server: Postgres) -> None:
    server.start()
    server.stop()
    server.password_file.unlink()
    server.start()
    assert ask(server, "select 1") == 1


def test_data_of_another_major_version_is_not_touched(server: Postgres) -> None:
    server.start()
    server.stop()
    mark = server.runner.data / "PG_VERSION"
    ours = mark.read_text()
    mark.write_text("17\n")
    try:
        with pytest.raises(Unavailable, match="PostgreSQL 17"):
            server.start()
    finally:
        mark.write_text(ours)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_as_root_the_server_itself_never_runs_as_root(server: Postgres) -> None:
    assert server.runner.prefix or server.runner.uid
