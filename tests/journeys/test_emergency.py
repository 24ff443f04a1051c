"""What people do about a payment that is stuck, over a whole running installation, and parts that are told to stop
while one is being paid: every withdrawal is paid exactly once or its money goes back, by the node's own count.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from aiohttp import ClientSession
from eth_account import Account
from eth_utils.address import to_checksum_address

from adapters.catalogue import load
from adapters.settings import Settings
from adapters.vault import keystore_file, passphrase_file
from adapters.vault.keystore import read_passphrase
from adapters.wiring import open_views
from domain.crash_points import ORDERED, CrashPoint
from domain.withdrawal import Stage
from ops.demo.evidence import chain_minus_ledger, trial_balance
from ops.demo.node import TRANSFER_TOPIC, open_node
from ops.devnet.household import Household
from workers.registry import KINDS

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = 19850
PATIENCE_S = 60
LEAVES_WITHIN_S = 15.0  # ten seconds to finish what it has, and what an interpreter takes to end on a busy machine

pytestmark = pytest.mark.timeout(240)


@dataclass
class House:
    """An installation that serves Ethereum alone, and what its people do at the command line."""

    environment: dict[str, str]
    folder: Path
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    # ------------------------------------------------------------ commands
    def run(self, *words: object, code: int = 0, key: str = "") -> str:
        environment = self.environment | ({"STRONGROOM_API_KEY": self.people.keys()[key]} if key else {})
        done = subprocess.run(
            [sys.executable, "-m", "ops", *map(str, words)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        assert done.returncode == code, f"strongroom {' '.join(map(str, words))}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def told(self, *words: object, key: str = "") -> Any:
        return json.loads(self.run(*words, "-o", "json", key=key))

    @property
    def people(self) -> Household:
        return Household(Path(self.environment["STRONGROOM_STATE_DIR"]))

    def endorsed(self, procedure: str, *names: str) -> list[str]:
        """The options that hand over what these people endorsed."""
        asked = self.folder / f"procedure-{next(self.numbers)}.json"
        asked.write_text(procedure)
        words = []
        for name in names:
            path = asked.with_suffix(f".{name}")
            key_file = self.people.approver_key(name)
            path.write_text(self.run("approver", "endorse", asked, "--key-file", key_file, "--yes"))
            words += ["--endorsement", str(path)]
        return words

    @contextmanager
    def death_at(self, point: CrashPoint) -> Iterator[None]:
        """Who passes there meanwhile dies by SIGKILL, once; somebody must."""
        order = self.people.state / "run" / f"die-at-{point}"
        order.touch()
        yield
        self.until(lambda: not order.exists(), f"a death at {point}")

    def part(self, name: str) -> dict[str, Any]:
        """What the supervisor says of one part."""
        found: dict[str, Any] = json.loads((self.people.state / "run" / "stack.json").read_text())["parts"][name]
        return found

    # ------------------------------------------------------------ withdrawals
    def ask(self, recipient: str) -> str:
        words = ("--network", "ethereum", "--asset", "USDT", "--amount", "25", "--to", recipient)
        ref = f"emergency-{next(self.numbers)}"
        return str(self.told("withdrawal", "request", *words, "--ref", ref, key="alice")["id"])

    def view(self, id: str) -> Any:
        request = Request(f"http://127.0.0.1:{PORT_BASE + 5}/v1/withdrawals/{id}")
        request.add_header("Authorization", f"Bearer {self.people.keys()['alice']}")
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def at(self, id: str, stage: Stage) -> Any:
        self.until(lambda: self.view(id)["stage"] == stage, f"{id} at {stage}")
        return self.view(id)

    def slot(self, id: str) -> Any:
        """The open slot that pays the withdrawal."""
        return next(row for row in self.told("payout", "list")["items"] if id in row["withdrawals"])

    def until(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < until, f"never came: {what}"
            time.sleep(0.2)

    # ------------------------------------------------------------ the books
    def chain_minus_ledger(self) -> dict[str, Decimal]:
        """By asset: what the node says is under the wallet's key, less what the books say, free and in flight."""

        async def compared() -> dict[str, Decimal]:
            settings = Settings()
            catalogue = load(settings.profile, settings.catalogue_dir)
            async with open_views(settings) as views, ClientSession() as session:
                assert set((await trial_balance(views)).values()) == {"0"}
                node = await open_node(catalogue.networks["ethereum"], session, settings.node_urls("ethereum")[0])
                found = await chain_minus_ledger({"ethereum": node}, catalogue, views)
            return {asset: Decimal(coins) for asset, coins in found.items()}

        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return asyncio.run(compared())

    # ------------------------------------------------------------ the node
    def stranger_uses(self, nonce: int) -> str:
        """Somebody else with the wallet's key sends a coin under this number, dearer than we do; the txid."""
        fields = {"type": 2, "chainId": 31337, "nonce": nonce, "to": somebody(), "value": 10**15, "gas": 21_000}
        price = {"maxFeePerGas": 300 * 10**9, "maxPriorityFeePerGas": 200 * 10**9}
        home = self.people.state / "signer"
        secret = Account.decrypt(keystore_file(home, "ethereum").read_text(), read_passphrase(passphrase_file(home)))
        raw = Account.sign_transaction({**fields, **price}, secret).raw_transaction
        return str(self.ask_node("eth_sendRawTransaction", "0x" + raw.hex().removeprefix("0x")))

    def cost_of(self, txid: str) -> Decimal:
        """What a transaction took from its sender, in whole coins."""
        receipt, tx = (
            self.ask_node("eth_getTransactionReceipt", txid),
            self.ask_node("eth_getTransactionByHash", txid),
        )
        wei = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16) + int(tx["value"], 16)
        return Decimal(wei).scaleb(-18)

    def ask_node(self, method: str, *params: Any) -> Any:
        answer = self.node({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert "result" in answer, answer
        return answer["result"]

    def node(self, body: dict[str, Any], path: str = "") -> Any:
        url = f"http://127.0.0.1:{PORT_BASE + 4}{path}"
        request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def control(self, **order: Any) -> None:
        self.node(order, "/_ctl")

    def transfers_to(self, recipient: str) -> int:
        topics = [TRANSFER_TOPIC, None, "0x" + recipient[2:].lower().rjust(64, "0")]
        wanted = {"fromBlock": "0x0", "toBlock": "latest", "topics": topics}
        return len(self.ask_node("eth_getLogs", wanted))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("emergency")
    foreign = ("STRONGROOM_", "TEMPORAL_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "STRONGROOM_STATE_DIR": str(folder / "state"),
        "STRONGROOM_PORT_BASE": str(PORT_BASE),
        "STRONGROOM_NETWORKS": "ethereum",
        "STRONGROOM_CRASH_AT": ORDERED,
    }
    house = House(environment, folder)
    try:
        house.run("up", "--detach")
        yield house
    finally:
        house.run("down")


@pytest.fixture
def house(installation: House) -> Iterator[House]:
    """No blocks are made until a test says so: what is sent is stuck."""
    installation.control(reset=True, hold_blocks=True)
    yield installation
    installation.control(reset=True)


def somebody() -> str:
    return to_checksum_address(secrets.token_bytes(20))


def test_a_stuck_payment_is_sped_up_by_one_person_and_paid_once(house: House) -> None:
    recipient = somebody()
    id = house.ask(recipient)
    house.at(id, Stage.BROADCAST)
    row = house.slot(id)
    words = house.endorsed(house.run("payout", "speed-up", row["slot"], "--reason", "the client waits"), "ann")
    house.run("payout", "speed-up", row["slot"], *words)
    house.until(lambda: house.slot(id)["versions"] > row["versions"], "another version")
    shown = house.told("payout", "show", row["slot"])["procedures"]
    assert [(one["kind"], one["code"]) for one in shown] == [("SPEED_UP", "TAKEN")]
    house.control(reset=True)
    assert house.at(id, Stage.SETTLED)["txid"]
    assert house.transfers_to(recipient) == 1


def test_a_stuck_payment_is_voided_by_two_people_and_never_paid_whoever_dies_meanwhile(house: House) -> None:
    recipient = somebody()
    id = house.ask(recipient)
    house.at(id, Stage.BROADCAST)
    slot = house.slot(id)["slot"]
    procedure = house.run("payout", "void", slot, "--reason", "the client asked for it")
    house.run("payout", "void", slot, *house.endorsed(procedure, "ann"), code=4)
    words = house.endorsed(procedure, "ann", "ben")
    with house.death_at(CrashPoint.PROCEDURE_TAKEN), house.death_at(CrashPoint.BUMP_SIGNED):
        house.run("payout", "void", slot, *words)
    house.until(
        lambda: any("pays nobody" in line for line in house.told("payout", "show", slot)["bytes"]), "the void version"
    )
    house.control(reset=True)
    assert house.at(id, Stage.FAILED)["reason"] == "VOIDED"
    assert house.transfers_to(recipient) == 0


def test_what_a_stranger_consumed_is_given_up_by_two_people_and_paid_once_whoever_dies_meanwhile(house: House) -> None:
    before = house.chain_minus_ledger()
    recipient = somebody()
    id = house.ask(recipient)
    house.at(id, Stage.BROADCAST)
    slot = house.slot(id)["slot"]
    stranger = house.stranger_uses(int(slot.rpartition("/")[2]))
    early = house.run("payout", "replan", slot, "--stranger", stranger, "--reason", "our other desk used the key")
    house.run("payout", "replan", slot, *house.endorsed(early, "ann", "ben"), code=4)
    house.control(reset=True)
    house.until(lambda: stranger in house.told("payout", "show", slot)["next"], "the stranger proven")
    house.until(lambda: "replan" in house.told("payout", "show", slot)["next"], "what comes next")

    house.run("payout", "replan", slot, *house.endorsed(early, "ann"), code=4)
    words = house.endorsed(early, "ann", "ben")
    with house.death_at(CrashPoint.PROCEDURE_TAKEN):
        house.run("payout", "replan", slot, *words)
    assert house.view(id)["stage"] == Stage.QUEUED
    assert house.told("payout", "show", slot)["state"] == "CONSUMED"
    resume = house.run("wallet", "resume", "ethereum", "--reason", "the desk has a key of its own now")
    assert stranger in resume
    words = house.endorsed(resume, "ann", "ben")
    with house.death_at(CrashPoint.SLOT_PLANNED), house.death_at(CrashPoint.SIGNATURE_KEPT):
        house.run("wallet", "resume", "ethereum", *words)
    assert house.at(id, Stage.SETTLED)["txid"] not in (None, stranger)
    assert house.transfers_to(recipient) == 1
    house.run("payout", "replan", slot, *house.endorsed(early, "ann", "ben"), code=4)
    after = house.chain_minus_ledger()
    lost = {asset: before[asset] - after[asset] for asset in before if before[asset] != after[asset]}
    assert lost == {"ETH-ETHEREUM": house.cost_of(stranger)}, "what the stranger took, and nothing else"


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_is_told_to_stop_hands_over_what_it_has(house: House, kind: str) -> None:
    recipient = somebody()
    id = house.ask(recipient)
    house.at(id, Stage.BROADCAST)
    pid, began = house.part(kind)["pid"], time.monotonic()
    os.kill(pid, signal.SIGTERM)
    house.until(lambda: not _lives(pid), f"the end of {kind}")
    assert time.monotonic() - began < LEAVES_WITHIN_S
    house.until(lambda: (part := house.part(kind))["life"] == "ready" and part["pid"] != pid, f"{kind} back")
    house.control(reset=True)
    house.at(id, Stage.SETTLED)
    assert house.transfers_to(recipient) == 1


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
