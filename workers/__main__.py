"""`python -m workers KIND`: one process of one worker kind, until SIGTERM; what it has in hand is finished first.

`python -m workers chain --network polygon` works on that network alone; several are separated by commas.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time

import uvloop
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.service import RPCError

from adapters import crash, telemetry
from adapters.settings import Settings
from adapters.wiring import connect_temporal
from domain.errors import StrongroomError
from workers.hosting import identity, patiently, running
from workers.registry import KINDS, Kind

log = logging.getLogger("workers")

# The SDK's threads must be gone before the interpreter is (temporalio/sdk-python#300).
LAST_PAUSE_S = 0.5
# New objects between two looks for garbage in cycles. The interpreter's 700 makes looking a third of a worker's work.
GARBAGE_LOOK_OBJECTS = 20_000


async def work(kind: Kind, settings: Settings) -> None:
    """Works until the process is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    secrets = [secret.get_secret_value() for secret in (settings.database_url, settings.temporal_api_key) if secret]
    told = telemetry.set_up(kind.name, level=settings.log_level, otlp_endpoint=settings.otlp_endpoint, secrets=secrets)
    metrics_port = settings.metrics_port or settings.ports.worker_metrics(kind.name)
    runtime = telemetry.runtime(f"{settings.metrics_host}:{metrics_port}")

    async def connect() -> Client:
        return await connect_temporal(settings, told.plugins, runtime=runtime, identity=identity(kind.name))

    crash.arm(settings)
    stopping = asyncio.create_task(stop.wait())
    connecting = asyncio.create_task(patiently("Temporal", connect, (RuntimeError, RPCError)))
    try:
        await asyncio.wait((stopping, connecting), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connecting
            return
        async with kind.host(settings, told.traced) as hosting, running(await connecting, hosting):
            log.info("%s is at work", kind.name)
            _settle_in()
            await stopping
            log.info("%s is leaving: what it has in hand is finished first", kind.name)
    finally:
        told.close()


def _settle_in() -> None:
    """What is loaded by now stays for life: it is never looked through for garbage again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOK_OBJECTS)


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m workers", description="One process of one worker kind.")
    words.add_argument("kind", choices=KINDS, metavar=f"{{{','.join(KINDS)}}}")
    words.add_argument("--network", help="only these networks, separated by commas; STRONGROOM_NETWORKS unless given")
    given = words.parse_args()
    try:
        settings = Settings.on(given.network)
        uvloop.run(work(KINDS[given.kind], settings))
    except StrongroomError as error:
        log.error("cannot work: %s", error)
        return 1
    except ValidationError as error:
        words.error("; ".join(line["msg"] for line in error.errors()))
    return 0


if __name__ == "__main__":
    try:
        code = main()
    finally:
        time.sleep(LAST_PAUSE_S)
    sys.exit(code)
