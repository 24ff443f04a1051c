"""What nodes' replies to a broadcast come to, whatever words a family's nodes have for it. None of it proves anything
about the chain.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Refused, Uncertain


class Reception(StrEnum):
    """How one node took one signed transaction."""

    TAKEN = "taken"
    UNDERPRICED = "underpriced"
    SLOT_USED = "slot used"
    SLOT_AHEAD = "slot ahead"
    EXPIRED = "expired"
    WALLET_SHORT = "wallet short"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a transaction that no node took and one received so; `advice` is what to do about it."""

    reception: Reception
    code: str
    advice: str


UNDERPRICED = Verdict(
    Reception.UNDERPRICED, "BROADCAST_UNDERPRICED", "The nodes want a higher fee for it: look, then bump."
)
REFUSED = Verdict(Reception.REFUSED, "BROADCAST_REFUSED", "The nodes refuse these bytes: read their words, then look.")


def judge(receptions: Collection[Reception], verdicts: Sequence[Verdict], txid: str, words: Collection[str]) -> None:
    """Returns when a node has the transaction. Raises Uncertain BROADCAST_UNKNOWN when one did not say, else Refused
    with the first of `verdicts` that fits: the most useful stands first. `words` are the nodes' own.
    """
    if Reception.TAKEN in receptions:
        return
    said = "; ".join(sorted(set(words)))
    if Reception.UNKNOWN in receptions:
        raise Uncertain(
            "BROADCAST_UNKNOWN", "A node did not say whether it took the transaction: look.", txid=txid, said=said
        )
    for verdict in verdicts:
        if verdict.reception in receptions:
            raise Refused(verdict.code, verdict.advice, txid=txid, said=said)
