"""JSON-RPC 2.0 over HTTP to several nodes of one network.

A read may be asked again and of another node; what is told to a node is said exactly once, because a lost answer is
not a lost transaction. A node's refusal of one call in a batch is that call's answer and spoils no other. No URL ever
reaches an error or a trace: providers put their keys there.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
import orjson
from opentelemetry import trace

from adapters.chains import json_rpc
from adapters.chains import nodes as shared
from adapters.chains.nodes import Answer, NodeSaysNo, exchange, host_of, silent

CALL_TIMEOUT_S = 5.0
REPLY_BYTES_MAX = 16 * 2**20

_tracer = trace.get_tracer("strongroom.chains.evm")


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    params: tuple[Any, ...] = ()


Nodes: TypeAlias = shared.Nodes[Call]


class Node:
    """One endpoint. Before its first answer is believed it must name the right chain."""

    def __init__(self, url: str, chain_id: int, session: aiohttp.ClientSession) -> None:
        self.host = host_of(url)
        self._url = url
        self._session = session
        self._chain_id = chain_id
        self._recognised = False

    async def post(self, calls: Sequence[Call]) -> list[Answer]:
        """One HTTP request, said once; an answer for each call in order. Raises NodeSilent."""
        if not self._recognised:
            await self._recognise()
        return await self._post(calls)

    async def _recognise(self) -> None:
        [named] = await self._post([Call("eth_chainId")])
        if named != hex(self._chain_id):
            raise silent(self.host, "NODE_WRONG_CHAIN", f"names its chain {named}, not {hex(self._chain_id)}")
        self._recognised = True

    async def _post(self, calls: Sequence[Call]) -> list[Answer]:
        with json_rpc.span(_tracer, self.host, calls):
            body = orjson.dumps(json_rpc.request(calls))
            reply = await exchange(self._session, self._url, self.host, body, REPLY_BYTES_MAX)
            return json_rpc.answers(self.host, reply, len(calls), orjson.loads, _busy)


def _busy(refusal: NodeSaysNo) -> str:
    """A limit of the provider is not an answer about the chain."""
    words = ("rate limit", "too many requests", "limit exceeded", "request limit", "capacity")
    limited = refusal.number in (-32005, 429) or any(word in refusal.message.lower() for word in words)
    return "is at a limit" if limited else ""


@asynccontextmanager
async def open_nodes(urls: Sequence[str], chain_id: int, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Nodes]:
    """Nodes on one shared connection pool; nothing is sent before the first call."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        yield shared.Nodes([Node(url, chain_id, session) for url in urls])
