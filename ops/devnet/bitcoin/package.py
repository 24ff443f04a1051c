"""The program of the local Bitcoin node: the operator's own, or the Debian package `bitcoin-knots`.

The package and the libraries it needs are only extracted, into this user's cache and beside their own libc: nothing is
installed, nothing on the machine changes, and no privilege is needed. apt itself chooses the newest version, checks the
archive's signatures and goes through the machine's own mirrors and proxies.

Knots left the main chain in 2026; on regtest its consensus rules are Bitcoin Core's. It is for local chains only.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from domain.errors import Unavailable
from ops.devnet.bitcoin import mirrors

VARIABLE = "STRONGROOM_BITCOIND"
PACKAGE = "bitcoin-knots"
# A package of its own asks for less than the whole of systemd, whose programs we would only throw away.
COMPANION = "systemd-standalone-sysusers"
# Where newer Debian releases keep it, the preferred one first; the last suite of each row is the one it comes from.
RELEASES = (("trixie", "trixie-backports"), ("forky",), ("sid",))
APT_TIMEOUT_S = 180
REMEDY = f"install Bitcoin Core 29 or newer and set {VARIABLE}=/path/to/bitcoind"

Say = Callable[[str], None]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def bitcoind(
    override: Path | None = None,
    folder: Path | None = None,
    say: Say = _to_stderr,
    etc: Path = mirrors.ETC_APT,
) -> Path:
    """The bitcoind to run; fetched at the first call, which `say` is told with the version. Several processes may call
    it at once. Raises Unavailable BITCOIND_MISSING with one line that tells how to get one.
    """
    if override is not None:
        if not override.is_file() or not os.access(override, os.X_OK):
            raise Unavailable("BITCOIND_MISSING", f"{VARIABLE}={override} is no program.")
        return override
    folder = folder or cache_folder()
    program = folder / "knots" / "bitcoind"
    if program.exists():
        return program
    found = _mirrors_if_possible(etc)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists():
                _fetch(folder, found, say)
    except OSError as error:
        raise Unavailable("BITCOIND_MISSING", f"{folder} cannot be written ({error.strerror}): {REMEDY}.") from error
    return program


def cache_folder() -> Path:
    """Where this user keeps what can be fetched again."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "strongroom" / "bitcoind"


def _mirrors_if_possible(etc: Path) -> list[mirrors.Mirror]:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable("BITCOIND_MISSING", f"None is packaged for {sys.platform} {platform.machine()}: {REMEDY}.")
    if missing := [word for word in ("apt-get", "apt-config", "dpkg-deb") if shutil.which(word) is None]:
        raise Unavailable("BITCOIND_MISSING", f"There is no {missing[0]} to fetch bitcoind with: {REMEDY}.")
    found = mirrors.mirrors(etc)
    if not found:
        raise Unavailable("BITCOIND_MISSING", f"This machine's apt names no Debian mirror: {REMEDY}.")
    return found


def _fetch(folder: Path, found: Sequence[mirrors.Mirror], say: Say) -> None:
    """Tries each release on each mirror; what is half done lies beside and is renamed when it is whole."""
    draft = folder / "draft"
    reason = ""
    for mirror in found:
        for suites in RELEASES:
            shutil.rmtree(draft, ignore_errors=True)
            try:
                version = _extract(draft, mirror, suites)
            except _Failed as failed:
                reason = reason or str(failed)
                continue
            say(f"bitcoind: {PACKAGE} {version} of Debian {suites[-1]}, kept in {folder / 'knots'}")
            (draft / "ready").rename(folder / "knots")
            shutil.rmtree(draft, ignore_errors=True)
            return
    shutil.rmtree(draft, ignore_errors=True)
    raise Unavailable("BITCOIND_MISSING", f"apt could not fetch {PACKAGE} ({reason}): {REMEDY}.")


class _Failed(Exception):
    """One mirror and release did not give the package."""


def _extract(draft: Path, mirror: mirrors.Mirror, suites: tuple[str, ...]) -> str:
    """Fills `draft/ready` with a bitcoind that runs; returns the package's version. Raises _Failed."""
    apt, ready = draft / "apt", draft / "ready"
    for name in ("state/lists/partial", "cache/archives/partial", "parts", "sources"):
        (apt / name).mkdir(parents=True)
    ready.mkdir()
    (apt / "state" / "status").touch()
    (apt / "sources" / "debian.sources").write_text(mirror.sources(suites))
    (apt / "apt.conf").write_text(_configuration(apt, suites[-1]))
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}
    _run(environment, "apt-get", "update")
    _run(environment, "apt-get", "install", "--download-only", "--yes", PACKAGE, COMPANION)
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        _run(environment, "dpkg-deb", "--extract", str(package), str(ready / "root"))
    program = ready / "bitcoind"
    program.write_text(WRAPPER)
    program.chmod(0o755)
    _run(environment, str(program), "-version")
    [package] = (apt / "cache" / "archives").glob(f"{PACKAGE}_*.deb")
    return _run(environment, "dpkg-deb", "--field", str(package), "Version").strip()


# Beside their own loader and libc the programs run on an older system too; `exec` keeps the process id.
WRAPPER = """#!/bin/sh
root=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)/root
lib=$root/usr/lib/x86_64-linux-gnu
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/bitcoind" "$@"
"""


def _configuration(apt: Path, suite: str) -> str:
    """An apt of our own: the machine's ways to fetch (proxies, certificates), and none of its state, hooks and pins."""
    asked = subprocess.run(("apt-config", "dump"), capture_output=True, text=True, timeout=30, check=False).stdout
    fetching = [line for line in asked.splitlines() if re.match(r"Acquire::\S", line)]
    ours: Mapping[str, object] = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "state" / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": apt / "parts",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": apt / "parts",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": apt / "sources",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Default-Release": suite,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # the fetching user could not write here; as a plain user it has no effect
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": 1,
        "Acquire::http::Timeout": 20,
        "Acquire::https::Timeout": 20,
        "quiet": 2,
    }
    return "\n".join([*fetching, *(f'{name} "{value}";' for name, value in ours.items())]) + "\n"


def _run(environment: Mapping[str, str], *command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=APT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Failed(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        told = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise _Failed(told[0].strip()[:200] if told else f"{Path(command[0]).name} ended with {done.returncode}")
    return done.stdout
