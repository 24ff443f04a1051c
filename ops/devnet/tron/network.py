"""The network behind the two nodes: makes the blocks, obeys orders, keeps the chain on disk.

With a block time, a block comes at that pace while anything moves and for a while after, then every third second, as on
the real network. With a block time of 0 each transaction gets its block at once, and enough empty ones follow to make
it solid.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from ops.devnet.pace import disturbed
from ops.devnet.tron.block import Block
from ops.devnet.tron.chain import Chain, Pace
from ops.devnet.tron.faults import Dice, NodeName, Order
from ops.devnet.tron.genesis import USDT
from ops.devnet.tron.keys import address_of
from ops.devnet.tron.store import Store
from ops.devnet.tron.transaction import Refusal, Transaction

log = logging.getLogger("strongroom.tron_node")

IDLE_BLOCK_S = 3.0
LIVELY_BLOCKS = 64  # after the last transaction, before the chain slows down
HALTED_PAUSE_S = 0.2


class Unfit(Exception):
    """An order that cannot be obeyed now."""


class Clock:
    """The chain's time: the machine's, with a skew, and never behind the head. What forks and skipped slots took from
    the future is given back: time stands still until the machine's has caught up.
    """

    def __init__(self) -> None:
        self.skew_ms = 0
        self._least_ms = 0

    def now_ms(self) -> int:
        return max(self._machine_ms() + self.skew_ms, self._least_ms)

    def at_least(self, time_ms: int) -> None:
        self._least_ms = max(self._least_ms, time_ms)

    @property
    def ahead_s(self) -> float:
        """Of the machine's time."""
        return (self.now_ms() - self._machine_ms()) / 1000

    @staticmethod
    def _machine_ms() -> int:
        return time.time_ns() // 1_000_000


