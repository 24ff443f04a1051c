"""A Temporal server that a test may kill and start again, keeping what it knew."""

import asyncio
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from workflows import attributes

TEMPORAL = Path(sys.executable).parent / "temporal"
DYNAMIC = ("history.transferProcessorMaxPollRPS=2000", 'history.timerProcessorMaxTimeShift="20ms"')


@dataclass
class Engine:
    """A development server on `port`, its database in `folder`."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    clients: list[Client] = field(default_factory=list)

    async def start(self) -> None:
        words = [
            *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"),
            *("--port", str(self.port), "--db-filename", str(self.folder / "temporal.db")),
            *(word for key in attributes.ALL for word in ("--search-attribute", f"{key.name}=Keyword")),
            *(word for pair in DYNAMIC for word in ("--dynamic-config-value", pair)),
        ]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen([TEMPORAL, *words], stdout=quiet, stderr=quiet)  # noqa: ASYNC220 - it returns at once
        client = await self.connect()
        for _ in range(200):
            try:
                if await client.service_client.check_health(timeout=timedelta(seconds=1)):
                    return
            except (RuntimeError, RPCError) as error:
                if self.process.poll() is not None:
                    raise RuntimeError("the server ended") from error
            await asyncio.sleep(0.1)
        raise TimeoutError("Temporal did not start")

    async def connect(self) -> Client:
        """A lazily connected client."""
        return await Client.connect(f"127.0.0.1:{self.port}", data_converter=pydantic_data_converter, lazy=True)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
