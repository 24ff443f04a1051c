"""The cold wallet by hand, on a real node: three people, three machines' files, one payment."""

import asyncio
import json
import shutil
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.catalogue import FOLDER
from adapters.chains.bitcoin import cold
from adapters.vault import keystore
from adapters.vault.cold_key import open_key
from domain.errors import Refused
from ops.cli.cold import app
from ops.devnet.bitcoin.node import RegtestNode
from ops.devnet.bitcoin.rpc import coins as whole_coins
from tests.adapters.vault.bitcoin_desk import client

NETWORK = "vaulted"
ROWS = {
    "networks.toml": """
[vaulted]
name = "Bitcoin in a vault"
family = "bitcoin"
chain_id = 0x466e2206
native_asset = "BTC-VAULTED"
block_time_ms = 600000
confirmations = 3
needs_finalized_tag = false
in_flight_max = 4
inputs_max = 50
checked_on = 2026-11-22

[vaulted.fees]
price_floor = "1"
tip_floor = "0"
price_cap = "200"
network_fee_cap = "500000"
bump_after_s = 600
""",
    "assets.toml": """
[BTC-VAULTED]
code = "BTC"
name = "Bitcoin"
network = "vaulted"
decimals = 8
""",
}


@dataclass
class Vault:
    """A folder with the cosigners' files, and a node that knows nothing of them."""

    home: Path
    node: RegtestNode
    names: tuple[str, ...] = ("ann", "ben", "cat")
    keys: list[str] = field(default_factory=list)

    def file(self, name: str) -> Path:
        return self.home / name

    def run(self, *words: object, said: str = "") -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], input=said)

    def ask(self, *words: object) -> dict[str, object]:
        result = self.run(*words, "--network", NETWORK, "-o", "json")
        assert result.exit_code == 0, result.output
        answer: dict[str, object] = json.loads(result.stdout)
        return answer

    def found(self) -> str:
        """Three keys and their wallet; returns its first address."""
        self.file("words").write_text("a passphrase for tests\n")
        self.file("words").chmod(0o600)
        for name in self.names:
            made = self.ask("new-key", "--key-file", self.file(f"{name}.json"), "--passphrase-file", self.file("words"))
            self.keys.append(str(made["key"]))
        return str(self.ask("descriptor", *self.keys, "--out", self.file("wallet"))["address"])

    def plan(self, name: str, *pay: str) -> Result:
        wanted = [word for line in pay for word in ("--pay", line)]
        node = ("--node", self.node.login_url, "--network", NETWORK)
        wallet = ("--descriptor", self.file("wallet"), "--out", self.file(name))
        return self.run("plan", *wallet, *wanted, "--price", 3, *node)

    def sign(self, who: str, plan: str, said: str = "y\n") -> Result:
        key = ("--key-file", self.file(f"{who}.json"), "--passphrase-file", self.file("words"))
        wallet = ("--descriptor", self.file("wallet"), "--network", NETWORK)
        return self.run("sign", self.file(plan), *wallet, *key, "--out", self.file(f"{who}-{plan}"), said=said)

    def combine(self, out: str, plan: str, *parts: str) -> Result:
        wallet = ("--descriptor", self.file("wallet"), "--network", NETWORK)
        return self.run("combine", self.file(plan), *map(self.file, parts), *wallet, "--out", self.file(out))

    def broadcast(self, name: str, said: str = "y\n") -> Result:
        node = ("--descriptor", self.file("wallet"), "--node", self.node.login_url, "--network", NETWORK)
        return self.run("broadcast", self.file(name), *node, said=said)


@pytest.fixture
async def vault(bitcoin_node: RegtestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    shutil.copytree(FOLDER, tmp_path / "ops", ignore=lambda _, names: [n for n in names if not n.endswith(".toml")])
    for name, rows in ROWS.items():
        with (tmp_path / "ops" / name).open("a") as file:
            file.write(rows)
    monkeypatch.setenv("STRONGROOM_CATALOGUE_DIR", str(tmp_path / "ops"))
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**10)
    return Vault(tmp_path, bitcoin_node)


