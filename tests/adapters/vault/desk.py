"""A signer in a temporary directory, the people who approve, and the orders a healthy house would send it.

Transactions are built with the `rlp` package, not with the signer's own encoder: two hands must agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import rlp.codec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters import roster
from adapters.catalogue import FOLDER, Catalogue, load
from adapters.vault.keystore import SigningKey
from adapters.vault.rules import load_rules
from adapters.vault.store import Store
from adapters.vault.vault import SigningVault
from domain.intent import Decision, Intent, Ruling, statement
from domain.payout import Draft, Fee, Item, Payment, SigningOrder, Slot, slot_id

SECRET = bytes.fromhex(
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
)  # anvil's first, known to all
WALLET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
CHAIN_ID = 31337
NETWORK = "ethereum"
USDT, ETH = "USDT-ETHEREUM", "ETH-ETHEREUM"
USDT_CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"  # the local network's, as ops/assets.toml has it
CLIENT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
THIEF = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
GWEI = 10**9
FEE = Fee(weight=80_000, price=30 * GWEI, tip=2 * GWEI)
FEE_CAP = str(3 * 10**16)
SMALL, LARGE = "500000000", "5000000000"  # 500 and 5000 USDT: below and in the tier of two approvals
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PEOPLE = ("anna", "boris", "chen")


@dataclass
class Clock:
    """Time in hand."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class People:
    """Approvers with their private keys, and the signer's roster file that names them."""

    roster_file: Path
    keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)

    def enrol(self, name: str) -> None:
        self.keys[name] = Ed25519PrivateKey.generate()
        roster.enrol(self.roster_file, name, public_hex(self.keys[name]), date(2026, 11, 21))

    def decide(self, name: str, intent: Intent, ruling: Ruling = Ruling.APPROVE) -> Decision:
        return sign_decision(self.keys[name], name, intent.hash(), ruling)


@dataclass
class Desk:
    """One signer with its private directory."""

    home: Path
    clock: Clock = field(default_factory=Clock)
    people: People = field(init=False)
    vault: SigningVault = field(init=False)

    def __post_init__(self) -> None:
        self.home.chmod(0o700)
        self.people = People(self.home / "roster.toml")
        if not self.people.roster_file.exists():
            for name in PEOPLE:
                self.people.enrol(name)
        self.open()

    def open(self) -> None:
        catalogue: Catalogue = load("devnet")
        self.vault = SigningVault(
            catalogue=catalogue,
            keys={NETWORK: SigningKey(SECRET)},
            rules=load_rules(FOLDER / "signer.toml", "devnet", catalogue),
            roster=roster.Roster(self.people.roster_file),
            store=Store.open(self.home / "memory.sqlite3", create=True),
            clock=self.clock,
        )

    def restart(self) -> None:
        self.vault.close()
        self.open()

    def order(self, intent: Intent, nonce: int = 0, fee: Fee = FEE, approvers: Sequence[str] = ()) -> SigningOrder:
        """What a healthy house sends to have `intent` paid from the slot `nonce`."""
        decisions = tuple(self.people.decide(name, intent) for name in approvers)
        payment = Payment(intent.withdrawal_id, intent.asset, intent.amount, intent.recipient)
        id_ = slot_id(NETWORK, WALLET, str(nonce))
        slot = Slot(id_, NETWORK, WALLET, str(nonce), (payment,), FEE_CAP, confirmations=3)
        return SigningOrder(slot, Draft(id_, unsigned(intent, nonce, fee), fee), (Item(intent, decisions),))

    def refusals(self) -> list[str]:
        """The codes of everything this signer refused, as its own memory has them."""
        reader = Store.open(self.home / "memory.sqlite3")
        try:
            return [code for _, code, _ in reader.refusals()]
        finally:
            reader.close()


def intent(n: int = 1, amount: str = SMALL, asset: str = USDT, recipient: str = CLIENT, **other: str) -> Intent:
    """The intent of withdrawal number `n`."""
    fields = {
        "withdrawal_id": f"wd_{n:026d}",
        "account": "acme",
        "network": NETWORK,
        "asset": asset,
        "amount": amount,
        "recipient": recipient,
        "fee_cap": FEE_CAP,
        "requester": "client:acme",
        "policy_version": "2026-11-21",
    }
    return Intent(**{**fields, **other})


def fields(of: Intent, nonce: int = 0, fee: Fee = FEE) -> list[Any]:
    """The nine fields of the unsigned type 0x02 transaction that pays `of`."""
    to, amount = bytes.fromhex(of.recipient[2:]), int(of.amount)
    if of.asset == ETH:
        return [CHAIN_ID, nonce, fee.tip, fee.price, fee.weight, to, amount, b"", []]
    data = bytes.fromhex("a9059cbb") + to.rjust(32, b"\0") + amount.to_bytes(32, "big")
    return [CHAIN_ID, nonce, fee.tip, fee.price, fee.weight, bytes.fromhex(USDT_CONTRACT[2:]), 0, data, []]


def rlp_encode(items: Any) -> bytes:
    """What the `rlp` package makes of it: numbers big-endian, lists nested."""
    return bytes(rlp.codec.encode(items))  # type: ignore[no-untyped-call]


def unsigned(of: Intent, nonce: int = 0, fee: Fee = FEE) -> str:
    return "0x02" + rlp_encode(fields(of, nonce, fee)).hex()


def sign_decision(key: Ed25519PrivateKey, name: str, intent_hash: str, ruling: Ruling = Ruling.APPROVE) -> Decision:
    signature = key.sign(statement(name, ruling, intent_hash)).hex()
    return Decision(name, ruling, intent_hash, signature)


def public_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()
