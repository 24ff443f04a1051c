"""`strongroom approver ...`: an approver's side. The private key is made here, stays here, and signs what it was shown.

What comes from outside (an intent in a file or from the API) is checked and its hash computed anew; a person then reads
it in plain words. The decision on stdout is what the REST API and the signals `approve` and `reject` take.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote as url_quote

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from adapters import roster
from adapters.catalogue import load
from adapters.vault.keystore import read_passphrase
from domain.errors import Refused, StrongroomError
from domain.intent import Decision, Intent, Ruling, statement
from domain.money import Amount
from domain.procedure import Endorsement, Procedure
from domain.procedure import statement as endorsement_statement
from ops.cli import procedures
from ops.cli.exits import Exit, exit_code
from ops.cli.files import text_of
from ops.cli.rest import Failed, Output, Rest, connect, run, show

app = typer.Typer(no_args_is_help=True, help="Make approvers' keys, keep rosters, sign decisions.")

_NAME_LINE = "Approver: "
_BRACKETS_MAX = 1000  # a parser may crash on what is nested without end
_UNITS = re.compile(r"0|[1-9][0-9]{0,76}")  # below 2**256
_COLUMNS = ("name", "public_key", "added", "revoked")

Name = Annotated[str, typer.Argument(help="The approver's name, as in the roster.")]
KeyFile = Annotated[Path, typer.Option("--key-file", help="The approver's private key file.")]
RosterFile = Annotated[Path, typer.Option("--roster", help="Roster file: the books' copy or the signer's.")]
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Passphrase of the key file; asked for on a terminal.")
]
Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]
Profile = Annotated[str, typer.Option(envvar="STRONGROOM_PROFILE", help="Which catalogue names networks and assets.")]


@dataclass(frozen=True, slots=True)
class Signer:
    """An approver with the key in hand."""

    name: str
    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"<approver {self.name}>"

    @property
    def public_key(self) -> str:
        return self.key.public_key().public_bytes_raw().hex()

    def endorse(self, procedure: Procedure) -> Endorsement:
        hash_ = procedure.hash()
        return Endorsement(self.name, hash_, self.key.sign(endorsement_statement(self.name, hash_)).hex())

    def decide(self, intent: Intent, ruling: Ruling) -> Decision:
        hash_ = intent.hash()
        return Decision(self.name, ruling, hash_, self.key.sign(statement(self.name, ruling, hash_)).hex())


# ---------------------------------------------------------------- commands
@app.command()
def new(
    name: Name,
    key_file: KeyFile,
    passphrase_file: Passphrase = None,
    rosters: Annotated[list[Path] | None, typer.Option("--roster", help="Enrol in this roster at once.")] = None,
    output: Out = Output.TABLE,
) -> None:
    """Make a key on the approver's own machine. Give others the public key; the file stays here."""

    def work() -> None:
        person = make_key(name, key_file, _new_passphrase(passphrase_file))
        for path in rosters or ():
            roster.enrol(path, name, person.public_key, _today())
        if output is Output.JSON:
            show({"name": name, "public_key": person.public_key, "key_file": str(key_file)}, output)
        else:
            print(roster.line(roster.Approver(name, person.public_key, _today())), end="")

    answered(work)


@app.command()
def enrol(
    name: Name,
    public_key: Annotated[str, typer.Argument(help="64 hex digits, heard from the approver in person.")],
    path: RosterFile,
) -> None:
    """Let an approver's word count, in one roster. The books and the signer need it each."""
    answered(lambda: print(roster.line(roster.enrol(path, name, public_key, _today())), end=""))


@app.command()
def revoke(name: Name, path: RosterFile) -> None:
    """End an approver's say, in one roster. Nothing they signed counts from now on, whenever they signed it."""
    answered(lambda: print(roster.line(roster.revoke(path, name, _today())), end=""))


@app.command(name="list")
def list_(path: RosterFile, output: Out = Output.TABLE) -> None:
    """Everybody who is or was in a roster."""

    def work() -> None:
        if not path.exists():
            raise Refused("ROSTER_NOT_FOUND", f"There is no roster {path}; `strongroom approver enrol` makes one.")
        rows = [
            {**asdict(person), "added": str(person.added), "revoked": str(person.revoked) if person.revoked else None}
            for person in roster.read(path).values()
        ]
        show({"items": rows}, output, _COLUMNS)

    answered(work)


