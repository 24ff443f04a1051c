"""Raw blocks, read in one pass: every transaction's id, what it spends and what it pays, in whole base units.

A block is believed only when its bytes hash to the name it was asked by, that hash is below the target in its header,
and its transactions hash to the root there.
Source: Bitcoin developer reference, "Block chain" and "Transactions"; BIP144 for the witness form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HEADER_BYTES = 80
RETARGET_BLOCKS = 2016
EASIER_MAX = 4  # so many times larger a target may become in one step


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """One transaction: outpoints it spends as "txid:vout", and (units, script) of each output."""

    txid: str
    spends: tuple[str, ...]
    pays: tuple[tuple[int, bytes], ...]

    @property
    def coinbase(self) -> bool:
        return self.spends == (f"{'0' * 64}:{2**32 - 1}",)


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says, its work checked. `target`: what its hash may be at most."""

    hash: str
    parent: str
    root: bytes
    target: int

    def may_follow(self, before: "Header", height: int) -> bool:
        """Whether the block before lets this one, at `height`, be as easy as it is: the same target, and at every
        2016th block at most four times as large. So it is on chains that know no easier blocks in between.
        """
        if height % RETARGET_BLOCKS:
            return self.target == before.target
        return self.target <= EASIER_MAX * before.target


@dataclass(frozen=True, slots=True)
class RawBlock:
    header: Header
    transactions: tuple[RawTransaction, ...]


def read_block(raw: bytes, name: str) -> RawBlock:
    """The block called `name`. Raises ValueError when the bytes are not that block, whole and nothing more."""
    header = read_header(raw[:HEADER_BYTES], name)
    try:
        count, at = _compact(raw, HEADER_BYTES)
        transactions = []
        for _ in range(count):
            transaction, at = _read(raw, at)
            transactions.append(transaction)
    except IndexError:
        raise ValueError("the block ends before its last transaction") from None
    if at != len(raw):
        raise ValueError("there are bytes behind the last transaction")
    if not transactions or merkle_root([bytes.fromhex(t.txid)[::-1] for t in transactions]) != header.root:
        raise ValueError("the transactions are not those that the header promises")
    return RawBlock(header, tuple(transactions))


def read_header(raw: bytes, name: str) -> Header:
    """The header of the block called `name`. Raises ValueError when the bytes are not that, or lack their work."""
    if len(raw) != HEADER_BYTES or shown(_hash(raw)) != name:
        raise ValueError("the bytes do not have the hash they were asked by")
    target = _target(int.from_bytes(raw[72:76], "little"))
    if int(name, 16) > target:
        raise ValueError("the block lacks the work that its header claims")
    return Header(name, shown(raw[4:36]), raw[36:68], target)


def read_transaction(raw: bytes) -> RawTransaction:
    """One transaction, signed or not. Raises ValueError when the bytes are not exactly one."""
    try:
        transaction, at = _read(raw, 0)
    except IndexError:
        raise ValueError("the transaction is cut off") from None
    if at != len(raw):
        raise ValueError("there are bytes behind the transaction")
    return transaction


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    row = list(hashes)
    while len(row) > 1:
        if len(row) % 2:
            row.append(row[-1])
        row = [_hash(row[at] + row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def shown(hash_: bytes) -> str:
    """A hash as people and nodes write it: the bytes in reverse."""
    return hash_[::-1].hex()


def outpoints(transaction: RawTransaction) -> Iterator[tuple[str, int, bytes]]:
    """(outpoint, units, script) of each output."""
    for at, (units, script) in enumerate(transaction.pays):
        yield f"{transaction.txid}:{at}", units, script


def _read(raw: bytes, at: int) -> tuple[RawTransaction, int]:
    start = at
    witness = raw[at + 4] == 0
    body = at = at + 4 + 2 * witness
    count, at = _compact(raw, at)
    spends = []
    for _ in range(count):
        spends.append(f"{shown(raw[at : at + 32])}:{int.from_bytes(raw[at + 32 : at + 36], 'little')}")
        length, at = _compact(raw, at + 36)
        at += length + 4
    outputs, at = _compact(raw, at)
    pays = []
    for _ in range(outputs):
        units = int.from_bytes(raw[at : at + 8], "little")
        length, at = _compact(raw, at + 8)
        pays.append((units, raw[at : at + length]))
        at += length
    end = at
    if witness:
        at = _past_witnesses(raw, at, count)
    if at + 4 > len(raw):
        raise IndexError
    txid = shown(_hash(raw[start : start + 4] + raw[body:end] + raw[at : at + 4]))
    return RawTransaction(txid, tuple(spends), tuple(pays)), at + 4


def _past_witnesses(raw: bytes, at: int, inputs: int) -> int:
    for _ in range(inputs):
        items, at = _compact(raw, at)
        for _ in range(items):
            length, at = _compact(raw, at)
            at += length
    return at


def _target(bits: int) -> int:
    """A target from its short form. Raises ValueError when it is none (Bitcoin Core, `arith_uint256::SetCompact`)."""
    size, digits = bits >> 24, bits & 0x7FFFFF
    target = digits << 8 * (size - 3) if size > 3 else digits >> 8 * (3 - size)
    if bits & 0x800000 or not 0 < target < 2**256:
        raise ValueError("a header's target is out of range")
    return target


def _compact(raw: bytes, at: int) -> tuple[int, int]:
    """A CompactSize and where it ends."""
    first = raw[at]
    if first < 253:
        return first, at + 1
    size = {253: 2, 254: 4, 255: 8}[first]
    return int.from_bytes(raw[at + 1 : at + 1 + size], "little"), at + 1 + size


def _hash(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()
