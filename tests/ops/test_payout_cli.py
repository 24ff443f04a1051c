"""`strongroom payout` at 3 a.m.: what does not answer is named with its address, and nothing that was asked for is
passed over in silence.
"""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from typer.testing import CliRunner, Result

from adapters import codec
from adapters.catalogue import load
from adapters.roster import Roster
from adapters.settings import Settings
from adapters.store.opening import open_store
from domain.errors import Unavailable
from ops.cli import payout, procedures
from ops.cli.output import show_facts, show_table

NOWHERE = "127.0.0.1:9"
WALLET = "0x" + "ab" * 20


@pytest.fixture
def installation(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "STRONGROOM_DATABASE_URL": database_url,
        "STRONGROOM_STATE_DIR": str(tmp_path),
        "TEMPORAL_ADDRESS": NOWHERE,
    }.items():
        monkeypatch.setenv(name, value)
    codec.create(Settings().codec_keys, date(2026, 11, 22))


def run(*words: str) -> Result:
    return CliRunner().invoke(payout.app, words)


async def with_wallet() -> None:
    settings = Settings()
    async with open_store(settings.dsn, load("devnet"), Roster(settings.roster)) as store:
        await store.books.ensure_wallet("ethereum", WALLET, 0)


@pytest.mark.usefixtures("installation")
async def test_a_misspelt_network_is_no_quiet_network() -> None:
    await with_wallet()
    missed = await asyncio.to_thread(run, "list", "--network", "etherum")
    assert (missed.exit_code, missed.stdout) == (3, "")
    assert "WALLET_NOT_FOUND" in missed.stderr
    quiet = await asyncio.to_thread(run, "list", "--network", "ethereum", "-o", "json")
    assert (quiet.exit_code, json.loads(quiet.stdout)) == (0, {"items": []})


def test_a_database_that_does_not_answer_is_named(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_DATABASE_URL", f"postgresql://strongroom:secret@{NOWHERE}/strongroom")
    done = run("list")
    assert done.exit_code == 69
    assert f"does not answer at {NOWHERE}" in done.stderr
    assert "STRONGROOM_STATE_DIR" in done.stderr
    assert "secret" not in done.stderr


def test_a_pipe_gets_every_id_whole_and_a_row_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    slot, says = f"ethereum/{WALLET}/1234", "version 2 is not included " * 12
    show_table("", ("slot", "says"), [(slot, says)])
    [row] = [line for line in capsys.readouterr().out.splitlines() if slot in line]
    assert says.strip() in row


def test_a_list_among_facts_is_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"slot": "s", "bytes": ["1: 0xaa", "2: 0xbb"], "procedures": []})
    assert capsys.readouterr().out.splitlines() == [
        "slot        s",
        "bytes       1: 0xaa",
        "            2: 0xbb",
        "procedures  -",
    ]


def test_a_workflow_engine_that_does_not_answer_is_named(installation: None) -> None:
    async def described(_: Any, client: Client) -> Any:
        return await client.get_workflow_handle("hot_wallet/ethereum/0xaa").describe()

    with pytest.raises(Unavailable, match=f"does not answer at {NOWHERE}") as caught:
        procedures.with_parts(described)
    assert caught.value.code == "TEMPORAL_UNAVAILABLE"
