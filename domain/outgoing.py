"""What a key of ours has sent, read from final blocks: it shows a foreign use where a network counts nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

NAMED_MAX = 3  # a reason is short, and one of them is enough to begin with


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The transactions of one key in the final blocks above `after` through `through`, read without a gap, in the
    order of the chain. `after` is None at the first look, which reads nothing and only says where reading begins.
    `through` is None where the network's own count (`Chain.next_scarce`) shows a foreign use, or nothing can be said
    yet.
    """

    after: int | None
    through: int | None
    txids: tuple[str, ...] = ()


def strangers(outgoing: Outgoing, known: frozenset[str]) -> tuple[str, ...]:
    """The transactions that are not `known`: neither versions of ours nor what people gave slots up for. It must have
    been read AFTER the chain: a version is stored before it is first sent, so one of ours that a final block holds is
    always among them.
    """
    return tuple(txid for txid in outgoing.txids if txid not in known)


def foreign_transactions(txids: Sequence[str]) -> str:
    """Why the wallet must halt: the first of the strangers' transactions by name, and how many more there are."""
    more = f" and {len(txids) - NAMED_MAX} more" if len(txids) > NAMED_MAX else ""
    named = ", ".join(txids[:NAMED_MAX])
    return f"final blocks hold {named}{more} of this key, which none of our slots sent: the key is used elsewhere"
