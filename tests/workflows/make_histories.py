"""Makes the committed histories anew, all synthetic: `python -m tests.workflows.make_histories [NAME ...]`.

Add a path when a story learns to go another way. Never remake one because replaying it fails: that failure says that
runs which are open today would break; keep the old order behind `workflow.patched` instead.
"""

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

import activities.hot_wallet
from domain.errors import Refused
from domain.intent import Ruling
from domain.procedure import Kind
from domain.withdrawal import Stage
from tests.workflows.conftest import temporal
from tests.workflows.world import USDT, World, decided, make_world, pleaded
from workers.replaying import HISTORIES
from workflows.hot_wallet import HotWalletWorkflow
from workflows.state import Plea

Handle = WorkflowHandle[Any, Any]
Path = Callable[[World, WorkflowEnvironment], Awaitable[dict[str, Handle]]]
_SLOW: set[str] = set()
_PATHS: dict[str, Path] = {}
_CHECKOUT = f"{HISTORIES.parents[2]}/"
_MACHINE = re.compile(r"\d+@[A-Za-z0-9_.-]+")


def path(*, slow: bool = False) -> Callable[[Path], Path]:
    """One way through the stories; `slow`: blocks come when the path mines them. Answers histories by file name."""

    def add(tell: Path) -> Path:
        _PATHS[tell.__name__] = tell
        if slow:
            _SLOW.add(tell.__name__)
        return tell

    return add


