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
        str | None, typer.Option("--network", help="Only this network: ethereum or tron; both unless given.")
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
    from ops.demo.story import NETWORKS
    from ops.devnet.parts import ALL_PARTS

    if network is not None and network not in NETWORKS:
        raise typer.BadParameter(f"no network is called {network}; there are {', '.join(NETWORKS)}")
    parts = (ALL if kill == "all" else kill or "").replace(" ", "")
    killed = [part for part in parts.split(",") if part]
    if unknown := sorted(set(killed) - set(ALL_PARTS)):
        raise typer.BadParameter(f"no part is called {', '.join(unknown)}; there are {', '.join(ALL_PARTS)}")
    outcome = asyncio.run(run(Settings(), Console(stderr=True), (network,) if network else NETWORKS, killed))
    if json:
        show_json(outcome.report)
    if outcome.faults:
        raise typer.Exit(Exit.FAILED)
