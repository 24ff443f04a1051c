"""Blocks: headers with real ids and parent hashes, made by 27 witnesses in turn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any

from ops.devnet.tron.keys import address_of_key, sign
from ops.devnet.tron.messages import BLOCK_HEADER, encode
from ops.devnet.tron.transaction import Record, Transaction

WITNESSES = 27
VERSION = 31


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction in a block, and what it did."""

    tx: Transaction
    record: Record


@dataclass(frozen=True, slots=True)
class Block:
    """One block. Its id is the number in 8 bytes, then the last 24 of the header's SHA-256."""

    number: int
    id: bytes
    parent: bytes
    time_ms: int
    slot_ms: int
    entries: tuple[Entry, ...] = field(default=())

    @classmethod
    def seal(cls, number: int, parent: bytes, time_ms: int, slot_ms: int, entries: Sequence[Entry] = ()) -> "Block":
        """A block with its id."""
        draft = cls(number, b"", parent, time_ms, slot_ms, tuple(entries))
        id_ = number.to_bytes(8, "big") + sha256(draft.raw_header()).digest()[8:]
        return cls(number, id_, parent, time_ms, slot_ms, draft.entries)

    @property
    def ref_bytes(self) -> bytes:
        """How transactions point at this block, in two parts."""
        return self.id[6:8]

    @property
    def ref_hash(self) -> bytes:
        return self.id[8:16]

    @property
    def witness(self) -> int:
        return self.time_ms // self.slot_ms % WITNESSES

    def header(self) -> dict[str, Any]:
        return {
            "timestamp": self.time_ms,
            "txTrieRoot": _root([sha256(e.tx.to_bytes(e.record.result)).digest() for e in self.entries]),
            "parentHash": self.parent,
            "number": self.number,
            "witness_address": witness_address(self.witness),
            "version": VERSION,
        }

    def raw_header(self) -> bytes:
        return encode(BLOCK_HEADER, self.header())

    def signature(self) -> bytes:
        return sign(_witness_key(self.witness), sha256(self.raw_header()).digest())


@cache
def witness_address(number: int) -> bytes:
    return address_of_key(_witness_key(number))


def _witness_key(number: int) -> bytes:
    """Worth nothing anywhere: everybody can compute it."""
    return sha256(b"witness %d" % number).digest()


def _root(hashes: Sequence[bytes]) -> bytes:
    """java-tron's Merkle tree: pairs are hashed together, an odd one goes up as it is."""
    level = list(hashes) or [bytes(32)]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [sha256(pair[0] + pair[1]).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]
