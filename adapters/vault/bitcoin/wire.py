"""Transactions as Bitcoin writes them: read strictly, hashed, and digested for signing (BIP 141, BIP 143, BIP 144)."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

SIGHASH_ALL = 1
_MARKER_AND_FLAG = b"\x00\x01"
_VARIOUS = {0xFD: 2, 0xFE: 4, 0xFF: 8}  # first byte of a CompactSize -> bytes that follow


class NotCanonical(ValueError):
    """The bytes are not the one way to write what they seem to say."""


class Reader:
    """Walks over bytes from front to back; reading past the end is NotCanonical."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise NotCanonical("they end too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def compact(self) -> int:
        """A CompactSize in its shortest form."""
        first = self.number(1)
        if first not in _VARIOUS:
            return first
        value = self.number(_VARIOUS[first])
        if compact(value)[0] != first:
            raise NotCanonical("a length is written longer than need be")
        return value

    def chunk(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.compact())

    def count(self, smallest: int) -> int:
        """How many things of at least `smallest` bytes each follow; more than can be there is NotCanonical."""
        number = self.compact()
        if number * smallest > self.left:
            raise NotCanonical("they announce more than they hold")
        return number

    def end(self) -> None:
        if self.left:
            raise NotCanonical(f"{self.left} bytes are left over")


@dataclass(frozen=True, slots=True)
class Input:
    """What is spent: `txid` in the order of the wire (reversed on screens), and the scriptSig, empty where unsigned."""

    txid: bytes
    index: int
    script: bytes
    sequence: int

    @property
    def outpoint(self) -> bytes:
        return self.txid + self.index.to_bytes(4, "little")

    @property
    def name(self) -> str:
        """As people and slots write it: "txid:vout"."""
        return f"{self.txid[::-1].hex()}:{self.index}"


@dataclass(frozen=True, slots=True)
class Output:
    """`units` satoshi to whoever satisfies `script`."""

    units: int
    script: bytes

    def encode(self) -> bytes:
        return self.units.to_bytes(8, "little") + chunk(self.script)


@dataclass(frozen=True)
class Transaction:
    """A transaction without its witnesses: exactly what its txid commits to."""

    version: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    locktime: int

    def encode(self) -> bytes:
        return self._with(b"", b"")

    def signed(self, witnesses: list[tuple[bytes, bytes]]) -> bytes:
        """The bytes to broadcast, with (signature, public key) for each input."""
        pieces = (compact(2) + chunk(signature) + chunk(key) for signature, key in witnesses)
        return self._with(_MARKER_AND_FLAG, b"".join(pieces))

    @cached_property
    def hash(self) -> bytes:
        """The txid in the order of the wire."""
        return sha256d(self.encode())

    @property
    def txid(self) -> str:
        """The txid as screens show it."""
        return self.hash[::-1].hex()

    def digest(self, at: int, key_hash: bytes, units: int) -> bytes:
        """What the key of a P2WPKH input signs with SIGHASH_ALL (BIP 143)."""
        spent = self.inputs[at]
        code = b"\x19\x76\xa9\x14" + key_hash + b"\x88\xac"
        prevouts, sequences, outputs = self._shared
        head = self.version.to_bytes(4, "little") + prevouts + sequences
        own = spent.outpoint + code + units.to_bytes(8, "little") + spent.sequence.to_bytes(4, "little")
        tail = outputs + self.locktime.to_bytes(4, "little") + SIGHASH_ALL.to_bytes(4, "little")
        return sha256d(head + own + tail)

    @cached_property
    def _shared(self) -> tuple[bytes, bytes, bytes]:
        """The three hashes that every input's digest has in common: worked out once, so signing stays linear."""
        return (
            sha256d(b"".join(i.outpoint for i in self.inputs)),
            sha256d(b"".join(i.sequence.to_bytes(4, "little") for i in self.inputs)),
            sha256d(b"".join(o.encode() for o in self.outputs)),
        )

    def _with(self, mark: bytes, witnesses: bytes) -> bytes:
        spent = (i.outpoint + chunk(i.script) + i.sequence.to_bytes(4, "little") for i in self.inputs)
        return (
            self.version.to_bytes(4, "little")
            + mark
            + compact(len(self.inputs))
            + b"".join(spent)
            + compact(len(self.outputs))
            + b"".join(o.encode() for o in self.outputs)
            + witnesses
            + self.locktime.to_bytes(4, "little")
        )


def transaction(data: bytes) -> tuple[Transaction, list[list[bytes]]]:
    """A transaction and its witness stacks (none where the bytes have no witnesses). Raises NotCanonical."""
    reader = Reader(data)
    version = reader.number(4)
    marked = data[4:6] == _MARKER_AND_FLAG
    if marked:
        reader.take(2)
    inputs = tuple(_input(reader) for _ in range(reader.count(41)))
    outputs = tuple(Output(reader.number(8), reader.chunk()) for _ in range(reader.count(9)))
    witnesses = [[reader.chunk() for _ in range(reader.count(1))] for _ in inputs] if marked else []
    locktime = reader.number(4)
    reader.end()
    if not inputs or not outputs or (marked and not any(witnesses)):
        raise NotCanonical("a transaction has inputs, outputs, and a witness where it says so")
    return Transaction(version, inputs, outputs, locktime), witnesses


def compact(value: int) -> bytes:
    """The shortest CompactSize."""
    for mark, size in _VARIOUS.items():
        if value < 0xFD:
            return bytes([value])
        if value < 1 << 8 * size:
            return bytes([mark]) + value.to_bytes(size, "little")
    raise NotCanonical("a length does not fit into eight bytes")


def chunk(data: bytes) -> bytes:
    return compact(len(data)) + data


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hash160(data: bytes) -> bytes:
    return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()


def _input(reader: Reader) -> Input:
    return Input(reader.take(32), reader.number(4), reader.chunk(), reader.number(4))
