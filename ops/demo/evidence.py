"""The evidence: what the node, the ledger and the histories say after the demonstration, and whether they agree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.catalogue import Catalogue
from domain.ledger import chart
from domain.money import Amount
from domain.payout import payout_workflow_id
from domain.ports import Views
from domain.withdrawal import Stage, workflow_id
from ops.demo.node import Node
from ops.demo.story import BATCH_PAYOUTS_MIN, Case, WentWrong

Nodes = Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Row:
    """One withdrawal with its evidence, as `--json` prints it. `transfers`: payments to it that the node shows."""

    id: str | None
    title: str
    network: str
    asset: str
    amount: str
    stage: str
    code: str
    txid: str | None
    destination: str
    destination_balance: str
    transfers: int
    confirmations: int
    seconds_to_broadcast: float | None
    history_events: int

    def fault(self, should_end: str) -> str | None:
        """What is wrong with it, or None."""
        if self.stage != should_end:
            return f"{self.title}: ended {self.stage or 'nowhere'} instead of {should_end}"
        paid = self.amount if should_end == Stage.SETTLED else "0"
        if self.destination_balance != paid:
            return f"{self.title}: the node says {self.destination_balance} at the destination instead of {paid}"
        if self.transfers != (1 if should_end == Stage.SETTLED else 0):
            return f"{self.title}: the node saw {self.transfers} transfers"
        return None


async def gather_row(case: Case, nodes: Nodes, catalogue: Catalogue, temporal: Client, views: Views) -> Row:
    asset, node = catalogue.asset(case.network, case.asset), nodes[case.network]
    txid = case.view.get("txid")
    return Row(
        id=case.id,
        title=case.title,
        network=case.network,
        asset=case.asset,
        amount=case.amount,
        stage=case.stage,
        code=case.code,
        txid=txid,
        destination=case.recipient,
        destination_balance=Amount(await node.balance(case.recipient, asset.contract), asset).text(),
        transfers=await node.transfers_to(case.recipient, asset.contract),
        confirmations=await node.confirmations(txid) if txid else 0,
        seconds_to_broadcast=_seconds_to_broadcast(case.timeline),
        history_events=await _history_events(case, temporal, views),
    )


def small_batches(rows: Sequence[Row], catalogue: Catalogue) -> list[str]:
    """What is wrong with the batches: on a network that pays in batches one transaction must pay many."""
    faults = []
    for network in dict.fromkeys(row.network for row in rows if catalogue.networks[row.network].batch_max > 1):
        paid = Counter(row.txid for row in rows if row.network == network and row.txid)
        if (largest := max(paid.values(), default=0)) < BATCH_PAYOUTS_MIN:
            faults.append(f"{network}: the largest batch pays {largest}, and {BATCH_PAYOUTS_MIN} should be in one")
    return faults


async def trial_balance(views: Views) -> Mapping[str, str]:
    """Sum of all postings per asset in base units: "0", or the books do not balance."""
    books = await views.trial_balance()
    if books.disagreements:
        raise WentWrong(f"balances differ from their postings: {dict(books.disagreements)}")
    return books.sums


async def chain_minus_ledger(nodes: Nodes, catalogue: Catalogue, views: Views) -> Mapping[str, str]:
    """Per asset, in whole coins: what nodes say the hot wallets hold, less the books, free and in flight."""
    wallets, house = await views.wallets(), await views.house()
    differences: dict[str, str] = {}
    for asset in catalogue.assets.values():
        if asset.network not in nodes:
            continue
        held = booked = 0
        for wallet in wallets:
            if wallet.network == asset.network:
                held += await nodes[asset.network].balance(wallet.address, asset.contract)
                booked += int(wallet.balances.get(asset.id, "0"))
        in_flight = int(house.get(chart.in_flight(asset.network, asset.id).code, "0"))
        differences[asset.id] = Amount(held - booked - in_flight, asset).text()
    return differences


def _seconds_to_broadcast(timeline: Sequence[Mapping[str, Any]]) -> float | None:
    at = {row["stage"]: datetime.fromisoformat(row["at"]) for row in reversed(timeline)}
    if Stage.BROADCAST not in at:
        return None
    return round((at[Stage.BROADCAST] - at[Stage.REQUESTED]).total_seconds(), 3)


async def _history_events(case: Case, temporal: Client, views: Views) -> int:
    """Events over the withdrawal's own workflows: its own, and that of its slot where it has one."""
    if case.id is None:
        return 0
    view = await views.withdrawal(case.id)
    ids = [workflow_id(case.id)]
    if view is not None and view.slot_id is not None:
        ids.append(payout_workflow_id(view.slot_id))
    return sum([await history_length(temporal, id_) for id_ in ids])


async def history_length(temporal: Client, id_: str) -> int:
    """Events in the history of a workflow; none where there is no such workflow."""
    try:
        return (await temporal.get_workflow_handle(id_).describe()).history_length
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return 0
