"""The real node behind the proxy, spoken to in JSON-RPC over one kept-alive session."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

TIMEOUT_S = 60


class NodeDown(Exception):
    """The node did not answer; nobody knows what it did."""


class Refusal(Exception):
    """The node answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", error)))
        self.error = error


class Node:
    """A JSON-RPC client that keeps each answer of a batch apart."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(limit=64, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection, which ends when the node does. Raises OSError."""
        parts = urlsplit(self._url)
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def forward(self, body: Any) -> Any:
        """Hands a request, or a batch, through as it is. Raises NodeDown."""
        if self._session is None:
            raise RuntimeError("open the node first")
        try:
            async with self._session.post(self._url, json=body) as answer:
                return await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeDown(str(error) or type(error).__name__) from error

    async def call(self, method: str, *params: Any) -> Any:
        """One result. Raises NodeDown, or Refusal with the node's error."""
        reply = await self.forward(self._request(method, params))
        if "error" in reply:
            raise Refusal(reply["error"])
        return reply["result"]

    async def calls(self, requests: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Several results in one round trip, a Refusal in place of each that failed. Raises NodeDown."""
        if not requests:
            return []
        body = [self._request(method, params) for method, params in requests]
        replies = await self.forward(body)
        if not isinstance(replies, list) or len(replies) != len(body):
            raise NodeDown("the node answered a batch with something else")
        by_id = {reply.get("id"): reply for reply in replies}
        ordered = [by_id[request["id"]] for request in body]
        return [Refusal(reply["error"]) if "error" in reply else reply.get("result") for reply in ordered]

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
