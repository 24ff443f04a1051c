"""Which family of networks is spoken to by which adapter."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from adapters.chains.bitcoin.adapter import open_bitcoin
from adapters.chains.evm.adapter import open_evm
from adapters.chains.tron.adapter import open_tron
from domain.asset import Asset
from domain.network import Network
from domain.ports import Chain, Coins


class Opener(Protocol):
    def __call__(
        self,
        network: Network,
        assets: Mapping[str, Asset],
        node_urls: Sequence[str],
        own_addresses: Collection[str],
        coins: Coins | None,
    ) -> AbstractAsyncContextManager[Chain]: ...


REGISTRY: Mapping[str, Opener] = {
    "bitcoin": open_bitcoin,
    "evm": open_evm,
    "tron": open_tron,
}
