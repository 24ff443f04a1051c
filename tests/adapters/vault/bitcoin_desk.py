"""A signer with a Bitcoin wallet in a temporary directory, and the batches a healthy house would send it.

PSBTs are put together with btclib, not with the signer's own encoder: two hands must agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from btclib.script.script_pub_key import ScriptPubKey
from btclib.tx import OutPoint, Tx, TxIn, TxOut
from btclib_wallet.psbt import Psbt, PsbtIn

from adapters import roster
from adapters.catalogue import Catalogue, load
from adapters.vault.families import FAMILIES
from adapters.vault.keystore import SigningKey
from adapters.vault.rules import AssetRules, NetworkRules, Rules
from adapters.vault.store import Store
from adapters.vault.vault import SigningVault
from domain.asset import Asset
from domain.coin import Coin
from domain.intent import Decision, Intent
from domain.network import FeeRules, Network
from domain.payout import Draft, Fee, Item, Payment, SigningOrder, Slot, slot_id
from domain.policy import Tier
from tests.adapters.vault.desk import PEOPLE, Clock, People, intent

SECRET = bytes.fromhex("5f" * 32)
REGTEST = 0x466E2206
BTC = Asset("BTC-BITCOIN", "BTC", "bitcoin", 8)
NETWORK = Network(
    id="bitcoin",
    name="Bitcoin",
    family="bitcoin",
    chain_id=REGTEST,
    native_asset=BTC.id,
    block_time_ms=600_000,
    confirmations=6,
    fees=FeeRules(1, 0, 200, 500_000, 600),
    checked_on=date(2026, 11, 22),
    batch_max=100,
    inputs_max=50,
)
WALLET = FAMILIES["bitcoin"].address(SigningKey(SECRET).account, NETWORK)
WALLET_SCRIPT = ScriptPubKey.from_address(WALLET).script
FEE_CAP = "500000"
COIN = 10_000_000  # satoshi in each coin of the wallet, unless told
SMALL, LARGE = "100000", "30000000"  # below, and in, the tier of two approvals
PRICE = 5


def client(n: int) -> str:
    """The address of client number `n`: P2WPKH, P2TR, P2WSH, P2PKH and P2SH in turn."""
    seed = n.to_bytes(20, "big")
    scripts = (
        b"\x00\x14" + seed,
        b"\x51\x20" + SigningKey(n.to_bytes(32, "big")).account.public_key[1:],
        b"\x00\x20" + seed.rjust(32, b"\x07"),
        b"\x76\xa9\x14" + seed + b"\x88\xac",
        b"\xa9\x14" + seed + b"\x87",
    )
    return ScriptPubKey(scripts[n % 5], "regtest").address


def paying(n: int = 1, amount: str = SMALL, recipient: str | None = None, **other: str) -> Intent:
    to = recipient or client(n)
    return intent(n, amount, BTC.id, to, **{"network": "bitcoin", "fee_cap": FEE_CAP, **other})


@dataclass(frozen=True, slots=True)
class Purse:
    """An output of a transaction that pays our wallet, with that transaction."""

    tx: Tx
    vout: int = 0

    @property
    def coin(self) -> Coin:
        return Coin(f"{self.tx.id.hex()}:{self.vout}", str(self.tx.vout[self.vout].value))

    def spent(self) -> PsbtIn:
        return PsbtIn(non_witness_utxo=self.tx, witness_utxo=self.tx.vout[self.vout])


def purse(n: int, units: int = COIN, script: bytes = WALLET_SCRIPT) -> Purse:
    """Coin number `n`: behind a first output that is somebody else's, so the index matters."""
    origin = TxIn(OutPoint(n.to_bytes(32, "big"), n % 3), b"", 0xFFFFFFFF)
    other = TxOut(1000 + n, ScriptPubKey.from_address(client(n)))
    return Purse(Tx(2, 0, [origin], [other, TxOut(units, ScriptPubKey(script, "regtest"))]), 1)


def unsigned(
    purses: Sequence[Purse],
    outputs: Sequence[tuple[str | bytes, int]],
    version: int = 2,
    locktime: int = 0,
    sequence: int = 0xFFFFFFFD,
    inputs: Sequence[PsbtIn] | None = None,
) -> str:
    """The PSBT that spends `purses` into `outputs` (address or script, satoshi)."""
    spent = [TxIn(OutPoint(p.tx.id, p.vout), b"", sequence) for p in purses]
    made = [TxOut(units, ScriptPubKey(script_of(to), "regtest"), check_validity=False) for to, units in outputs]
    tx = Tx(version, locktime, spent, made, check_validity=False)
    psbt = Psbt.from_tx(tx, list(inputs or [p.spent() for p in purses]), check_validity=False)
    return "0x" + psbt.serialize(check_validity=False).hex()


