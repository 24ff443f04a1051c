"""`strongroom key ...`: API keys. They are made beside the database, never over the API that they open."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.settings import Settings
from adapters.store.database import open_database
from adapters.store.keys import ApiKey, ApiKeys
from domain.errors import Refused
from ops.cli.rest import Output, show

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")

Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]
_COLUMNS = ("id", "role", "name", "account", "state", "created_at", "expires_at")


class Role(StrEnum):
    CLIENT = "client"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


@app.command()
def create(
    role: Annotated[Role, typer.Option(help="What the key may do.")],
    name: Annotated[str, typer.Option(help="Whose key it is; an approver's name is the one in the roster.")],
    account: Annotated[str | None, typer.Option(help="The account a client's key is bound to.")] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it expires; never unless given.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write the key into this new file, 0600, instead of showing it.")
    ] = None,
    output: Out = Output.TABLE,
) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    if to is not None and to.exists():
        raise Refused("KEY_FILE_EXISTS", f"{to} is there already; keys are never overwritten.")
    key, token = _with_keys(lambda keys: keys.create(role.value, name, account, expires))
    answer = _row(key)
    if to is None:
        answer["key"] = token
    else:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
        answer["file"] = str(to)
    show(answer, output)


@app.command(name="list")
def list_(output: Out = Output.TABLE) -> None:
    """Every key, newest first; none of them can be read again."""
    show({"items": [_row(key) for key in _with_keys(lambda keys: keys.list())]}, output, _COLUMNS)


@app.command()
def revoke(id_: Annotated[str, typer.Argument(metavar="ID", help="The part between sr_ and the second _.")]) -> None:
    """End a key. It opens nothing any more within two seconds, in every API process."""
    _with_keys(lambda keys: keys.revoke(id_, datetime.now(UTC)))


def _with_keys(work: Callable[[ApiKeys], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with open_database(Settings().dsn, pool_max=1) as database:
            return await work(ApiKeys(database))

    return asyncio.run(run())


def _row(key: ApiKey) -> dict[str, Any]:
    state = "revoked" if key.revoked_at else "live" if key.live(datetime.now(UTC)) else "expired"
    return {
        "id": key.id,
        "role": key.role,
        "name": key.principal,
        "account": key.account,
        "state": state,
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "expires_at": key.expires_at.isoformat(timespec="seconds") if key.expires_at else None,
    }
