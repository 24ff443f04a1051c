"""`python -m workers KIND`: one process of one worker kind, until SIGTERM; what it has in hand is finished first."""

import asyncio
import contextlib
import logging
import signal
import sys
import time

import uvloop
from temporalio.client import Client
from temporalio.service import RPCError

from adapters import crash, telemetry
from adapters.settings import Settings
from adapters.wiring import connect_temporal
from domain.errors import StrongroomError
from workers.hosting import identity, patiently, running
from workers.registry import KINDS, Kind

log = logging.getLogger("workers")

USAGE = 2
# The SDK's threads must be gone before the interpreter is (temporalio/sdk-python#300).
LAST_PAUSE_S = 0.5


async def work(kind: Kind, settings: Settings) -> None:
    """Works until the process is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    secrets = [secret.get_secret_value() for secret in (settings.database_url, settings.temporal_api_key) if secret]
    told = telemetry.set_up(kind.name, level=settings.log_level, otlp_endpoint=settings.otlp_endpoint, secrets=secrets)
    runtime = telemetry.runtime(f"{settings.metrics_host}:{settings.ports.worker_metrics(kind.name)}")

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
            await stopping
            log.info("%s is leaving: what it has in hand is finished first", kind.name)
    finally:
        told.close()


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.stderr.write(f"usage: python -m workers {{{','.join(KINDS)}}}\n")
        return USAGE
    try:
        uvloop.run(work(KINDS[sys.argv[1]], Settings()))
    except StrongroomError as error:
        log.error("cannot work: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    try:
        code = main()
    finally:
        time.sleep(LAST_PAUSE_S)
    sys.exit(code)