def script_of(to: str | bytes) -> bytes:
    return to if isinstance(to, bytes) else ScriptPubKey.from_address(to).script


def size(inputs: int, outputs: Sequence[tuple[str | bytes, int]]) -> int:
    """Virtual bytes, by hand: 10.5 for the frame, 68 for a P2WPKH input, and the outputs as they are (BIP 141)."""
    frame = 40 + 2 + 8 * (len(outputs) > 252)
    weight = frame + 272 * inputs + 4 * sum(9 + len(script_of(to)) for to, _ in outputs)
    return -(-weight // 4)


@dataclass
class Desk:
    """One signer with its private directory."""

    home: Path
    network: Network = NETWORK
    tiers: tuple[Tier, ...] = (Tier(25_000_000, 2), Tier(2_500_000_000, 3))
    auto_day_max: int = 100_000_000
    fee_day_max: int = 20_000_000
    clock: Clock = field(default_factory=Clock)
    people: People = field(init=False)
    vault: SigningVault = field(init=False)

    def __post_init__(self) -> None:
        self.home.chmod(0o700)
        self.people = People(self.home / "roster.toml")
        for name in PEOPLE:
            self.people.enrol(name)
        self.open()

    def open(self) -> None:
        base = load("devnet")
        networks = {**base.networks, self.network.id: self.network}
        catalogue = Catalogue(networks, {**base.assets, BTC.id: BTC}, base.policy, base.asset_names)
        limits = NetworkRules(network_fee_cap=500_000, fee_day_max=self.fee_day_max)
        self.vault = SigningVault(
            catalogue=catalogue,
            keys={self.network.id: SigningKey(SECRET)},
            rules=Rules("test", {BTC.id: AssetRules(self.tiers, self.auto_day_max)}, {self.network.id: limits}),
            roster=roster.Roster(self.people.roster_file),
            store=Store.open(self.home / "memory.sqlite3", create=True),
            clock=self.clock,
        )

    def restart(self) -> None:
        self.vault.close()
        self.open()

    def order(
        self,
        intents: Sequence[Intent],
        purses: Sequence[Purse] = (),
        price: int = PRICE,
        approvals: Mapping[str, Sequence[str]] | None = None,
        decisions: Mapping[str, Sequence[Decision]] | None = None,
        outputs: Sequence[tuple[str | bytes, int]] | None = None,
    ) -> SigningOrder:
        """What a healthy house sends to have `intents` paid from `purses`, the change coming back. `approvals` and
        `decisions` by withdrawal id. `outputs` takes the place of the payments in the bytes; change still comes last.
        """
        spent = purses or (purse(1, 2 * COIN + sum(int(i.amount) for i in intents)),)
        payments = tuple(Payment(i.withdrawal_id, i.asset, i.amount, i.recipient) for i in intents)
        paid = list(outputs if outputs is not None else [(i.recipient, int(i.amount)) for i in intents])
        weight = size(len(spent), [*paid, (WALLET, 0)])
        fee = Fee(weight, price, 0)
        change = sum(int(p.coin.units) for p in spent) - sum(units for _, units in paid) - fee.most
        coins = tuple(p.coin for p in spent)
        id_ = slot_id(self.network.id, WALLET, coins[0].outpoint)
        slot = Slot(id_, self.network.id, WALLET, coins[0].outpoint, payments, FEE_CAP, 6, coins)
        items = tuple(Item(i, self._said(i, approvals or {}, decisions or {})) for i in intents)
        return SigningOrder(slot, Draft(id_, unsigned(spent, [*paid, (WALLET, change)]), fee), items)

    def _said(
        self, of: Intent, approvals: Mapping[str, Sequence[str]], decisions: Mapping[str, Sequence[Decision]]
    ) -> tuple[Decision, ...]:
        made = (self.people.decide(who, of) for who in approvals.get(of.withdrawal_id, ()))
        return (*made, *decisions.get(of.withdrawal_id, ()))

    def refusals(self) -> list[str]:
        reader = Store.open(self.home / "memory.sqlite3")
        try:
            return [code for _, code, _ in reader.refusals()]
        finally:
            reader.close()


def with_bytes(order: SigningOrder, unsigned_: str) -> SigningOrder:
    return replace(order, draft=replace(order.draft, unsigned=unsigned_))


def spent_of(order: SigningOrder) -> list[tuple[bytes, int]]:
    return [(WALLET_SCRIPT, int(coin.units)) for coin in order.slot.inputs]
