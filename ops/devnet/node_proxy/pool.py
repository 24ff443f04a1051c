"""geth's transaction pool, as rules without any input or output (legacypool of go-ethereum 1.14 and newer).

Kept: replacement needs 10 % more on both prices; a transaction whose cap lies under the base fee stays and waits;
nonces after a gap wait in a queue; 16 executable and 64 queued places per account. geth promises 16 places and gives
more while there is room; this pool never has more room, so the seventeenth is refused as by a full one. Of more than 64
queued the highest nonces are let go without a word, as geth does. What other networks' nodes ask for besides is data.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.devnet.node_proxy import words
from ops.devnet.node_proxy.rules import Rules
from ops.devnet.node_proxy.transaction import Transaction
from ops.devnet.node_proxy.words import Rejected

PRICE_BUMP_PERCENT = 10
EXECUTABLE_PLACES = 16
QUEUED_PLACES = 64
RPC_FEE_CAP_WEI = 10**18
MAX_BYTES = 128 * 1024
AS_ON_ETHEREUM = Rules()


@dataclass(frozen=True, slots=True)
class Account:
    """What the chain says of a sender at the head: its next nonce and its balance in wei."""

    nonce: int
    balance: int


@dataclass(frozen=True, slots=True)
class Chain:
    """What the chain says of itself, and what its nodes insist on."""

    id: int
    block_gas: int
    rules: Rules = AS_ON_ETHEREUM


class Pool:
    """Transactions that are in no block yet: at most one per sender and nonce."""

    def __init__(self) -> None:
        self._by_sender: dict[str, dict[int, Transaction]] = {}
        self._by_hash: dict[str, Transaction] = {}

    def __len__(self) -> int:
        return len(self._by_hash)

    def __iter__(self) -> Iterator[Transaction]:
        return iter(tuple(self._by_hash.values()))

    def find(self, txid: str) -> Transaction | None:
        return self._by_hash.get(txid)

    def senders(self) -> tuple[str, ...]:
        return tuple(self._by_sender)

    def admit(self, tx: Transaction, account: Account, chain: Chain) -> Transaction | None:
        """Takes a transaction, and returns the one it replaces. Raises Rejected with geth's words."""
        if tx.hash in self._by_hash:
            raise Rejected(words.ALREADY_KNOWN)
        _check_alone(tx, chain)
        if tx.nonce < account.nonce:
            raise Rejected(words.nonce_too_low(account.nonce, tx.nonce))
        mine = self._by_sender.get(tx.sender, {})
        old = mine.get(tx.nonce)
        self._check_funds(tx, old, account)
        if old is not None:
            _check_replaces(tx, old)
        elif (
            tx.nonce
            == account.nonce + EXECUTABLE_PLACES
            == account.nonce + len(self.executable(tx.sender, account.nonce))
        ):
            raise Rejected(words.POOL_FULL)
        self._put(tx)
        self._trim_queue(tx.sender, account.nonce)
        return old

    def executable(self, sender: str, next_nonce: int) -> list[Transaction]:
        """The sender's transactions that may be in the next block, in the order of their nonces."""
        mine = self._by_sender.get(sender, {})
        found: list[Transaction] = []
        while len(found) < EXECUTABLE_PLACES and (tx := mine.get(next_nonce + len(found))) is not None:
            found.append(tx)
        return found

    def queued(self, sender: str, next_nonce: int) -> list[Transaction]:
        """The sender's transactions that wait behind a gap, or for a place."""
        reached = next_nonce + len(self.executable(sender, next_nonce))
        waiting = [tx for nonce, tx in self._by_sender.get(sender, {}).items() if nonce >= reached]
        return sorted(waiting, key=lambda tx: tx.nonce)

    def restore(self, tx: Transaction) -> None:
        """Puts back what had been admitted before a restart; the last one given for a nonce stays."""
        self._put(tx)

    def forget(self, tx: Transaction) -> None:
        if self._by_hash.pop(tx.hash, None) is not None:
            mine = self._by_sender[tx.sender]
            del mine[tx.nonce]
            if not mine:
                del self._by_sender[tx.sender]

    def forget_below(self, sender: str, next_nonce: int) -> list[Transaction]:
        """Lets go what the chain has passed; returns it."""
        passed = [tx for nonce, tx in self._by_sender.get(sender, {}).items() if nonce < next_nonce]
        for tx in passed:
            self.forget(tx)
        return passed

    def _put(self, tx: Transaction) -> None:
        mine = self._by_sender.setdefault(tx.sender, {})
        if (old := mine.get(tx.nonce)) is not None:
            del self._by_hash[old.hash]
        mine[tx.nonce] = tx
        self._by_hash[tx.hash] = tx

    def _check_funds(self, tx: Transaction, old: Transaction | None, account: Account) -> None:
        if account.balance < tx.cost:
            raise Rejected(words.short_of_funds(account.balance, 0, tx.cost))
        rest = sum(other.cost for other in self.executable(tx.sender, account.nonce) if other is not old)
        if account.balance < rest + tx.cost:
            raise Rejected(words.short_of_funds(account.balance, rest, tx.cost))

    def _trim_queue(self, sender: str, next_nonce: int) -> None:
        for tx in self.queued(sender, next_nonce)[QUEUED_PLACES:]:
            self.forget(tx)


def _check_alone(tx: Transaction, chain: Chain) -> None:
    if len(tx.raw) // 2 > MAX_BYTES:
        raise Rejected("oversized data")
    if tx.gas * tx.cap > RPC_FEE_CAP_WEI:
        raise Rejected(words.fee_above_rpc_cap(tx.gas * tx.cap))
    if tx.chain_id != chain.id:
        raise Rejected(words.wrong_chain(tx.chain_id, chain.id))
    if tx.gas > chain.block_gas:
        raise Rejected(words.ABOVE_BLOCK)
    if tx.tip > tx.cap:
        raise Rejected(words.TIP_ABOVE_CAP)
    needed = tx.intrinsic_gas + chain.rules.l1_gas(len(tx.raw) // 2 - 1)
    if tx.gas < needed:
        raise Rejected(words.gas_too_low(tx.gas, needed))
    if tx.tip < chain.rules.tip_min:
        raise Rejected(words.tip_too_low(tx.tip, chain.rules.tip_min))
    if tx.cap < chain.rules.price_min:
        raise Rejected(words.cap_below_base(tx.sender, tx.cap, chain.rules.price_min))


def _check_replaces(tx: Transaction, old: Transaction) -> None:
    """Both prices must be higher, and by the bump at least; geth rounds the threshold down."""

    def enough(new: int, before: int) -> bool:
        return new > before and new >= before * (100 + PRICE_BUMP_PERCENT) // 100

    if not (enough(tx.cap, old.cap) and enough(tx.tip, old.tip)):
        raise Rejected(words.UNDERPRICED)
