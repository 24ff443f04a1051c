"""`strongroom worker`: worker processes."""

import os
import sys
from typing import Annotated

import typer

from adapters.settings import WORKER_KINDS
from ops.cli.output import Form, Output, show_json, show_table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def run(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(WORKER_KINDS)}.")],
    network: Annotated[str | None, typer.Option(help="Only these networks, separated by commas (chain).")] = None,
) -> None:
    """Be the worker of this kind, in the place of this process; SIGTERM drains."""
    if kind not in WORKER_KINDS:
        raise typer.BadParameter(f"no worker is of kind {kind}; there are {', '.join(WORKER_KINDS)}")
    sys.stdout.flush()
    only = ("--network", network) if network else ()
    os.execv(sys.executable, (sys.executable, "-m", "workers", kind, *only))  # noqa: S606  # our own interpreter, no shell


@app.command("list")
def list_(output: Output = Form.TABLE) -> None:
    """The kinds of workers there are."""
    show_json(list(WORKER_KINDS)) if output is Form.JSON else show_table(
        "", ("kind",), [(kind,) for kind in WORKER_KINDS]
    )
