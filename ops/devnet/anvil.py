"""The local Ethereum: anvil on a chain that is there from the first block, with our USDT on it and rich accounts.

The chain is a snapshot file. Beside this module lies the first one; the node proxy, which also makes the blocks, writes
newer ones into the state directory, always whole. anvil itself only executes: it loads the snapshot and keeps nothing.
"""

import asyncio
import json
import os
import shutil
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapters.settings import Settings
from ops.devnet.ports import HOST
from workers.supervisor import Part

FIRST_CHAIN = Path(__file__).resolve().parent / "ethereum.json"
CHAIN_ID = 31337
SLOTS_IN_AN_EPOCH = 3  # safe = head - 3, finalized = head - 6
STATES_KEPT = 128  # as many as a full node keeps; older balances and nonces cannot be asked for

# Where the first chain has its tokens: contracts 0 and 1 of the treasury.
USDT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
FALSE_CONTRACT = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"


class ChainFolder:
    """Where a local chain lives between starts."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "ethereum"
        self.snapshot = self.path / "chain.json"
        self.cache = self.path / "cache"

    def prepare(self) -> None:
        """Puts the first chain in place when there is none; a copy appears whole or not at all."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        if not self.snapshot.exists():
            draft = self.snapshot.with_suffix(".new")
            shutil.copyfile(FIRST_CHAIN, draft)
            draft.replace(self.snapshot)


def part(settings: Settings, binary: Path) -> Part:
    """The row by which the supervisor keeps anvil."""
    folder = ChainFolder(settings.state_dir)
    return Part(
        name="anvil",
        argv=command(binary, settings.ports.anvil, folder),
        prepare=lambda: asyncio.to_thread(folder.prepare),
        ready=lambda: asyncio.to_thread(_has_chain_id, settings.ports.anvil),
        grace_s=5.0,
    )


def command(binary: Path, port: int, folder: ChainFolder) -> tuple[str, ...]:
    """Blocks are mined by the proxy, one by one (`--no-mining`): only then does anvil 1.7 really drop old states, which
    otherwise grow with the square of the height."""
    options = {
        "host": HOST,
        "port": port,
        "chain-id": CHAIN_ID,
        "slots-in-an-epoch": SLOTS_IN_AN_EPOCH,
        "prune-history": STATES_KEPT,
        "load-state": folder.snapshot,
        "cache-path": folder.cache,
    }
    flat = (word for name, value in options.items() for word in (f"--{name}", str(value)))
    return (str(binary), "--quiet", "--no-mining", "--no-request-size-limit", *flat)


def call(port: int, method: str, *params: Any, timeout_s: float = 5.0) -> Any:
    """One JSON-RPC call to a node on this machine. Raises OSError, or ValueError with the node's own error."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(f"http://{HOST}:{port}", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        reply = json.load(answer)
    if "error" in reply:
        raise ValueError(f"{method}: {reply['error']}")
    return reply["result"]


def _has_chain_id(port: int) -> bool:
    with suppress(OSError, ValueError):
        return int(call(port, "eth_chainId", timeout_s=2), 16) == CHAIN_ID
    return False


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never a half."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
