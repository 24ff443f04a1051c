"""A load generator for HTTP/1.1 on one connection set: cheap enough to leave the cores to what is measured."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(slots=True)
class Load:
    """What came back: answers by status, and each one's latency in seconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds if self.seconds else 0.0

    def quantile_ms(self, share: float) -> float:
        """The latency that `share` of the answers did not exceed, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


async def drive(host: str, port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    """Keeps `connections` busy with `requests` (each a whole HTTP/1.1 request), one at a time on each, for `seconds`.

    Raises ConnectionError when the other side hangs up early.
    """
    loop, load = asyncio.get_running_loop(), Load()
    until = time.perf_counter() + seconds
    wires = [_Wire(requests.__next__, load, until) for _ in range(connections)]
    began = time.perf_counter()
    for wire in wires:
        await loop.create_connection(lambda wire=wire: wire, host, port)  # type: ignore[misc]
    await asyncio.gather(*(wire.done for wire in wires))
    load.seconds = time.perf_counter() - began
    return load


class _Wire(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last one is whole."""

    def __init__(self, following: Callable[[], bytes], load: Load, until: float) -> None:
        self._following = following
        self._load = load
        self._until = until
        self._buffer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._following())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        whole = _length_of(self._buffer)
        if whole is None or len(self._buffer) < whole:
            return
        now = time.perf_counter()
        self._load.statuses[int(self._buffer[9:12])] += 1
        self._load.latencies_s.append(now - self._sent_at)
        self._buffer = self._buffer[whole:]
        if now < self._until:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server hung up before the end"))


def _length_of(buffer: bytes) -> int | None:
    """Bytes of the answer that `buffer` begins with; None while its head is not complete."""
    end = buffer.find(_HEAD_END)
    if end < 0:
        return None
    head = buffer[:end].lower()
    at = head.find(_LENGTH)
    length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return end + len(_HEAD_END) + length
