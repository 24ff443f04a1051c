"""The rich account of the local EVM networks: it owns their USDT contracts and fills wallets, through the node like
anybody.

Its key is the first of the well-known development mnemonic, published in every Ethereum tutorial: worth nothing
anywhere but here.
"""

import asyncio
from typing import Any

import aiohttp
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from domain.errors import Unavailable
from ops.devnet.anvil import FIRST_DECIMALS, FIRST_OWNER, USDT

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = FIRST_OWNER
FIRST_SUPPLY = 1_000_000_000 * 10**FIRST_DECIMALS  # whole base units of USDT

TIP_WEI = 30 * 10**9  # as much as the dearest of the networks asks
PRICE_WEI = 130 * 10**9
TRANSFER_GAS = 100_000
RECEIPT_WAIT_S = 60
_filling = asyncio.Lock()


async def fill(node_url: str, address: str, *, wei: int = 0, usdt_units: int = 0) -> list[str]:
    """Tops `address` up to at least `wei` and `usdt_units`; returns the hashes of what had to be sent, mined.

    Repeating it sends nothing. Raises Unavailable NODE_DOWN.
    """
    recipient = to_checksum_address(address)
    async with _filling, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        node = _Node(session, node_url)
        has_wei = int(await node.call("eth_getBalance", recipient, "latest"), 16)
        has_units = await usdt_balance(node_url, recipient) if usdt_units else 0
        orders: list[tuple[str, int, bytes]] = []
        if has_wei < wei:
            orders.append((recipient, wei - has_wei, b""))
        if has_units < usdt_units:
            orders.append((USDT, 0, call_data("transfer(address,uint256)", recipient, usdt_units - has_units)))
        return [await _send(node, *order) for order in orders]


async def usdt_balance(node_url: str, address: str) -> int:
    """Whole base units of USDT at the head of the local chain. Raises Unavailable NODE_DOWN."""
    data = "0x" + call_data("balanceOf(address)", address).hex()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        return int(await _Node(session, node_url).call("eth_call", {"to": USDT, "data": data}, "latest"), 16)


async def issuer(node_url: str, signature: str, *arguments: Any) -> str:
    """Calls the USDT contract as its owner, as `issuer(url, "addBlackList(address)", who)`; returns the mined hash."""
    async with _filling, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        return await _send(_Node(session, node_url), USDT, 0, call_data(signature, *arguments))


def call_data(signature: str, *arguments: Any) -> bytes:
    """Selector and arguments of a contract call."""
    types = signature[signature.index("(") + 1 : -1]
    return bytes(keccak(text=signature)[:4]) + bytes(encode(types.split(",") if types else [], arguments))


async def _send(node: "_Node", to: str, wei: int, data: bytes) -> str:
    nonce = int(await node.call("eth_getTransactionCount", ADDRESS, "pending"), 16)
    fields = {
        "type": 2,
        "chainId": int(await node.call("eth_chainId"), 16),
        "nonce": nonce,
        "to": to,
        "value": wei,
        "data": data,
        "gas": TRANSFER_GAS,
        "maxFeePerGas": PRICE_WEI,
        "maxPriorityFeePerGas": TIP_WEI,
    }
    signed = Account.sign_transaction(fields, KEY)
    txid = str(await node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
    for _ in range(RECEIPT_WAIT_S * 20):
        receipt = await node.call("eth_getTransactionReceipt", txid)
        if receipt is not None:
            if receipt["status"] != "0x1":
                raise Unavailable("TREASURY_REVERTED", f"The local chain reverted {txid}.")
            return txid
        await asyncio.sleep(0.05)
    raise Unavailable("NODE_SLOW", f"{txid} was not mined within {RECEIPT_WAIT_S} s.")


class _Node:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with self._session.post(self._url, json=body) as answer:
                reply = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable("NODE_DOWN", f"The local chain at {self._url} does not answer: {error}") from error
        if "error" in reply:
            raise Unavailable("NODE_REFUSED", f"{method}: {reply['error']['message']}")
        return reply["result"]
