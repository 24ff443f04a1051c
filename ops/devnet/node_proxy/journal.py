"""What keeps the local chain through `kill -9` and reboots: a snapshot now and then, and a journal of what came after.

The journal holds the signed transactions that no snapshot contains yet, and how high the chain had grown. After a crash
the node loads the snapshot, the journal is offered again, and empty blocks bring the height back.
"""

import asyncio
import gzip
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from ops.devnet.anvil import ChainFolder, write_whole
from ops.devnet.node_proxy.node import Node
from ops.devnet.node_proxy.transaction import Transaction, decode

SNAPSHOT_EVERY_S = 1.0
SNAPSHOT_SHARE = 0.05  # of the time at most goes into snapshots, however long the chain has become


@dataclass(slots=True)
class Journal:
    """The unsaved part of the chain. Without a `folder` nothing is kept, and a crash forgets the chain."""

    folder: ChainFolder | None
    unsaved: dict[tuple[str, int], Transaction] = field(default_factory=dict)
    height: int = 0
    snapshots: int = 0
    _not_before: float = 0.0

    @property
    def path(self) -> Path | None:
        return self.folder.path / "journal.jsonl" if self.folder else None

    def load(self) -> None:
        """Reads what an earlier process left; a line cut off by a crash is passed over."""
        if self.folder is None or self.path is None:
            return
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, ValueError):
            self.height = int(self._height_file(self.folder).read_text())
        with suppress(OSError):
            for line in self.path.read_text().splitlines():
                with suppress(ValueError):
                    tx = decode(json.loads(line))
                    self.unsaved[tx.sender, tx.nonce] = tx

    def add(self, tx: Transaction) -> None:
        """Remembers an admitted transaction before anybody is told that it was."""
        self.unsaved[tx.sender, tx.nonce] = tx
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(tx.raw) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def grew_to(self, height: int) -> None:
        if height > self.height:
            self.height = height
            if self.folder is not None:
                draft = self._height_file(self.folder).with_suffix(".new")
                draft.write_text(str(height))
                draft.replace(self._height_file(self.folder))

    @property
    def is_due(self) -> bool:
        return self.folder is not None and monotonic() >= self._not_before

    async def snapshot(self, node: Node) -> None:
        """Saves the chain, and forgets what it now contains. Raises NodeDown or Refusal."""
        if self.folder is None:
            return
        begun = monotonic()
        senders = sorted({sender for sender, _ in self.unsaved})
        nonces = await node.calls([("eth_getTransactionCount", (sender, "latest")) for sender in senders])
        state = await node.call("anvil_dumpState")
        await asyncio.to_thread(write_whole, self.folder.snapshot, gzip.decompress(bytes.fromhex(state[2:])))
        reached = {s: int(n, 16) for s, n in zip(senders, nonces, strict=True) if isinstance(n, str)}
        self._keep(tx for (sender, nonce), tx in self.unsaved.items() if nonce >= reached.get(sender, 0))
        self.snapshots += 1
        took = monotonic() - begun
        self._not_before = monotonic() + max(SNAPSHOT_EVERY_S, took / SNAPSHOT_SHARE)

    def _keep(self, left: Iterable[Transaction]) -> None:
        self.unsaved = {(tx.sender, tx.nonce): tx for tx in left}
        if self.path is not None:
            lines = "".join(json.dumps(tx.raw) + "\n" for tx in self.unsaved.values())
            write_whole(self.path, lines.encode())

    @staticmethod
    def _height_file(folder: ChainFolder) -> Path:
        return folder.path / "height"
