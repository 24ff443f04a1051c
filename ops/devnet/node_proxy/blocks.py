"""Makes the blocks, and keeps the pool and the node in step: the only place where a transaction reaches the node.

With a block time, a block comes at that pace while anything moves and for a while after, then every 12 s as on the real
network. With a block time of 0 each transaction is mined at once, and enough empty blocks follow to make it final.
"""

import asyncio
import logging
from contextlib import suppress
from time import monotonic
from typing import Any

from ops.devnet.node_proxy.faults import Dice
from ops.devnet.node_proxy.journal import Journal
from ops.devnet.node_proxy.node import Node, NodeDown, Refusal
from ops.devnet.node_proxy.pool import Account, Chain, Pool
from ops.devnet.node_proxy.rules import Rules
from ops.devnet.node_proxy.transaction import Transaction
from ops.devnet.node_proxy.words import Rejected, nonce_too_low
from ops.devnet.pace import disturbed

log = logging.getLogger("strongroom.node_proxy")

IDLE_BLOCK_S = 12.0
LIVELY_BLOCKS = 64  # after the last transaction, before the chain slows down
INSTANT_TRAIL_PAUSE_S = 0.01
RETRY_S = 0.2
CATCH_UP_BATCH = 200
NOT_YET = ("max fee per gas less than block base fee",)
KNOWN = ("transaction already imported",)


