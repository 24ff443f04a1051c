"""Runs the proxy: `python -m ops.devnet.node_proxy --port 17434 --node http://127.0.0.1:17433 --state-dir .state`."""

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from ops.devnet.anvil import SLOTS_IN_AN_EPOCH, ChainFolder
from ops.devnet.node_proxy.blocks import Blocks
from ops.devnet.node_proxy.door import Door
from ops.devnet.node_proxy.faults import Dice
from ops.devnet.node_proxy.journal import Journal
from ops.devnet.node_proxy.node import Node, NodeDown, Refusal
from ops.devnet.node_proxy.pool import Pool
from ops.devnet.node_proxy.view import View
from ops.devnet.ports import HOST


def main() -> None:
    """Serves until SIGTERM or SIGINT; saves the chain last."""
    words = argparse.ArgumentParser(prog="python -m ops.devnet.node_proxy", description=__doc__)
    words.add_argument("--port", type=int, required=True, help="port to serve on, on 127.0.0.1")
    words.add_argument("--node", required=True, help="address of the anvil behind")
    words.add_argument("--state-dir", type=Path, help="where the chain is kept; without it nothing is")
    words.add_argument("--block-time", type=float, default=1.0, help="seconds; 0 mines each transaction at once")
    words.add_argument("--epoch-slots", type=int, default=SLOTS_IN_AN_EPOCH, help="as anvil was told")
    words.add_argument("--seed", type=int, help="seed of the faults")
    given = words.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(given))


async def _serve(given: argparse.Namespace) -> None:
    node, dice = Node(given.node), Dice(given.seed)
    journal = Journal(ChainFolder(given.state_dir) if given.state_dir else None)
    journal.load()
    blocks = Blocks(node, Pool(), journal, dice, given.block_time, given.epoch_slots)
    door = Door(node, blocks, dice, View(node, given.epoch_slots))
    await node.open()
    mining = asyncio.create_task(blocks.run())
    runner = web.AppRunner(door.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, HOST, given.port, reuse_address=True).start()
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    await asyncio.wait([mining, ending := asyncio.create_task(asked_to_end.wait())], return_when="FIRST_COMPLETED")
    ending.cancel()
    await runner.cleanup()
    died = mining.done()
    mining.cancel()
    with suppress(asyncio.CancelledError):
        await mining  # a fault of ours ends the process loudly
    if not died:
        with suppress(NodeDown, Refusal):
            await blocks.save()
    await node.close()


if __name__ == "__main__":
    main()
