"""What the nodes themselves say, asked directly: the only witnesses that count in the end."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any, Protocol

import aiohttp
from eth_utils.crypto import keccak

from adapters.chains.tron import address as tron_address
from domain.network import Network

TRANSFER_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
SCAN_TRIES, SCAN_PAUSE_S = 50, 0.1
_BALANCE_OF = "0x" + keccak(text="balanceOf(address)")[:4].hex()


class Node(Protocol):
    """One network's node. Amounts are whole base units; `contract` is None for the native coin."""

    async def balance(self, address: str, contract: str | None) -> int: ...

    async def transfers_to(self, address: str, contract: str | None) -> int:
        """How many transfers of the coin to `address` the node shows."""
        ...

    async def confirmations(self, txid: str) -> int:
        """Blocks on top of and including the one that holds `txid`; 0 while none does."""
        ...


@dataclass(frozen=True, slots=True)
class EvmNode:
    """An EVM node over JSON-RPC. `since`: the block at which the demonstration began."""

    session: aiohttp.ClientSession
    url: str
    since: int = 0

    async def ask(self, method: str, *params: object) -> Any:
        question = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": list(params)}
        async with self.session.post(self.url, json=question) as answer:
            said = await answer.json(content_type=None)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        return said["result"]

    async def head(self) -> int:
        return int(await self.ask("eth_blockNumber"), 16)

    async def balance(self, address: str, contract: str | None) -> int:
        if contract is None:
            return int(await self.ask("eth_getBalance", address, "latest"), 16)
        call = {"to": contract, "data": _BALANCE_OF + _word(address)}
        return int(await self.ask("eth_call", call, "latest"), 16)

    async def transfers_to(self, address: str, contract: str | None) -> int:
        if contract is None:
            return await self._native_transfers_to(address)
        wanted = {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": contract,
            "topics": [TRANSFER_TOPIC, None, "0x" + _word(address)],
        }
        return len(await self.ask("eth_getLogs", wanted))

    async def _native_transfers_to(self, address: str) -> int:
        """Counted in the blocks since the demonstration began: native coins leave no log."""
        found = 0
        for number in range(self.since, await self.head() + 1):
            block = await self.ask("eth_getBlockByNumber", hex(number), True)
            found += sum((tx["to"] or "").lower() == address.lower() for tx in block["transactions"])
        return found

    async def confirmations(self, txid: str) -> int:
        receipt = await self.ask("eth_getTransactionReceipt", txid)
        return await self.head() - int(receipt["blockNumber"], 16) + 1 if receipt else 0


@dataclass(frozen=True, slots=True)
class TronNode:
    """A TRON node over its HTTP API. `since`: the block at which the demonstration began."""

    session: aiohttp.ClientSession
    url: str
    since: int = 0

    async def ask(self, path: str, **question: object) -> Any:
        async with self.session.post(f"{self.url}/{path}", json=question) as answer:
            return await answer.json(content_type=None)

    async def head(self) -> int:
        return int((await self.ask("wallet/getnowblock"))["block_header"]["raw_data"]["number"])

    async def balance(self, address: str, contract: str | None) -> int:
        if contract is None:
            return int((await self.ask("wallet/getaccount", address=address, visible=True)).get("balance", 0))
        said = await self.ask(
            "wallet/triggerconstantcontract",
            owner_address=address,
            contract_address=contract,
            function_selector="balanceOf(address)",
            parameter=tron_address.bytes_of(address)[1:].hex().rjust(64, "0"),
            visible=True,
        )
        return int(said["constant_result"][0], 16)

    async def transfers_to(self, address: str, contract: str | None) -> int:
        found = 0
        for number in range(self.since, await self.head() + 1):
            if contract is None:
                block = await self.ask("wallet/getblockbynum", num=number)
                found += sum(_pays(tx, tron_address.bytes_of(address).hex()) for tx in block.get("transactions", ()))
            else:
                infos = await self.ask("wallet/gettransactioninfobyblocknum", num=number)
                found += sum(_moves(info, contract, address) for info in infos)
        return found

    async def confirmations(self, txid: str) -> int:
        info = await self.ask("wallet/gettransactioninfobyid", value=txid)
        return await self.head() - int(info["blockNumber"]) + 1 if info else 0


@dataclass(frozen=True, slots=True)
class BitcoinNode:
    """A Bitcoin node over JSON-RPC; its set of unspent outputs is what counts. `since` is not needed: nobody can spend
    what the demonstration paid.
    """

    session: aiohttp.ClientSession
    url: str
    since: int = 0

    async def ask(self, method: str, *params: object) -> Any:
        question = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params}
        async with self.session.post(self.url, json=question) as answer:
            said = json.loads(await answer.read(), parse_float=Decimal)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        return said["result"]

    async def head(self) -> int:
        return int(await self.ask("getblockcount"))

    async def balance(self, address: str, contract: str | None) -> int:
        return int((await self._unspent(address))["total_amount"] * 10**8)

    async def transfers_to(self, address: str, contract: str | None) -> int:
        return len((await self._unspent(address))["unspents"])

    async def confirmations(self, txid: str) -> int:
        """By its block: a transaction in a block that no longer counts is still told, and is not there."""
        block = (await self.ask("getrawtransaction", txid, 1)).get("blockhash")
        return max(0, int((await self.ask("getblockheader", block))["confirmations"])) if block else 0

    async def _unspent(self, address: str) -> dict[str, Any]:
        for _ in range(SCAN_TRIES):
            with suppress(RuntimeError):  # one scan at a time is all that a node does
                found: dict[str, Any] = await self.ask("scantxoutset", "start", [f"addr({address})"])
                return found
            await asyncio.sleep(SCAN_PAUSE_S)
        raise RuntimeError(f"{self.url} does not scan its set of unspent outputs")


def _pays(transaction: Mapping[str, Any], account: str) -> bool:
    [contract] = transaction["raw_data"]["contract"]
    return bool(contract["parameter"]["value"].get("to_address") == account)


def _moves(info: Mapping[str, Any], contract: str, address: str) -> int:
    token, account = (tron_address.bytes_of(text)[1:].hex() for text in (contract, address))
    return sum(
        log["address"] == token and log["topics"][0] == TRANSFER_TOPIC[2:] and log["topics"][2].endswith(account)
        for log in info.get("log", ())
    )


class Witness(Protocol):
    """How the node of a family is spoken to."""

    def __call__(self, session: aiohttp.ClientSession, url: str, since: int = 0) -> "SinceNode": ...


class SinceNode(Node, Protocol):
    async def head(self) -> int: ...


WITNESSES: Mapping[str, Witness] = {"bitcoin": BitcoinNode, "evm": EvmNode, "tron": TronNode}


async def open_node(network: Network, session: aiohttp.ClientSession, url: str) -> Node:
    """The node of a network, as of now."""
    witness = WITNESSES[network.family]
    return witness(session, url, await witness(session, url).head())


_ids = count(1)


def _word(address: str) -> str:
    return address.removeprefix("0x").lower().rjust(64, "0")