class Network:
    """One chain, or two branches of it, and two nodes that look at it."""

    def __init__(self, store: Store, pace: Pace, block_s: float, skew_s: float = 0, seed: int | None = None) -> None:
        self.clock = Clock()
        self.clock.skew_ms = round(skew_s * 1000)
        self.dice: dict[str, Dice] = {"a": Dice(seed), "b": Dice(None if seed is None else seed + 1)}
        self._store = store
        self._block_s = block_s
        self._chain = store.load(pace)
        self._branch: Chain | None = None  # where b is while the chain is split
        self._trail = pace.solid_lag + 2 if block_s == 0 else LIVELY_BLOCKS
        self._quiet_blocks = 0
        self._last_block_at = 0.0
        self._moved = asyncio.Event()
        self._begin(pace)

    # ------------------------------------------------------------ what the nodes ask for
    def chain(self, node: NodeName) -> Chain:
        """The branch that a node is on."""
        return self._branch if node == "b" and self._branch is not None else self._chain

    @property
    def is_split(self) -> bool:
        return self._branch is not None

    def send(self, node: NodeName, tx: Transaction) -> None:
        """A broadcast, with the faults of the node it came to. Raises Refusal."""
        chain, dice, now_ms = self.chain(node), self.dice[node], self.clock.now_ms()
        if chain.pool.was_offered(tx.id, now_ms) and dice.faults.dup_cache:
            dice.count("dup_cache")
            raise Refusal("DUP_TRANSACTION_ERROR", "Transaction already exists.")
        if dice.strikes("drop"):
            chain.admit_and_lose(tx)
            return
        chain.admit(tx, chain.head.time_ms, dice.faults.hold_blocks)
        self._stir()
        if self._block_s == 0 and not dice.faults.halted:
            self._mine_all([chain])

    # ------------------------------------------------------------ orders
    def obey(self, node: NodeName, order: Order) -> None:
        """Raises Unfit, with everything before the unfit part done."""
        self.dice[node].obey(order)
        chain = self.chain(node)
        if order.time_skew_s is not None:
            self.clock.skew_ms = round(order.time_skew_s * 1000)
            self.clock.at_least(chain.head.time_ms)
        self._vote(order)
        if order.release:
            self._release(chain)
        if order.split is not None:
            self._split(order.split, order.majority)
        if order.heal is not None:
            self._heal(order.heal)
        if order.fork is not None:
            self._fork(node, order.fork, order.fork_loses)
        for at in range(order.mine):
            self._mine_all(self._branches(), order.skip_slots if at == 0 else 0)
        self._stir()

    def _vote(self, order: Order) -> None:
        for chain in {id(row): row for row in (self._chain, self._branch or self._chain)}.values():
            chain.vote({("parameter", name): value for name, value in order.parameters.items()})
            usdt = chain.now().contract(address_of(USDT))
            if order.energy_factor is not None and usdt is not None:
                chain.vote({("contract", address_of(USDT)): replace(usdt, factor=order.energy_factor)})

    def _release(self, chain: Chain) -> None:
        for tx in list(chain.pool.lost.values()):
            try:
                chain.admit(tx, chain.head.time_ms)
            except Refusal as refusal:
                log.info("%s stays lost: %s", tx.id.hex(), refusal.code)
        self._stir()

    def _split(self, depth: int, majority: NodeName) -> None:
        if self._branch is not None:
            raise Unfit("the chain is split already")
        branch = self._chain.copy()
        if depth:
            self._try_fork(branch, depth, loses=False)
        else:
            branch.mine(branch.head.time_ms + 2 * branch.pace.slot_ms)  # other slots, so other blocks from here on
        self._branch = branch
        self._chain.is_minority, branch.is_minority = majority == "b", majority == "a"
        self.clock.at_least(branch.head.time_ms)

    def _heal(self, winner: NodeName) -> None:
        if self._branch is None:
            raise Unfit("the chain is not split")
        branch = self._branch
        try:
            if winner == "b":
                self._store.add(self._chain, self._chain.adopt(branch))
            else:
                branch.adopt(self._chain)  # what only b knew comes to everybody
                branch.pool.lost |= self._chain.pool.lost
                self._chain = branch
        except ValueError as error:
            raise Unfit(str(error)) from error
        self._branch = None

    def _fork(self, node: NodeName, depth: int, loses: bool) -> None:
        chain = self.chain(node)
        blocks = self._try_fork(chain, depth, loses)
        self._keep(chain, blocks)
        self.clock.at_least(chain.head.time_ms)

    @staticmethod
    def _try_fork(chain: Chain, depth: int, loses: bool) -> list[Block]:
        try:
            return chain.fork(depth, loses)
        except ValueError as error:
            raise Unfit(str(error)) from error

    # ------------------------------------------------------------ the life of the chain
    async def run(self) -> None:
        """Makes blocks until cancelled."""
        while True:
            if not self._running():
                await asyncio.sleep(HALTED_PAUSE_S)
            elif not await self._pause():
                self._mine_all(self._running())

    def save(self) -> None:
        """Saves the chain, for an orderly end."""
        self._store.save(self._chain)
        self._store.close()

    def _begin(self, pace: Pace) -> None:
        """A new chain starts with as many blocks as it takes to have a solid one; all end at the present."""
        self.clock.at_least(self._chain.head.time_ms)
        if self._chain.head.number == 0:
            now_ms = self.clock.now_ms()
            for left in range(pace.solid_lag + 1, -1, -1):
                self._keep(self._chain, [self._chain.mine(now_ms - left * pace.slot_ms)])
            self.clock.at_least(self._chain.head.time_ms)
        self._last_block_at = time.monotonic()

    async def _pause(self) -> bool:
        """Waits until the next block is due. True when something happened meanwhile: it has to be asked anew."""
        lively = len(self._chain.pool) > 0 or self._quiet_blocks < self._trail or self.is_split
        pace_s = self._block_s if lively else max(IDLE_BLOCK_S, self._block_s)
        return await disturbed(self._moved, self._last_block_at + pace_s)

    def _branches(self) -> list[Chain]:
        return [self._chain] if self._branch is None else [self._chain, self._branch]

    def _running(self) -> list[Chain]:
        """The branches whose nodes make blocks by themselves."""
        return [row for row, name in zip(self._branches(), "ab", strict=False) if not self.dice[name].faults.halted]

    def _mine_all(self, chains: Sequence[Chain], skip_slots: int = 0) -> None:
        """One block on each of these branches."""
        self._last_block_at = time.monotonic()
        busy = False
        for chain in chains:
            skipped_to = chain.head.time_ms + (1 + skip_slots) * chain.pace.slot_ms if skip_slots else 0
            block = chain.mine(max(self.clock.now_ms(), skipped_to))
            self._keep(chain, [block])
            self.clock.at_least(block.time_ms)
            busy |= bool(block.entries)
        self._quiet_blocks = 0 if busy else self._quiet_blocks + 1

    def _keep(self, chain: Chain, blocks: Sequence[Block]) -> None:
        if chain is self._chain:
            self._store.add(chain, blocks)

    def _stir(self) -> None:
        """Something was sent: the chain is lively again."""
        self._quiet_blocks = 0
        self._moved.set()
