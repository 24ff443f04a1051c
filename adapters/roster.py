"""Who may approve: a file of names and Ed25519 public keys. The books and the signer each read their own copy.

A person stays in the file for ever: revoking adds a date, and from then on nothing they signed counts, whenever it was
signed. Two names never share a key, so one person cannot speak twice.
"""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.errors import Refused, Unavailable
from domain.intent import Signed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_HEADER = """\
# Whose word counts. Written by `strongroom approver enrol` and `revoke`.
# The books and the signer each have their own copy.
"""


@dataclass(frozen=True, slots=True)
class Approver:
    """One enrolled person. `public_key` is 64 hex digits; `revoked` ends their say."""

    name: str
    public_key: str
    added: date
    revoked: date | None = None


class Roster:
    """A roster file, read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._keys: Mapping[str, Ed25519PublicKey] = {}

    def verify(self, word: Signed) -> str:
        """Empty when an enrolled approver really signed it, else STRANGER or BAD_SIGNATURE.

        Raises Unavailable ROSTER_UNREADABLE: a roster that cannot be read clears nobody and accuses nobody.
        """
        self._refresh()
        key = self._keys.get(word.approver)
        if key is None:
            return "STRANGER"
        if not _SIGNATURE.fullmatch(word.signature):
            return "BAD_SIGNATURE"
        try:
            key.verify(bytes.fromhex(word.signature), word.statement())
        except (InvalidSignature, ValueError):
            return "BAD_SIGNATURE"
        return ""

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            stamp: tuple[int, ...] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except FileNotFoundError:
            stamp = ()
        except OSError as error:
            raise Unavailable("ROSTER_UNREADABLE", f"Cannot read the roster: {error.strerror}.") from error
        if stamp == self._stamp:
            return
        try:
            people = read(self._path).values()
        except Refused as refusal:
            raise Unavailable("ROSTER_UNREADABLE", f"The roster is not usable: {refusal.message}") from refusal
        self._keys = {p.name: _public_key(p.public_key) for p in people if p.revoked is None}
        self._stamp = stamp


def read(path: Path) -> Mapping[str, Approver]:
    """Everybody in the file, revoked people included; nobody when there is no file. Raises Refused ROSTER_INVALID."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("approvers", {})
        people = {name: _approver(name, dict(row)) for name, row in dict(rows).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise Refused("ROSTER_INVALID", f"{path.name} is not a readable roster: {error}.") from error
    _check_distinct(list(people.values()))
    return people


def enrol(path: Path, name: str, public_key: str, today: date) -> Approver:
    """Adds a person; adding the same again changes nothing.

    Raises Refused APPROVER_NAME_INVALID, PUBLIC_KEY_INVALID, APPROVER_EXISTS (a name keeps its key for ever, so that
    old decisions stay readable) or PUBLIC_KEY_TAKEN.
    """
    person = _approver(name, {"public_key": public_key, "added": today})
    people = dict(read(path))
    known = people.get(name)
    if known is not None and known.public_key == public_key and known.revoked is None:
        return known
    if any(other.name.casefold() == name.casefold() for other in people.values()):
        raise Refused("APPROVER_EXISTS", f"{name} is or was in the roster with a key of their own; use another name.")
    if any(other.public_key == public_key for other in people.values()):
        raise Refused("PUBLIC_KEY_TAKEN", "Somebody in the roster has this key; every approver needs their own.")
    _write(path, {**people, name: person})
    return person


def revoke(path: Path, name: str, today: date) -> Approver:
    """Ends a person's say; doing it again keeps the first date. Raises Refused APPROVER_UNKNOWN."""
    people = dict(read(path))
    if name not in people:
        raise Refused("APPROVER_UNKNOWN", f"{name} is not in the roster; see `strongroom approver list`.")
    person = people[name]
    if person.revoked is None:
        person = replace(person, revoked=today)
        _write(path, {**people, name: person})
    return person


def check_name(name: str) -> None:
    """Raises Refused APPROVER_NAME_INVALID for a name that could be read as something else."""
    if not _NAME.fullmatch(name):
        raise Refused("APPROVER_NAME_INVALID", "A name is 1 to 64 letters, digits, dots, dashes, @ or underscores.")


def line(person: Approver) -> str:
    """The person's rows as they stand in a roster file."""
    rows = [f"[approvers.{json.dumps(person.name)}]", f'public_key = "{person.public_key}"', f"added = {person.added}"]
    if person.revoked is not None:
        rows.append(f"revoked = {person.revoked}")
    return "\n".join(rows) + "\n"


def _public_key(hexadecimal: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(hexadecimal))


def _approver(name: str, row: Mapping[str, Any]) -> Approver:
    check_name(name)
    key, added, revoked = row.get("public_key"), row.get("added"), row.get("revoked")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise Refused("PUBLIC_KEY_INVALID", f"The public key of {name} must be 64 lower-case hex digits.")
    if not isinstance(added, date) or not isinstance(revoked, date | None):
        raise Refused("ROSTER_INVALID", f"{name} needs an added date, and a revoked date if any, as 2026-11-21.")
    return Approver(name, key, added, revoked)


def _check_distinct(people: list[Approver]) -> None:
    if len({p.name.casefold() for p in people}) < len(people) or len({p.public_key for p in people}) < len(people):
        raise Refused("ROSTER_INVALID", "Two people of the roster share a name or a key; every approver needs a key.")


def _write(path: Path, people: Mapping[str, Approver]) -> None:
    """Replaces the file whole, 0600, on disk before it counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("\n".join([_HEADER, *(line(person) for person in people.values())]))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
