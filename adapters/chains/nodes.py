"""Asking several nodes of one network: with failover, each in its own right, or all of them.

A read may be asked again and of another node; what is told to a node is said exactly once, because a lost answer is
not a lost transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from random import SystemRandom
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

import aiohttp

from domain.errors import Unavailable

READ_TRIES = 3
BACKOFF_FIRST_S = 0.1

_dice = SystemRandom()

# What one call came to: its JSON result, or the node's refusal of it.
Answer: TypeAlias = Any
Call_contra = TypeVar("Call_contra", contravariant=True)
T = TypeVar("T")


class NodeSilent(Unavailable):
    """A node gave no usable answer: cut off, too slow, too busy, too big or garbled. What was told may have arrived."""


class NodeSaysNo(Exception):
    """A node's JSON-RPC error: its number, its words, and the bytes a revert left behind (hex) if any."""

    def __init__(self, number: int, message: str, data: str | None = None) -> None:
        super().__init__(f"{number}: {message}")
        self.number = number
        self.message = message
        self.data = data


class Speaker(Protocol[Call_contra]):
    """One node. `host` names it without its secrets."""

    host: str

    async def post(self, calls: Sequence[Call_contra]) -> list[Answer]:
        """An answer for each call, in order, said once. Raises NodeSilent."""
        ...


class Nodes(Generic[Call_contra]):
    """All nodes of one network. What is said of each comes in the order of `each`."""

    def __init__(self, nodes: Sequence[Speaker[Call_contra]]) -> None:
        if not nodes:
            raise ValueError("a network needs at least one node URL")
        self.each = tuple(nodes)
        self._preferred = 0

    async def ask(self, *calls: Call_contra) -> list[Answer]:
        """A plain read: any node's answers will do. Raises NodeSilent once every node was asked READ_TRIES times."""
        for attempt in range(READ_TRIES):
            for turn in range(len(self.each)):
                at = (self._preferred + turn) % len(self.each)
                try:
                    answers = await self.each[at].post(calls)
                except NodeSilent as error:
                    last = error
                    continue
                self._preferred = at
                return answers
            if attempt + 1 < READ_TRIES:
                await _back_off(attempt)
        raise last

    async def ask_all(self, *calls: Call_contra) -> list[list[Answer] | NodeSilent]:
        """The same read of every node: its answers, or why there are none."""
        return await asyncio.gather(*(ask_one(node, calls) for node in self.each))

    async def ask_every(self, *calls: Call_contra) -> list[list[Answer]]:
        """A quorum read: every node's answers. Raises NodeSilent when a single one is missing."""
        said = await self.ask_all(*calls)
        for answers in said:
            if isinstance(answers, NodeSilent):
                raise answers
        return [answers for answers in said if not isinstance(answers, NodeSilent)]

    async def tell(self, call: Call_contra, grace_s: float) -> list[Answer | NodeSilent]:
        """Says `call` once to every node. Once one of them agreed, the others have `grace_s` more to answer; who has
        not answered by then counts as silent.
        """
        tasks = [asyncio.create_task(_tell_one(node, call)) for node in self.each]
        try:
            waiting = set(tasks)
            agreed = False
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=grace_s if agreed else None, return_when=asyncio.FIRST_COMPLETED
                )
                if agreed and not done:
                    break
                agreed = agreed or any(not isinstance(task.result(), NodeSaysNo | NodeSilent) for task in done)
            late = NodeSilent("NODE_SILENT", "The node did not answer while another one already had.")
            return [task.result() if task.done() else late for task in tasks]
        finally:
            for task in tasks:
                task.cancel()


class Shared(Generic[T]):
    """A read that all who wait for it share. Whoever asks gets a value whose reading began after they asked."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._begun = 0
        self._done = 0
        self._outcome: T | Unavailable | None = None

    async def __call__(self) -> T:
        ticket = self._begun + 1
        async with self._lock:
            if self._done < ticket:
                self._begun += 1
                try:
                    self._outcome = await self._read()
                except Unavailable as error:
                    self._outcome = error
                self._done = self._begun
            if isinstance(self._outcome, Unavailable):
                raise self._outcome
            assert self._outcome is not None
            return self._outcome


def host_of(url: str) -> str:
    """What a node is called: its host and port, without the secrets that its URL may carry."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def silent(host: str, code: str, what: str) -> NodeSilent:
    return NodeSilent(code, f"The node at {host} {what}.", node=host)


async def exchange(
    session: aiohttp.ClientSession,
    url: str,
    host: str,
    body: bytes,
    most: int,
    *,
    statuses: Collection[int] = (200,),
    headers: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> bytes:
    """One HTTP POST, said once: the reply, of at most `most` bytes. Raises NodeSilent, which names `host` and never the
    URL: providers put their keys there.
    """
    patience = aiohttp.ClientTimeout(total=timeout_s) if timeout_s else session.timeout
    try:
        async with session.post(url, data=body, headers=headers, timeout=patience, allow_redirects=False) as response:
            if response.status in (401, 403):
                raise silent(host, "NODE_LOCKED", "does not accept our credentials")
            if response.status not in statuses:
                raise silent(host, "NODE_BUSY", f"answered HTTP {response.status}")
            reply = bytearray()
            async for chunk in response.content.iter_any():
                reply += chunk
                if len(reply) > most:
                    raise silent(host, "NODE_GARBLED", f"answered more than {most} bytes")
            return bytes(reply)
    except TimeoutError:
        raise silent(host, "NODE_SLOW", "did not answer in time") from None
    except (aiohttp.ClientError, OSError) as error:
        raise silent(host, "NODE_SILENT", f"gave no answer ({type(error).__name__})") from None


async def ask_one(node: Speaker[Call_contra], calls: Sequence[Call_contra]) -> list[Answer] | NodeSilent:
    """One node's answers; a quick failure is tried once more, a slow one is not waited for twice."""
    for attempt in range(2):
        try:
            return await node.post(calls)
        except NodeSilent as error:
            if attempt or error.code == "NODE_SLOW":
                return error
            await _back_off(attempt)
    raise AssertionError("unreachable")


def why_silent(said: Sequence[list[Answer] | NodeSilent]) -> NodeSilent:
    """Why nothing can be said: the first node's own words."""
    return next(
        (answers for answers in said if isinstance(answers, NodeSilent)),
        NodeSilent("NODE_GARBLED", "No node gave a usable answer."),
    )


async def _tell_one(node: Speaker[Call_contra], call: Call_contra) -> Answer | NodeSilent:
    try:
        [answer] = await node.post([call])
        return answer
    except NodeSilent as error:
        return error


async def _back_off(attempt: int) -> None:
    await asyncio.sleep(BACKOFF_FIRST_S * 2**attempt * _dice.uniform(0.5, 1.0))
