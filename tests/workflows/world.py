"""A whole small house around the workflows: fakes for books, network and signer, real workers, a real Temporal."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.books import BooksActivities
from activities.chain import ChainActivities
from activities.hot_wallet import HotWalletActivities
from activities.signing import SigningActivities
from activities.stories import PayoutOrder
from adapters.catalogue import Catalogue, load
from domain.intent import Decision, Ruling
from domain.ledger import chart
from domain.money import Amount
from domain.payout import Facts, Item, SigningOrder, Slot, Version, decide, hot_wallet_workflow_id, payout_workflow_id
from domain.ports import Conclusion, DecisionNote, ProcedureNote, Request
from domain.procedure import Endorsed, Kind, Procedure
from domain.withdrawal import Stage, Withdrawal, withdrawal_id, workflow_id
from tests.fakes.books import FakeBooks, Row
from tests.fakes.chain import FakeChain, ModelChain, Tx, signed
from tests.fakes.people import People
from tests.fakes.vault import FakeVault
from workers.hosting import Hosted, activities_of, worker
from workers.registry import WORKFLOWS
from workers.stories import TemporalStories
from workflows import attributes
from workflows.hot_wallet import HotWalletWorkflow
from workflows.options import BOOKS_QUEUE, ORCHESTRATOR_QUEUE, SIGNER_QUEUE, chain_queue
from workflows.state import HotWalletOrder, Plea, WithdrawalOrder
from workflows.withdrawal import WithdrawalWorkflow

ETHEREUM = "ethereum"
USDT = "USDT-ETHEREUM"
ETHER = "ETH-ETHEREUM"
RECIPIENT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ORDERED_KINDS = ("orchestrator", "books", "chain", "signer")
NEIGHBOUR = "neighbour"
_numbers = itertools.count(1)


class TokenVault(FakeVault):
    """The fake signer, with bytes that the fake network can read."""

    async def sign(self, order: SigningOrder) -> Version:
        version = await super().sign(order)
        return signed(order.draft, version.number, version.signed_at)


@dataclass
class World:
    """One exchange with one client, one hot wallet and four people; each test has its own."""

    client: Client
    catalogue: Catalogue
    people: People
    books: FakeBooks
    model: ModelChain
    chain: FakeChain
    vault: TokenVault
    account: str
    wallet: str

    # ------------------------------------------------------------ who works
    def hosted(self, kind: str) -> Hosted:
        """What the process of `kind` hosts, on the fakes."""
        stories = TemporalStories()
        wallets = HotWalletActivities(self.books, self.books, self.chain, stories, self.catalogue.assets)
        payouts = ChainActivities(self.chain, self.books)
        return {
            "orchestrator": Hosted(ORCHESTRATOR_QUEUE, workflows=WORKFLOWS),
            "books": Hosted(BOOKS_QUEUE, activities=activities_of(BooksActivities(self.books, stories))),
            "chain": Hosted(chain_queue(ETHEREUM), activities=activities_of(payouts, wallets)),
            "signer": Hosted(SIGNER_QUEUE, activities=activities_of(SigningActivities(self.vault))),
        }[kind]

    def worker(self, kind: str) -> Worker:
        return worker(self.client, self.hosted(kind))

    @asynccontextmanager
    async def at_work(self, *kinds: str) -> AsyncIterator[None]:
        """Workers of these kinds (all when none is named)."""
        async with AsyncExitStack() as stack:
            for kind in kinds or ORDERED_KINDS:
                await stack.enter_async_context(self.worker(kind))
            yield

    # ------------------------------------------------------------ what people do
    async def ask(self, coins: str, *, asset: str = USDT) -> str:
        """A withdrawal of carol's through the door, its workflow not yet started; its id."""
        ref = f"ref-{next(_numbers)}"
        asked = Withdrawal(
            withdrawal_id(self.account, ref),
            self.account,
            ref,
            ETHEREUM,
            asset,
            str(Amount.parse(coins, self.catalogue.assets[asset]).units),
            str(self.catalogue.policy.assets[asset].fee_units),
            RECIPIENT,
            "carol",
        )
        await self.books.request_withdrawal(Request(asked, ref, hashlib.sha256(ref.encode()).hexdigest(), "carol"))
        return asked.id

    async def start(self, id: str) -> WorkflowHandle[Any, Conclusion]:
        """Starts the withdrawal's workflow, as the relay does."""
        asset = self.row(id).withdrawal.asset
        return await self.client.start_workflow(
            WithdrawalWorkflow.run,
            WithdrawalOrder(id, self.account, ETHEREUM, asset, "carol", f"a withdrawal of {asset}"),
            id=workflow_id(id),
            task_queue=ORCHESTRATOR_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=attributes.for_withdrawal(account=self.account, network=ETHEREUM, asset=asset),
            static_summary=f"a withdrawal of {asset}",
        )

    async def withdraw(self, coins: str, *, asset: str = USDT) -> WorkflowHandle[Any, Conclusion]:
        return await self.start(await self.ask(coins, asset=asset))

    async def serve(self) -> WorkflowHandle[Any, None]:
        """Starts the hot wallet's workflow, as the orchestrator does."""
        return await self.client.start_workflow(
            HotWalletWorkflow.run,
            HotWalletOrder(ETHEREUM, self.wallet),
            id=hot_wallet_workflow_id(ETHEREUM, self.wallet),
            task_queue=ORCHESTRATOR_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=attributes.for_hot_wallet(network=ETHEREUM, wallet=self.wallet),
        )

    def decision(self, name: str, id: str, ruling: Ruling = Ruling.APPROVE) -> Decision:
        verdict = self.row(id).verdict
        assert verdict is not None
        return self.people.decision(name, ruling, verdict.intent_hash)

    def endorsed(
        self, kind: Kind, subject: str, reason: str = "looked into", people: Sequence[str] = (), txid: str = ""
    ) -> Endorsed:
        """A procedure as things stand, with the word of `people` (of ann and bob unless named)."""
        rests_on = (self.halted() or "") if kind is Kind.RESUME else txid
        asked = Procedure(kind, subject, reason, rests_on, datetime.now(UTC).isoformat())
        return self.people.endorse(asked, *(people or ("ann", "bob")))

    async def resume(self, reason: str = "looked into", *people: str) -> ProcedureNote:
        """Has people resume the halted wallet."""
        return await self.carry_out(self.endorsed(Kind.RESUME, f"{ETHEREUM}/{self.wallet.lower()}", reason, people))

    async def carry_out(self, endorsed: Endorsed) -> ProcedureNote:
        handle = self.client.get_workflow_handle(hot_wallet_workflow_id(ETHEREUM, self.wallet))
        note: ProcedureNote = await handle.execute_update("carry_out", endorsed, result_type=ProcedureNote)
        return note

    async def pay_together(self, *ids: str) -> Slot:
        """One slot for all of these queued withdrawals, and its story begun, as a wallet does that pays in batches."""
        waiting = await self.books.queued(ETHEREUM, self.wallet, 100)
        items = [item for item in waiting if item.payment.withdrawal_id in ids]
        slot = await self.books.plan_slot(self.chain.network, self.wallet, items, datetime.now(UTC))
        assert isinstance(slot, Slot)
        order = await self.order_of(slot)
        await self.inside(lambda: TemporalStories().begin_payout(order))
        return slot

    async def order_of(self, slot: Slot) -> PayoutOrder:
        """What the wallet hands to the teller of this slot's story."""
        fee = await self.chain.quote(slot.payments, self.wallet)
        intents = [self.row(payment.withdrawal_id).intent for payment in slot.payments]
        return PayoutOrder(slot, await self.chain.draft(slot, fee), tuple(Item(i, ()) for i in intents if i))

    async def inside(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Makes the call as an activity of a worker does."""

        @activity.defn
        async def does() -> Any:
            return await call()

        run: Any = ActivityEnvironment(client=self.client).run(does)
        return await run

    async def settle_in_silence(self, id: str) -> None:
        """Everything happens that ends in the books, but nobody tells the workflow."""
        network, at = self.chain.network, datetime.now(UTC)
        items = [i for i in await self.books.queued(ETHEREUM, self.wallet, 100) if i.payment.withdrawal_id == id]
        slot = await self.books.plan_slot(network, self.wallet, items, at)
        assert isinstance(slot, Slot)
        fee = await self.chain.quote(slot.payments, self.wallet)
        version = signed(await self.chain.draft(slot, fee), 1)
        await self.books.begin_delivery(version, at)
        await self.chain.broadcast(version)
        facts = await self.chain.observe(slot, [version])
        step = decide(slot, [version], facts, offer=None, next_fee=None, bump_after=timedelta(hours=1), now=at)
        assert step.final is not None
        await self.books.settle(slot, step.final, at)

    def letter(self, name: str, id: str, ruling: Ruling = Ruling.APPROVE) -> dict[str, str]:
        """A decision as it is typed at the command line."""
        said = self.decision(name, id, ruling)
        return {"approver": said.approver, "intent_hash": said.intent_hash, "signature": said.signature}

    def first_version_ends(self) -> None:
        """From now on the nodes prove that time has ended every slot's first version, as on a network where it can."""
        observe = self.chain.observe

        async def seen(slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
            facts = await observe(slot, versions, suspect)
            firsts = {version.txid for version in versions if version.number == 1}
            return replace(
                facts,
                sightings=tuple(
                    replace(s, expires_at_ms=1, absent_through_ms=2) if s.txid in firsts else s for s in facts.sightings
                ),
            )

        self.chain.observe = seen  # type: ignore[method-assign]

    async def open_neighbour(self) -> None:
        """From now on the recipient's address is where another client's deposits arrive."""
        await self.books.ensure_account(NEIGHBOUR)
        await self.books.assign(NEIGHBOUR, ETHEREUM, RECIPIENT, datetime.now(UTC))

    def deposit(self, units: int) -> None:
        """More USDT for the client."""
        self.books.credit(chart.available(self.account, USDT), units, "deposit")

    # ------------------------------------------------------------ what there is
    def halted(self) -> str | None:
        return self.books._wallet(ETHEREUM, self.wallet).halted

    def read_through(self) -> int | None:
        return self.books._wallet(ETHEREUM, self.wallet).read_through

    def sent_of_ours(self) -> set[str]:
        """What blocks hold of the wallet's key."""
        outcomes = (o for block in self.model.blocks for o in block.outcomes)
        return {o.tx.txid for o in outcomes if o.tx.wallet.lower() == self.wallet.lower()}

    def row(self, id: str) -> Row:
        return self.books.rows[id]

    def stage(self, id: str) -> Stage:
        return self.row(id).stage

    def payout(self, scarce: int) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(payout_workflow_id(f"{ETHEREUM}/{self.wallet.lower()}/{scarce}"))

    def arrived(self) -> int:
        """What the recipient holds on chain."""
        return self.model.balance(USDT, RECIPIENT)

    def held(self) -> int:
        return self.books.balances[chart.held(self.account, USDT)]

    def available(self) -> int:
        return self.books.balances[chart.available(self.account, USDT)]

    def foreign(self, nonce: int) -> Tx:
        """A transaction of our key that we never planned."""
        return Tx(self.chain.network.chain_id, self.wallet, nonce, ETHER, RECIPIENT, 1, 21_000, 10**11, 10**10)

    def assert_books_agree(self) -> None:
        """Every posting balances, and what the ledger calls ours is what the network says is under the key."""
        assert not any(self.books.trial_balance().values())
        for asset in (USDT, ETHER):
            ledger = self.books.balances[chart.hot_wallet(ETHEREUM, self.wallet, asset)]
            assert ledger == self.model.balance(asset, self.wallet), asset

    async def until(self, holds: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 30) -> None:
        """Waits until it holds; the failure names what did not."""
        async with asyncio.timeout(seconds):
            try:
                while True:
                    found = holds()
                    if found if isinstance(found, bool) else await found:
                        return
                    await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                states = {id: row.stage.value for id, row in self.books.rows.items()}
                raise AssertionError(f"never came: {what}; withdrawals stand at {states}") from None

    async def again(self, method: str, times: int = 3) -> None:
        """Waits until the books were asked this so many times more: what came of all but the last is there then."""
        goal = self.books.calls[method] + times
        await self.until(lambda: self.books.calls[method] >= goal, f"{method}, {times} times more")

    async def looks(self, times: int = 3) -> None:
        """Waits until slots were looked at so many times more: what came of all but the last is there then."""
        goal = self.chain.looks + times
        await self.until(lambda: self.chain.looks >= goal, f"{times} looks more")

    async def stands_at(self, id: str, stage: Stage) -> None:
        await self.until(lambda: self.stage(id) is stage, f"{id} at {stage}")

    async def events(self, *handles: WorkflowHandle[Any, Any]) -> int:
        """History events of all these workflows together."""
        counts = [len((await handle.fetch_history()).events) for handle in handles]
        return sum(counts)

    async def close(self) -> None:
        """Nothing of this world runs on into the next test."""
        slots = [scarce for (_, address), wallet in self._wallets() for scarce in range(wallet) if address]
        ids = [hot_wallet_workflow_id(ETHEREUM, self.wallet), *map(workflow_id, self.books.rows)]
        for handle in [*map(self.client.get_workflow_handle, ids), *map(self.payout, slots)]:
            try:
                await handle.terminate("the test is over")
            except RPCError:
                continue

    def _wallets(self) -> Sequence[tuple[tuple[str, str], int]]:
        return [(key, wallet.next_scarce) for key, wallet in self.books._wallets.items()]


async def decided(handle: WorkflowHandle[Any, Any], decision: Decision) -> DecisionNote:
    """What a decision by update was worth."""
    note: DecisionNote = await handle.execute_update("decide", decision, result_type=DecisionNote)
    return note


async def pleaded(handle: WorkflowHandle[Any, Any], plea: Plea) -> Conclusion:
    """What a plea by update was answered."""
    answer: Conclusion = await handle.execute_update("cancel", plea, result_type=Conclusion)
    return answer


async def make_world(client: Client, *, instant: bool = True, confirmations: int = 1) -> World:
    """A client with 10,000 USDT and 1 ETH, a hot wallet with 5,000 USDT and 5 ETH, a network that mines when told to
    (`instant`: with each transaction).
    """
    number = next(_numbers)
    base = load("devnet")
    ethereum = base.networks[ETHEREUM]
    fees = replace(ethereum.fees, bump_after_s=1)
    network = replace(ethereum, confirmations=confirmations, tiers=(), block_time_ms=80, fees=fees)
    catalogue = replace(base, networks={ETHEREUM: network})
    account, wallet = f"client-{number}", "0x" + hashlib.sha256(f"wallet {number}".encode()).hexdigest()[:40]
    people = People("ann", "bob", "cyd", "dan", "carol")
    model = ModelChain(network, catalogue.assets)
    chain = FakeChain(model, [wallet], mines=1 if instant else 0)
    books = FakeBooks(catalogue.policy, catalogue.networks, catalogue.assets, people)
    await books.ensure_account(account)
    await books.ensure_wallet(ETHEREUM, wallet, 0)
    books.credit(chart.available(account, USDT), 10_000 * 10**6, f"opening/client/{USDT}")
    books.credit(chart.available(account, ETHER), 10**18, f"opening/client/{ETHER}")
    for asset, units in ((USDT, 5_000 * 10**6), (ETHER, 5 * 10**18)):
        books.credit(chart.hot_wallet(ETHEREUM, wallet, asset), units, f"opening/wallet/{asset}")
        model.fund(asset, wallet, units)
    return World(client, catalogue, people, books, model, chain, TokenVault(wallet), account, wallet)
