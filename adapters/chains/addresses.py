"""The pure address rule of each family of networks; nothing is asked of a node."""

from collections.abc import Collection, Mapping
from typing import Protocol

from adapters.chains.bitcoin import address as bitcoin_address
from adapters.chains.evm import address as evm_address
from adapters.chains.tron import address as tron_address
from domain.network import Network


class Rule(Protocol):
    """The canonical form of `text` on `network`. `contracts` and `ours`, in small letters, may not be paid. Raises
    Refused ADDRESS_*.
    """

    def __call__(self, text: str, network: Network, contracts: Collection[str], ours: Collection[str]) -> str: ...


def _bitcoin(text: str, network: Network, contracts: Collection[str], ours: Collection[str]) -> str:
    return bitcoin_address.check(text, network=network.id, chain_id=network.chain_id, ours=ours)


def _evm(text: str, network: Network, contracts: Collection[str], ours: Collection[str]) -> str:
    return evm_address.check(text, network=network.id, token_contracts=contracts, ours=ours)


def _tron(text: str, network: Network, contracts: Collection[str], ours: Collection[str]) -> str:
    return tron_address.check(text, network=network.id, token_contracts=contracts, ours=ours)


RULES: Mapping[str, Rule] = {"bitcoin": _bitcoin, "evm": _evm, "tron": _tron}
