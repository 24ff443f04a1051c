"""Which transactions exclude each other, and another past in which those win that lost in this one."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REMEMBERED_MAX = 20_000
Outpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Offered:
    """A transaction that came through the door, whatever became of it."""

    txid: str
    raw: str
    spends: frozenset[Outpoint]


@dataclass
class Memory:
    """The transactions offered last."""

    sent: OrderedDict[str, Offered] = field(default_factory=OrderedDict)

    def remember(self, offered: Offered) -> None:
        self.sent[offered.txid] = offered
        while len(self.sent) > REMEMBERED_MAX:
            self.sent.popitem(last=False)

    def raw(self, name: str) -> str:
        """Raw hex of an id; one that never came through this door is left for the node to know."""
        return self.sent[name].raw if name in self.sent else name

    def rival(self, txid: str, spends: Collection[Outpoint]) -> Offered | None:
        """The last other transaction that was offered for one of these coins."""
        for offered in reversed(self.sent.values()):
            if offered.txid != txid and offered.spends & set(spends):
                return offered
        return None


def spent_by(transaction: Mapping[str, Any]) -> frozenset[Outpoint]:
    """The outpoints that a transaction spends, as the node decodes it."""
    return frozenset((row["txid"], int(row["vout"])) for row in transaction["vin"] if "txid" in row)


def swapped(blocks: Sequence[Sequence[Mapping[str, Any]]], memory: Memory) -> list[list[str]]:
    """The same blocks (decoded, without their coinbases) with rivals in the place of transactions that have one, as raw
    hex. What spends a coin that is gone with that, or is spent already, is left out.
    """
    gone: set[str] = set()
    spent: set[Outpoint] = set()
    found: list[list[str]] = []
    for block in blocks:
        found.append([])
        for transaction in block:
            txid, spends, raw = str(transaction["txid"]), spent_by(transaction), str(transaction["hex"])
            if rival := memory.rival(txid, spends):
                gone.add(txid)
                txid, spends, raw = rival.txid, rival.spends, rival.raw
            if spends & spent or any(parent in gone for parent, _ in spends):
                gone.add(txid)
                continue
            spent |= spends
            found[-1].append(raw)
    return found
