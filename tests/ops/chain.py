"""Local chains for tests: anvil and the node proxy as real processes, and somebody with money to spend."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account

from adapters.catalogue import FOLDER, load
from ops.devnet.anvil import ChainFolder, NodeFacts, call, command
from ops.devnet.tools import anvil

GWEI = 10**9
ROOT = Path(__file__).resolve().parents[2]
ETHEREUM = NodeFacts.read("ethereum", FOLDER)
CHAIN_ID = ETHEREUM.chain_id
EVM_NETWORKS = tuple(network.id for network in load("devnet").networks.values() if network.family == "evm")
FURTHER_NETWORKS = EVM_NETWORKS[1:]


@dataclass
class Spender:
    """A fresh account that signs plain transfers."""

    key: str = field(default_factory=lambda: "0x" + bytes(Account.create().key).hex())

    @property
    def address(self) -> str:
        return str(Account.from_key(self.key).address)

    def sign(self, nonce: int, *, cap: int = 20 * GWEI, tip: int = 2 * GWEI, **fields: Any) -> tuple[str, str]:
        """Raw bytes and hash of one transfer."""
        base = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "to": "0x" + "11" * 20, "value": 1, "gas": 21_000}
        prices = {"maxFeePerGas": cap, "maxPriorityFeePerGas": tip}
        return self._signed(base | prices | fields)

    def sign_legacy(self, nonce: int, **fields: Any) -> tuple[str, str]:
        """The same before EIP-1559, with one gas price."""
        return self._signed({"nonce": nonce, "to": "0x" + "11" * 20, "value": 1, "gas": 21_000} | fields)

    def _signed(self, fields: dict[str, Any]) -> tuple[str, str]:
        signed = Account.sign_transaction(fields, self.key)
        return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()


class LocalChain:
    """A network's anvil and its proxy on two neighbouring ports, each of which can be killed and started again."""

    def __init__(
        self,
        state_dir: Path,
        port: int,
        block_time_s: float,
        *,
        kept: bool = True,
        network: str = "ethereum",
        catalogue: Path = FOLDER,
    ) -> None:
        self.network = network
        self.facts = NodeFacts.read(network, catalogue)
        self.folder = ChainFolder(state_dir, network)
        self._state_dir = state_dir
        self._catalogue = catalogue
        self._anvil_port, self.port = port, port + 1
        self._block_time_s = block_time_s
        self._kept = kept
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *parts: str) -> "LocalChain":
        for part in parts or ("anvil", "proxy"):
            if part == "anvil":
                self.begin_node()
            else:
                self.begin_proxy(self)
        try:
            self.wait()
        except TimeoutError:
            self.stop()  # nobody else would, and the next one needs the ports
            raise
        return self

    def begin_node(self) -> None:
        self.folder.prepare(self.facts.decimals)
        argv = command(anvil(), self._anvil_port, self.facts, self.folder)
        self._processes["anvil"] = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL)

    def begin_proxy(self, *chains: "LocalChain") -> None:
        """One proxy before the nodes of `chains`; it is stopped with this one."""
        words = [word for chain in chains for word in ("--chain", chain.words)]
        words += ["--block-time", str(self._block_time_s), "--catalogue", str(self._catalogue)]
        words += ["--state-dir", str(self._state_dir)] if self._kept else []
        argv = (sys.executable, "-m", "ops.devnet.node_proxy", *words)
        self._processes["proxy"] = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL)

    @property
    def words(self) -> str:
        return f"{self.network}:{self.port}:{self._anvil_port}"

    def wait(self) -> None:
        self._wait_for(self.port)

    def wait_node(self) -> None:
        """Returns when anvil itself answers."""
        self._wait_for(self._anvil_port)

    def _wait_for(self, port: int) -> None:
        until = time.monotonic() + 15
        while time.monotonic() < until:
            try:
                call(port, "eth_blockNumber")
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise TimeoutError("the local chain did not come up")

    def kill(self, part: str) -> None:
        self._processes[part].send_signal(signal.SIGKILL)
        self._processes.pop(part).wait()

    def stop(self) -> None:
        for part in ("proxy", "anvil"):
            if process := self._processes.pop(part, None):
                process.terminate()
                process.wait(10)

    def control(self, **order: Any) -> dict[str, Any]:
        told: dict[str, Any] = self._post("/_ctl", order)
        return told

    def counters(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + "/_ctl", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def rpc(self, method: str, *params: Any) -> Any:
        reply = self._post("", {"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        if "error" in reply:
            raise NodeError(reply["error"]["message"], reply["error"]["code"])
        return reply["result"]

    def batch(self, *requests: tuple[str, list[Any]]) -> Any:
        return self._post(
            "", [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(requests)]
        )

    def send(self, signed: tuple[str, str]) -> str:
        return str(self.rpc("eth_sendRawTransaction", signed[0]))

    def spender(self, wei: int = 10**20) -> Spender:
        somebody = Spender()
        self.rpc("anvil_setBalance", somebody.address, hex(wei))
        return somebody

    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def receipt(self, txid: str) -> Any:
        return self.rpc("eth_getTransactionReceipt", txid)

    def _post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


class LocalChains(dict[str, LocalChain]):
    """Several networks at once, by id: an anvil each and one proxy before all, two ports for each from `port` on."""

    def __init__(self, state_dir: Path, port: int, block_time_s: float, networks: Sequence[str]) -> None:
        super().__init__(
            (network, LocalChain(state_dir, port + 2 * at, block_time_s, kept=False, network=network))
            for at, network in enumerate(networks)
        )

    def begin_nodes(self) -> None:
        """Starts the anvils; returns when all of them answer."""
        for chain in self.values():
            chain.begin_node()
        for chain in self.values():
            chain.wait_node()

    def begin_proxy(self) -> None:
        """Starts the proxy before them."""
        first = next(iter(self.values()))
        first.begin_proxy(*self.values())

    def wait(self) -> None:
        """Returns when each network answers through the proxy."""
        for chain in self.values():
            chain.wait()

    def start(self) -> "LocalChains":
        self.begin_proxy()  # it takes longest, and waits for its nodes
        self.begin_nodes()
        self.wait()
        return self

    def stop(self) -> None:
        for chain in self.values():
            chain.stop()


class NodeError(Exception):
    """What a node answered instead of a result."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
