"""Gathers the evidence at the end: nodes first, then the books, then every history."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from adapters.catalogue import Catalogue
from domain.money import Amount
from domain.ports import Balance, Views, WithdrawalView
from domain.withdrawal import ENDS, Stage
from ops.chaos.nodes import Terror
from ops.chaos.people import CLIENT, Asked
from ops.chaos.verdict import Evidence, Row
from ops.chaos.witness import Paid
from ops.demo.evidence import chain_minus_ledger, trial_balance
from ops.demo.story import WentWrong
from workers.replaying import replay

CLOSING_WAIT_S = 30.0
LOOK_S = 0.5
GOOD_ENDS = (WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.CONTINUED_AS_NEW)
ENDLESS = "HotWallet"  # a hot wallet's story has no end


async def gather(
    asked: Sequence[Asked],
    terrors: Mapping[str, Terror],
    catalogue: Catalogue,
    views: Views,
    temporal: Client,
    before: Sequence[Balance],
) -> Evidence:
    """All of it. `before`: what the client had when it began."""
    read = await asyncio.gather(*(_payments(name, terror, catalogue, views) for name, terror in terrors.items()))
    payments = dict(zip(terrors, read, strict=True))
    found = {one.id: await views.withdrawal(one.id) for one in asked}
    rows = [_row(one, found[one.id], terrors[one.network], payments[one.network], catalogue) for one in asked]
    known = {(one.network, terrors[one.network].witness.spelt(one.recipient)) for one in asked}
    unasked = [paid for name, of in payments.items() for to in of if (name, to) not in known for paid in of[to]]
    open_, broken, count = await _workflows(temporal, views)
    witnesses = {name: terror.witness for name, terror in terrors.items()}
    try:
        sums: Mapping[str, str] = await trial_balance(views)
    except WentWrong as wrong:
        sums = {"balances": str(wrong)}
    return Evidence(
        rows=rows,
        unasked=unasked,
        sums=sums,
        differences=await chain_minus_ledger(witnesses, catalogue, views),  # type: ignore[arg-type]
        clients=_clients(before, await views.balances(CLIENT), list(found.values())),
        open=open_,
        broken=broken,
        workflows=count,
    )


async def _payments(network: str, terror: Terror, catalogue: Catalogue, views: Views) -> Mapping[str, Sequence[Paid]]:
    """Everything that left the network's hot wallets, by recipient."""
    found: dict[str, list[Paid]] = defaultdict(list)
    tokens = [a.contract for a in catalogue.assets.values() if a.network == network and a.contract]
    contract = tokens[0] if tokens else None
    for wallet in [wallet.address for wallet in await views.wallets() if wallet.network == network]:
        for paid in await terror.witness.payments_from(wallet, contract):
            found[paid.recipient].append(paid)
    return found


def _row(
    asked: Asked,
    view: WithdrawalView | None,
    terror: Terror,
    payments: Mapping[str, Sequence[Paid]],
    catalogue: Catalogue,
) -> Row:
    asset = catalogue.asset(asked.network, asked.asset)
    paid = tuple(payments.get(terror.witness.spelt(asked.recipient), ()))
    in_coin = tuple(one if one.contract == asset.contract else replace(one, units=0) for one in paid)
    units = Amount.parse(asked.amount, asset).units
    return Row(asked.id, asked.network, asked.accepted, units, view.stage if view else None, in_coin)


def _clients(
    before: Sequence[Balance], after: Sequence[Balance], views: Sequence[WithdrawalView | None]
) -> Mapping[str, str]:
    """Per asset: what the client has now, less what was there before and not paid out since."""
    spent: dict[str, int] = defaultdict(int)
    open_now = {view.asset_id for view in views if view and view.stage not in ENDS}
    for view in views:
        if view is not None and view.stage is Stage.SETTLED:
            spent[view.asset_id] += int(view.amount) + int(view.fee)
    had = {line.asset: int(line.available) + int(line.held) for line in before}
    return {
        line.asset: str(int(line.available) - (had.get(line.asset, 0) - spent[line.asset]))
        for line in after
        if line.asset not in open_now
    }


async def _workflows(temporal: Client, views: Views) -> tuple[Mapping[str, str], Mapping[str, str], int]:
    """(what runs and should not, what failed or does not replay, how many histories were replayed)."""
    executions = [execution async for execution in temporal.list_workflows("")]
    for _ in range(round(CLOSING_WAIT_S / LOOK_S)):
        if not any(_should_end(execution) for execution in executions):
            break
        await asyncio.sleep(LOOK_S)
        executions = [execution async for execution in temporal.list_workflows("")]
    halts = "; ".join(wallet.halted for wallet in await views.wallets() if wallet.halted)
    open_ = {execution.id: halts or "nobody named a reason" for execution in executions if _should_end(execution)}
    broken: dict[str, str] = {}
    for execution in executions:
        if execution.status not in (*GOOD_ENDS, WorkflowExecutionStatus.RUNNING):
            broken[execution.id] = f"ended {execution.status.name if execution.status else 'nowhere'}"
        handle = temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
        told = await replay(await handle.fetch_history(), temporal.data_converter)
        if told.failure is not None:
            broken[execution.id] = f"does not replay: {told.failure}"
    return open_, broken, len(executions)


def _should_end(execution: WorkflowExecution) -> bool:
    return execution.status is WorkflowExecutionStatus.RUNNING and execution.workflow_type != ENDLESS
