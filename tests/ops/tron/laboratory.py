"""A TRON network in this process and people with keys on it; or a node in a process of its own, for real clients."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ops.devnet.tron.answers import ANSWERS
from ops.devnet.tron.answers.ask import Ask
from ops.devnet.tron.block import Entry
from ops.devnet.tron.chain import Chain, Pace
from ops.devnet.tron.faults import Order
from ops.devnet.tron.genesis import USDT
from ops.devnet.tron.keys import address_of, address_of_key, base58_of, sign
from ops.devnet.tron.network import Network
from ops.devnet.tron.store import Store
from ops.devnet.tron.transaction import Transaction
from ops.devnet.tron.treasury import KEY, call_data
from ops.devnet.tron.view import View

ROOT = Path(__file__).resolve().parents[3]
SOLID_LAG = 3
TRX = 1_000_000
LIFE_MS = 60_000
FEE_LIMIT = 100 * TRX


class Person:
    """Somebody with a key."""

    def __init__(self, name: str, key: bytes | None = None) -> None:
        self.key = key or sha256(name.encode()).digest()
        self.address = address_of_key(self.key)
        self.text = base58_of(self.address)


TREASURER = Person("treasurer", KEY)


class Laboratory:
    """A network whose blocks come when asked for."""

    def __init__(self, folder: Path | None = None, lag: int = SOLID_LAG) -> None:
        self.network = Network(Store(folder), Pace(1_000, lag), block_s=1, skew_s=-86_400)
        self.order(halted=True)
        self._made = 0

    @property
    def chain(self) -> Chain:
        return self.network.chain("a")

    def order(self, node: Any = "a", **words: Any) -> None:
        self.network.obey(node, Order(**words))

    def mine(self, blocks: int = 1) -> None:
        self.order(mine=blocks)

    def make(self, owner: Person, kind: str, /, permission: int = 0, **value: Any) -> Transaction:
        """An unsigned transaction; fields of raw_data are given as `raw={...}`."""
        raw = value.pop("raw", {})
        self._made += 1
        solid, head_ms = self.chain.solid, self.chain.head.time_ms
        facts = {
            "ref_block_bytes": solid.ref_bytes,
            "ref_block_hash": solid.ref_hash,
            "expiration": head_ms + LIFE_MS,
            "timestamp": head_ms + self._made,
            **raw,
        }
        return Transaction.build(kind, {"owner_address": owner.address, **value}, facts, permission)

    def send(self, owner: Person, kind: str, /, node: Any = "a", **value: Any) -> Transaction:
        """Signed by the owner and broadcast. Raises Refusal."""
        tx = signed(self.make(owner, kind, **value), owner)
        self.network.send(node, tx)
        return tx

    def done(self, owner: Person, kind: str, /, **value: Any) -> Entry:
        """The same, in a block."""
        tx = self.send(owner, kind, **value)
        self.mine()
        return self.entry(tx)

    def pay(self, owner: Person, to: Person, sun: int, **more: Any) -> Transaction:
        return self.send(owner, "TransferContract", to_address=to.address, amount=sun, **more)

    def give(self, *people: Person, sun: int = 1_000 * TRX) -> None:
        """Activated accounts with TRX."""
        for person in people:
            self.pay(TREASURER, person, sun)
        self.mine()

    def usdt(self, owner: Person, to: Person, units: int, fee_limit: int = FEE_LIMIT, **more: Any) -> Transaction:
        data = call_data("transfer(address,uint256)", to.text, units)
        value = {"contract_address": address_of(USDT), "data": data, "raw": {"fee_limit": fee_limit}, **more}
        return self.send(owner, "TriggerSmartContract", **value)

    def issuer(self, signature: str, *arguments: Any) -> Entry:
        value = {"contract_address": address_of(USDT), "data": call_data(signature, *arguments)}
        return self.done(TREASURER, "TriggerSmartContract", raw={"fee_limit": FEE_LIMIT}, **value)

    def entry_of_payment(self, owner: Person, to: Person, sun: int = 1, **more: Any) -> Entry:
        tx = self.pay(owner, to, sun, **more)
        self.mine()
        return self.entry(tx)

    def entry_of_usdt(self, owner: Person, to: Person, units: int, **more: Any) -> Entry:
        tx = self.usdt(owner, to, units, **more)
        self.mine()
        return self.entry(tx)

    def entry(self, tx: Transaction) -> Entry:
        """A transaction that is in a block."""
        block = self.chain.block_of(tx.id)
        assert block is not None, f"{tx.id.hex()} is in no block"
        return next(entry for entry in block.entries if entry.tx.id == tx.id)

    def balance(self, person: Person) -> int:
        return self.chain.now().balance(person.address)

    def usdt_of(self, person: Person) -> int:
        words = {"owner_address": person.text, "contract_address": USDT, "visible": True}
        data = call_data("balanceOf(address)", person.text).hex()
        return int(self.ask("triggerconstantcontract", **words, data=data)["constant_result"][0], 16)

    def ask(self, path: str, solid: Any = False, node: Any = "a", **words: Any) -> Any:
        """What the API answers."""
        dice = self.network.dice[node]
        return ANSWERS[path](Ask(words, node, self.network, View(self.network.chain(node), dice.faults, solid), dice))


def signed(tx: Transaction, *people: Person) -> Transaction:
    return tx.signed(*(sign(person.key, tx.id) for person in people))


class Node:
    """`python -m ops.devnet.tron` with ports of its own."""

    def __init__(self, port: int, *words: str) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.solidity_url = f"http://127.0.0.1:{port + 1}"
        self._command = [sys.executable, "-m", "ops.devnet.tron", "--port", str(port)]
        self._command += ["--solidity-port", str(port + 1), *words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Returns after how many seconds it answers."""
        began = time.monotonic()
        self._process = subprocess.Popen(self._command, cwd=ROOT)
        while time.monotonic() - began < 20:
            with suppress(OSError):
                self.order()
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError("the node did not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def order(self, node: str = "", **words: Any) -> dict[str, Any]:
        """GET /_ctl without words, else POST."""
        status, told = self.http(f"{node}/_ctl", words or None)
        assert status == 200, told
        answer: dict[str, Any] = told
        return answer

    def ask(self, path: str, **words: Any) -> Any:
        status, told = self.http(f"/{path}", words)
        assert status == 200, told
        answer: dict[str, Any] = told
        return answer

    def http(self, path: str, words: Mapping[str, Any] | None = None, url: str = "") -> tuple[int, Any]:
        body = None if words is None else json.dumps(words).encode()
        request = urllib.request.Request((url or self.url) + path, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
