"""The chain as one node tells it: how far it has come, what it still remembers."""

from ops.devnet.tron.block import Block, Entry
from ops.devnet.tron.chain import Chain
from ops.devnet.tron.faults import Faults
from ops.devnet.tron.ledger import Ledger, Moment, looking
from ops.devnet.tron.transaction import Transaction
from ops.devnet.tron.world import Past


class View:
    """One look at the chain, solid or not, through a node's faults."""

    def __init__(self, chain: Chain, faults: Faults, solid: bool) -> None:
        self.chain = chain
        self._faults = faults
        self._solid = solid

    @property
    def head(self) -> Block:
        """The newest block that this look may show."""
        return self.solid if self._solid else self._at(self.chain.head.number)

    @property
    def newest(self) -> Block:
        """The head of the node, solid look or not."""
        return self._at(self.chain.head.number)

    @property
    def solid(self) -> Block:
        return self._at(self.chain.solid_number)

    def block(self, number: int) -> Block | None:
        """None above the head, and below what the node remembers; block 0 is never forgotten."""
        is_known = number == 0 or self._oldest() <= number
        return self.chain.block(number) if is_known and number <= self.head.number else None

    def block_by_id(self, id_: bytes) -> Block | None:
        found = self.block(int.from_bytes(id_[:8], "big"))
        return found if found is not None and found.id == id_ else None

    def entry(self, txid: bytes) -> tuple[Block, Entry] | None:
        """A transaction that is in a block."""
        block = self.chain.block_of(txid)
        if block is None or self.block(block.number) is None:
            return None
        return block, next(entry for entry in block.entries if entry.tx.id == txid)

    def waiting(self) -> list[Transaction]:
        """The pool; a node that lags, and a solid look, have none."""
        if self._solid or self._faults.stale_head:
            return []
        return [row.tx for row in self.chain.pool.waiting.values()]

    def past(self) -> Past:
        """The world behind this look; the full node's includes its pool."""
        if not self._solid and not self._faults.stale_head:
            return Past(self.chain.world, [])
        return self.chain.past(self.head.number)

    def ledger(self) -> Ledger:
        """The same with types; what is written to it is forgotten."""
        head = self.head
        return looking(self.past(), Moment(head.number + 1, head.time_ms, head.slot_ms))

    def _at(self, number: int) -> Block:
        found = self.chain.block(number - self._faults.stale_head)
        return found if found is not None else self.chain.blocks[0]

    def _oldest(self) -> int:
        return 0 if self._faults.lite is None else self.newest.number - self._faults.lite
