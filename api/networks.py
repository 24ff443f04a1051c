"""What the doors ask of nodes: briefly, and never in anybody's way. A node that is slow or down changes no answer but
the one that only it could give.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from domain.asset import Asset
from domain.errors import Refused, Unavailable
from domain.fee import NetworkCost
from domain.money import Amount
from domain.ports import Chain

T = TypeVar("T")
ASK_S = 1.5
REST_S = 5.0  # after a silence nobody is kept waiting for the same node again for so long
log = logging.getLogger(__name__)


class Networks:
    """The nodes of every network. `wallet_of` names the hot wallet of a network; None while there is none."""

    def __init__(self, chains: Mapping[str, Chain], wallet_of: Callable[[str], str | None]) -> None:
        self._chains = chains
        self._wallet_of = wallet_of
        self._rest_until: dict[str, float] = {}

    async def inspect(self, recipient: str, asset: Asset) -> None:
        """Raises Refused ADDRESS_CONTRACT when a node says that the recipient is code that cannot be paid."""
        if chain := self._chains.get(asset.network):
            await self._heard(asset.network, partial(chain.inspect, recipient, asset))

    async def cost(self, amount: Amount, recipient: str | None) -> NetworkCost | None:
        """What paying it would cost the network's wallet now; None when nobody can say. Raises as `inspect` does."""
        network = amount.asset.network
        chain, wallet = self._chains.get(network), self._wallet_of(network)
        if chain is None or wallet is None:
            return None
        try:
            return await self._heard(network, partial(chain.explain, amount, recipient, wallet))
        except Refused as why:
            if why.code.startswith("ADDRESS_"):
                raise
            return None

    async def _heard(self, network: str, question: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None after ASK_S, or when there is none."""
        if self._rest_until.get(network, 0) > time.monotonic():
            return None
        try:
            return await asyncio.wait_for(question(), ASK_S)
        except Unavailable as silence:
            why = str(silence)
            if silence.code == "WALLET_SHORT":
                return None  # the node did answer
        except TimeoutError:
            why = f"no answer within {ASK_S} s"
        self._rest_until[network] = time.monotonic() + REST_S
        log.info("a node of %s was not heard: %s", network, why)
        return None
