"""java-tron's HTTP API on several nodes, each a full node and the solidity node beside it.

A read may be asked again and of another node; what is told to a node is said exactly once. Everything but a well-formed
answer is silence: java-tron answers 200 for its own errors too. No URL ever reaches an error or a trace.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import aiohttp
import orjson
from opentelemetry import trace

from adapters.chains import nodes as shared
from adapters.chains.nodes import Answer, exchange, host_of, silent

CALL_TIMEOUT_S = 5.0
REPLY_BYTES_MAX = 32 * 2**20

_tracer = trace.get_tracer("strongroom.chains.tron")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `wallet/...` goes to the full node, `walletsolidity/...` to the solidity node."""

    path: str
    body: dict[str, Any] = field(default_factory=dict)


Nodes: TypeAlias = shared.Nodes[Call]


class Node:
    """A full node and its solidity node. Before its first answer is believed it must name the right first block."""

    def __init__(self, urls: str, chain_id: int, session: aiohttp.ClientSession) -> None:
        full, _, solid = urls.partition("|")
        self._full, self._solid = full.rstrip("/"), (solid or full).rstrip("/")
        self.host = host_of(full)
        self._chain_id = chain_id
        self._session = session
        self._recognised = False

    async def post(self, calls: Sequence[Call]) -> list[Answer]:
        """A request for each call, said once, side by side. Raises NodeSilent when one has no answer."""
        if not self._recognised:
            await self._recognise()
        answers = await asyncio.gather(*map(self._post, calls), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    async def _recognise(self) -> None:
        """The chain's id is the last four bytes of its first block's hash."""
        for space in ("wallet", "walletsolidity"):
            block = await self._post(Call(f"{space}/getblockbynum", {"num": 0}))
            named = str(block.get("blockID", ""))[-8:] if isinstance(block, dict) else ""
            if named != f"{self._chain_id:08x}":
                raise silent(self.host, "NODE_WRONG_CHAIN", f"names its chain {named or 'not at all'}")
        self._recognised = True

    async def _post(self, call: Call) -> Answer:
        attributes = {"rpc.system": "java-tron", "rpc.method": call.path, "server.address": self.host}
        with _tracer.start_as_current_span(f"node {call.path}", kind=trace.SpanKind.CLIENT, attributes=attributes):
            base = self._solid if call.path.startswith("walletsolidity/") else self._full
            body = orjson.dumps(call.body)
            reply = await exchange(self._session, f"{base}/{call.path}", self.host, body, REPLY_BYTES_MAX)
            try:
                answer = orjson.loads(reply)
            except ValueError:
                raise silent(self.host, "NODE_GARBLED", "answered something that is no JSON") from None
            if isinstance(answer, dict) and "Error" in answer:
                raise silent(self.host, "NODE_ERROR", "answered with an error of its own")
            return answer


@asynccontextmanager
async def open_nodes(urls: Sequence[str], chain_id: int, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Nodes]:
    """Nodes on one shared connection pool; nothing is sent before the first call. Each URL is that of a full node, or
    `full|solidity` where the solidity node has its own.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout, headers={"content-type": "application/json"}) as session:
        yield shared.Nodes([Node(url, chain_id, session) for url in urls])
