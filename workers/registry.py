"""Which process hosts what: one row for each worker kind. One more process is one more row, or a row once more."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.books import BooksActivities
from activities.chain import ChainActivities
from activities.hot_wallet import HotWalletActivities
from activities.signing import SigningActivities
from adapters.catalogue import load
from adapters.settings import Settings
from adapters.wiring import open_chain, open_store, open_vault
from domain.errors import StrongroomError
from domain.payout import hot_wallet_workflow_id
from domain.ports import Views
from workers.hosting import Hosted, Hosting, activities_of
from workers.stories import TemporalStories
from workflows import attributes
from workflows.hot_wallet import HotWalletWorkflow
from workflows.options import BOOKS_QUEUE, ORCHESTRATOR_QUEUE, SIGNER_QUEUE, TURN, chain_queue
from workflows.payout import PayoutWorkflow
from workflows.state import HotWalletOrder
from workflows.withdrawal import WithdrawalWorkflow

log = logging.getLogger(__name__)

WORKFLOWS = (WithdrawalWorkflow, HotWalletWorkflow, PayoutWorkflow)
# As many as find a database connection without waiting for it.
BOOKS_AT_ONCE = 16
PATROL_S = 30.0
PATROL_RETRY_S = 1.0
Opener = Callable[[Settings, bool], AbstractAsyncContextManager[Hosting]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A worker kind: its name and what it opens and hosts. The opener takes the settings and whether traces are on."""

    name: str
    host: Opener


@asynccontextmanager
async def _orchestrator(settings: Settings, traced: bool) -> AsyncIterator[Hosting]:
    """The stories. It also sees to it that every hot wallet the books know is being served."""
    async with open_store(settings) as store:
        yield Hosting([Hosted(ORCHESTRATOR_QUEUE, workflows=WORKFLOWS)], patrol=lambda c: _patrol(c, store.views))


@asynccontextmanager
async def _books(settings: Settings, traced: bool) -> AsyncIterator[Hosting]:
    async with open_store(settings) as store:
        books = BooksActivities(store.books, TemporalStories(traced=traced))
        yield Hosting([Hosted(BOOKS_QUEUE, activities=activities_of(books), at_once=BOOKS_AT_ONCE)])


@asynccontextmanager
async def _chain(settings: Settings, traced: bool) -> AsyncIterator[Hosting]:
    """The networks that this process works on: their nodes, their payouts, their hot wallets."""
    catalogue = load(settings.profile, settings.catalogue_dir)
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(open_store(settings))
        hosted = []
        for network in (catalogue.networks[id_] for id_ in settings.served):
            nodes = settings.chain_urls(network.id)
            coins = store.coins(network.id)
            chain = await opened.enter_async_context(open_chain(network, catalogue.assets, nodes, coins=coins))
            payouts = ChainActivities(chain, store.books)
            stories = TemporalStories(traced=traced)
            wallets = HotWalletActivities(store.books, store.views, chain, stories, catalogue.assets)
            hosted.append(Hosted(chain_queue(network.id), activities=activities_of(payouts, wallets)))
        yield Hosting(hosted)


@asynccontextmanager
async def _signer(settings: Settings, traced: bool) -> AsyncIterator[Hosting]:
    """The one process that opens a key. It opens no database and listens to nobody but its queue."""
    async with open_vault(settings) as vault:
        yield Hosting([Hosted(SIGNER_QUEUE, activities=activities_of(SigningActivities(vault)), at_once=4)])


KINDS = {
    kind.name: kind
    for kind in (
        Kind("orchestrator", _orchestrator),
        Kind("books", _books),
        Kind("chain", _chain),
        Kind("signer", _signer),
    )
}


async def _patrol(client: Client, views: Views) -> None:
    """Every wallet in the books has its workflow, whatever ended it: looked at on start and every half minute."""
    while True:
        try:
            for wallet in await views.wallets():
                await _serve(client, wallet.network, wallet.address)
            pause = PATROL_S
        except (StrongroomError, RPCError) as error:
            log.warning("cannot see to the hot wallets now: %s", error)
            pause = PATROL_RETRY_S
        await asyncio.sleep(pause)


async def _serve(client: Client, network: str, address: str) -> None:
    await client.start_workflow(
        HotWalletWorkflow.run,
        HotWalletOrder(network, address),
        id=hot_wallet_workflow_id(network, address),
        task_queue=ORCHESTRATOR_QUEUE,
        task_timeout=TURN,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        search_attributes=attributes.for_hot_wallet(network=network, wallet=address),
        static_summary=f"Hot wallet on {network}",
    )