@app.command()
def sign(  # noqa: PLR0913, PLR0917 - one argument for each option
    key_file: KeyFile,
    intent: Annotated[
        str | None, typer.Argument(metavar="[INTENT.json|-]", help="The intent, or an answer of the API that holds it.")
    ] = None,
    reject: Annotated[bool, typer.Option("--reject", help="Say no instead of yes.")] = False,
    withdrawal: Annotated[str | None, typer.Option(help="Fetch this withdrawal from the API and decide on it.")] = None,
    api: Annotated[
        str | None, typer.Option("--api", help="Address of the API; this installation's if not given.")
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="File with your API key, or STRONGROOM_API_KEY.")] = None,
    expected: Annotated[str | None, typer.Option("--hash", help="The intent hash you were told.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    passphrase_file: Passphrase = None,
    profile: Profile = "devnet",
) -> None:
    """Read an intent in plain words, then sign a yes (or a no) over it."""
    if (intent is None) == (withdrawal is None):
        raise typer.BadParameter("give a file with the intent, or --withdrawal ID")
    ruling = Ruling.REJECT if reject else Ruling.APPROVE

    def work() -> None:
        person = read_key(key_file, _passphrase(passphrase_file))
        rest = connect(api, api_key_file) if withdrawal else None
        read = read_intent(_fetch(rest, withdrawal) if rest and withdrawal else _read_file(intent or "-"), expected)
        if withdrawal and read.withdrawal_id != withdrawal:
            raise Refused("INTENT_MISMATCH", f"The API answered with the intent of {read.withdrawal_id!r}.")
        print(in_words(read, profile), file=sys.stderr)
        if not yes:
            _ask(f"{ruling.value.capitalize()} this as {person.name}?", from_stdin=intent == "-")
        decision = asdict(person.decide(read, ruling))
        show(_post(rest, read.withdrawal_id, decision) if rest else decision, Output.JSON)

    answered(work)


@app.command()
def endorse(
    key_file: KeyFile,
    procedure: Annotated[
        str, typer.Argument(metavar="PROCEDURE.json|-", help="As `wallet resume` or `payout ...` printed it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    passphrase_file: Passphrase = None,
) -> None:
    """Read in plain words what is to be done about something that is stuck, then sign that you want it done."""

    def work() -> None:
        person = read_key(key_file, _passphrase(passphrase_file))
        read = procedures.read(_read_file(procedure))
        print(procedures.in_words(read), file=sys.stderr)
        if not yes:
            _ask(f"Endorse this as {person.name}?", from_stdin=procedure == "-")
        show({"procedure": asdict(read), "endorsement": asdict(person.endorse(read))}, Output.JSON)

    answered(work)


# ---------------------------------------------------------------- keys
def make_key(name: str, path: Path, passphrase: str = "") -> Signer:
    """A new key in a new file, 0600, encrypted when there is a passphrase. Raises Refused KEY_FILE_EXISTS or
    APPROVER_NAME_INVALID.
    """
    person = Signer(name, Ed25519PrivateKey.generate())
    roster.check_name(name)
    seal: KeySerializationEncryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = person.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, seal).decode()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("KEY_FILE_EXISTS", f"{path} holds a key already; keys are never overwritten.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{_NAME_LINE}{name}\n{pem}")
    return person


def read_key(path: Path, passphrase: Callable[[], str] = lambda: "") -> Signer:
    """The approver in a key file; `passphrase` is asked only for an encrypted one. Raises Refused KEY_FILE_UNREADABLE,
    KEY_FILE_EXPOSED or PASSPHRASE_WRONG.
    """
    try:
        text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode
    except OSError as error:
        raise Refused("KEY_FILE_UNREADABLE", f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Refused("KEY_FILE_UNREADABLE", f"{path} is no key file of `strongroom approver new`.") from None
    if mode & 0o077:
        raise Refused(
            "KEY_FILE_EXPOSED", f"Others can read {path}; chmod 600 it, or make a new key and revoke this one."
        )
    head, _, pem = text.partition("\n")
    if not head.startswith(_NAME_LINE):
        raise Refused("KEY_FILE_UNREADABLE", f"{path} is no key file of `strongroom approver new`.")
    secret = passphrase().encode() if "ENCRYPTED" in pem else None
    try:
        key = load_pem_private_key(pem.encode(), secret)
    except (ValueError, TypeError):
        key = None
    del secret
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused("PASSPHRASE_WRONG", f"The passphrase does not open {path}, or the file is damaged.")
    return Signer(head.removeprefix(_NAME_LINE).strip(), key)


# ---------------------------------------------------------------- intents
def read_intent(text: str, expected: str | None = None) -> Intent:
    """The intent in JSON text: the bare object, or an answer that holds `intent` (and `intent_hash`).

    The hash is computed here; one that comes along, or is `expected`, must be the same. Raises Refused
    INTENT_MALFORMED or INTENT_HASH_DIFFERS.
    """
    try:
        if text.count("[") + text.count("{") > _BRACKETS_MAX:
            raise ValueError("it is nested too deeply")
        content = json.loads(text, object_pairs_hook=_no_repeats)
        told = content.get("intent_hash") if "intent" in content else None
        rows = content.get("intent", content)
        if set(rows) != {f.name for f in fields(Intent)} or not all(isinstance(v, str) and v for v in rows.values()):
            raise ValueError("an intent has exactly its nine fields, each a text")
        intent = Intent(**rows)
        computed = intent.hash()
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused("INTENT_MALFORMED", f"This is no intent: {error}.") from None
    for given in (told, expected):
        if given is not None and given != computed:
            raise Refused("INTENT_HASH_DIFFERS", f"The hash of this intent is {computed}, not {given!r}. Sign nothing.")
    return intent


def in_words(intent: Intent, profile: str) -> str:
    """The intent as a person reads it, nothing hidden in it. Raises Refused INTENT_UNSHOWABLE for what our catalogue
    does not know or a screen would not show as it is.
    """
    catalogue = load(profile)
    asset, network = catalogue.assets.get(intent.asset), catalogue.networks.get(intent.network)
    if asset is None or network is None or asset.network != intent.network:
        raise Refused(
            "INTENT_UNSHOWABLE", f"Our catalogue has no {intent.asset!r} on {intent.network!r}. Sign nothing."
        )
    if not all(value.isascii() and value.isprintable() for value in asdict(intent).values()):
        raise Refused("INTENT_UNSHOWABLE", "The intent holds characters that a screen may hide. Sign nothing.")
    if not (_UNITS.fullmatch(intent.amount) and _UNITS.fullmatch(intent.fee_cap)):
        raise Refused("INTENT_UNSHOWABLE", "An amount of the intent is no number. Sign nothing.")
    rows = {
        "pay": Amount(int(intent.amount), asset),
        "to": intent.recipient,
        "on": f"{network.name} ({network.id})",
        "for account": intent.account,
        "asked for by": intent.requester,
        "network fee": f"at most {Amount(int(intent.fee_cap), catalogue.native(network.id))}",
        "withdrawal": intent.withdrawal_id,
        "policy": intent.policy_version,
        "intent hash": intent.hash(),
    }
    return "\n".join(f"  {name:<13} {value}" for name, value in rows.items())


# ---------------------------------------------------------------- edges
def answered(work: Callable[[], None]) -> None:
    """Runs a command's work; each of our failures becomes its sentence on stderr and its exit code."""

    def told() -> None:
        try:
            work()
        except StrongroomError as error:
            raise Failed(exit_code(error), error.code, error.message) from None

    run(told)


def _fetch(rest: Rest, withdrawal: str) -> str:
    answer = rest.get(f"/v1/withdrawals/{url_quote(withdrawal, safe='')}")
    if not isinstance(answer, dict) or not answer.get("intent"):
        raise Refused("INTENT_MISSING", "This withdrawal has not been judged yet; try again in a moment.")
    return json.dumps({"intent": answer["intent"], "intent_hash": answer.get("intent_hash")})


def _post(rest: Rest, withdrawal: str, decision: Mapping[str, str]) -> Any:
    note = rest.post(f"/v1/withdrawals/{url_quote(withdrawal, safe='')}/{decision['ruling']}", decision)
    if not note.get("counted"):
        raise Failed(Exit.REFUSED, str(note.get("code")), "the decision was recorded but does not move the quorum")
    return note


def _read_file(name: str) -> str:
    """What is in a file, or on stdin. Raises Refused FILE_NOT_FOUND, BadParameter for what cannot be read."""
    if name != "-":
        return text_of(Path(name))
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise typer.BadParameter("what came on stdin is no text") from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field is written twice")
    return dict(pairs)


def _ask(question: str, *, from_stdin: bool) -> None:
    """Goes on only after a yes."""
    if from_stdin:
        raise Failed(Exit.USAGE, "YES_NEEDED", "an intent from stdin leaves nobody to ask: read it, then add --yes")
    print(f"\n{question} [y/N] ", end="", file=sys.stderr, flush=True)  # stdout is for the decision alone
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failed(Exit.REFUSED, "NOT_SIGNED", "nothing was signed")


def _new_passphrase(path: Path | None) -> str:
    """From the file, or typed twice on a terminal; without either the key is protected by its file mode alone."""
    if path is not None:
        return read_passphrase(path)
    if not sys.stdin.isatty():
        return ""
    return str(typer.prompt("Passphrase (empty: file mode 0600 only)", "", hide_input=True, confirmation_prompt=True))


def _passphrase(path: Path | None) -> Callable[[], str]:
    def ask() -> str:
        if path is not None:
            return read_passphrase(path)
        if sys.stdin.isatty():
            return str(typer.prompt("Passphrase of the key file", hide_input=True, err=True))
        raise Refused("PASSPHRASE_NEEDED", "The key file is encrypted; name its passphrase with --passphrase-file.")

    return ask


def _today() -> date:
    return datetime.now(UTC).date()
