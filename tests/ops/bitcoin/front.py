"""The front door as a process of its own before a node, and the words to speak to it with."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp

from ops.devnet.bitcoin.node import RegtestNode
from ops.devnet.bitcoin.rpc import NodeDown, Rpc
from ops.devnet.ports import HOST, http_status

WAIT_S, LOOK_S = 20.0, 0.05
ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"  # BIP 173's example key, on regtest


@dataclass
class Front:
    """One running front door. `rpc` is a client of it that knows no login."""

    node: RegtestNode
    port: int
    rpc: Rpc
    process: subprocess.Popen[bytes]

    @classmethod
    async def start(cls, node: RegtestNode, port: int, *words: str) -> "Front":
        command = ("--port", str(port), "--node", node.url, "--folder", str(node.folder.path), *words)
        process = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-m", "ops.devnet.bitcoin", *command])
        await until(lambda: _serves(port))
        return cls(node, port, Rpc(f"http://{HOST}:{port}"), process)

    async def stop(self) -> None:
        await self.rpc.close()
        self.process.terminate()
        assert await asyncio.to_thread(self.process.wait, 10) == 0

    async def order(self, expected: int = 200, **words: Any) -> dict[str, Any]:
        """POST /_ctl; what it shows afterwards."""
        async with aiohttp.ClientSession() as session, session.post(f"{self.rpc.url}/_ctl", json=words) as answer:
            assert answer.status == expected, await answer.text()
            shown: dict[str, Any] = await answer.json()
            return shown

    async def payment(self, units: int, spending: tuple[str, int] | None = None) -> tuple[str, str]:
        """A payment of the treasury's that nobody has sent yet: its id and its bytes."""
        raw = await self.node.pay([(ADDRESS, units)], [spending] if spending else [])
        return str((await self.node.rpc("decoderawtransaction", raw))["txid"]), raw

    async def two_versions(self, units: int) -> tuple[tuple[str, str], tuple[str, str]]:
        """Two payments that exclude each other; the second one pays more fees."""
        first = await self.payment(units)
        spent = (await self.node.rpc("decoderawtransaction", first[1]))["vin"][0]
        await self.node.unlock()
        second = await self.node.pay([(ADDRESS, units + 1)], [(spent["txid"], spent["vout"])], sats_per_vbyte=30)
        return first, (str((await self.node.rpc("decoderawtransaction", second))["txid"]), second)

    async def is_cut(self, method: str, *params: Any) -> bool:
        """Whether a call ends without an answer."""
        try:
            await self.rpc(method, *params)
        except NodeDown:
            return True
        return False

    async def confirmations(self, txid: str) -> int:
        """By the node itself, whatever the front door says."""
        told = await self.node.rpc("gettxout", txid, 0, False)
        return int(told["confirmations"]) if told else 0


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Looks until it is so."""
    end = monotonic() + WAIT_S
    while not await reached():
        assert monotonic() < end, "it did not come to that"
        await asyncio.sleep(LOOK_S)


async def _serves(port: int) -> bool:
    return await http_status(port, "/_ctl") == 200
