"""A load generator for HTTP/1.1 on one connection set: cheap enough to leave the cores to what is measured."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
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


async def drive(host: str, port: int, requests: Iterator[bytes], connections: int) -> Load:
    """Sends all `requests` (each a whole HTTP/1.1 request) over `connections`, one at a time on each.

    Raises ConnectionError when the other side hangs up early.
    """
    loop, load = asyncio.get_running_loop(), Load()
    wires = [_Wire(requests, load) for _ in range(connections)]
    for wire in wires:
        await loop.create_connection(lambda wire=wire: wire, host, port)  # type: ignore[misc]
    began = time.perf_counter()
    for wire in wires:
        wire.go_on()
    await asyncio.gather(*(wire.done for wire in wires))
    load.seconds = time.perf_counter() - began
    return load


class _Wire(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last one is whole."""

    def __init__(self, requests: Iterator[bytes], load: Load) -> None:
        self._requests = requests
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def go_on(self) -> None:
        """Sends the next request, or hangs up when there is none left."""
        request = next(self._requests, None)
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        whole = _length_of(self._buffer)
        if whole is None or len(self._buffer) < whole:
            return
        self._load.statuses[int(self._buffer[9:12])] += 1
        self._load.latencies_s.append(time.perf_counter() - self._sent_at)
        self._buffer = self._buffer[whole:]
        self.go_on()

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
