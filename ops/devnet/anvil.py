"""The local EVM networks: one anvil each, on a chain that is there from the first block, with a USDT and rich accounts.

A chain is a snapshot file. Beside this module lies the first one, the same for all but the digits of its USDT; the node
proxy, which also makes the blocks, writes newer ones into the state directory, always whole. anvil itself only
executes: it loads the snapshot and keeps nothing.
"""

import json
import os
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.catalogue import read_rows
from ops.devnet.node_proxy.rules import Rules
from ops.devnet.ports import HOST

FIRST_CHAIN = Path(__file__).resolve().parent / "first_chain.json"
STATES_KEPT = 128  # as many as a full node keeps; older balances and nonces cannot be asked for

# Where the first chain has its tokens: contracts 0 and 1 of the treasury.
USDT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
FALSE_CONTRACT = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"
# Places in the storage of UsdtLike.sol, and the digits and the owner that the first chain was made with.
SUPPLY_AT, BALANCES_AT, DECIMALS_AT = 4, 5, 8
FIRST_DECIMALS = 6
FIRST_OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the operator's rows say of a local node. `decimals` are those of its USDT; `base_fee` is None where it moves
    as on Ethereum; `safe` lies `epoch_slots` blocks behind the head, and `finalized` twice as many.
    """

    network: str
    chain_id: int
    epoch_slots: int
    base_fee: int | None
    decimals: int
    rules: Rules

    @classmethod
    def read(cls, network: str, folder: Path) -> "NodeFacts":
        """Raises KeyError for a network that is not in `folder`, ValueError for a row that says nonsense."""
        row = read_rows(folder / "networks.toml", "devnet")[network]
        node = row.get("node", {})
        assets = read_rows(folder / "assets.toml", "devnet").values()
        digits = [asset["decimals"] for asset in assets if asset["network"] == network and "contract" in asset]
        return cls(
            network=network,
            chain_id=row["chain_id"],
            epoch_slots=node.get("epoch_slots", 3),
            base_fee=int(node["base_fee"]) if "base_fee" in node else None,
            decimals=digits[0] if digits else FIRST_DECIMALS,
            rules=Rules.read(node),
        )


class ChainFolder:
    """Where a local chain lives between starts."""

    def __init__(self, state_dir: Path, network: str) -> None:
        self.path = state_dir / network
        self.snapshot = self.path / "chain.json"
        self.cache = self.path / "cache"

    def prepare(self, decimals: int) -> None:
        """Puts the first chain in place when there is none; a copy appears whole or not at all."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        if not self.snapshot.exists():
            write_whole(self.snapshot, first_chain(decimals))


def first_chain(decimals: int) -> bytes:
    """The first chain with a USDT of so many digits, and as many coins of it."""
    if decimals == FIRST_DECIMALS:
        return FIRST_CHAIN.read_bytes()
    from eth_utils.crypto import keccak

    chain = json.loads(FIRST_CHAIN.read_text())
    cells = chain["accounts"][USDT.lower()]["storage"]
    owner = keccak(bytes.fromhex(FIRST_OWNER[2:]).rjust(32, b"\0") + BALANCES_AT.to_bytes(32, "big"))
    for cell in (_cell(SUPPLY_AT), f"0x{owner.hex()}"):
        cells[cell] = _cell(int(cells[cell], 16) * 10**decimals // 10**FIRST_DECIMALS)
    cells[_cell(DECIMALS_AT)] = _cell(decimals)
    return json.dumps(chain, separators=(",", ":"), sort_keys=True).encode()


def _cell(number: int) -> str:
    return f"0x{number:064x}"


def command(binary: Path, port: int, facts: NodeFacts, folder: ChainFolder) -> tuple[str, ...]:
    """Blocks are mined by the proxy, one by one (`--no-mining`): only then does anvil 1.7 really drop old states, which
    otherwise grow with the square of the height."""
    options = {
        "host": HOST,
        "port": port,
        "chain-id": facts.chain_id,
        "slots-in-an-epoch": facts.epoch_slots,
        "prune-history": STATES_KEPT,
        "load-state": folder.snapshot,
        "cache-path": folder.cache,
    }
    flags = ["--quiet", "--no-mining", "--no-request-size-limit"]
    if facts.base_fee is not None:
        options["base-fee"] = facts.base_fee
        flags.append("--disable-min-priority-fee")
    return (str(binary), *flags, *(word for name, value in options.items() for word in (f"--{name}", str(value))))


def call(port: int, method: str, *params: Any, timeout_s: float = 5.0) -> Any:
    """One JSON-RPC call to a node on this machine. Raises OSError, or ValueError with the node's own error."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(f"http://{HOST}:{port}", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        reply = json.load(answer)
    if "error" in reply:
        raise ValueError(f"{method}: {reply['error']}")
    return reply["result"]


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never a half."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
