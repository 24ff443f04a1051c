"""JSON-RPC 2.0 over HTTP to several nodes of one network.

A read may be asked again and of another node; what is told to a node is said exactly once, because a lost answer is
not a lost transaction. A node's refusal of one call in a batch is that call's answer and spoils no other. No URL ever
reaches an error or a trace: providers put their keys there.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import orjson
from opentelemetry import trace

from adapters.chains import nodes as shared
from adapters.chains.nodes import Answer, NodeSilent, exchange, silent

CALL_TIMEOUT_S = 5.0
REPLY_BYTES_MAX = 16 * 2**20
REFUSAL_CHARS_MAX = 300

_tracer = trace.get_tracer("strongroom.chains.evm")


class NodeSaysNo(shared.NodeSaysNo):
    """A node's JSON-RPC error: its number, its words, and the bytes a revert left behind (hex) if any."""

    def __init__(self, number: int, message: str, data: str | None = None) -> None:
        super().__init__(number, message)
        self.data = data

    @property
    def busy(self) -> bool:
        """A limit of the provider, not an answer about the chain."""
        words = ("rate limit", "too many requests", "limit exceeded", "request limit", "capacity")
        return self.number in (-32005, 429) or any(word in self.message.lower() for word in words)


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    params: tuple[Any, ...] = ()


Nodes: TypeAlias = shared.Nodes[Call]


class Node:
    """One endpoint. Before its first answer is believed it must name the right chain."""

    def __init__(self, url: str, chain_id: int, session: aiohttp.ClientSession) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
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
            raise self._silent("NODE_WRONG_CHAIN", f"names its chain {named}, not {hex(self._chain_id)}")
        self._recognised = True

    async def _post(self, calls: Sequence[Call]) -> list[Answer]:
        names = ",".join(dict.fromkeys(call.method for call in calls))
        attributes: dict[str, str | int] = {
            "rpc.system": "jsonrpc",
            "rpc.method": names,
            "server.address": self.host,
            "rpc.calls": len(calls),
        }
        with _tracer.start_as_current_span(f"node {names}", kind=trace.SpanKind.CLIENT, attributes=attributes):
            rows = [
                {"jsonrpc": "2.0", "id": at, "method": call.method, "params": call.params}
                for at, call in enumerate(calls)
            ]
            body = orjson.dumps(rows if len(rows) > 1 else rows[0])
            reply = await exchange(self._session, self._url, self.host, body, REPLY_BYTES_MAX)
            return self._answers(reply, len(calls))

    def _answers(self, reply: bytes, count: int) -> list[Answer]:
        try:
            parsed = orjson.loads(reply)
            rows = parsed if isinstance(parsed, list) else [parsed]
            by_id = {row.get("id"): _answer(row) for row in rows}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._silent("NODE_GARBLED", "answered something that is no JSON-RPC") from None
        if any(isinstance(answer, NodeSaysNo) and answer.busy for answer in by_id.values()):
            raise self._silent("NODE_BUSY", "is at a limit")
        if any(at not in by_id for at in range(count)):
            raise self._silent("NODE_GARBLED", "left a call without an answer")
        return [by_id[at] for at in range(count)]

    def _silent(self, code: str, what: str) -> NodeSilent:
        return silent(self.host, code, what)


def _answer(row: Any) -> Answer:
    error = row.get("error")
    if error is None:
        return row["result"]
    data = error.get("data")
    message = str(error.get("message", ""))[:REFUSAL_CHARS_MAX]
    return NodeSaysNo(int(error.get("code", 0)), message, data if isinstance(data, str) else None)


@asynccontextmanager
async def open_nodes(urls: Sequence[str], chain_id: int, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Nodes]:
    """Nodes on one shared connection pool; nothing is sent before the first call."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        yield shared.Nodes([Node(url, chain_id, session) for url in urls])
