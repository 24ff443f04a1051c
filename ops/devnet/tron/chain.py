"""One branch of the chain: admits transactions, makes blocks, becomes solid, and can be forked.

Transactions of the pool are executed on top of the head when they come, and once more when a block is made: a node's
answers include what it has only in its pool, as java-tron's do.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ops.devnet.tron.block import Block, Entry
from ops.devnet.tron.execution import check_form, execute
from ops.devnet.tron.genesis import first_block
from ops.devnet.tron.ledger import Ledger, Moment
from ops.devnet.tron.parameters import LIFETIME_MAX_MS, MAX_RESULT_BYTES, TRANSACTION_MAX_BYTES
from ops.devnet.tron.pool import Pool, Waiting
from ops.devnet.tron.transaction import Record, Refusal, Transaction
from ops.devnet.tron.wire import WireError
from ops.devnet.tron.world import Before, Key, Past, World

log = logging.getLogger("strongroom.tron_node")

TAPOS_BLOCKS = 65_536
UNDO_BLOCKS = 128  # how far back the node can be asked for balances, and the deepest fork
HISTORY_BLOCKS = 70_000  # older blocks are forgotten


@dataclass(frozen=True, slots=True)
class Pace:
    """How the chain goes: the length of a slot, and how many blocks it takes to become solid."""

    slot_ms: int = 3_000
    solid_lag: int = 19


class Chain:
    """Blocks, the world at the head, and the pool."""

    def __init__(self, world: World, blocks: list[Block], pace: Pace) -> None:
        self.world = world
        self.blocks = blocks
        self.pace = pace
        self.genesis = first_block()  # known to every node, whatever else it has forgotten
        self.pool = Pool()
        self.solid_number = max(blocks[0].number, blocks[-1].number - pace.solid_lag)
        self.is_minority = False  # then nothing becomes solid
        self.forks = 0
        self._before: dict[int, Before] = {}
        self._index = {entry.tx.id: block.number for block in blocks for entry in block.entries}
        self._voted: dict[Key, Any] = {}

    # ------------------------------------------------------------ looking
    @property
    def head(self) -> Block:
        return self.blocks[-1]

    @property
    def solid(self) -> Block:
        found = self.block(self.solid_number)
        return found if found is not None else self.blocks[0]

    def block(self, number: int) -> Block | None:
        at = number - self.blocks[0].number
        if 0 <= at < len(self.blocks):
            return self.blocks[at]
        return self.genesis if number == 0 else None

    def block_of(self, txid: bytes) -> Block | None:
        """The block that holds a transaction."""
        number = self._index.get(txid)
        return None if number is None else self.block(number)

    def past(self, number: int) -> Past:
        """The world after block `number`; as far back as is known for older ones."""
        undone = [self._before[n] for n in range(number + 1, self.head.number + 1) if n in self._before]
        return Past(self.world, [*undone, self.world.pending()])

    def now(self) -> Ledger:
        """The world with the pool on top; to look at."""
        return Ledger(self.world, self._moment(self.head))

    def vote(self, changes: dict[Key, Any]) -> None:
        """Cells that the witnesses change with the next block."""
        self._voted |= changes

    # ------------------------------------------------------------ admitting
    def check(self, tx: Transaction) -> None:
        """Whether the next block may hold a transaction, apart from what it does. Raises Refusal."""
        try:
            check_form(tx)
        except WireError as error:
            raise Refusal("OTHER_ERROR", f"Error: {error}") from error
        self._check_lifetime(tx)
        if len(tx.to_bytes()) + 2 * MAX_RESULT_BYTES > TRANSACTION_MAX_BYTES:
            raise Refusal("TOO_BIG_TRANSACTION_ERROR", "Transaction size is too big.")
        if tx.id in self._index or self.pool.find(tx.id):
            raise Refusal("DUP_TRANSACTION_ERROR", "Dup transaction.")

    def try_out(self, tx: Transaction) -> Record:
        """Executes a transaction on top of the head and the pool. Raises Refusal."""
        self.check(tx)
        return execute(Ledger(self.world, self._moment(self.head)), tx)

    def admit(self, tx: Transaction, now_ms: int, hold_blocks: int = 0) -> None:
        """Into the pool. Raises Refusal."""
        self.try_out(tx)
        self.pool.add(Waiting(tx, now_ms, self.head.number + 1 + hold_blocks))

    def admit_and_lose(self, tx: Transaction) -> None:
        """Found good, and thrown away. Raises Refusal."""
        mark = self.world.mark()
        self.try_out(tx)
        self.world.back_to(mark)
        self.pool.lose(tx)

    def _check_lifetime(self, tx: Transaction) -> None:
        block = self._referenced(tx)
        if block is None or block.ref_hash != tx.message.get("ref_block_hash", b""):
            raise Refusal("TAPOS_ERROR", "Tapos check error.")
        next_ms, head_ms = self.head.time_ms + self.pace.slot_ms, self.head.time_ms
        if not next_ms <= tx.expiration_ms <= head_ms + LIFETIME_MAX_MS:
            raise Refusal("TRANSACTION_EXPIRATION_ERROR", "Transaction expired")

    def _referenced(self, tx: Transaction) -> Block | None:
        """Two bytes name one of the last 65,536 blocks."""
        low = int.from_bytes(tx.message.get("ref_block_bytes", b""), "big") % TAPOS_BLOCKS
        number = self.head.number // TAPOS_BLOCKS * TAPOS_BLOCKS + low
        return self.block(number if number <= self.head.number else number - TAPOS_BLOCKS)

    # ------------------------------------------------------------ making blocks
    def mine(self, time_ms: int) -> Block:
        """The next block, at `time_ms` or one slot after the head if that is later."""
        parent = self.head
        at_ms = max(parent.time_ms + self.pace.slot_ms, time_ms // self.pace.slot_ms * self.pace.slot_ms)
        moment = Moment(parent.number + 1, at_ms, self.pace.slot_ms)
        self.world.back_to(0)
        for key, value in self._voted.items():
            self.world.put(key, value)
        self._voted.clear()
        entries, kept = self._fill(self.pool.take_all(), moment)
        self._append(Block.seal(moment.number, parent.id, at_ms, self.pace.slot_ms, entries), self.world.seal())
        self._repush(kept, at_ms)
        self.pool.forget_expired(at_ms)
        return self.head

    def _fill(self, rows: Sequence[Waiting], moment: Moment) -> tuple[list[Entry], list[Waiting]]:
        entries: list[Entry] = []
        kept: list[Waiting] = []
        for row in rows:
            if row.not_before > moment.number:
                kept.append(row)
                continue
            try:
                self.check(row.tx)
                entries.append(Entry(row.tx, execute(Ledger(self.world, moment), row.tx)))
            except Refusal as refusal:
                log.info("%s is in no block: %s", row.tx.id.hex(), refusal.code)
                self.pool.lose(row.tx)
        return entries, kept

    def _append(self, block: Block, before: Before) -> None:
        self.blocks.append(block)
        self._before[block.number] = before
        self._before.pop(block.number - UNDO_BLOCKS, None)
        self._index |= {entry.tx.id: block.number for entry in block.entries}
        if not self.is_minority:
            self.solid_number = max(self.solid_number, block.number - self.pace.solid_lag)

    def _repush(self, rows: Iterable[Waiting], now_ms: int) -> None:
        """What no block has taken is tried again on the new head; what has waited for a minute is let go."""
        for row in rows:
            try:
                if Pool.is_stale(row, now_ms):
                    raise Refusal("OTHER_ERROR", "waited too long")
                self.try_out(row.tx)
                self.pool.add(row)
            except Refusal as refusal:
                log.info("%s has left the pool: %s", row.tx.id.hex(), refusal)
                self.pool.lose(row.tx)

    # ------------------------------------------------------------ forks
    @property
    def deepest_fork(self) -> int:
        """How many blocks may still be replaced."""
        return min(self.head.number - self.solid_number, len(self._before))

    def fork(self, depth: int, loses: bool = False) -> list[Block]:
        """The last `depth` blocks are replaced by a longer branch, whose first block comes a slot later; returns it.

        Their transactions go back into the pool, as java-tron does when it switches, or are lost. Raises ValueError for
        blocks that are solid.
        """
        if not 0 < depth <= self.deepest_fork:
            raise ValueError(f"at most {self.deepest_fork} blocks can be replaced now")
        replaced = self.blocks[-depth]
        waiting = [*self._undo(depth), *self.pool.take_all()]
        for row in waiting:
            if loses:
                self.pool.lose(row.tx)
        self._repush(() if loses else map(Pool.released, waiting), self.head.time_ms)
        self.forks += 1
        slots = 3 if replaced.time_ms == self.head.time_ms + 2 * self.pace.slot_ms else 2
        first = self.mine(self.head.time_ms + slots * self.pace.slot_ms)
        return [first, *(self.mine(0) for _ in range(depth))]

    def adopt(self, other: "Chain") -> list[Block]:
        """Switches to a branch that has won; what only this one held goes back into the pool. Returns its new blocks.

        Raises ValueError when solid blocks would be replaced.
        """
        shared = self.head.number
        while not self._agrees(other, shared):
            shared -= 1
        if shared < self.solid_number:
            raise ValueError("that branch would replace solid blocks")
        waiting = [*self._undo(self.head.number - shared), *self.pool.take_all()]
        won = [block for block in other.blocks if block.number > shared]
        self.blocks, self.world, self._before, self._index = other.blocks, other.world, other._before, other._index
        self.solid_number, self.is_minority = max(self.solid_number, other.solid_number), False
        self.pool.waiting = dict(other.pool.waiting)
        self.forks += 1
        fresh = [row for row in waiting if row.tx.id not in self._index and row.tx.id not in self.pool.waiting]
        self._repush(map(Pool.released, fresh), self.head.time_ms)
        return won

    def copy(self) -> "Chain":
        """The same chain on another node, from here on for itself."""
        twin = Chain(self.world.copy(), list(self.blocks), self.pace)
        twin.solid_number, twin._before, twin.pool = self.solid_number, dict(self._before), self.pool.copy()
        twin._index, twin._voted = dict(self._index), dict(self._voted)
        twin._repush(twin.pool.take_all(), twin.head.time_ms)
        return twin

    def restore(self, block: Block, changes: dict[Key, Any]) -> None:
        """Puts a block that is known already, and the cells it left, on the head."""
        for key, value in changes.items():
            self.world.put(key, value)
        self._append(block, self.world.seal())

    def back_before(self, number: int) -> None:
        """Forgets block `number` and what came after it."""
        self._undo(self.head.number - number + 1)

    def changes(self, number: int) -> dict[Key, Any]:
        """The cells that block `number`, the head or one that can be undone, has left."""
        past = self.past(number)
        return {key: past.get(key) for key in self._before[number]}

    def prune(self) -> None:
        """Forgets blocks that are older than any rule looks back."""
        for block in self.blocks[: max(0, len(self.blocks) - HISTORY_BLOCKS)]:
            for entry in block.entries:
                self._index.pop(entry.tx.id, None)
        del self.blocks[: max(0, len(self.blocks) - HISTORY_BLOCKS)]

    def _agrees(self, other: "Chain", number: int) -> bool:
        mine, theirs = self.block(number), other.block(number)
        return mine is not None and theirs is not None and mine.id == theirs.id

    def _undo(self, depth: int) -> list[Waiting]:
        self.world.back_to(0)
        waiting: list[Waiting] = []
        for _ in range(depth):
            block = self.blocks.pop()
            self.world.unseal(self._before.pop(block.number))
            for entry in block.entries:
                del self._index[entry.tx.id]
            waiting = [*(Waiting(entry.tx, block.time_ms) for entry in block.entries), *waiting]
        return waiting

    def _moment(self, block: Block) -> Moment:
        return Moment(block.number + 1, block.time_ms, self.pace.slot_ms)
