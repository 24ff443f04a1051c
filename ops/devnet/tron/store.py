"""What keeps the chain through `kill -9` and restarts: a snapshot now and then, and a journal with a line per block.

A line holds the block and the cells it has left, so that nothing is executed again. A branch that replaces blocks just
follows them: each line is put on its parent. A line cut off by a crash is passed over.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ops.devnet.tron.block import Block, Entry
from ops.devnet.tron.chain import Chain, Pace
from ops.devnet.tron.files import write_whole
from ops.devnet.tron.genesis import first_block, first_world
from ops.devnet.tron.packing import pack, unpack
from ops.devnet.tron.transaction import Transaction
from ops.devnet.tron.world import World

SNAPSHOT_EVERY_LINES = 5_000
Row = list[Any]


class Store:
    """The chain's files. Without a `folder` nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._journal: BinaryIO | None = None
        self.lines = 0
        self.snapshots = 0

    def load(self, pace: Pace) -> Chain:
        """The chain as it was left, or the first one; opens the journal."""
        if self._folder is None:
            return Chain(first_world(), [first_block()], pace)
        self._folder.mkdir(parents=True, exist_ok=True)
        chain = self._snapshot(pace)
        with suppress(FileNotFoundError):
            for line in self._journal_file(self._folder).read_bytes().splitlines():
                with suppress(orjson.JSONDecodeError):
                    self._put(chain, orjson.loads(line))
                self.lines += 1
        self._journal = self._opened(self._folder)
        return chain

    def add(self, chain: Chain, blocks: Iterable[Block]) -> None:
        """Remembers new blocks, and takes a snapshot when the journal has become long."""
        if self._journal is None:
            return
        for block in blocks:
            self._journal.write(_line(chain, block))
            self.lines += 1
        self._journal.flush()
        if self.lines >= SNAPSHOT_EVERY_LINES:
            self.save(chain)

    def save(self, chain: Chain) -> None:
        """Snapshot of what is solid; the journal keeps what is not."""
        if self._folder is None or self._journal is None:
            return
        chain.prune()
        solid = chain.solid_number
        past = chain.past(solid)
        cells = ((key, past.get(key)) for key in {*chain.world.cells, *past.touched()})
        rows = [[pack(key), pack(value)] for key, value in cells if value is not None]
        blocks = [_row(block) for block in chain.blocks if block.number <= solid]
        head = {"first": chain.blocks[0].number, "parent": chain.blocks[0].parent.hex()}
        write_whole(self._snapshot_file(self._folder), orjson.dumps({**head, "cells": rows, "blocks": blocks}))
        left = [block for block in chain.blocks if block.number > solid]
        write_whole(self._journal_file(self._folder), b"".join(_line(chain, block) for block in left))
        self._journal.close()
        self._journal = self._opened(self._folder)
        self.lines, self.snapshots = len(left), self.snapshots + 1

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # ------------------------------------------------------------ reading
    def _snapshot(self, pace: Pace) -> Chain:
        if self._folder is None or not self._snapshot_file(self._folder).exists():
            return Chain(first_world(), [first_block()], pace)
        found = orjson.loads(self._snapshot_file(self._folder).read_bytes())
        world = World({unpack(key): unpack(value) for key, value in found["cells"]})
        blocks: list[Block] = []
        parent = bytes.fromhex(found["parent"])
        for at, row in enumerate(found["blocks"]):
            blocks.append(_block(found["first"] + at, parent, row))
            parent = blocks[-1].id
        chain = Chain(world, blocks, pace)
        chain.solid_number = blocks[-1].number
        return chain

    def _put(self, chain: Chain, line: dict[str, Any]) -> None:
        number, parent = line["n"], bytes.fromhex(line["p"])
        below = chain.block(number - 1)
        if number <= chain.solid_number or below is None or below.id != parent:
            return
        if number <= chain.head.number:
            chain.back_before(number)
        chain.restore(_block(number, parent, line["b"]), {unpack(key): unpack(value) for key, value in line["c"]})

    @staticmethod
    def _opened(folder: Path) -> BinaryIO:
        return Store._journal_file(folder).open("ab")

    @staticmethod
    def _journal_file(folder: Path) -> Path:
        return folder / "journal.jsonl"

    @staticmethod
    def _snapshot_file(folder: Path) -> Path:
        return folder / "chain.json"


def _line(chain: Chain, block: Block) -> bytes:
    changes = [[pack(key), pack(value)] for key, value in chain.changes(block.number).items()]
    line = {"n": block.number, "p": block.parent.hex(), "b": _row(block), "c": changes}
    return orjson.dumps(line) + b"\n"


def _row(block: Block) -> Row:
    entries = [
        [entry.tx.raw.hex(), [signature.hex() for signature in entry.tx.signatures], pack(entry.record)]
        for entry in block.entries
    ]
    return [block.time_ms, block.slot_ms, block.id.hex(), entries]


def _block(number: int, parent: bytes, row: Row) -> Block:
    time_ms, slot_ms, id_, entries = row
    return Block(number, bytes.fromhex(id_), parent, time_ms, slot_ms, tuple(_entry(entry) for entry in entries))


def _entry(row: Row) -> Entry:
    raw, signatures, record = row
    return Entry(Transaction(bytes.fromhex(raw), tuple(map(bytes.fromhex, signatures))), unpack(record))