@path()
async def accepted(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work():
        await world.serve()
        withdrawal = await world.withdraw("25")
        await withdrawal.result()
    return {"withdrawal-accepted": withdrawal}


@path()
async def together(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work():
        withdrawal = await _several(world)
        await world.payout(0).result()
        await withdrawal.result()
    return {"payout-several": world.payout(0), "withdrawal-paid-with-another": withdrawal}


@path(slow=True)
async def together_bumped(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work():
        await _several(world)
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "a second version")
        world.model.mine(3)
        await world.payout(0).result()
    return {"payout-several-bumped": world.payout(0)}


@path()
async def together_halted(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        await _several(world)
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.payout(0).cancel()
        await world.serve()
        await world.resume("the roster is mended")
        await world.payout(0).result()
    return {"payout-several-halted": world.payout(0)}


@path()
async def declined(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    world.deposit(10**12)
    async with world.at_work("orchestrator", "books"):
        withdrawal = await world.withdraw("600000")
        await withdrawal.result()
    return {"withdrawal-declined": withdrawal}


@path()
async def internal(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    await world.open_neighbour()
    async with world.at_work("orchestrator", "books"):
        at_once = await world.withdraw("25")
        await at_once.result()
        id, agreed = await _referred(world)
        for name in ("ann", "bob"):
            await decided(agreed, world.decision(name, id))
        await agreed.result()
    return {"withdrawal-internal": at_once, "withdrawal-internal-agreed": agreed}


@path()
async def agreed(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work():
        await world.serve()
        id, withdrawal = await _referred(world)
        await withdrawal.signal("approve", "not a decision")
        await withdrawal.signal("aprove", {})
        await withdrawal.signal("approve", world.letter("ann", id))
        await world.until(lambda: bool(world.row(id).approvals), "ann's word")
        await decided(withdrawal, world.decision("bob", id))
        await withdrawal.result()
    return {"withdrawal-agreed": withdrawal}


@path()
async def rejected(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work("orchestrator", "books"):
        id, withdrawal = await _referred(world)
        await decided(withdrawal, world.decision("ann", id))
        await withdrawal.signal("reject", world.letter("bob", id, Ruling.REJECT))
        await withdrawal.result()
    return {"withdrawal-rejected": withdrawal}


@path()
async def expired(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work("orchestrator", "books"):
        id, withdrawal = await _referred(world)
        await decided(withdrawal, world.decision("ann", id))
        await env.fast_forward(withdrawal, timedelta(hours=25))
        await withdrawal.result()
    return {"withdrawal-expired": withdrawal}


@path()
async def cancelled(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work("orchestrator", "books"):
        _, asked = await _referred(world)
        await pleaded(asked, Plea("carol", "changed my mind"))
        _, button = await _referred(world)
        await button.cancel()
        queued = await world.withdraw("25")
        await world.stands_at(queued.id.removeprefix("withdrawal/"), Stage.QUEUED)
        await queued.signal("cancel", {"actor": "carol"})
        for withdrawal in (asked, button, queued):
            await withdrawal.result()
    return {
        "withdrawal-cancelled": asked,
        "withdrawal-cancelled-by-button": button,
        "withdrawal-cancelled-while-queued": queued,
    }


@path(slow=True)
async def cancelled_too_late(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with _paying(world) as withdrawal:
        await world.stands_at(withdrawal.id.removeprefix("withdrawal/"), Stage.BROADCAST)
        await withdrawal.signal("cancel", {"actor": "carol"})
        await world.until(lambda: world.books.calls["concluded"] > 0, "the plea refused")
        world.model.mine(3)
    return {"withdrawal-cancelled-too-late": withdrawal}


@path()
async def found_by_looking(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work("orchestrator", "books"):
        withdrawal = await world.withdraw("25")
        id = withdrawal.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.QUEUED)
        await env.fast_forward(withdrawal, timedelta(minutes=11))
        await world.settle_in_silence(id)
        await env.fast_forward(withdrawal, timedelta(minutes=21))
        await withdrawal.result()
    return {"withdrawal-found-by-looking": withdrawal}


@path(slow=True)
async def bumped(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with _paying(world) as withdrawal:
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "a second version")
        world.model.mine(3)
    return {"withdrawal-bumped": withdrawal}


@path(slow=True)
async def bump_refused(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with _paying(world) as withdrawal:
        await world.until(lambda: bool(world.chain.sent), "the first bytes out")
        world.vault.failures = [Refused("SIGNER_FEE_ABOVE_CAP", "The transaction may cost more than allowed.")]
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        world.model.mine(3)
    return {"withdrawal-bump-refused": withdrawal}


@path(slow=True)
async def bump_brought_back(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    """`withdrawal-bump-refused-for-good` went this way too, before resuming brought bumps back."""
    async with _paying(world) as withdrawal:
        await world.until(lambda: bool(world.chain.sent), "the first bytes out")
        world.vault.failures = [Refused("SIGNER_FEE_DAY_CAP", "What may be offered in 24 hours is spent.")]
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.resume("the day is over")
        await world.until(lambda: len(set(world.chain.sent)) >= 2, "a second version")
        world.model.mine(3)
    return {"withdrawal-bump-brought-back": withdrawal}


@path(slow=True)
async def failed(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with _paying(world) as withdrawal:
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        world.model.broken.add(USDT)
        world.model.mine(3)
    return {"withdrawal-failed": withdrawal}


@path()
async def halted(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
    async with world.at_work():
        hot_wallet = await world.serve()
        run = (await hot_wallet.describe()).run_id
        withdrawal = await world.withdraw("25")
        await world.until(lambda: _stands_still(hot_wallet), "the wallet's story at a halt")
        await hot_wallet.signal("procedure", "please")
        await world.resume("the roster is mended")
        await withdrawal.result()
        first = world.client.get_workflow_handle(hot_wallet.id, run_id=run)
        await world.until(lambda: _continued(first), "the next term")
    return {"hot-wallet-halted": first, "withdrawal-signer-refused": withdrawal}


@path(slow=True)
async def hastened_and_voided(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    network = world.model.network
    world.model.network = replace(network, fees=replace(network.fees, bump_after_s=3600))
    slot = f"{network.id}/{world.wallet.lower()}/0"
    async with world.at_work():
        hot_wallet = await world.serve()
        withdrawal = await world.withdraw("25")
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        await hot_wallet.signal("procedure", world.endorsed(Kind.SPEED_UP, slot, people=["ann"]))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "a second version")
        await world.carry_out(world.endorsed(Kind.VOID, slot))
        await world.until(lambda: len(set(world.chain.sent)) == 3, "one that pays nobody")
        world.model.mine(3)
        await withdrawal.result()
    return {"withdrawal-voided": withdrawal}


@path(slow=True)
async def void_refused(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    network = world.model.network
    world.model.network = replace(network, fees=replace(network.fees, bump_after_s=3600))
    slot = f"{network.id}/{world.wallet.lower()}/0"
    async with _paying(world) as withdrawal:
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        world.vault.failures = [Refused("SIGNER_FEE_TAKEN", "A paying version of this slot has this very fee.")]
        await world.carry_out(world.endorsed(Kind.VOID, slot))
        await world.until(lambda: len(world.vault.orders) == 2, "the void at the signer")
        await world.carry_out(world.endorsed(Kind.VOID, slot, reason="once more"))
        await world.until(lambda: len(set(world.chain.sent)) == 2, "one that pays nobody")
        world.model.mine(3)
    return {"withdrawal-void-refused": withdrawal}


@path()
async def redrafted(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    world.vault.failures = [Refused("SIGNER_DRAFT_STALE", "The bytes expired before they were signed.")]
    async with world.at_work():
        await world.serve()
        withdrawal = await world.withdraw("25")
        await withdrawal.result()
    return {"withdrawal-redrafted": withdrawal}


@path(slow=True)
async def ended_by_time(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    world.chain.faults.black_holes = 10**6
    async with _paying(world) as withdrawal:
        await world.until(lambda: bool(world.chain.sent), "the first bytes out")
        world.vault.failures = [Refused("SIGNER_QUORUM", "The approvals do not clear this payment.")]
        world.first_version_ends()
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        world.model.base_fee *= 2
        world.chain.faults.black_holes = 0
        await world.resume("the roster is mended")
        await world.until(lambda: bool(world.model.pool), "the second version in the pool")
        world.model.mine(3)
    return {"withdrawal-ended-by-time": withdrawal}


@path()
async def settling_refused(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    world.books.failures["settle"] = [Refused("ENTRY_CONFLICT", "The entry stands with other lines.")]
    async with _paying(world) as withdrawal:
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.resume("entry mended")
    return {"withdrawal-settling-refused": withdrawal}


@path(slow=True)
async def used_by_a_stranger(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work():
        await world.serve()
        withdrawal = await world.withdraw("25")
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        world.model.mine(1, extra=[world.foreign(0)])
        world.model.mine(3)
        await world.until(lambda: world.books.calls["halt_wallet"] >= 1, "the halt")
        await withdrawal.cancel()
        await withdrawal.signal("resume")
        await world.until(lambda: world.books.calls["halt_wallet"] >= 2, "the second halt")
    return {"withdrawal-halted": withdrawal}


@path(slow=True)
async def given_up(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    slot, stranger = f"{world.chain.network.id}/{world.wallet.lower()}/0", world.foreign(0)
    async with world.at_work():
        hot_wallet = await world.serve()
        withdrawal = await world.withdraw("25")
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        world.model.mine(1, extra=[stranger])
        world.model.mine(3)
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.until(lambda: _stands_still(hot_wallet), "the wallet's story halted")
        first = world.client.get_workflow_handle(hot_wallet.id, run_id=(await hot_wallet.describe()).run_id)
        await world.carry_out(world.endorsed(Kind.REPLAN, slot, txid=stranger.txid))
        await world.stands_at(withdrawal.id.removeprefix("withdrawal/"), Stage.QUEUED)
        await world.resume()
        await world.until(lambda: len(set(world.chain.sent)) == 2, "the bytes of the second slot")
        world.model.mine(4)
        await withdrawal.result()
        await world.until(lambda: _continued(first), "the next term")
    return {"withdrawal-replanned": withdrawal, "hot-wallet-replanned": first}


@path(slow=True)
async def several_given_up(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    async with world.at_work():
        await _several(world)
        await world.until(lambda: bool(world.chain.sent), "the bytes out")
        stranger = world.foreign(0)
        world.model.mine(1, extra=[stranger])
        world.model.mine(3)
        await world.until(lambda: world.halted() is not None, "the wallet halted")
        await world.serve()
        slot = f"{world.chain.network.id}/{world.wallet.lower()}/0"
        await world.carry_out(world.endorsed(Kind.REPLAN, slot, txid=stranger.txid))
        await world.payout(0).result()
    return {"payout-replanned": world.payout(0)}


@path()
async def served(world: World, env: WorkflowEnvironment) -> dict[str, Handle]:
    term, activities.hot_wallet.SERVE_MIN = activities.hot_wallet.SERVE_MIN, 0
    try:
        async with world.at_work("orchestrator", "chain"):
            hot_wallet = await world.serve()
            first = world.client.get_workflow_handle(hot_wallet.id, run_id=(await hot_wallet.describe()).run_id)
            await world.until(lambda: _continued(first), "the next term")
    finally:
        activities.hot_wallet.SERVE_MIN = term
    return {"hot-wallet-served": first}


@asynccontextmanager
async def _paying(world: World) -> AsyncIterator[Handle]:
    """Everybody at work on a withdrawal of 25, from its request; what is left of it is waited for."""
    async with world.at_work():
        await world.serve()
        withdrawal = await world.withdraw("25")
        yield withdrawal
        await withdrawal.result()


async def _referred(world: World) -> tuple[str, Handle]:
    withdrawal = await world.withdraw("2000")
    id = withdrawal.id.removeprefix("withdrawal/")
    await world.stands_at(id, Stage.REFERRED)
    return id, withdrawal


async def _several(world: World) -> Handle:
    """Two withdrawals that are paid from one slot; the first of them."""
    handles = [await world.withdraw(coins) for coins in ("25", "10")]
    ids = [handle.id.removeprefix("withdrawal/") for handle in handles]
    for id in ids:
        await world.stands_at(id, Stage.QUEUED)
    await world.pay_together(*ids)
    return handles[0]


async def _stands_still(handle: Handle) -> bool:
    return (await handle.query(HotWalletWorkflow.status)).halted is not None


async def _continued(handle: Handle) -> bool:
    return (await handle.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW


async def make(names: Iterable[str]) -> None:
    """Tells the paths and writes their histories, one event a line, with no trace of this machine."""
    HISTORIES.mkdir(exist_ok=True)
    async with temporal() as env:
        for name in names or _PATHS:
            world = await make_world(env.client, instant=name not in _SLOW, confirmations=3 if name in _SLOW else 1)
            for file, handle in (await _PATHS[name](world, env)).items():
                events = json.loads((await handle.fetch_history()).to_json())["events"]
                lines = ",\n".join(json.dumps(event, sort_keys=True, separators=(",", ":")) for event in events)
                text = _MACHINE.sub("worker", '{"events":[\n' + lines + "\n]}\n").replace(_CHECKOUT, "")
                (HISTORIES / f"{file}.json").write_text(text)
                logging.info("%s: %d events", file, len(events))
            await world.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("temporalio").setLevel(logging.ERROR)
    asyncio.run(make(sys.argv[1:]))
    time.sleep(0.5)  # temporalio/sdk-python#300
