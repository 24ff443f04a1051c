"""Every fault the local TRON knows, through the real loop of delivering and the real signer: each payment is made
exactly once, by the node's own count, whatever happened on the way.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from coincurve import PrivateKey
from temporalio.testing import ActivityEnvironment

from activities.chain import ChainActivities, DeliverOrder, RedraftOrder
from adapters.catalogue import FOLDER, Catalogue, load
from adapters.chains.tron.adapter import open_tron
from adapters.chains.tron.address import text_of
from adapters.vault.keystore import SigningKey
from adapters.vault.rules import load_rules
from adapters.vault.store import Store
from adapters.vault.vault import SigningVault
from domain.errors import Refused, Unavailable
from domain.ledger import chart
from domain.payout import Act, Delivery, Draft, Final, Item, SigningOrder, Slot, Version
from domain.ports import Chain, Request
from domain.withdrawal import Withdrawal, withdrawal_id
from ops.demo.node import TronNode
from ops.devnet.tron import treasury
from ops.devnet.tron.keys import address_of_key
from tests.adapters.chains.tron_world import SUN, LocalTron, new_address
from tests.fakes.books import FakeBooks
from tests.fakes.people import People

BLOCK_S = 0.2
WINDOW_S = 4
OVER_S = WINDOW_S + 2.0  # by then a version that is in no block is proven dead, and the next one was offered
UNITS = 25 * 10**6
USDT, TRX = "USDT-TRON", "TRX-TRON"
THIEF = new_address()
PAID_MAX_S = 25


@dataclass
class House:
    """One hot wallet, its books and signer, and a chain over the nodes of the local network."""

    local: LocalTron
    catalogue: Catalogue
    books: FakeBooks
    vault: SigningVault
    chain: Chain
    wallet: str
    since: int

    async def planned(self, asset: str = USDT) -> tuple[Slot, tuple[Item, ...]]:
        """A payout of 25 coins to somebody new, bound to the wallet's next slot."""
        ref = f"ref-{new_address()}"
        asked = Withdrawal(
            withdrawal_id("acme", ref), "acme", ref, "tron", asset, str(UNITS), "0", new_address(), "olga"
        )
        await self.books.request_withdrawal(Request(asked, ref, sha256(ref.encode()).hexdigest(), "olga"))
        now = datetime.now(UTC)
        await self.books.judge(asked.id, now)
        queued = await self.books.queued("tron", self.wallet, 100)
        [item] = [item for item in queued if item.payment.withdrawal_id == asked.id]
        slot = await self.books.plan_slot(self.catalogue.networks["tron"], self.wallet, [item], now)
        assert isinstance(slot, Slot), slot
        return slot, (Item(item.intent, item.decisions),)

    async def signed(self, slot: Slot, items: tuple[Item, ...], draft: Draft | None = None) -> Version:
        """By the signer; it is asked again and bytes that went stale are drafted anew, as the payout's story does."""
        if draft is None:
            draft = await self.chain.draft(slot, await self.chain.quote(slot.payments, self.wallet))
        for _ in range(60):
            try:
                return await self.vault.sign(SigningOrder(slot, draft, items))
            except Unavailable:
                await asyncio.sleep(BLOCK_S)
                continue
            except Refused as why:
                if why.code != "SIGNER_DRAFT_STALE":
                    raise
            await asyncio.sleep(BLOCK_S)
            redraft: Any = ChainActivities(self.chain, self.books).redraft
            drafted: Draft = await ActivityEnvironment().run(redraft, RedraftOrder(slot, draft))
            draft = drafted
        raise AssertionError("the signer never took the bytes")

    def delivering(self, slot: Slot, version: Version) -> "asyncio.Task[Delivery]":
        deliver: Any = ChainActivities(self.chain, self.books).deliver
        return asyncio.ensure_future(ActivityEnvironment().run(deliver, DeliverOrder(slot, version)))

    async def brought_to_its_end(self, slot: Slot, items: tuple[Item, ...], version: Version) -> Final:
        """The payout's story without Temporal: delivered, signed again where the first ones are dead, settled."""
        async with asyncio.timeout(PAID_MAX_S):
            while True:
                delivery = await self.delivering(slot, version)
                if delivery.act is Act.BUMP and delivery.draft is not None:
                    version = await self.signed(slot, items, delivery.draft)
                    continue
                assert delivery.final is not None, delivery.reason
                await self.books.settle(slot, delivery.final, datetime.now(UTC))
                return delivery.final

    async def assert_paid_once(self, slot: Slot) -> None:
        """By the node's own count, after all that was lost on the way had its chance to come back."""
        self.local.control(reset=True, release=True)
        self.local.control("b", reset=True)
        final = self.local.control(mine=1)["head"] + 6
        await self.until(lambda: self.local.control()["head"] >= final)
        [payment] = slot.payments
        contract = self.catalogue.assets[payment.asset].contract
        async with aiohttp.ClientSession() as session:
            node = TronNode(session, self.local.full, self.since)
            assert await node.transfers_to(payment.recipient, contract) == 1
            assert await node.balance(payment.recipient, contract) == UNITS
            assert await node.balance(THIEF, contract) == 0
        assert not any(self.books.trial_balance().values())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PAID_MAX_S):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - a node tells nobody of its blocks
                await asyncio.sleep(0.05)

    def in_block(self, txid: str) -> bool:
        return "blockNumber" in self.local.ask("wallet/gettransactioninfobyid", value=txid)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTron]:
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with LocalTron.running(19780 + 2 * turn, tmp_path_factory.mktemp("tron"), BLOCK_S, live=True) as local:
        yield local


