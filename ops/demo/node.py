"""What the node itself says, asked directly: the only witness that counts in the end."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp
from eth_utils.crypto import keccak

TRANSFER_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_BALANCE_OF = "0x" + keccak(text="balanceOf(address)")[:4].hex()


@dataclass(frozen=True, slots=True)
class Node:
    """One EVM node over JSON-RPC. Amounts are whole base units."""

    session: aiohttp.ClientSession
    url: str

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

    async def transfers_to(self, address: str, contract: str) -> list[int]:
        """The value of every Transfer log of the token to `address`, oldest first."""
        wanted = {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": contract,
            "topics": [TRANSFER_TOPIC, None, "0x" + _word(address)],
        }
        return [int(log["data"], 16) for log in await self.ask("eth_getLogs", wanted)]

    async def confirmations(self, txid: str) -> int:
        """Blocks on top of and including the one that holds `txid`; 0 while none does."""
        receipt = await self.ask("eth_getTransactionReceipt", txid)
        return await self.head() - int(receipt["blockNumber"], 16) + 1 if receipt else 0


_ids = count(1)


def _word(address: str) -> str:
    return address.removeprefix("0x").lower().rjust(64, "0")
