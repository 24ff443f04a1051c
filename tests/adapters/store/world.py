"""One world for the contract of the books: the same words on the fake and on PostgreSQL."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.catalogue import Catalogue, load
from adapters.store.opening import open_store
from domain.coin import Coin
from domain.errors import Refused
from domain.intent import Decision, Intent, Ruling
from domain.ledger import chart
from domain.ledger.chart import Account
from domain.payout import Facts, Fee, Final, Inclusion, Sighting, Slot, Version
from domain.ports import (
    Books,
    Coins,
    DecisionNote,
    DepositAddresses,
    PayoutItem,
    PlanRefusal,
    ProcedureNote,
    Receipt,
    Request,
    WalletView,
)
from domain.procedure import Kind, Procedure
from domain.withdrawal import Withdrawal, withdrawal_id
from tests.fakes.books import FakeBooks
from tests.fakes.people import People

USDT, ETH = "USDT-ETHEREUM", "ETH-ETHEREUM"
COIN = 10**6
WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
RECIPIENT = "0xde709f2102306220921060314715629080e2fb77"
T0 = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PEOPLE = ("anna", "boris", "carla")


@dataclass
class World:
    """Books with one client ("acme", requester "olga"), one hot wallet, and a clock that stands still."""

    books: Books
    people: People
    catalogue: Catalogue
    credit: Callable[[Account, int, str], Awaitable[None]]
    balance: Callable[[Account], Awaitable[int]]
    sums: Callable[[], Awaitable[dict[str, int]]]
    coins: Coins
    network_fee: Callable[[str], Awaitable[str | None]]
    wallets: Callable[[], Awaitable[Sequence[WalletView]]]
    addresses: DepositAddresses
    now: datetime = T0
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def network(self) -> "object":
        return self.catalogue.networks["ethereum"]

    # ------------------------------------------------------------ the door
    async def fund(self, units: int, account: str = "acme", asset: str = USDT) -> None:
        await self.books.ensure_account(account)
        await self.credit(chart.available(account, asset), units, f"deposit-{next(self.numbers)}")

    async def fund_wallet(self, usdt: int = 10**12, eth: int = 10**19, wallet: str = WALLET) -> None:
        await self.books.ensure_wallet("ethereum", wallet, 0)
        await self.credit(chart.hot_wallet("ethereum", wallet, USDT), usdt, f"coins-{next(self.numbers)}")
        await self.credit(chart.hot_wallet("ethereum", wallet, ETH), eth, f"coins-{next(self.numbers)}")

    def ask(self, amount: int = 10 * COIN, fee: int = COIN, *, account: str = "acme", ref: str = "") -> Withdrawal:
        ref = ref or f"ref-{next(self.numbers)}"
        id_ = withdrawal_id(account, ref)
        return Withdrawal(id_, account, ref, "ethereum", USDT, str(amount), str(fee), RECIPIENT, "olga")

    def request(self, asked: Withdrawal, key: str = "", quote_id: str | None = None) -> Request:
        body = hashlib.sha256(repr(replace(asked, fee="")).encode()).hexdigest()
        return Request(asked, key or f"key-{asked.client_ref}", body, "olga", quote_id)

    async def requested(self, amount: int = 10 * COIN, fee: int = COIN) -> Withdrawal:
        """A withdrawal of acme that was accepted at the door, funded for the purpose."""
        await self.fund(amount + fee)
        asked = self.ask(amount, fee)
        receipt: Receipt = await self.books.request_withdrawal(self.request(asked))
        assert not receipt.replayed
        return asked

    # ------------------------------------------------------------ judgement
    async def queued(self, amount: int = 10 * COIN) -> Withdrawal:
        asked = await self.requested(amount)
        await self.books.judge(asked.id, self.now)
        return asked

    async def referred(self, amount: int = 1000 * COIN) -> tuple[Withdrawal, str]:
        """A withdrawal that waits for two approvals, and the hash of its intent."""
        asked = await self.requested(amount)
        return asked, (await self.books.judge(asked.id, self.now)).intent_hash

    async def says(
        self, name: str, asked: Withdrawal, intent_hash: str, ruling: Ruling = Ruling.APPROVE, after_s: int = 1
    ) -> DecisionNote:
        decision = self.people.decision(name, ruling, intent_hash)
        return await self.books.record_decision(asked.id, decision, "signal", self.later(after_s))

    def later(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    # ------------------------------------------------------------ payouts
    async def item(self, asked: Withdrawal, wallet: str = WALLET) -> PayoutItem:
        items: Sequence[PayoutItem] = await self.books.queued("ethereum", wallet, 500)
        return next(item for item in items if item.payment.withdrawal_id == asked.id)

    async def planned(self, asked: Withdrawal, wallet: str = WALLET) -> Slot:
        slot = await self.plan([await self.item(asked, wallet)], wallet)
        assert isinstance(slot, Slot), slot
        return slot

    async def plan(
        self, items: Sequence[PayoutItem], wallet: str = WALLET, inputs: Sequence[Coin] = ()
    ) -> Slot | PlanRefusal:
        return await self.books.plan_slot(self.catalogue.networks["ethereum"], wallet, items, self.now, inputs)

    async def broadcast(self, slot: Slot, number: int = 1) -> Version:
        version = version_of(slot, number)
        stored = await self.books.begin_delivery(version, self.later(2))
        assert version in stored
        return version

    def procedure(self, kind: Kind, subject: str, reason: str = "looked into", rests_on: str = "") -> Procedure:
        return Procedure(kind, subject, reason, rests_on, f"{next(self.numbers)}")

    async def take(self, procedure: Procedure, *people: str, after_s: float = 5) -> ProcedureNote:
        """What the books make of the procedure with the word of these people."""
        endorsed = self.people.endorse(procedure, *people)
        note: ProcedureNote = await self.books.take_procedure("ethereum", WALLET, endorsed, self.later(after_s))
        return note

    def facts(self, version: Version, block: int | None, at: float = 3, used: bool = False) -> Facts:
        found = Inclusion(block, f"0xb{block}", True, True, "21000") if block is not None else None
        sighting = Sighting(version.txid, True, found)
        return Facts(100, 90, used, version.txid if used else None, (sighting,), self.later(at))


def version_of(slot: Slot, number: int, salt: str = "") -> Version:
    digest = hashlib.sha256(f"{slot.id}/{number}/{salt}".encode()).hexdigest()
    fee = Fee(60_000, 10**9 + number, 10**8)
    return Version(slot.id, number, f"0x{digest}", f"0x02{digest}", fee, T0)


def final_of(version: Version, *, paid: bool = True, fee: int = 10**15) -> Final:
    return Final(version.txid, 77, "0xb77", paid, str(fee))


@asynccontextmanager
async def fake_world() -> AsyncIterator[World]:
    catalogue, people = load("devnet"), People(*PEOPLE, "olga")
    books = FakeBooks(catalogue.policy, catalogue.networks, catalogue.assets, people)

    async def credit(account: Account, units: int, key: str) -> None:
        books.credit(account, units, key)

    async def balance(account: Account) -> int:
        return books.balances[account]

    async def sums() -> dict[str, int]:
        return books.trial_balance()

    async def network_fee(withdrawal_id: str) -> str | None:
        return books.rows[withdrawal_id].network_fee

    yield World(
        books, people, catalogue, credit, balance, sums, books.coins["ethereum"], network_fee, books.wallets, books
    )


@asynccontextmanager
async def postgres_world(dsn: str) -> AsyncIterator[World]:
    catalogue, people = load("devnet"), People(*PEOPLE, "olga")
    async with open_store(dsn, catalogue, people, pool_max=8) as store:

        async def credit(account: Account, units: int, key: str) -> None:
            await store.books.post_opening(key, [(account, units)])

        async def balance(account: Account) -> int:
            sql = "SELECT b.units::text FROM balance b JOIN account a ON a.id = b.account_id WHERE a.code = $1"
            row = await store.database.fetchrow("balance", sql, account.code)
            return int(row["units"]) if row else 0

        async def sums() -> dict[str, int]:
            trial = await store.views.trial_balance()
            assert not trial.disagreements, f"balances differ from their postings: {trial.disagreements}"
            return {asset: int(units) for asset, units in trial.sums.items()}

        async def network_fee(withdrawal_id: str) -> str | None:
            view = await store.views.withdrawal(withdrawal_id)
            return view.network_fee if view else None

        yield World(
            store.books,
            people,
            catalogue,
            credit,
            balance,
            sums,
            store.coins("ethereum"),
            network_fee,
            store.views.wallets,
            store.deposit_addresses,
        )


def approval_of(people: People, name: str, intent: Intent) -> Decision:
    return people.decision(name, Ruling.APPROVE, intent.hash())


async def refused(code: str, call: Callable[[], Awaitable[object]]) -> Refused:
    with pytest.raises(Refused) as caught:
        await call()
    assert caught.value.code == code
    return caught.value
