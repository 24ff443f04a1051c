"""A local chain for tests: anvil and the node proxy as real processes, and somebody with money to spend."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account

from ops.devnet.anvil import CHAIN_ID, ChainFolder, command
from ops.devnet.tools import anvil

GWEI = 10**9
ROOT = Path(__file__).resolve().parents[2]


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
        signed = Account.sign_transaction(base | prices | fields, self.key)
        return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()


class LocalChain:
    """anvil and its proxy on two neighbouring ports, each of which can be killed and started again."""

    def __init__(self, state_dir: Path, port: int, block_time_s: float, *, kept: bool = True) -> None:
        self.folder = ChainFolder(state_dir)
        self._state_dir = state_dir
        self._anvil_port, self.port = port, port + 1
        self._block_time_s = block_time_s
        self._kept = kept
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *parts: str) -> "LocalChain":
        for part in parts or ("anvil", "proxy"):
            argv = command(anvil(), self._anvil_port, self.folder) if part == "anvil" else self._proxy()
            if part == "anvil":
                self.folder.prepare()
            self._processes[part] = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL)
        self.wait()
        return self

    def wait(self) -> None:
        until = time.monotonic() + 15
        while time.monotonic() < until:
            try:
                self.rpc("eth_blockNumber")
            except OSError:
                time.sleep(0.05)
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
        return self._post("/_ctl", order)

    def counters(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + "/_ctl", timeout=5) as answer:
            return json.load(answer)

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
        return self.rpc("eth_sendRawTransaction", signed[0])

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

    def _proxy(self) -> tuple[str, ...]:
        node = f"http://127.0.0.1:{self._anvil_port}"
        words = ["--port", str(self.port), "--node", node, "--block-time", str(self._block_time_s)]
        if self._kept:
            words += ["--state-dir", str(self._state_dir)]
        return (sys.executable, "-m", "ops.devnet.node_proxy", *words)


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
