"""The rich account of the local TRON: it owns the USDT contract and fills wallets, through the node like anybody.

Its key is the one of every TRON tutorial's private network: worth nothing anywhere but here.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from eth_abi.abi import encode

from domain.errors import Unavailable
from ops.devnet.tron.genesis import FALSE_USDT, TREASURY, USDT
from ops.devnet.tron.keys import address_of, keccak256, sign
from ops.devnet.tron.transaction import Transaction

KEY = bytes.fromhex("da146374a75310b9666e834ee4ad0866d6f4035967bfc76217c5a495fff9f0d0")
ADDRESS = TREASURY

FEE_LIMIT_SUN = 100_000_000
LIFE_MS = 60_000
TIMEOUT_S = 10
BLOCK_WAIT_S = 60
LOOK_EVERY_S = 0.05
_filling = asyncio.Lock()


async def fill(node_url: str, address: str, *, sun: int = 0, usdt_units: int = 0) -> list[str]:
    """Tops `address` up to at least `sun` and `usdt_units`; returns the ids of what had to be sent, each in a block.

    Repeating it sends nothing. TRX come first, for they activate the account. Raises Unavailable NODE_DOWN.
    """
    async with _filling, _Node.open(node_url) as node:
        has_sun = int((await node.ask("wallet/getaccount", address=address, visible=True)).get("balance", 0))
        has_units = await _usdt_balance(node, address) if usdt_units else 0
        sent: list[str] = []
        if has_sun < sun:
            value = {"to_address": address_of(address), "amount": sun - has_sun}
            sent.append(await _send(node, "TransferContract", value))
        if has_units < usdt_units:
            data = call_data("transfer(address,uint256)", address, usdt_units - has_units)
            sent.append(await _call(node, data))
        return sent


async def usdt_balance(node_url: str, address: str) -> int:
    """Whole base units of USDT at the head of the local chain. Raises Unavailable NODE_DOWN."""
    async with _Node.open(node_url) as node:
        return await _usdt_balance(node, address)


async def issuer(node_url: str, signature: str, *arguments: Any) -> str:
    """Calls USDT as its owner, as `issuer(url, "addBlackList(address)", who)`; returns the id, in a block."""
    async with _filling, _Node.open(node_url) as node:
        return await _call(node, call_data(signature, *arguments))


async def send_false_usdt(node_url: str, address: str, units: int) -> str:
    """Sends TRC10 units that bear USDT's name and are not it; returns the id, in a block."""
    value = {"asset_name": FALSE_USDT.id.encode(), "to_address": address_of(address), "amount": units}
    async with _filling, _Node.open(node_url) as node:
        return await _send(node, "TransferAssetContract", value)


def call_data(signature: str, *arguments: Any) -> bytes:
    """Selector and arguments of a contract call; addresses as `T...`."""
    types = [word for word in signature[signature.index("(") + 1 : -1].split(",") if word]
    plain = [address_of(row)[1:] if type_ == "address" else row for type_, row in zip(types, arguments, strict=True)]
    return keccak256(signature.encode())[:4] + bytes(encode(types, plain))


async def _usdt_balance(node: "_Node", address: str) -> int:
    words = {"owner_address": address, "contract_address": USDT, "visible": True}
    data = call_data("balanceOf(address)", address).hex()
    told = await node.ask("wallet/triggerconstantcontract", **words, data=data)
    return int(told["constant_result"][0], 16)


async def _call(node: "_Node", data: bytes) -> str:
    return await _send(node, "TriggerSmartContract", {"contract_address": address_of(USDT), "data": data})


async def _send(node: "_Node", kind: str, value: Mapping[str, Any]) -> str:
    """Broadcasts the same bytes until a block holds them."""
    solid, head = await node.ask("walletsolidity/getnowblock"), await node.ask("wallet/getnowblock")
    id_, now_ms = bytes.fromhex(solid["blockID"]), int(head["block_header"]["raw_data"]["timestamp"])
    facts = {
        "ref_block_bytes": id_[6:8],
        "ref_block_hash": id_[8:16],
        "expiration": now_ms + LIFE_MS,
        "timestamp": now_ms,
        "fee_limit": FEE_LIMIT_SUN if kind == "TriggerSmartContract" else 0,
    }
    tx = Transaction.build(kind, {"owner_address": address_of(ADDRESS), **value}, facts)
    signed = tx.signed(sign(KEY, tx.id)).to_bytes().hex()
    for look in range(round(BLOCK_WAIT_S / LOOK_EVERY_S)):
        if look % round(10 / LOOK_EVERY_S) == 0:
            told = await node.ask("wallet/broadcasthex", transaction=signed)
            if told["code"] not in ("SUCCESS", "DUP_TRANSACTION_ERROR"):
                raise Unavailable("NODE_REFUSED", f"{kind}: {told['code']} {told['message']}")
        info = await node.ask("wallet/gettransactioninfobyid", value=tx.id.hex())
        if info:
            if "result" in info:
                raise Unavailable("TREASURY_REVERTED", f"The local chain failed {tx.id.hex()}.")
            return tx.id.hex()
        await asyncio.sleep(LOOK_EVERY_S)
    raise Unavailable("NODE_SLOW", f"{tx.id.hex()} was in no block within {BLOCK_WAIT_S} s.")


class _Node:
    """java-tron's HTTP API."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session

    @classmethod
    def open(cls, url: str) -> "_Node":
        return cls(url, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)))

    async def __aenter__(self) -> "_Node":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, path: str, **words: Any) -> dict[str, Any]:
        """Raises Unavailable NODE_DOWN or NODE_REFUSED."""
        try:
            async with self._session.post(f"{self._url}/{path}", json=words) as answer:
                told: dict[str, Any] = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable("NODE_DOWN", f"The local chain at {self._url} does not answer: {error}") from error
        if "Error" in told:
            raise Unavailable("NODE_REFUSED", f"{path}: {told['Error']}")
        return told