@asynccontextmanager
async def opened(local: LocalTron, home: Path, names: tuple[str, ...] = ("a",)) -> AsyncIterator[House]:
    local.control(reset=True)
    local.control("b", reset=True)
    key = PrivateKey().secret
    wallet = text_of(address_of_key(key))
    catalogue = of_this_pace(load("devnet"), local.chain_id)
    await treasury.fill(local.full, wallet, sun=1000 * SUN, usdt_units=10**12)
    people = People()
    books = FakeBooks(catalogue.policy, catalogue.networks, catalogue.assets, people)
    await books.ensure_account("acme")
    await books.ensure_wallet("tron", wallet, 0)
    for asset, units in ((USDT, 10**12), (TRX, 1000 * SUN)):
        books.credit(chart.available("acme", asset), units, f"client/{asset}")
        books.credit(chart.hot_wallet("tron", wallet, asset), units, f"wallet/{asset}")
    vault = signer(catalogue, key, people, home)
    urls = [f"{local.full}/{name}" for name in names]
    try:
        # Forks and skipped slots took time from the future: now is what the node says.
        network = catalogue.networks["tron"]
        async with open_tron(network, catalogue.assets, urls, [wallet], None, local.now) as chain:
            yield House(local, catalogue, books, vault, chain, wallet, local.control()["head"])
    finally:
        vault.close()
        if local.control()["split"]:
            local.control(heal="a")
        local.control(reset=True)
        local.control("b", reset=True)


def signer(catalogue: Catalogue, key: bytes, people: People, home: Path) -> SigningVault:
    home.chmod(0o700)
    rules, memory = load_rules(FOLDER / "signer.toml", "devnet", catalogue), Store.open(home / "memory", create=True)
    return SigningVault(catalogue, {"tron": SigningKey(key)}, rules, people, memory)


def of_this_pace(base: Catalogue, chain_id: int) -> Catalogue:
    tron = base.networks["tron"]
    quick = replace(
        tron,
        chain_id=chain_id,
        block_time_ms=int(BLOCK_S * 1000),
        window_s=WINDOW_S,
        fees=replace(tron.fees, bump_after_s=1),
    )
    return replace(base, networks={**base.networks, "tron": quick})


# ---------------------------------------------------------------- what nodes do to a payment
Trouble = Callable[[House, Version], Awaitable[None]]


def at(*steps: tuple[float, dict[str, Any]]) -> Trouble:
    """Orders to the first node, each so many seconds after the bytes were signed."""

    async def trouble(house: House, _: Version) -> None:
        begun = asyncio.get_running_loop().time()
        for seconds, order in steps:
            await asyncio.sleep(max(0.0, begun + seconds - asyncio.get_running_loop().time()))
            await asyncio.to_thread(partial(house.local.control, **order))

    return trouble


async def forked_away(house: House, version: Version) -> None:
    """The block that held it is replaced, and the new branch does not take it back."""
    await house.until(lambda: house.in_block(version.txid))
    house.local.control(fork=2, fork_loses=True)


async def forked_and_taken_back(house: House, version: Version) -> None:
    await house.until(lambda: house.in_block(version.txid))
    house.local.control(fork=2)


@dataclass(frozen=True)
class Case:
    """A fault, how long it lasts, and whether the payment has to be signed again (None: that depends)."""

    name: str
    trouble: Trouble
    again: bool | None = False
    asset: str = USDT
    nodes: tuple[str, ...] = ("a",)


