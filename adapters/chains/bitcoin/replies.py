"""What nodes say to a broadcast, and what it is worth. None of it proves anything about the chain.

Answers as measured on Bitcoin Core 29's code: -27 means that the chain holds it; -25 is said alike of a coin that a
stranger spent, of our own transaction whose outputs have all been spent since, and of one whose coins are unknown.
"""

from collections.abc import Sequence

from adapters.chains import receptions
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent
from adapters.chains.receptions import REFUSED, UNDERPRICED, Reception, Verdict

IN_CHAIN = -27
_WORDS: Sequence[tuple[Reception, tuple[str, ...]]] = (
    (Reception.TAKEN, ("txn-already-in-mempool", "txn-already-known", "already in block chain", "already in utxo")),
    (Reception.SLOT_USED, ("missingorspent", "missing-inputs", "missing inputs")),
    (
        Reception.UNDERPRICED,
        (
            "insufficient fee",
            "insufficient feerate",
            "min relay fee not met",
            "mempool min fee not met",
            "mempool full",
        ),
    ),
)
_VERDICTS = (
    UNDERPRICED,
    Verdict(
        Reception.SLOT_USED,
        "BROADCAST_SLOT_USED",
        "The nodes miss a coin it spends; that proves nothing, it may be paid already: look by whom.",
    ),
    REFUSED,
)


def received(answer: Answer | NodeSilent, txid: str) -> Reception:
    """How a node took the transaction, from its answer to sendrawtransaction. An answer about another transaction than
    ours is none.
    """
    if isinstance(answer, NodeSaysNo):
        words = answer.message.lower()
        if answer.number == IN_CHAIN:
            return Reception.TAKEN
        found = (reception for reception, marks in _WORDS if any(mark in words for mark in marks))
        return next(found, Reception.REFUSED)
    return Reception.TAKEN if answer == txid else Reception.UNKNOWN


def judge(answers: Sequence[Answer | NodeSilent], txid: str) -> None:
    """Returns when a node has the transaction. Raises Uncertain BROADCAST_UNKNOWN when one did not say, else Refused
    BROADCAST_* with the most useful of what they said.
    """
    words = [answer.message for answer in answers if isinstance(answer, NodeSaysNo)]
    receptions.judge({received(answer, txid) for answer in answers}, _VERDICTS, txid, words)
