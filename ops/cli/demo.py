"""`strongroom demo`: real withdrawals on the local networks, and the evidence."""

import asyncio
from typing import Annotated

import typer

from ops.cli.exits import Exit
from ops.cli.output import show_json

ALL = "chain,orchestrator,temporal,postgres"


def command(
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else there.")] = False,
    network: Annotated[
        str | None, typer.Option(help="Only these networks, separated by commas; all that run unless given.")
    ] = None,
    kill: Annotated[
        str | None,
        typer.Option("--kill", metavar="PARTS", help=f"kill -9 these parts meanwhile, one by one; `all` is {ALL}."),
    ] = None,
) -> None:
    """Pay real withdrawals on the local networks and show the result; exit 0 only if all of it came out right."""
    from rich.console import Console

    from adapters.settings import Settings
    from ops.demo.run import run
    from ops.devnet.parts import names

    settings = Settings.on(network)
    parts = (ALL if kill == "all" else kill or "").replace(" ", "")
    killed, known = [part for part in parts.split(",") if part], names(settings)
    if unknown := sorted(set(killed) - set(known)):
        raise typer.BadParameter(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
    outcome = asyncio.run(run(settings, Console(stderr=True), killed))
    if json:
        show_json(outcome.report)
    if outcome.faults:
        raise typer.Exit(Exit.FAILED)