async def test_two_of_three_pay_out_of_the_cold_wallet(vault: Vault) -> None:
    address = vault.found()
    await vault.node.fund([(address, 30_000_000), (address, 20_000_000)], confirmations=3)
    to, other = client(1), client(2)

    planned = await apart(vault.plan, "plan.psbt", f"{to}=0.3", f"{other}=0.1")
    assert planned.exit_code == 0, planned.output
    assert f"0.3 BTC to {to}" in planned.stdout
    assert "signed    0 of 2" in planned.stdout

    for who in ("ann", "cat"):
        signed = vault.sign(who, "plan.psbt")
        assert signed.exit_code == 0, signed.output
        assert f"0.1 BTC to {other}" in signed.stderr
    short = vault.combine("short.psbt", "plan.psbt", "ann-plan.psbt")
    assert (short.exit_code, short.stderr.partition(":")[0]) == (4, "COLD_SIGNATURES_MISSING")
    combined = vault.combine("whole.psbt", "plan.psbt", "ann-plan.psbt", "cat-plan.psbt")
    assert combined.exit_code == 0, combined.output

    sent = await apart(vault.broadcast, "whole.psbt")
    assert sent.exit_code == 0, sent.output
    txid = sent.stdout.strip()
    await vault.node.mine(1)
    known = await vault.node.rpc("getrawtransaction", txid, True)
    assert known["confirmations"] == 1
    paid = {out["scriptPubKey"]["address"]: out["value"] for out in known["vout"]}
    assert (paid.pop(to), paid.pop(other)) == (Decimal("0.3"), Decimal("0.1"))
    [(back, left)] = paid.items()
    assert back != address, "the change has an address of its own"
    assert left < whole_coins(10_000_000)

    again = await apart(vault.broadcast, "whole.psbt")
    assert (again.exit_code, again.stdout.strip()) == (0, txid)
    poor = await apart(vault.plan, "poor.psbt", f"{to}=0.2")
    assert (poor.exit_code, poor.stderr.partition(":")[0]) == (4, "COLD_WALLET_SHORT")


async def test_what_was_changed_on_the_way_is_refused(vault: Vault) -> None:
    address = vault.found()
    await vault.node.fund([(address, 20_000_000)], confirmations=3)
    for name, to in (("plan.psbt", client(1)), ("evil.psbt", client(2))):
        assert (await apart(vault.plan, name, f"{to}=0.1")).exit_code == 0
    assert vault.sign("ann", "plan.psbt").exit_code == 0
    assert vault.sign("ben", "evil.psbt").exit_code == 0
    refused = vault.combine("whole.psbt", "plan.psbt", "ann-plan.psbt", "ben-evil.psbt")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (4, "COLD_OTHER_TRANSACTION")
    assert not vault.file("whole.psbt").exists()

    # A worse machine puts the signatures into the right plan; and a last one sends what lacks a signature.
    forged, evil = cold.read(vault.file("plan.psbt").read_text()), cold.read(vault.file("ben-evil.psbt").read_text())
    for one, other in zip(forged.inputs, evil.inputs, strict=True):
        one.partial_sigs.update(other.partial_sigs)
    vault.file("forged.psbt").write_text(cold.write(forged))
    refused = vault.combine("whole.psbt", "plan.psbt", "ann-plan.psbt", "forged.psbt")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (4, "COLD_SIGNATURE_INVALID")
    refused = await apart(vault.broadcast, "ann-plan.psbt")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (4, "COLD_SIGNATURES_MISSING")


async def test_nobody_signs_by_a_slip(vault: Vault) -> None:
    address = vault.found()
    await vault.node.fund([(address, 20_000_000)], confirmations=3)
    assert (await apart(vault.plan, "plan.psbt", f"{client(1)}=0.1")).exit_code == 0
    for said in ("", "n\n", "\n"):
        left = vault.sign("ann", "plan.psbt", said=said)
        assert left.exit_code == 4
        assert "NOT_SIGNED" in left.stderr
    assert not vault.file("ann-plan.psbt").exists()
    assert vault.sign("ann", "plan.psbt").exit_code == 0
    again = vault.sign("ann", "plan.psbt")
    assert "COLD_FILE_EXISTS" in again.stderr, "nothing is overwritten"


def test_a_key_file_is_its_owner_s_and_opens_with_its_passphrase(vault: Vault) -> None:
    vault.found()
    key = vault.file("ann.json")
    assert key.stat().st_mode & 0o777 == 0o600
    assert "address" not in json.loads(key.read_text())
    with pytest.raises(Refused, match="PASSPHRASE_WRONG"):
        open_key(key, "another passphrase", mainnet=False)
    content = json.loads(key.read_text()) | {"account": vault.keys[1]}
    key.write_text(json.dumps(content))
    with pytest.raises(Refused, match="KEYSTORE_MISMATCH"):
        open_key(key, "a passphrase for tests", mainnet=False)


@pytest.mark.parametrize(
    ("pay", "code"),
    [
        ("nowhere", "COLD_PLAN_INVALID"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4=1", "ADDRESS_WRONG_NETWORK"),
        (f"{client(1)}=much", "AMOUNT_MALFORMED"),
        (f"{client(1)}=0.000000001", "AMOUNT_TOO_PRECISE"),
        (f"{client(1)}=0.00000001", "COLD_PLAN_INVALID"),
    ],
)
async def test_a_payment_that_makes_no_sense_is_not_planned(vault: Vault, pay: str, code: str) -> None:
    vault.found()
    refused = await apart(vault.plan, "plan.psbt", pay)
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (4, code)


async def apart(work: object, *words: object) -> Result:
    """In a thread: the command runs an event loop of its own, and this one is in use."""
    result: Result = await asyncio.to_thread(work, *words)  # type: ignore[arg-type]
    return result
