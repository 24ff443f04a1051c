"""Opens the adapters: the one place that knows which implementation stands behind a port."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.settings import Settings
from domain.asset import Asset
from domain.errors import Refused
from domain.network import Network
from domain.ports import Chain, Coins, Views

if TYPE_CHECKING:
    from temporalio.client import Client, Plugin
    from temporalio.runtime import Runtime
    from temporalio.service import TLSConfig

    from adapters.store.opening import Store
    from adapters.vault.vault import SigningVault


@asynccontextmanager
async def open_chain(
    network: Network,
    assets: Mapping[str, Asset],
    node_urls: Sequence[str],
    own_addresses: Collection[str] = (),
    coins: Coins | None = None,
) -> AsyncIterator[Chain]:
    """One network through the nodes at `node_urls`. `own_addresses` are our wallets there, which may not be paid;
    `coins` is where a network whose wallets are many coins keeps them.

    Nothing is sent before the first call, so a node that is down keeps nobody from starting. Raises Refused
    CONFIG_INVALID for a family nobody has built, or without a node.
    """
    from adapters.chains.registry import REGISTRY

    if network.family not in REGISTRY:
        known = ", ".join(sorted(REGISTRY))
        raise Refused("CONFIG_INVALID", f"Network {network.id}: choose a family of {known}.", family=network.family)
    if not node_urls:
        raise Refused("CONFIG_INVALID", f"Network {network.id} needs at least one node URL.", network=network.id)
    async with REGISTRY[network.family](network, assets, node_urls, own_addresses, coins) as chain:
        yield chain


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator["Store"]:
    """Books, views and keys of the configured database. It is connected to when first used; Unavailable comes then."""
    from adapters.catalogue import load
    from adapters.roster import Roster
    from adapters.store import opening

    catalogue = load(settings.profile, settings.catalogue_dir)
    async with opening.open_store(
        settings.dsn, catalogue, Roster(settings.roster), settings.database_pool_max
    ) as store:
        yield store


@asynccontextmanager
async def open_views(settings: Settings) -> AsyncIterator[Views]:
    """What may be read of the books."""
    async with open_store(settings) as store:
        yield store.views


@asynccontextmanager
async def open_vault(settings: Settings) -> AsyncIterator["SigningVault"]:
    """The signer over its private directory. Raises Refused for anything about it that is not as it must be."""
    from adapters import vault

    async with vault.open_vault(settings.signer_home, settings.profile, folder=settings.catalogue_dir) as opened:
        yield opened


async def connect_temporal(
    settings: Settings,
    plugins: Sequence["Plugin"] = (),
    *,
    lazy: bool = False,
    runtime: "Runtime | None" = None,
    identity: str | None = None,
) -> "Client":
    """A client of the configured Temporal that seals every payload. `lazy`: connects with its first call, so a process
    starts while Temporal is down; workers need a client that is connected. Raises RuntimeError when nobody answers,
    Refused CODEC_KEYS_*.
    """
    from temporalio.client import Client

    from adapters.codec import data_converter

    key = settings.temporal_api_key
    return await Client.connect(
        settings.temporal_target,
        namespace=settings.temporal_namespace,
        api_key=key.get_secret_value() if key else None,
        tls=temporal_tls(settings),
        data_converter=data_converter(settings.codec_keys),
        plugins=plugins,
        lazy=lazy,
        runtime=runtime,
        identity=identity,
    )


def temporal_tls(settings: Settings) -> "bool | TLSConfig":
    """How Temporal's line is sealed: by the certificates that are configured, else by the usual ones or not at all. An
    API key is never sent in the open.
    """
    from temporalio.service import TLSConfig

    def pem(path: Path | None) -> bytes | None:
        return path.read_bytes() if path else None

    if settings.temporal_tls_server_ca_cert_path or settings.temporal_tls_client_cert_path:
        return TLSConfig(
            server_root_ca_cert=pem(settings.temporal_tls_server_ca_cert_path),
            client_cert=pem(settings.temporal_tls_client_cert_path),
            client_private_key=pem(settings.temporal_tls_client_key_path),
        )
    return settings.temporal_tls or settings.temporal_api_key is not None
