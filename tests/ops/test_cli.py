"""The command line: quick, documented, with exit codes that mean something."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.settings import ROOT
from domain.errors import Refused, Unavailable, Uncertain
from ops.cli import COMMANDS
from ops.cli.exits import Exit, exit_code
from ops.cli.lazy import load, rows
from ops.cli.logs import tail

HEAVY = ("temporalio", "sqlalchemy", "fastapi", "aiohttp", "eth_account", "asyncpg", "pydantic", "rich.live")


@pytest.fixture
def environ(tmp_path: Path, port_base: int) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STRONGROOM_")}
    return clean | {"STRONGROOM_STATE_DIR": str(tmp_path / "state"), "STRONGROOM_PORT_BASE": str(port_base)}


def run(environ: dict[str, str], *words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ops", *words], capture_output=True, text=True, env=environ, cwd=cwd, check=False
    )


def test_help_names_every_command_and_imports_none(environ: dict[str, str]) -> None:
    program = (
        f"import sys; from ops.cli.run import run; run(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, cwd=ROOT, check=True
    )
    assert all(f" {row.name} " in done.stdout for row in rows())
    assert "Exit codes" in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "[]", "what is heavy is imported inside the functions that need it"


def test_every_command_of_the_table_can_be_loaded_and_has_help() -> None:
    for row in rows():
        assert (load(row).help or "").strip(), row.name


def test_no_name_stands_twice_in_the_table() -> None:
    assert len({row.name for row in COMMANDS}) == len(COMMANDS)


def test_wrong_usage_ends_with_2(environ: dict[str, str]) -> None:
    assert run(environ, "nonsense").returncode == Exit.USAGE
    assert run(environ, "up", "--only", "chimney").returncode == Exit.USAGE
    assert run(environ, "worker", "run", "chimney").returncode == Exit.USAGE


def test_a_wrong_setting_ends_with_78_and_names_it(environ: dict[str, str]) -> None:
    done = run(environ | {"STRONGROOM_PORT_BASE": "many"}, "status")
    assert done.returncode == Exit.CONFIG
    assert done.stderr.startswith("strongroom: STRONGROOM_PORT_BASE: ")
    assert "Traceback" not in done.stderr
    for unknown in (run(environ, "up", "--network", "foo"), run(environ | {"STRONGROOM_NETWORKS": "foo"}, "status")):
        assert unknown.returncode == Exit.CONFIG
        assert unknown.stderr.startswith("strongroom: STRONGROOM_NETWORKS: unknown network foo; we serve ")
    node = run(environ | {"STRONGROOM_NODES__FOO": "http://a"}, "config", "check")
    assert (node.returncode, "STRONGROOM_NODES__FOO: unknown" in node.stderr) == (Exit.CONFIG, True)
    misspelt = run(environ | {"STRONGROOM_PORTS": "1"}, "config", "check")
    assert (misspelt.returncode, "STRONGROOM_PORTS" in misspelt.stderr) == (Exit.CONFIG, True)


def test_status_of_nothing_ends_with_69_and_json_stays_json(environ: dict[str, str]) -> None:
    done = run(environ, "status", "-o", "json")
    assert done.returncode == Exit.DOWN
    assert json.loads(done.stdout)["phase"] == "stopped"
    assert "strongroom up" in done.stderr


def test_stopping_what_does_not_run_is_fine(environ: dict[str, str]) -> None:
    assert run(environ, "down").returncode == Exit.OK


def test_a_log_that_is_not_there_ends_with_3(environ: dict[str, str]) -> None:
    assert run(environ, "logs", "chimney").returncode == Exit.NOT_FOUND


def test_migrating_before_there_is_a_database_ends_with_69(environ: dict[str, str]) -> None:
    done = run(environ, "migrate")
    assert done.returncode == Exit.DOWN
    assert "strongroom up" in done.stderr


def test_version_and_settings_are_told_as_json(environ: dict[str, str]) -> None:
    assert json.loads(run(environ, "version", "-o", "json").stdout)["strongroom"]
    shown = json.loads(
        run(environ | {"STRONGROOM_DATABASE_URL": "postgresql://u:hush@h/d"}, "config", "show", "-o", "json").stdout
    )
    assert shown["state_dir"] == environ["STRONGROOM_STATE_DIR"]
    assert "hush" not in json.dumps(shown)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_had_for_every_shell(environ: dict[str, str], shell: str) -> None:
    done = run(environ | {"_STRONGROOM_COMPLETE": f"source_{shell}"}, cwd=ROOT)
    assert "strongroom" in done.stdout.lower()


def test_completion_knows_commands_and_their_verbs(environ: dict[str, str]) -> None:
    asked = environ | {"_STRONGROOM_COMPLETE": "complete_bash", "COMP_WORDS": "strongroom config ", "COMP_CWORD": "2"}
    assert set(run(asked).stdout.split()) >= {"show", "check", "example"}


def test_a_failure_has_one_exit_code() -> None:
    assert exit_code(Refused("AMOUNT_TOO_LARGE", "")) == Exit.REFUSED
    assert exit_code(Refused("CONFIG_INVALID", "")) == Exit.CONFIG
    assert exit_code(Refused("WITHDRAWAL_NOT_FOUND", "")) == Exit.NOT_FOUND
    assert exit_code(Unavailable("DATABASE_DOWN", "")) == Exit.DOWN
    assert exit_code(Uncertain("BROADCAST", "")) == Exit.FAILED


def test_the_end_of_a_log_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert tail(path, 2) == ["line 99998", "line 99999"]
    assert tail(path, 0) == []


def test_run_works_from_any_directory(environ: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "run"), "--version"], capture_output=True, text=True, env=environ, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()[0].isdigit()


def test_run_is_plain_sh_and_names_no_host() -> None:
    script = (ROOT / "run").read_text()
    assert script.startswith("#!/bin/sh\n")
    assert "://" not in script
    assert os.access(ROOT / "run", os.X_OK)
    subprocess.run(["sh", "-n", str(ROOT / "run")], check=True)
