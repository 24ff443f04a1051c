"""`strongroom replay`: whether this checkout's workflow code can go on with what runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Unavailable
from ops.cli.exits import Exit, complain
from ops.cli.output import Form, Output, show_json, show_table

if TYPE_CHECKING:
    from workers.replaying import Replayed


def command(
    address: Annotated[
        str | None, typer.Option(help="host:port of a Temporal whose open runs are replayed too; `here` is this one's.")
    ] = None,
    histories: Annotated[
        Path | None, typer.Option(help="Folder of histories as JSON; those of the tests unless given.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many open runs, newest first.")] = 1000,
    output: Output = Form.TABLE,
) -> None:
    """Replay recorded histories, and with --address the runs that are open there. Changes nothing; ends with 1 when
    this code would break one: do not deploy it then.
    """
    told = asyncio.run(_replay(address, histories, limit))
    rows = [{"id": one.id, "events": one.events, "failure": one.failure} for one in told]
    if output is Form.JSON:
        show_json(rows)
    else:
        columns = ("history", "events", "replays")
        show_table("", columns, [(row["id"], row["events"], row["failure"] or "yes") for row in rows])
    broken = sum(row["failure"] is not None for row in rows)
    complain(f"{len(rows) - broken} of {len(rows)} histories replay")
    if broken or not rows:
        raise typer.Exit(Exit.FAILED)


async def _replay(address: str | None, folder: Path | None, limit: int) -> "list[Replayed]":
    from workers.replaying import HISTORIES, committed, replay

    told = [await replay(history) for history in committed(folder or HISTORIES)]
    if address is not None:
        told += [one async for one in _open_runs(address, limit)]
    return told


async def _open_runs(address: str, limit: int) -> "AsyncIterator[Replayed]":
    """The open runs at `address`. Raises Unavailable TEMPORAL_UNAVAILABLE."""
    from temporalio.service import RPCError

    from adapters.settings import Settings
    from adapters.wiring import connect_temporal
    from workers.replaying import open_runs, replay

    settings = Settings()
    if address != "here":
        settings = settings.model_copy(update={"temporal_address": address})
    try:
        client = await connect_temporal(settings)
        async for history in open_runs(client, limit):
            yield await replay(history, client.data_converter)
    except (RuntimeError, RPCError) as error:
        raise Unavailable("TEMPORAL_UNAVAILABLE", f"Temporal at {settings.temporal_target} does not answer.") from error
