"""`strongroom account ...`: which deposit address is whose."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.settings import Settings
from domain.errors import Refused
from domain.ports import DepositAddress
from ops.cli.rest import Output, show

if TYPE_CHECKING:
    from adapters.store.opening import Store

app = typer.Typer(no_args_is_help=True, help="Deposit addresses of accounts.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The client's account.")]
Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]
_COLUMNS = ("network", "address", "account", "assigned_at")


@app.command(name="assign-address")
def assign_address(
    account: Account,
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="One of networks.toml.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="In any form that the network writes.")],
    output: Out = Output.TABLE,
) -> None:
    """Give an address to an account, for ever. From then on a withdrawal to it is a transfer within the ledger."""

    async def assign(store: "Store") -> DepositAddress:
        canonical = await _canonical(store, network, address)
        return await store.deposit_addresses.assign(account, network, canonical, datetime.now(UTC))

    show(_row(_with_store(assign)), output)


@app.command()
def addresses(account: Account, output: Out = Output.TABLE) -> None:
    """The deposit addresses of an account, the oldest first."""

    async def read(store: "Store") -> list[dict[str, Any]]:
        if not await store.views.account_known(account):
            raise Refused("ACCOUNT_UNKNOWN", "There is no account of this name.", account=account)
        return [_row(one) for one in await store.deposit_addresses.addresses_of(account)]

    show({"items": _with_store(read)}, output, _COLUMNS)


async def _canonical(store: "Store", network: str, address: str) -> str:
    """The form in which recipients are compared. Raises Refused NETWORK_UNKNOWN, ADDRESS_*."""
    from adapters.catalogue import load
    from adapters.chains.addresses import RULES
    from api.addresses import Addresses

    settings = Settings()
    shelf = load(settings.profile, settings.catalogue_dir)
    if network not in shelf.networks:
        known = ", ".join(sorted(shelf.networks))
        raise Refused("NETWORK_UNKNOWN", f"There are these networks: {known}.", network=network)
    rules = Addresses(shelf, store.views, store.address_book, store.recipients, RULES)
    async with rules.followed():
        return rules.check(address, shelf.native(network))


def _with_store(work: Callable[["Store"], Awaitable[Any]]) -> Any:
    from adapters.wiring import open_store

    async def run() -> Any:
        async with open_store(Settings()) as store:
            return await work(store)

    return asyncio.run(run())


def _row(one: DepositAddress) -> dict[str, Any]:
    return {
        "network": one.network,
        "address": one.address,
        "account": one.account,
        "assigned_at": one.assigned_at.isoformat(timespec="seconds"),
    }
