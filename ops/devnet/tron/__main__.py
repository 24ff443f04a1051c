"""Runs the node: `python -m ops.devnet.tron --port 17446 --solidity-port 17447 --state-dir .state`."""

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from ops.devnet.ports import HOST
from ops.devnet.tron.chain import Pace
from ops.devnet.tron.door import Door
from ops.devnet.tron.machine import warm_up
from ops.devnet.tron.network import Network
from ops.devnet.tron.store import Store

INSTANT_SLOT_MS = 5  # short, or the blocks that make others solid would carry the clock away
SOLID_LAG = 3


def main() -> None:
    """Serves until SIGTERM or SIGINT; saves the chain last."""
    words = argparse.ArgumentParser(prog="python -m ops.devnet.tron", description=__doc__)
    words.add_argument("--port", type=int, required=True, help="the full node's port, on 127.0.0.1")
    words.add_argument("--solidity-port", type=int, required=True, help="the solidity node's port")
    words.add_argument("--state-dir", type=Path, help="where the chain is kept; without it nothing is")
    words.add_argument("--block-time", type=float, default=1.0, help="seconds; 0 mines each transaction at once")
    words.add_argument(
        "--solid-lag", type=int, default=SOLID_LAG, help="blocks until one is solid; 19 on the real network"
    )
    words.add_argument("--time-skew", type=float, default=0.0, help="seconds that the chain's clock is ahead at first")
    words.add_argument("--halted", action="store_true", help="no blocks are made until asked for")
    words.add_argument("--seed", type=int, help="seed of the faults")
    given = words.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(given))


async def _serve(given: argparse.Namespace) -> None:
    store = Store(given.state_dir / "tron" if given.state_dir else None)
    pace = Pace(round(given.block_time * 1000) or INSTANT_SLOT_MS, given.solid_lag)
    network = Network(store, pace, given.block_time, given.time_skew, given.seed)
    network.dice["a"].faults.halted = given.halted
    door = Door(network)
    runners = [
        await _open(app, port) for app, port in ((door.full(), given.port), (door.solidity(), given.solidity_port))
    ]
    mining = asyncio.create_task(network.run())
    warming = asyncio.create_task(asyncio.to_thread(warm_up))
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    await asyncio.wait([mining, ending := asyncio.create_task(asked_to_end.wait())], return_when="FIRST_COMPLETED")
    ending.cancel()
    for runner in runners:
        await runner.cleanup()
    died = mining.done()
    mining.cancel()
    with suppress(asyncio.CancelledError):
        await mining  # a fault of ours ends the process loudly
    await warming
    if not died:
        network.save()


async def _open(app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, reuse_address=True).start()
    return runner


if __name__ == "__main__":
    main()
