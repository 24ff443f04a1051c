"""Runs the proxy: `python -m ops.devnet.node_proxy --chain ethereum:17434:17433 --chain bsc:17452:17453`.

One process stands before the nodes of all EVM networks, each on a port of its own with pool, faults and journal of its
own; what their nodes insist on comes from the operator's rows.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from adapters.catalogue import FOLDER
from ops.devnet.anvil import ChainFolder, NodeFacts
from ops.devnet.node_proxy.blocks import Blocks
from ops.devnet.node_proxy.door import Door
from ops.devnet.node_proxy.faults import Dice
from ops.devnet.node_proxy.journal import Journal
from ops.devnet.node_proxy.node import Node, NodeDown, Refusal
from ops.devnet.node_proxy.pool import Pool
from ops.devnet.node_proxy.view import View
from ops.devnet.ports import HOST


class Chain(NamedTuple):
    """One node to stand before: its network, our port, its port."""

    network: str
    port: int
    node: int

    @classmethod
    def read(cls, text: str) -> "Chain":
        network, port, node = text.split(":")
        return cls(network, int(port), int(node))


def main() -> None:
    """Serves until SIGTERM or SIGINT; saves the chains last."""
    words = argparse.ArgumentParser(prog="python -m ops.devnet.node_proxy", description=__doc__)
    words.add_argument(
        "--chain",
        type=Chain.read,
        required=True,
        action="append",
        metavar="NETWORK:PORT:NODE",
        help="a network, the port to serve it on, and the port of the anvil behind; may be repeated",
    )
    words.add_argument("--state-dir", type=Path, help="where the chains are kept; without it nothing is")
    words.add_argument("--block-time", type=float, default=1.0, help="seconds; 0 mines each transaction at once")
    words.add_argument("--catalogue", type=Path, default=FOLDER, help="where networks.toml is")
    words.add_argument("--seed", type=int, help="seed of the faults")
    given = words.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(given, given.chain))


async def _serve(given: argparse.Namespace, chains: Sequence[Chain]) -> None:
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    async with AsyncExitStack() as opened:
        mining = [await opened.enter_async_context(_chain(chain, given)) for chain in chains]
        ending = asyncio.create_task(asked_to_end.wait())
        await asyncio.wait([*mining, ending], return_when="FIRST_COMPLETED")
        ending.cancel()


@asynccontextmanager
async def _chain(chain: Chain, given: argparse.Namespace) -> AsyncIterator["asyncio.Task[None]"]:
    """One chain behind its door, and the task that makes its blocks; a fault of ours in it ends the process loudly."""
    facts = NodeFacts.read(chain.network, given.catalogue)
    node, dice = Node(f"http://{HOST}:{chain.node}"), Dice(given.seed)
    journal = Journal(ChainFolder(given.state_dir, chain.network) if given.state_dir else None)
    journal.load()
    blocks = Blocks(node, Pool(), journal, dice, given.block_time, facts.epoch_slots, facts.rules)
    door = Door(node, blocks, dice, View(node, facts.epoch_slots))
    await node.open()
    mining = asyncio.create_task(blocks.run())
    runner = web.AppRunner(door.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, HOST, chain.port, reuse_address=True).start()
    yield mining
    await runner.cleanup()
    died = mining.done()
    mining.cancel()
    with suppress(asyncio.CancelledError):
        await mining
    if not died:
        with suppress(NodeDown, Refusal):
            await blocks.save()
    await node.close()


if __name__ == "__main__":
    main()
