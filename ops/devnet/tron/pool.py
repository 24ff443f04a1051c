"""Transactions that are in no block yet. The pool lives in memory: a node that ends forgets it, as java-tron does."""

from dataclasses import dataclass, replace

from ops.devnet.tron.transaction import Transaction

STAY_MS = 60_000  # node.pendingTransactionTimeout: then it is thrown out, valid or not
DUP_CACHE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """One transaction in the pool: since when, and the first block that may hold it."""

    tx: Transaction
    since_ms: int
    not_before: int = 0


class Pool:
    """Waiting transactions in the order they came, those that were lost, and the ids that were ever offered."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, Waiting] = {}
        self.lost: dict[bytes, Transaction] = {}
        self._offered: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, row: Waiting) -> None:
        self.waiting[row.tx.id] = row
        self.lost.pop(row.tx.id, None)

    def find(self, txid: bytes) -> Transaction | None:
        row = self.waiting.get(txid)
        return row.tx if row else None

    def lose(self, tx: Transaction) -> None:
        """Thrown away without a word to whoever sent it; it is still valid until it expires."""
        self.waiting.pop(tx.id, None)
        self.lost[tx.id] = tx

    def forget_expired(self, now_ms: int) -> None:
        """What was lost and can be in no block any more."""
        self.lost = {key: tx for key, tx in self.lost.items() if tx.expiration_ms >= now_ms}

    def take_all(self) -> list[Waiting]:
        rows = list(self.waiting.values())
        self.waiting.clear()
        return rows

    def was_offered(self, txid: bytes, now_ms: int) -> bool:
        """Whether the id was offered within the last hour; from now on it was (node.rpc.trxCacheEnable)."""
        while self._offered and now_ms - next(iter(self._offered.values())) >= DUP_CACHE_MS:
            del self._offered[next(iter(self._offered))]  # they stand in the order they came
        known = txid in self._offered
        self._offered.setdefault(txid, now_ms)
        return known

    def copy(self) -> "Pool":
        twin = Pool()
        twin.waiting, twin.lost, twin._offered = dict(self.waiting), dict(self.lost), dict(self._offered)
        return twin

    @staticmethod
    def is_stale(row: Waiting, now_ms: int) -> bool:
        return now_ms - row.since_ms > STAY_MS

    @staticmethod
    def released(row: Waiting) -> Waiting:
        """The same, free to go into any block."""
        return replace(row, not_before=0)
