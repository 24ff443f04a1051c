"""java-tron's HTTP API on several nodes, each a full node and the solidity node beside it.

A read may be asked again and of another node; what is told to a node is said exactly once. Everything but a well-formed
answer is silence: java-tron answers 200 for its own errors too. No URL ever reaches an error or a trace.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import orjson
from opentelemetry import trace

from domain.errors import Unavailable

CALL_TIMEOUT_S = 5.0
READ_TRIES = 3
BACKOFF_FIRST_S = 0.1
REPLY_BYTES_MAX = 32 * 2**20

_tracer = trace.get_tracer("strongroom.chains.tron")
_dice = SystemRandom()

Answer: TypeAlias = Any


class NodeSilent(Unavailable):
    """A node gave no usable answer: cut off, too slow, too busy, too big or garbled. What was told may have arrived."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `wallet/...` goes to the full node, `walletsolidity/...` to the solidity node."""

    path: str
    body: dict[str, Any] = field(default_factory=dict)


class Node:
    """A full node and its solidity node. Before its first answer is believed it must name the right first block."""

    def __init__(self, urls: str, chain_id: int, session: aiohttp.ClientSession) -> None:
        full, _, solid = urls.partition("|")
        self._full, self._solid = full.rstrip("/"), (solid or full).rstrip("/")
        parts = urlsplit(full)
        self.host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._chain_id = chain_id
        self._session = session
        self._recognised = False

    async def post(self, call: Call) -> Answer:
        """One HTTP request, said once. Raises NodeSilent."""
        if not self._recognised:
            await self._recognise()
        return await self._post(call)

    async def _recognise(self) -> None:
        """The chain's id is the last four bytes of its first block's hash."""
        for space in ("wallet", "walletsolidity"):
            block = await self._post(Call(f"{space}/getblockbynum", {"num": 0}))
            named = str(block.get("blockID", ""))[-8:] if isinstance(block, dict) else ""
            if named != f"{self._chain_id:08x}":
                raise self._silent("NODE_WRONG_CHAIN", f"names its chain {named or 'not at all'}")
        self._recognised = True

    async def _post(self, call: Call) -> Answer:
        attributes = {"rpc.system": "java-tron", "rpc.method": call.path, "server.address": self.host}
        with _tracer.start_as_current_span(f"node {call.path}", kind=trace.SpanKind.CLIENT, attributes=attributes):
            base = self._solid if call.path.startswith("walletsolidity/") else self._full
            reply = await self._exchange(f"{base}/{call.path}", orjson.dumps(call.body))
            try:
                answer = orjson.loads(reply)
            except ValueError:
                raise self._silent("NODE_GARBLED", "answered something that is no JSON") from None
            if isinstance(answer, dict) and "Error" in answer:
                raise self._silent("NODE_ERROR", "answered with an error of its own")
            return answer

    async def _exchange(self, url: str, body: bytes) -> bytes:
        try:
            async with self._session.post(url, data=body, allow_redirects=False) as response:
                if response.status != 200:
                    raise self._silent("NODE_BUSY", f"answered HTTP {response.status}")
                reply = bytearray()
                async for chunk in response.content.iter_any():
                    reply += chunk
                    if len(reply) > REPLY_BYTES_MAX:
                        raise self._silent("NODE_GARBLED", f"answered more than {REPLY_BYTES_MAX} bytes")
                return bytes(reply)
        except TimeoutError:
            raise self._silent("NODE_SLOW", "did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._silent("NODE_SILENT", f"gave no answer ({type(error).__name__})") from None

    def _silent(self, code: str, what: str) -> NodeSilent:
        return NodeSilent(code, f"The node at {self.host} {what}.", node=self.host)


class Nodes:
    """All nodes of the network, read with failover or each in its own right."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        if not nodes:
            raise ValueError("a network needs at least one node URL")
        self.each = tuple(nodes)
        self._preferred = 0

    async def ask(self, *calls: Call) -> list[Answer]:
        """A plain read, all of it of one node. Raises NodeSilent once every node was asked READ_TRIES times."""
        for attempt in range(READ_TRIES):
            for turn in range(len(self.each)):
                at = (self._preferred + turn) % len(self.each)
                answers = await asyncio.gather(*map(self.each[at].post, calls), return_exceptions=True)
                last = _first_silence(answers)
                if last is None:
                    self._preferred = at
                    return answers
            if attempt + 1 < READ_TRIES:
                await _back_off(attempt)
        assert last is not None
        raise last

    async def ask_all(self, *calls: Call) -> list[list[Answer] | NodeSilent]:
        """The same read of every node, in the order of the nodes: its answers, or why there are none."""
        return await asyncio.gather(*(ask_one(node, *calls) for node in self.each))

    async def ask_every(self, *calls: Call) -> list[list[Answer]]:
        """Every node's answers. Raises NodeSilent when a single one is missing."""
        said = await self.ask_all(*calls)
        for answers in said:
            if isinstance(answers, NodeSilent):
                raise answers
        return [answers for answers in said if not isinstance(answers, NodeSilent)]

    async def tell(self, call: Call) -> list[Answer | NodeSilent]:
        """Says `call` once to every node."""
        return await asyncio.gather(*(_tell_one(node, call) for node in self.each))


async def ask_one(node: Node, *calls: Call) -> list[Answer] | NodeSilent:
    """One node's answers; a quick failure is tried once more, a slow one is not waited for twice."""
    for attempt in range(2):
        answers = await asyncio.gather(*map(node.post, calls), return_exceptions=True)
        silence = _first_silence(answers)
        if silence is None:
            return answers
        if attempt or silence.code == "NODE_SLOW":
            return silence
        await _back_off(attempt)
    raise AssertionError("unreachable")


def _first_silence(answers: Sequence[Answer | BaseException]) -> NodeSilent | None:
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, NodeSilent):
            raise answer
    return next((answer for answer in answers if isinstance(answer, NodeSilent)), None)


async def _tell_one(node: Node, call: Call) -> Answer | NodeSilent:
    try:
        return await node.post(call)
    except NodeSilent as error:
        return error


async def _back_off(attempt: int) -> None:
    await asyncio.sleep(BACKOFF_FIRST_S * 2**attempt * _dice.uniform(0.5, 1.0))


@asynccontextmanager
async def open_nodes(urls: Sequence[str], chain_id: int, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Nodes]:
    """Nodes on one shared connection pool; nothing is sent before the first call. Each URL is that of a full node, or
    `full|solidity` where the solidity node has its own.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout, headers={"content-type": "application/json"}) as session:
        yield Nodes([Node(url, chain_id, session) for url in urls])
