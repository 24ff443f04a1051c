"""The rich account of the local Bitcoin fills wallets, through the front door like anybody."""

import asyncio

from domain.errors import Unavailable
from ops.devnet.bitcoin.regtest import TREASURY, Regtest
from ops.devnet.bitcoin.rpc import NodeDown, Rpc, RpcError, sats

BURIED = 6  # confirmations of what was sent when `fill` returns
COIN_SATS = 10**8
_filling = asyncio.Lock()


async def fill(node_url: str, address: str, units: int) -> list[str]:
    """Tops `address` up to at least `units` satoshi, in coins of COIN_SATS and a last one with the rest: a wallet
    pays as many batches in one block as it has confirmed coins. Returns the ids of what had to be sent, each buried.

    Repeating it sends nothing. Raises Unavailable NODE_DOWN or NODE_REFUSED.
    """
    async with _filling, Rpc(node_url) as rpc, Rpc(node_url, wallet=TREASURY) as treasury:
        try:
            lacking = units - await _held(rpc, address)
            if lacking <= 0:
                return []
            coins = [COIN_SATS] * (lacking // COIN_SATS - 1)
            coins.append(lacking - sum(coins))
            return [await Regtest(rpc, treasury).fund([(address, coin) for coin in coins], confirmations=BURIED)]
        except NodeDown as error:
            raise Unavailable("NODE_DOWN", f"The local chain at {node_url} does not answer: {error}") from error
        except RpcError as error:
            raise Unavailable("NODE_REFUSED", f"The local chain at {node_url}: {error}") from error


async def balance(node_url: str, address: str) -> int:
    """Confirmed satoshi of an address at the head of the local chain. Raises Unavailable NODE_DOWN."""
    async with Rpc(node_url) as rpc:
        try:
            return await _held(rpc, address)
        except (NodeDown, RpcError) as error:
            raise Unavailable("NODE_DOWN", f"The local chain at {node_url} does not answer: {error}") from error


async def _held(rpc: Rpc, address: str) -> int:
    told = await rpc("scantxoutset", "start", [f"addr({address})"])
    return sats(told["total_amount"])
