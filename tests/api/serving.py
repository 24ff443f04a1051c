"""The house behind a real socket, in a thread with a loop of its own."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from ops.bench.scratch import free_port
from tests.api.house import House, open_house


@contextmanager
def served(dsn: str) -> Iterator[tuple[str, House]]:
    """The address of a running API, and its house (whose coroutines belong to the other loop)."""
    port, found, over = free_port(), [], threading.Event()

    async def serve() -> None:
        async with open_house(dsn) as house:
            server = uvicorn.Server(
                uvicorn.Config(house.app, port=port, lifespan="off", log_level="critical", access_log=False)
            )
            task = asyncio.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.05)
            found.append(house)
            while not over.is_set():  # noqa: ASYNC110 - the event is a thread's
                await asyncio.sleep(0.05)
            server.should_exit = True
            await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    for _ in range(1200):
        if found or not thread.is_alive():
            break
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}", found[0]
    finally:
        over.set()
        thread.join(10)
