"""The same API from a shell: answers on stdout, problems on stderr, and an exit code that tells."""

import io
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.cli.run import run
from tests.api.house import RECIPIENT, WALLET, House
from tests.api.serving import served

Shell = Callable[..., Any]


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[tuple[str, House]]:
    with served(database_url) as found:
        yield found


@pytest.fixture
def shell(
    api: tuple[str, House], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any, str]]:
    """Runs `strongroom withdrawal ...` as `who`: exit code, JSON of stdout, stderr."""
    url, house = api

    def call(*words: str, who: str = "acme", table: bool = False) -> tuple[int, Any, str]:
        monkeypatch.setenv("STRONGROOM_API_KEY", house.tokens.get(who, ""))
        form = [] if table else ["-o", "json"]
        code = run(["withdrawal", words[0], "--api", url, *form, *words[1:]])
        said = capsys.readouterr()
        return code, said.out if table or not said.out else json.loads(said.out), said.err

    return call


def ask(shell: Shell, ref: str, amount: str = "12.5", **options: str) -> tuple[int, Any, str]:
    words = ["--network", "ethereum", "--asset", "USDT", "--amount", amount, "--to", RECIPIENT, "--ref", ref]
    more = [word for name, value in options.items() for word in (f"--{name}", value)]
    told: tuple[int, Any, str] = shell("request", *words, *more)
    return told


def test_a_withdrawal_is_asked_for_followed_listed_and_cancelled(shell: Shell) -> None:
    code, row, _ = ask(shell, "cli/1")
    assert (code, row["stage"], row["total"]) == (0, "REQUESTED", "14")
    assert ask(shell, "cli/1")[1] == row, "the same command never asks twice"
    assert shell("show", row["id"])[1]["client_ref"] == "cli/1"
    assert shell("show", "--ref", "cli/1")[1]["id"] == row["id"]
    assert row["id"] in [item["id"] for item in shell("list", "--stage", "REQUESTED")[1]["items"]]
    assert shell("timeline", row["id"])[1]["items"][0]["actor"] == "acme-bot"
    assert shell("cancel", row["id"], "--reason", "test")[1]["stage"] == "CANCELLED"
    code, table, _ = shell("list", table=True)
    assert code == 0
    assert row["id"] in table
    code, facts, _ = shell("show", row["id"], table=True)
    assert "CANCELLED" in facts


def test_exit_codes_tell_refused_from_missing_from_down(
    shell: Shell, api: tuple[str, House], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = ask(shell, "cli/2", amount="0.1")
    assert code == 4
    assert "AMOUNT_BELOW_MINIMUM" in said
    code, _, said = ask(shell, "cli/3", amount="1e5")
    assert (code, "AMOUNT_MALFORMED" in said) == (4, True)
    assert shell("show", "wd_" + "a" * 26)[0] == 3
    assert shell("show")[0] == 2
    assert shell("show", "x", who="nobody")[0] == 78, "no key given"
    api[1].stories.up = False
    assert ask(shell, "cli/4")[0] == 69
    api[1].stories.up = True
    monkeypatch.setenv("STRONGROOM_API_KEY", "sr_x")
    assert run(["withdrawal", "show", "x", "--api", "http://127.0.0.1:9"]) == 69
    assert "does not answer" in capsys.readouterr().err


def test_a_decision_is_handed_over_from_a_file_or_a_pipe(
    shell: Shell, api: tuple[str, House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, row, _ = ask(shell, "cli/5")
    file = tmp_path / "decision.json"
    word = {"approver": "ann", "ruling": "approve", "intent_hash": "0" * 64, "signature": "0" * 128}
    file.write_text(json.dumps(word))
    code, _, said = shell("approve", row["id"], "--decision", str(file), who="ann")
    assert code == 4, "nobody was asked yet"
    monkeypatch.setattr("sys.stdin", io.StringIO("not json"))
    code, _, said = shell("reject", row["id"], "--decision", "-", who="ann")
    assert (code, "DECISION_MALFORMED" in said) == (2, True)


def test_a_quote_is_taken_by_name(shell: Shell) -> None:
    _, quote, _ = shell("quote", "--network", "ethereum", "--asset", "USDT", "--amount", "20")
    code, row, _ = ask(shell, "cli/6", amount="20", quote=quote["quote_id"])
    assert (code, row["fee"]) == (0, quote["fee"])


# ------------------------------------------------------------ keys
def test_a_key_is_made_shown_once_listed_and_revoked(
    api: tuple[str, House],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STRONGROOM_DATABASE_URL", database_url)
    assert run(["key", "create", "--role", "client", "--name", "bot", "--account", "acme", "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["key"].startswith(f"sr_{made['id']}_")
    monkeypatch.setenv("STRONGROOM_API_KEY", made["key"])
    assert run(["withdrawal", "list", "--api", api[0], "-o", "json"]) == 0
    capsys.readouterr()

    assert run(["key", "list", "-o", "json"]) == 0
    listed = capsys.readouterr().out
    assert made["id"] in listed
    assert made["key"].split("_", 2)[2] not in listed, "shown once"

    assert run(["key", "revoke", made["id"]]) == 0
    assert run(["key", "revoke", "nothere"]) == 4
    assert run(["key", "create", "--role", "operator", "--name", "x", "--account", "acme"]) == 4
    assert run(["key", "create", "--role", "client", "--name", "x", "--account", "nobody"]) == 4
    assert run(["key", "create", "--role", "king", "--name", "x"]) == 2

    file = tmp_path / "key"
    assert run(["key", "create", "--role", "auditor", "--name", "eve", "--days", "1", "--to", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in capsys.readouterr().out
    assert run(["key", "create", "--role", "auditor", "--name", "eve", "--to", str(file)]) == 4
    assert run(["withdrawal", "list", "--api", api[0], "--key-file", str(file), "-o", "json"]) == 0


def test_an_address_is_given_to_an_account_once_and_listed(
    api: tuple[str, House], database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRONGROOM_DATABASE_URL", database_url)

    def account(*words: str) -> tuple[int, str, str]:
        code = run(["account", *words, "-o", "json"])
        said = capsys.readouterr()
        return code, said.out, said.err

    address = "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359"
    for _ in range(2):
        code, said, _ = account("assign-address", "other", "ethereum", address)
        assert (code, json.loads(said)["address"]) == (0, "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")
    _, listed, _ = account("addresses", "other")
    assert [row["network"] for row in json.loads(listed)["items"]] == ["ethereum"]
    for words, refusal in (
        (("assign-address", "acme", "polygon", address), "ADDRESS_ASSIGNED"),
        (("assign-address", "acme", "ethereum", WALLET), "ADDRESS_OURS"),
        (("assign-address", "acme", "ethereum", "0x12"), "ADDRESS_MALFORMED"),
        (("assign-address", "acme", "dogecoin", address), "NETWORK_UNKNOWN"),
        (("assign-address", "nobody", "ethereum", RECIPIENT), "ACCOUNT_UNKNOWN"),
        (("addresses", "nobody"), "ACCOUNT_UNKNOWN"),
    ):
        ended, said, why = account(*words)
        assert (ended != 0, said) == (True, "")
        assert refusal in why
