"""An approver's side of the command line: what is shown is what is signed, and the key stays where it is."""

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.roster import Roster, read
from adapters.vault import keystore
from domain.intent import Decision, Intent, Ruling
from ops.cli import approver, wallet
from ops.cli.approver import make_key, read_key

PORTS = range(18400, 18491)
API_KEY = "sr_test_0123456789abcdef"
INTENT = Intent(
    withdrawal_id="wd_aaaaaaaaaaaaaaaaaaaaaaaaaa",
    account="acme",
    network="ethereum",
    asset="USDT-ETHEREUM",
    amount="5000000001",
    recipient="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    fee_cap="30000000000000000",
    requester="acme-treasury",
    policy_version="2026-11-21",
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key("anna", tmp_path / "anna.pem")
    return tmp_path / "anna.pem"


@pytest.fixture
def intent_file(tmp_path: Path) -> Path:
    return written(tmp_path, asdict(INTENT))


# ---------------------------------------------------------------- keys and rosters
def test_a_new_approver_gets_a_key_of_their_own_and_a_line_for_the_rosters(tmp_path: Path) -> None:
    books, signer = tmp_path / "books.toml", tmp_path / "signer.toml"
    made = run("new", "anna", "--key-file", tmp_path / "k.pem", "--roster", books, "--roster", signer)
    assert made.exit_code == 0, made.output
    public = read_key(tmp_path / "k.pem").public_key
    assert f'public_key = "{public}"' in made.stdout
    assert read(books)["anna"].public_key == read(signer)["anna"].public_key == public
    assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600


def test_without_a_roster_nobody_is_enrolled(tmp_path: Path) -> None:
    made = run("new", "anna", "--key-file", tmp_path / "k.pem", "-o", "json")
    public = json.loads(made.stdout)["public_key"]
    enrolled = run("enrol", "anna", public, "--roster", tmp_path / "r.toml")
    assert enrolled.exit_code == 0
    listed = json.loads(run("list", "--roster", tmp_path / "r.toml", "-o", "json").stdout)["items"]
    assert [(row["name"], row["public_key"], row["revoked"]) for row in listed] == [("anna", public, None)]


def test_a_roster_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    listed = run("list", "--roster", tmp_path / "none.toml")
    assert (listed.exit_code, "ROSTER_NOT_FOUND" in listed.stderr, listed.stdout) == (3, True, "")


@pytest.mark.parametrize("command", ["sign", "endorse"])
def test_a_file_that_is_not_there_is_named_once_and_ends_with_3(key: Path, tmp_path: Path, command: str) -> None:
    path = tmp_path / "nope.json"
    refused = run(command, path, "--key-file", key, "--yes")
    assert (refused.exit_code, refused.stderr) == (3, f"FILE_NOT_FOUND: There is no file {path}.\n")
    assert run(command, tmp_path, "--key-file", key, "--yes").exit_code == 2


def test_a_key_is_never_overwritten(key: Path) -> None:
    before = key.read_bytes()
    again = run("new", "anna", "--key-file", key)
    assert again.exit_code == 4
    assert "KEY_FILE_EXISTS" in again.stderr
    assert key.read_bytes() == before


def test_a_refused_name_leaves_no_key_behind(tmp_path: Path) -> None:
    assert run("new", "an na", "--key-file", tmp_path / "k.pem").exit_code == 4
    assert not (tmp_path / "k.pem").exists()


def test_revoking_ends_a_say(key: Path, tmp_path: Path, intent_file: Path) -> None:
    rosters = tmp_path / "r.toml"
    run("enrol", "anna", read_key(key).public_key, "--roster", rosters)
    word = decision(run("sign", intent_file, "--key-file", key, "--yes"))
    assert Roster(rosters).verify(word) == ""
    assert run("revoke", "anna", "--roster", rosters).exit_code == 0
    assert Roster(rosters).verify(word) == "STRANGER"
    assert run("revoke", "boris", "--roster", rosters).exit_code == 4


def test_a_key_with_a_passphrase_is_encrypted_at_rest(tmp_path: Path, intent_file: Path) -> None:
    words, other = (
        secret(tmp_path / "words", "correct horse battery"),
        secret(tmp_path / "other", "wrong horse battery"),
    )
    key = tmp_path / "k.pem"
    assert run("new", "anna", "--key-file", key, "--passphrase-file", words).exit_code == 0
    assert "ENCRYPTED" in key.read_text()
    assert run("sign", intent_file, "--key-file", key, "--yes", "--passphrase-file", words).exit_code == 0
    wrong = run("sign", intent_file, "--key-file", key, "--yes", "--passphrase-file", other)
    assert (wrong.exit_code, "PASSPHRASE_WRONG" in wrong.stderr) == (4, True)
    unasked = run("sign", intent_file, "--key-file", key, "--yes")
    assert (unasked.exit_code, "PASSPHRASE_NEEDED" in unasked.stderr) == (4, True)


def test_a_key_file_others_can_read_is_refused(key: Path, intent_file: Path) -> None:
    key.chmod(0o640)
    assert "KEY_FILE_EXPOSED" in run("sign", intent_file, "--key-file", key, "--yes").stderr


@pytest.mark.parametrize("content", ["", "Approver: anna\n", "Approver: anna\nnonsense", "\xff", "-----BEGIN"])
def test_a_damaged_key_file_says_so(tmp_path: Path, intent_file: Path, content: str) -> None:
    path = tmp_path / "k.pem"
    path.write_text(content, encoding="latin-1")
    path.chmod(0o600)
    assert run("sign", intent_file, "--key-file", path, "--yes").exit_code == 4


# ---------------------------------------------------------------- signing
def test_the_intent_is_read_in_plain_words_and_the_decision_is_all_of_stdout(key: Path, intent_file: Path) -> None:
    signed = run("sign", intent_file, "--key-file", key, said="y\n")
    for words in ("5000.000001 USDT", INTENT.recipient, "Ethereum (ethereum)", "acme-treasury", "at most 0.03 ETH"):
        assert words in signed.stderr
    assert INTENT.hash() in signed.stderr
    word = decision(signed)
    assert (word.approver, word.ruling, word.intent_hash) == ("anna", Ruling.APPROVE, INTENT.hash())


def test_a_no_at_the_question_signs_nothing(key: Path, intent_file: Path) -> None:
    for said in ("n\n", "\n", ""):
        declined = run("sign", intent_file, "--key-file", key, said=said)
        assert declined.exit_code != 0
        assert "signature" not in declined.stdout


def test_a_rejection_is_another_word_than_an_approval(key: Path, tmp_path: Path, intent_file: Path) -> None:
    rosters = tmp_path / "r.toml"
    run("enrol", "anna", read_key(key).public_key, "--roster", rosters)
    no = decision(run("sign", intent_file, "--key-file", key, "--yes", "--reject"))
    assert no.ruling is Ruling.REJECT
    assert Roster(rosters).verify(no) == ""
    assert Roster(rosters).verify(replace(no, ruling=Ruling.APPROVE)) == "BAD_SIGNATURE"


def test_an_intent_may_come_from_a_pipe_when_nobody_is_asked(key: Path) -> None:
    text = json.dumps({"id": "x", "intent": asdict(INTENT), "intent_hash": INTENT.hash()})
    assert decision(run("sign", "-", "--key-file", key, "--yes", said=text)).intent_hash == INTENT.hash()
    asked = run("sign", "-", "--key-file", key, said=text)
    assert (asked.exit_code, "YES_NEEDED" in asked.stderr, asked.stdout) == (2, True, "")


def test_a_hash_that_differs_from_our_own_is_refused(key: Path, tmp_path: Path, intent_file: Path) -> None:
    lied = written(tmp_path, {"intent": asdict(INTENT), "intent_hash": "ab" * 32}, "lied.json")
    for arguments in ([lied], [intent_file, "--hash", "ab" * 32]):
        refused = run("sign", *arguments, "--key-file", key, "--yes")
        assert (refused.exit_code, "INTENT_HASH_DIFFERS" in refused.stderr, refused.stdout) == (4, True, "")
    assert run("sign", intent_file, "--hash", INTENT.hash(), "--key-file", key, "--yes").exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        {"recipient": "0x7099\x1b[2K0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"},
        {"account": "acme\nnetwork fee   nothing"},
        {"recipient": "0x7099\u202e8C97cd"},
        {"requester": "\u0430cme"},  # a Cyrillic letter that looks like ours
        {"asset": "USDC-ETHEREUM"},
        {"network": "tron"},
        {"amount": "1e3"},
        {"amount": "-5"},
        {"amount": "\u0665"},
        {"fee_cap": "9" * 78},
    ],
)
def test_what_cannot_be_shown_as_it_is_is_not_signed(key: Path, tmp_path: Path, change: dict[str, str]) -> None:
    path = written(tmp_path, asdict(INTENT) | change)
    refused = run("sign", path, "--key-file", key, "--yes")
    assert (refused.exit_code, "INTENT_UNSHOWABLE" in refused.stderr, refused.stdout) == (4, True, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '"x"',
        json.dumps(asdict(INTENT) | {"extra": "x"}),
        json.dumps(asdict(INTENT) | {"amount": 5}),
        json.dumps(asdict(INTENT) | {"account": ""}),
        json.dumps({"intent": None}),
        json.dumps(asdict(INTENT))[:-1] + ', "amount": "1"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_intent_is_not_signed(key: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "intent.json"
    path.write_text(text)
    refused = run("sign", path, "--key-file", key, "--yes")
    assert (refused.exit_code, "INTENT_MALFORMED" in refused.stderr, refused.stdout) == (4, True, "")


# ---------------------------------------------------------------- over REST
@dataclass
class Api:
    """A door of the REST API with one withdrawal behind it; keeps what it was sent."""

    url: str = ""
    answer: dict[str, Any] = field(
        default_factory=lambda: {"intent": asdict(INTENT), "intent_hash": INTENT.hash(), "stage": "REFERRED"}
    )
    note: dict[str, Any] = field(default_factory=lambda: {"counted": True, "code": "", "approvals": 1, "needed": 2})
    status: int = 200
    posted: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def api() -> Iterator[Api]:
    state = Api()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ours = self.path == f"/v1/withdrawals/{INTENT.withdrawal_id}"
            known = self.headers["Authorization"] == f"Bearer {API_KEY}"
            self._say(404 if not ours else 401 if not known else 200, state.answer)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.posted.append((self.path, body))
            self._say(state.status, state.note)

        def _say(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body if status == 200 else {"code": "PROBLEM", "detail": "it says why"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = listening(Door)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("flag", "ruling"), [([], "approve"), (["--reject"], "reject")])
def test_a_withdrawal_is_fetched_read_signed_and_decided(
    key: Path, tmp_path: Path, api: Api, flag: list[str], ruling: str
) -> None:
    done = over_rest(key, tmp_path, api, *flag)
    assert done.exit_code == 0, done.stderr
    assert "5000.000001 USDT" in done.stderr
    [(path, body)] = api.posted
    assert path == f"/v1/withdrawals/{INTENT.withdrawal_id}/{ruling}"
    assert set(body) == {"approver", "ruling", "intent_hash", "signature"}
    assert (body["ruling"], body["intent_hash"]) == (ruling, INTENT.hash())
    assert json.loads(done.stdout)["needed"] == 2


def test_an_api_that_shows_one_intent_and_hashes_another_gets_nothing(key: Path, tmp_path: Path, api: Api) -> None:
    api.answer["intent"] = asdict(replace(INTENT, amount="1"))
    assert "INTENT_HASH_DIFFERS" in over_rest(key, tmp_path, api).stderr
    assert not api.posted


def test_an_api_that_answers_with_another_withdrawal_gets_nothing(key: Path, tmp_path: Path, api: Api) -> None:
    other = replace(INTENT, withdrawal_id="wd_bbbbbbbbbbbbbbbbbbbbbbbbbb")
    api.answer = {"intent": asdict(other), "intent_hash": other.hash()}
    assert "INTENT_MISMATCH" in over_rest(key, tmp_path, api).stderr
    assert not api.posted


def test_a_withdrawal_without_an_intent_yet_says_so(key: Path, tmp_path: Path, api: Api) -> None:
    api.answer = {"intent": None, "intent_hash": None}
    assert "INTENT_MISSING" in over_rest(key, tmp_path, api).stderr


def test_exit_codes_tell_a_refusal_from_an_outage(key: Path, tmp_path: Path, api: Api) -> None:
    api.status = 409
    assert over_rest(key, tmp_path, api).exit_code == 4
    api.status = 503
    assert over_rest(key, tmp_path, api).exit_code == 69
    api.status, api.note = 200, {"counted": False, "code": "STRANGER"}
    worthless = over_rest(key, tmp_path, api)
    assert (worthless.exit_code, "STRANGER" in worthless.stderr) == (4, True)


def test_either_a_file_or_a_withdrawal_is_asked_for(key: Path, intent_file: Path) -> None:
    assert run("sign", "--key-file", key).exit_code == 2
    assert run("sign", intent_file, "--withdrawal", "wd_x", "--key-file", key).exit_code == 2


# ---------------------------------------------------------------- wallets
def test_the_known_key_is_for_the_devnet_only(tmp_path: Path) -> None:
    home = tmp_path / "signer"
    refused = CliRunner().invoke(wallet.app, ["import", "--home", str(home), "--profile", "production"])
    assert (refused.exit_code, "WALLET_DEVNET_ONLY" in refused.stderr, home.exists()) == (4, True, False)
    for _ in range(2):
        taken = CliRunner().invoke(wallet.app, ["import", "--home", str(home), "--profile", "devnet"])
        assert taken.stdout.strip() == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", taken.stderr


async def test_an_imported_wallet_is_what_the_signer_opens(tmp_path: Path) -> None:
    from adapters.vault import keystore_file, open_vault

    home = tmp_path / "signer"
    wallet.import_known(home, keystore_file(home, "ethereum"))
    async with open_vault(home, "devnet") as vault:
        assert vault.address("ethereum") == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    (home / "memory.sqlite3").unlink()
    again = CliRunner().invoke(wallet.app, ["import", "--home", str(home), "--profile", "devnet"])
    assert again.exit_code == 0
    assert not (home / "memory.sqlite3").exists(), "a lost memory is never replaced by an empty one"


def test_a_new_wallet_has_a_key_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**10)
    home = tmp_path / "signer"
    home.mkdir(mode=0o700)
    arguments = ["new", "--home", str(home)]
    assert "PASSPHRASE_UNREADABLE" in CliRunner().invoke(wallet.app, arguments).stderr
    secret(home / "passphrase", "correct horse battery")
    made = CliRunner().invoke(wallet.app, arguments)
    shown = CliRunner().invoke(wallet.app, ["address", "--home", str(home), "-o", "json"])
    assert made.exit_code == 0, made.stderr
    assert json.loads(shown.stdout)["address"] == made.stdout.strip() != "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    again = CliRunner().invoke(wallet.app, arguments)
    assert (again.exit_code, "KEYSTORE_EXISTS" in again.stderr) == (4, True)


# ---------------------------------------------------------------- canary
def test_no_command_shows_a_key_or_a_passphrase(key: Path, tmp_path: Path, intent_file: Path, api: Api) -> None:
    words = secret(tmp_path / "words", "canary-canary-canary")
    said = [
        run("new", "boris", "--key-file", tmp_path / "b.pem", "--passphrase-file", words),
        run("new", "boris", "--key-file", tmp_path / "b.pem", "--passphrase-file", words),
        run("sign", intent_file, "--key-file", tmp_path / "b.pem", "--yes", "--passphrase-file", words),
        run("sign", intent_file, "--key-file", key, "--yes"),
        over_rest(key, tmp_path, api),
    ]
    everything = "".join(result.output + result.stderr + repr(result.exception) for result in said)
    private = read_key(key).key.private_bytes_raw().hex()
    pem = key.read_text().splitlines()[2]
    for canary in ("canary-canary", private, pem, API_KEY):
        assert canary not in everything
    assert private not in repr(read_key(key))


def run(*arguments: object, said: str | None = None) -> Result:
    return CliRunner().invoke(approver.app, [str(argument) for argument in arguments], input=said)


def over_rest(key: Path, folder: Path, api: Api, *more: str) -> Result:
    key_file = secret(folder / "api.key", API_KEY)
    flags = ["--withdrawal", INTENT.withdrawal_id, "--api", api.url, "--api-key-file", key_file, "--key-file", key]
    return run("sign", *flags, "--yes", *more)


def decision(result: Result) -> Decision:
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    return Decision(rows["approver"], Ruling(rows["ruling"]), rows["intent_hash"], rows["signature"])


def written(folder: Path, content: dict[str, Any], name: str = "intent.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def secret(path: Path, content: str) -> Path:
    path.write_text(content + "\n")
    path.chmod(0o600)
    return path


def listening(door: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    for port in PORTS:
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), door)
        except OSError:
            continue
    raise AssertionError(f"no free port in {PORTS}")
