"""`strongroom lint`: style, types and floors, as a landing needs them."""

import subprocess
import sys
from pathlib import Path

import typer

from adapters.settings import ROOT
from ops.cli.exits import Exit, complain

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports", "--no-cache"),
)


def command() -> None:
    """Check style, types and the floors of the house; every check runs, and the first failure decides."""
    tools = Path(sys.executable).parent
    failed = [
        " ".join(check)
        for check in CHECKS
        if subprocess.run([tools / check[0], *check[1:]], cwd=ROOT, check=False).returncode
    ]
    for line in failed:
        complain(f"failed: {line}")
    if failed:
        raise typer.Exit(Exit.FAILED)
