"""Makes the blocks, obeys orders about the chain, and remembers every transaction that came through the door.

With a block time, a block comes at that pace while anything moves and for a while after, then rarely. With a block time
of 0 each transaction is mined at once, and enough empty blocks follow to bury it.
"""

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal
from time import monotonic, time
from typing import Any

from ops.devnet.bitcoin.faults import Dice, Order
from ops.devnet.bitcoin.regtest import Regtest
from ops.devnet.bitcoin.rpc import NodeDown, RpcError, sats
from ops.devnet.bitcoin.swaps import Memory, Offered, swapped
from ops.devnet.pace import disturbed

log = logging.getLogger("strongroom.bitcoin_proxy")

IDLE_BLOCK_S = 30.0
LIVELY_BLOCKS = 16  # after the last transaction, before the chain slows down
BURIED_BLOCKS = 6  # empty ones after each transaction when the block time is 0
HALTED_PAUSE_S = 0.2
RETRY_S = 0.1
MEMPOOL_LIFE_S = 15 * 24 * 3600  # a day more than Bitcoin Core keeps a transaction that nobody mines


class Blocks:
    """The chain behind the door. One thing happens to it at a time."""

    def __init__(self, regtest: Regtest, dice: Dice, block_s: float) -> None:
        self.regtest = regtest
        self.made = 0
        self.forks = 0
        self.saved = 0  # the height that the node keeps even when it is killed
        self._dice = dice
        self._block_s = block_s
        self._memory = Memory()
        self._lock = asyncio.Lock()
        self._moved = asyncio.Event()
        self._up = asyncio.Event()
        self._quiet_blocks = 0
        self._last_block_at = 0.0

    # ------------------------------------------------------------ what the door asks for
    def remember(self, txid: str, raw: str, spends: frozenset[tuple[str, int]]) -> None:
        """Keeps a transaction that was offered, so that it can be mined by name whatever becomes of it."""
        self._memory.remember(Offered(txid, raw, spends))

    async def taken(self) -> None:
        """The node took a transaction: with a block time of 0 it is mined before the sender has his answer."""
        self._stir()
        if self._block_s == 0 and not self._dice.faults.hold_blocks:
            async with self._lock:
                await self._mine(1)

    async def obey(self, order: Order) -> None:
        """What an order asks of the chain. Raises NodeDown; RpcError for what the chain cannot hold."""
        async with self._lock:
            if order.forget_mempool:
                await self._forget_mempool()
            if order.fork is not None:
                await self._fork(order.fork, order)
            if order.mine_exactly is not None:
                await self.regtest.mine_exactly(await self._all_raw(order.mine_exactly))
                await self._keep(1)
            if order.mine:
                await self._mine(order.mine)
        self._stir()

    def lost(self) -> None:
        """The node did not answer: it has to show that it is there again."""
        self._up.clear()
        self._moved.set()

    async def wait_up(self, timeout_s: float) -> None:
        """Returns when the node answers. Raises NodeDown."""
        try:
            await asyncio.wait_for(self._up.wait(), timeout_s)
        except TimeoutError:
            raise NodeDown("the node is away") from None

    # ------------------------------------------------------------ the life of the chain
    async def run(self) -> None:
        """Makes blocks until cancelled; an absent node is waited for. A new chain first gets the treasury's coins."""
        while True:
            try:
                if not self._up.is_set():
                    await self.regtest.enrich()
                    await self._keep(0)
                    self._up.set()
                if self._dice.faults.hold_blocks:
                    await asyncio.sleep(HALTED_PAUSE_S)
                elif not await self._pause():
                    async with self._lock:
                        await self._mine(1)
            except (NodeDown, RpcError) as error:
                if self._up.is_set():
                    log.warning("the node is gone: %s", error)
                self._up.clear()
                await asyncio.sleep(RETRY_S)

    async def _pause(self) -> bool:
        """Waits until the next block is due. True when something happened meanwhile: it has to be asked anew."""
        trail = BURIED_BLOCKS if self._block_s == 0 else LIVELY_BLOCKS
        lively = self._quiet_blocks < trail
        pace_s = self._block_s if lively else max(IDLE_BLOCK_S, self._block_s)
        return await disturbed(self._moved, self._last_block_at + pace_s)

    def _stir(self) -> None:
        """Something was sent: the chain is lively again."""
        self._quiet_blocks = 0
        self._moved.set()

    async def _mine(self, count: int) -> None:
        floor = self._dice.faults.block_fee_rate
        for _ in range(count):
            waiting = await self.regtest.rpc("getmempoolinfo")
            if floor is None:
                await self.regtest.mine(1)
            else:
                await self.regtest.mine_exactly(await self._paying(floor))
            self._quiet_blocks = 0 if waiting["size"] else self._quiet_blocks + 1
        await self._keep(count)

    async def _keep(self, count: int) -> None:
        self.made += count
        self._last_block_at = monotonic()
        height = await self.regtest.height()
        await self.regtest.flush()
        self.saved = height

    # ------------------------------------------------------------ orders
    async def _paying(self, floor: int) -> list[str]:
        """The transactions of the mempool that pay `floor` together with their ancestors, parents first."""
        pool: dict[str, Any] = await self.regtest.rpc("getrawmempool", True)
        taken: set[str] = set()
        for txid, row in pool.items():
            if rate(row["fees"]["ancestor"], row["ancestorsize"]) >= floor:
                taken |= {txid, *await self.regtest.rpc("getmempoolancestors", txid)}
        return sorted(taken, key=lambda txid: (pool[txid]["ancestorcount"], txid))

    async def _fork(self, depth: int, order: Order) -> None:
        branch: Sequence[Sequence[str]] | None = order.branch
        if branch is None:
            old = [] if order.fork_loses else await self._contents(depth)
            branch = swapped(old, self._memory) if order.fork_swaps else [[tx["hex"] for tx in block] for block in old]
        await self.regtest.reorganise(depth, [await self._all_raw(block) for block in branch])
        self.forks += 1
        await self._keep(depth + 1)

    async def _contents(self, depth: int) -> list[list[dict[str, Any]]]:
        """What the last blocks hold besides their coinbases, as the node decodes it."""
        top = await self.regtest.height()
        found = []
        for height in range(top - depth + 1, top + 1):
            block = await self.regtest.rpc("getblock", await self.regtest.rpc("getblockhash", height), 2)
            found.append(block["tx"][1:])
        return found

    async def _all_raw(self, named: Sequence[str]) -> list[str]:
        """Each as raw hex; an id that never came through this door is left for the node to know."""
        return [self._memory.raw(name) for name in named]

    async def _forget_mempool(self) -> None:
        """Lets everything in the mempool grow too old: there is no order for it, and no restart is needed so."""
        tip = await self.regtest.tip()
        await self.regtest.rpc("setmocktime", int(time()) + MEMPOOL_LIFE_S)
        try:
            await self.regtest.invalidate(tip)  # the node looks for what is too old after a change of the chain
            await self.regtest.reconsider(tip)
        finally:
            await self.regtest.rpc("setmocktime", 0)


def rate(fee: Decimal, vbytes: int) -> Decimal:
    """Satoshi per virtual byte."""
    return Decimal(sats(fee)) / vbytes
