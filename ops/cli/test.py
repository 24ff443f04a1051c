"""`strongroom test`: the test suite."""

import importlib.util
import os
import sys

import typer

from adapters.settings import ROOT
from ops.cli.exits import Exit, complain

# What pytest understands is for pytest to say, `--help` included.
SETTINGS = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
}

# Two processes, each with whole files: what a file starts for its tests is started once.
WHOLE_SUITE = ("-q", "-n", "2", "--dist", "loadfile")


def command(ctx: typer.Context) -> None:
    """Run the test suite; everything after `test` goes to pytest."""
    if importlib.util.find_spec("pytest") is None:
        complain("pytest is not installed: `./run test` installs it, or `uv sync --group dev`")
        raise typer.Exit(Exit.FAILED)
    os.chdir(ROOT)
    sys.stdout.flush()
    words = ctx.args or WHOLE_SUITE
    os.execv(sys.executable, (sys.executable, "-m", "pytest", *words))  # noqa: S606  # our own interpreter, no shell
