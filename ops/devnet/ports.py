"""Ports of this machine: are they free, does anybody answer."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress

from domain.errors import Unavailable

HOST = "127.0.0.1"


def raise_if_taken(wanted: Mapping[str, int]) -> None:
    """Raises Unavailable PORT_IN_USE naming the part, the port and the way out."""
    for part, port in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise Unavailable(
                    "PORT_IN_USE",
                    f"Port {port}, meant for {part}, is in use by another program. End that program, or give this "
                    "checkout its own 50 ports, for example STRONGROOM_PORT_BASE=18430.",
                    port=port,
                ) from error


async def answers(port: int, host: str = HOST) -> bool:
    """Whether somebody accepts connections on the port."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True
    return False


async def http_status(port: int, path: str) -> int | None:
    """The status of GET `path`, or None when nobody speaks HTTP there. Small on purpose: it is asked many times."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return None
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        words = (await reader.readline()).split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    except OSError:
        return None
    finally:
        writer.close()
