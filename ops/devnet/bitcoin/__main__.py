"""Runs the front door: `python -m ops.devnet.bitcoin --help`. It needs a node that was started in `--folder`."""

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from ops.devnet.bitcoin.blocks import Blocks
from ops.devnet.bitcoin.door import Door
from ops.devnet.bitcoin.faults import Dice
from ops.devnet.bitcoin.node import NodeFolder
from ops.devnet.bitcoin.regtest import TREASURY, Regtest
from ops.devnet.bitcoin.rpc import Rpc
from ops.devnet.ports import HOST


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    words = argparse.ArgumentParser(prog="python -m ops.devnet.bitcoin", description=__doc__)
    words.add_argument("--port", type=int, required=True, help="port to serve on, on 127.0.0.1")
    words.add_argument("--node", required=True, help="address of the bitcoind behind")
    words.add_argument("--folder", type=Path, required=True, help="the node's folder, in which its login is kept")
    words.add_argument("--block-time", type=float, default=1.0, help="seconds; 0 mines each transaction at once")
    words.add_argument("--seed", type=int, help="seed of the faults")
    words.add_argument("--hold", action="store_true", help="no blocks are made until asked for")
    given = words.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(given))


async def _serve(given: argparse.Namespace) -> None:
    login, dice = NodeFolder(given.folder).login, Dice(given.seed)
    dice.faults.hold_blocks = given.hold
    async with Rpc(given.node, login) as rpc, Rpc(given.node, login, TREASURY) as treasury:
        blocks = Blocks(Regtest(rpc, treasury), dice, given.block_time)
        mining = asyncio.create_task(blocks.run())
        runner = web.AppRunner(Door(rpc, blocks, dice).app(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, HOST, given.port, reuse_address=True).start()
        asked_to_end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
        ending = asyncio.create_task(asked_to_end.wait())
        await asyncio.wait([mining, ending], return_when="FIRST_COMPLETED")
        ending.cancel()
        await runner.cleanup()
        mining.cancel()
        with suppress(asyncio.CancelledError):
            await mining  # a fault of ours ends the process loudly


if __name__ == "__main__":
    main()