class Blocks:
    """The chain behind the proxy: admits transactions, mines, survives the node's restarts."""

    def __init__(
        self, node: Node, pool: Pool, journal: Journal, dice: Dice, block_s: float, epoch_slots: int, rules: Rules
    ) -> None:
        self.node = node
        self.rules = rules
        self.pool = pool
        self.journal = journal
        self.head = 0
        self.recoveries = 0
        self._dice = dice
        self._block_s = block_s
        self._trail = 2 * epoch_slots + 1 if block_s == 0 else LIVELY_BLOCKS
        self._chain: Chain | None = None
        self._lock = asyncio.Lock()
        self._moved = asyncio.Event()
        self._up = asyncio.Event()
        self._quiet_blocks = 0
        self._last_block_at = 0.0
        self._unsaved_blocks = False

    # ------------------------------------------------------------ what the door asks for
    async def send(self, tx: Transaction) -> None:
        """Admits a transaction by geth's rules and offers it to the node. Raises Rejected or NodeDown."""
        async with self._lock:
            await self._wait_up()
            account = await self.account(tx.sender)
            replaced = self.pool.admit(tx, account, await self._facts())
            if replaced is not None:
                await self.node.calls([("anvil_dropTransaction", (replaced.hash,))])
            try:
                await self._offer(tx.sender, account.nonce, raise_for=tx)
            except Rejected:
                self.pool.forget(tx)
                if replaced is not None:
                    self.pool.restore(replaced)
                raise
            if self.pool.find(tx.hash):
                self.journal.add(tx)
            if self._block_s == 0 and not self._dice.faults.hold_blocks:
                await self._mine()
        self.stir()

    async def account(self, address: str) -> Account:
        """A sender at the head. Raises NodeDown."""
        asked = await self.node.calls(
            [("eth_getTransactionCount", (address, "latest")), ("eth_getBalance", (address, "latest"))]
        )
        nonce, balance = (_number(value) for value in asked)
        return Account(nonce, balance)

    async def pending_nonce(self, address: str) -> int:
        """The next nonce counting what waits in the pool without a gap. Raises NodeDown."""
        account = await self.account(address)
        return account.nonce + len(self.pool.executable(address, account.nonce))

    async def forget(self) -> None:
        """Whatever waits is gone from the pool and from the node, as after a restart without a journal. Raises NodeDown
        or Refusal.
        """
        async with self._lock:
            for sender in self.pool.senders():
                nonce = (await self.account(sender)).nonce
                for tx in (*self.pool.executable(sender, nonce), *self.pool.queued(sender, nonce)):
                    self.pool.forget(tx)
                    self.journal.unsaved.pop((tx.sender, tx.nonce), None)
                    await self.node.calls([("anvil_dropTransaction", (tx.hash,))])

    async def reorg(self, *params: Any) -> Any:
        """Blocks replaced as `anvil_reorg` does it, and none made meanwhile: anvil would lose some of both. Raises
        NodeDown or Refusal.
        """
        async with self._lock:
            done = await self.node.call("anvil_reorg", *params)
        self.touched()
        return done

    def stir(self) -> None:
        """Something was sent: the chain is lively again."""
        self._quiet_blocks = 0
        self._moved.set()

    def touched(self) -> None:
        """The chain was changed without a transaction: the next snapshot has to hold it."""
        self._unsaved_blocks = True
        self.stir()

    def lost(self) -> None:
        """The node did not answer: nothing is believed of it until it has been brought back to where it was."""
        self._up.clear()
        self._moved.set()

    # ------------------------------------------------------------ the life of the chain
    async def run(self) -> None:
        """Makes blocks until cancelled; an absent node is waited for, and brought up to date when it is back."""
        watching = asyncio.create_task(self._watch())
        try:
            await self._make_blocks()
        finally:
            watching.cancel()

    async def _make_blocks(self) -> None:
        while True:
            try:
                if not self._up.is_set():
                    await self._recover()
                if self._dice.faults.hold_blocks:
                    await asyncio.sleep(RETRY_S)
                elif not await self._pause():
                    await self.tick()
            except (NodeDown, Refusal) as error:
                if self._up.is_set():
                    log.warning("the node is gone: %s", error)
                self._up.clear()
                await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        """Notices at once when the node ends, so that nobody reads from a node that has just come back too young."""
        while True:
            try:
                reader, writer = await self.node.connect()
            except OSError:
                self.lost()
                await asyncio.sleep(RETRY_S)
                continue
            with suppress(OSError):
                await reader.read()
            writer.close()

    async def save(self) -> None:
        """Saves the chain now, for an orderly end. Raises NodeDown or Refusal."""
        async with self._lock:
            await self.journal.snapshot(self.node)

    async def tick(self) -> None:
        """One block with whatever of the pool may be in it; a snapshot when one is due. Raises NodeDown or Refusal."""
        async with self._lock:
            for sender in self.pool.senders():
                await self._offer(sender, (await self.account(sender)).nonce)
            if self._block_s == 0 and not len(self.pool):
                await self._mine_empty(self._trail - 1)  # all of them in one go: what was sent becomes final
                self._quiet_blocks += self._trail - 1
            mined = await self._mine()
            self._quiet_blocks = 0 if mined else self._quiet_blocks + 1
            self._unsaved_blocks |= mined > 0
            if self._unsaved_blocks and self.journal.is_due:
                await self.journal.snapshot(self.node)
                self._unsaved_blocks = False

    async def _pause(self) -> bool:
        """Waits until the next block is due. True when something happened meanwhile: it has to be asked anew."""
        lively = len(self.pool) > 0 or self._quiet_blocks < self._trail
        pace = (self._block_s or INSTANT_TRAIL_PAUSE_S) if lively else IDLE_BLOCK_S
        return await disturbed(self._moved, self._last_block_at + pace)

    async def _mine(self) -> int:
        """One block; returns how many of the pool's transactions the chain has passed with it."""
        await self.node.call("evm_mine")
        self._last_block_at = monotonic()
        senders = self.pool.senders()
        requests: list[tuple[str, tuple[Any, ...]]] = [("eth_getBlockByNumber", ("latest", False))]
        requests += [("eth_getTransactionCount", (sender, "latest")) for sender in senders]
        block, *nonces = await self.node.calls(requests)
        if isinstance(block, Refusal):
            raise block
        self.head = int(block["number"], 16)
        self.journal.grew_to(self.head)
        passed = [self.pool.forget_below(s, _number(n)) for s, n in zip(senders, nonces, strict=True)]
        self._unsaved_blocks |= bool(block["transactions"])
        return max(len(block["transactions"]), sum(map(len, passed)))

    async def _mine_empty(self, count: int) -> None:
        for answer in await self.node.calls([("evm_mine", ())] * count):
            if isinstance(answer, Refusal):
                raise answer

    async def _offer(self, sender: str, next_nonce: int, raise_for: Transaction | None = None) -> None:
        """Gives the node what may be in its next block. What is too cheap for now waits, and so does all behind it."""
        ready = self.pool.executable(sender, next_nonce)
        answers = await self.node.calls([("eth_sendRawTransaction", (tx.raw,)) for tx in ready])
        for tx, answer in zip(ready, answers, strict=True):
            if not isinstance(answer, Refusal) or any(word in str(answer) for word in (*KNOWN, *NOT_YET)):
                continue
            if raise_for is not None and tx.hash == raise_for.hash:
                raise Rejected(nonce_too_low(next_nonce, tx.nonce) if "nonce too low" in str(answer) else str(answer))
            log.warning("the node does not take %s: %s", tx.hash, answer)

    async def _recover(self) -> None:
        """Brings a node that was away back to where the chain was: journal first, then the missing height."""
        async with self._lock:
            self.head = int(await self.node.call("eth_blockNumber"), 16)
            self._chain = None
            for tx in self.journal.unsaved.values():
                self.pool.restore(tx)
            for sender in self.pool.senders():
                account = await self.account(sender)
                self.pool.forget_below(sender, account.nonce)
                await self._offer(sender, account.nonce)
            for done in range(self.head, self.journal.height, CATCH_UP_BATCH):
                await self._mine_empty(min(self.journal.height - done, CATCH_UP_BATCH))
            await self._mine()
            self.recoveries += 1
            self._quiet_blocks = 0
            self._up.set()
            log.info("the node is at block %d", self.head)

    async def _wait_up(self) -> None:
        if not self._up.is_set():
            raise NodeDown("the node is being brought back")

    async def _facts(self) -> Chain:
        if self._chain is None:
            chain_id, block = await self.node.calls([("eth_chainId", ()), ("eth_getBlockByNumber", ("latest", False))])
            if isinstance(block, Refusal):
                raise block
            self._chain = Chain(_number(chain_id), int(block["gasLimit"], 16), self.rules)
        return self._chain

    async def wait_up(self, timeout_s: float) -> None:
        """Returns when the node can be believed. Raises NodeDown."""
        try:
            await asyncio.wait_for(self._up.wait(), timeout_s)
        except TimeoutError:
            raise NodeDown("the node is away") from None


def _number(value: Any) -> int:
    if isinstance(value, Refusal):
        raise value
    return int(value, 16)