CASES = (
    Case("dropped after success", at((0, {"drop": 1}), (OVER_S, {"drop": 0})), again=True),
    Case(
        "dropped and found again at the last moment",
        at((0, {"drop": 1}), (WINDOW_S - 1.2, {"drop": 0, "release": True})),
    ),
    Case(
        "dropped, and called a duplicate ever after",
        at((0, {"drop": 1, "dup_cache": True}), (OVER_S, {"drop": 0})),
        again=True,
    ),
    Case("executed but 504", at((0, {"lose_reply": 1})), asset=TRX),
    Case("busy for a while", at((0, {"server_busy": 1}), (2, {"server_busy": 0}))),
    Case("busy for longer than it lives", at((0, {"server_busy": 1}), (OVER_S, {"server_busy": 0})), again=True),
    Case("held for some blocks", at((0, {"hold_blocks": 8}))),
    Case("held for longer than it lives", at((0, {"hold_blocks": 40}), (WINDOW_S, {"hold_blocks": 0})), again=True),
    Case("forked away", forked_away, asset=TRX),
    Case("forked, and in the other branch too", forked_and_taken_back),
    Case("a node that substitutes what it builds", at((0, {"substitute": THIEF}))),
    Case("a stale head", at((0, {"stale_head": 6}), (3, {"stale_head": 0}))),
    Case(
        "a lite node that forgets what it dropped",
        at((0, {"drop": 1, "lite": 2}), (OVER_S, {"drop": 0}), (OVER_S + 1, {"lite": None})),
        again=True,
    ),
    Case("a lite node that forgets what it paid", at((0, {"lite": 1}), (3, {"lite": None}))),
    Case("missing info entries", at((0, {"missing_info": 1}), (3, {"missing_info": 0}))),
    Case(
        "errors and garbage half of the time",
        at((0, {"http_error": 0.3, "garbage": 0.2, "seed": 3}), (3, {"http_error": 0, "garbage": 0})),
        again=None,
    ),
    Case("down", at((0, {"down": True}), (2, {"down": False}))),
    Case("a node that comes and goes", at(*((s, {"down": s % 2 == 0}) for s in range(6)))),
    Case(
        "two nodes on different branches, ours loses",
        at((0.1, {"split": 1, "majority": "b"}), (3, {"heal": "b"})),
        again=None,
        nodes=("a", "b"),
    ),
    Case(
        "two nodes on different branches, ours wins",
        at((0.1, {"split": 1, "majority": "a"}), (3, {"heal": "a"})),
        again=None,
        nodes=("a", "b"),
    ),
    Case("one of two nodes lags", at((0, {"stale_head": 6})), nodes=("a", "b")),
    Case(
        "everything at once",
        at(
            (0, {"drop": 0.4, "lose_reply": 0.4, "server_busy": 0.3, "http_error": 0.1, "seed": 11}),
            (1, {"hold_blocks": 3, "missing_info": 0.5}),
            (2, {"stale_head": 3}),
            (4, {"reset": True}),
        ),
        again=None,
        nodes=("a", "b"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_payment_survives_it_and_is_made_once(case: Case, local: LocalTron, tmp_path: Path) -> None:
    async with opened(local, tmp_path, case.nodes) as house:
        slot, items = await house.planned(case.asset)
        version = await house.signed(slot, items)
        trouble = asyncio.ensure_future(case.trouble(house, version))
        await asyncio.sleep(0.05)
        final = await house.brought_to_its_end(slot, items, version)
        await trouble
        assert final.paid
        await house.assert_paid_once(slot)
        versions = await house.books.versions(slot.id)
        assert final.txid in {version.txid for version in versions}
        assert case.again in (None, len(versions) > 1)


# ---------------------------------------------------------------- what happens to ourselves
async def test_a_deliverer_killed_at_any_moment_is_followed_by_one_that_pays_once(
    local: LocalTron, tmp_path: Path
) -> None:
    async with opened(local, tmp_path) as house:
        slot, items = await house.planned()
        version = await house.signed(slot, items)
        for seconds in (0.0, 0.01, 0.03, 0.1, 0.3):
            running = house.delivering(slot, version)
            await asyncio.sleep(seconds)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        assert (await house.brought_to_its_end(slot, items, version)).paid
        await house.assert_paid_once(slot)


async def test_two_deliverers_of_a_dropped_payment_sign_one_second_version_between_them(
    local: LocalTron, tmp_path: Path
) -> None:
    async with opened(local, tmp_path) as house:
        slot, items = await house.planned()
        version = await house.signed(slot, items)
        house.local.control(drop=1)
        both = [house.delivering(slot, version) for _ in range(2)]
        drafts = [delivery.draft for delivery in await asyncio.gather(*both)]
        house.local.control(drop=0)
        again = [await house.signed(slot, items, draft) for draft in drafts]
        assert again[0] == again[1], "the signer knows of the one it has signed"
        finals = await asyncio.gather(*(house.brought_to_its_end(slot, items, one) for one in again))
        assert finals[0] == finals[1]
        await house.assert_paid_once(slot)


async def test_a_signer_s_answer_that_was_lost_makes_no_second_version(local: LocalTron, tmp_path: Path) -> None:
    async with opened(local, tmp_path) as house:
        slot, items = await house.planned()
        lost = await house.signed(slot, items)
        house.local.control(mine=3)
        again = await house.signed(slot, items)
        assert again == lost, "a fresh draft is answered with the version that may be out"
        assert (await house.brought_to_its_end(slot, items, again)).paid
        await house.assert_paid_once(slot)
