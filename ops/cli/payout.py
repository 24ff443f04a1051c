"""`strongroom payout ...`: what the hot wallets are paying now, what it waits for, and what people may do about it.

It reads the books and asks the workflow engine; the REST API may be down.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.settings import Settings
from domain.asset import Asset
from domain.errors import Refused, Unavailable
from domain.money import Amount
from domain.payout import payout_workflow_id
from domain.ports import OpenSlot
from domain.procedure import Kind
from domain.withdrawal import workflow_id
from ops.cli import procedures
from ops.cli.approver import answered
from ops.cli.rest import Output, show

if TYPE_CHECKING:
    from temporalio.client import Client

    from adapters.store.opening import Store

app = typer.Typer(no_args_is_help=True, help="What is being paid; speed it up, void it or plan it anew.")

DESCRIBED_AT_ONCE = 8
_LIST = ("slot", "withdrawals", "stage", "versions", "age", "says")
SlotId = Annotated[str, typer.Argument(metavar="SLOT", help="As `payout list` shows it.")]
Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]


# ---------------------------------------------------------------- commands
@app.command(name="list")
def list_(
    network: Annotated[str | None, typer.Option(help="Only this network.")] = None, output: Out = Output.TABLE
) -> None:
    """Every open slot: where it stands, how old it is, what it waits for."""

    async def work(store: "Store", client: "Client") -> list[dict[str, Any]]:
        if network is not None:
            procedures.wallet_on(await store.views.wallets(), network)
        found = [slot for slot in await _open(store) if network in (None, slot.slot.network)]
        turns = asyncio.Semaphore(DESCRIBED_AT_ONCE)
        return list(await asyncio.gather(*(_row(store, client, slot, turns) for slot in found)))

    answered(lambda: show({"items": procedures.with_parts(work)}, output, _LIST))


@app.command(name="show")
def show_(slot_id: SlotId, output: Out = Output.TABLE) -> None:
    """One open slot: its payments, every version that may still win, what its story says, what people had done. Of one
    that has ended: how. Where a stranger's transaction consumed it, what comes next.
    """

    async def work(store: "Store", client: "Client") -> dict[str, Any]:
        done = await store.views.procedures(slot_id)
        if (end := await store.views.slot_end(slot_id)) is not None:
            return {**end, "next": _after(end), "procedures": done}
        slot = await _slot(store, slot_id)
        row = await _row(store, client, slot, asyncio.Semaphore(1))
        return {**row, **_facts(slot), "next": await _next(store, slot), "procedures": done}

    answered(lambda: show(procedures.with_parts(work), output))


@app.command(name="speed-up")
def speed_up(slot_id: SlotId, reason: procedures.Reason = "", endorsements: procedures.Endorsements = None) -> None:
    """Offer a higher fee now, within the caps; one person endorses it."""
    _procedure(Kind.SPEED_UP, slot_id, reason, endorsements or ())


@app.command()
def void(slot_id: SlotId, reason: procedures.Reason = "", endorsements: procedures.Endorsements = None) -> None:
    """Replace it by a transaction that pays nobody; two people endorse it. An older version may still win."""
    _procedure(Kind.VOID, slot_id, reason, endorsements or ())


@app.command()
def replan(
    slot_id: SlotId,
    stranger: Annotated[str, typer.Option("--stranger", help="The transaction that consumed the slot.")] = "",
    reason: procedures.Reason = "",
    endorsements: procedures.Endorsements = None,
) -> None:
    """Give up a slot that a stranger's transaction consumed, and pay its payments from another slot; two people endorse
    it. The nodes are asked for the proof; the wallet stays halted until it is resumed.
    """
    txid = stranger.strip().lower()
    if not txid and not endorsements:
        answered(_stranger_missing)
    _procedure(Kind.REPLAN, slot_id, reason, endorsements or (), txid)


def _stranger_missing() -> None:
    raise Refused("STRANGER_MISSING", "Name the transaction that consumed the slot with --stranger.")


def _procedure(kind: Kind, slot_id: str, reason: str, endorsements: Sequence[Any], rests_on: str = "") -> None:
    """Prints what is to be endorsed, or hands the endorsed procedure over."""

    async def find(store: "Store", client: "Client") -> OpenSlot:
        return await _slot(store, slot_id)

    def work() -> None:
        slot = procedures.with_parts(find).slot
        if endorsements:
            endorsed = procedures.gathered(kind, slot.id, endorsements)
            if rests_on and rests_on != endorsed.procedure.rests_on:
                raise Refused("PROCEDURE_OTHER", f"The files name {endorsed.procedure.rests_on}.")
            procedures.carry_out(slot.network, slot.wallet, endorsed)
        else:
            procedures.propose(kind, slot.id, reason, rests_on)

    answered(work)


# ---------------------------------------------------------------- what there is
async def _open(store: "Store") -> list[OpenSlot]:
    found: list[OpenSlot] = []
    for wallet in await store.views.wallets():
        found += await store.books.open_slots(wallet.network, wallet.address)
    return found


async def _slot(store: "Store", slot_id: str) -> OpenSlot:
    """Raises Refused SLOT_NOT_FOUND, or SLOT_ENDED for one that is open no more."""
    found = next((slot for slot in await _open(store) if slot.slot.id == slot_id), None)
    if found is None and (end := await store.views.slot_end(slot_id)) is not None:
        raise Refused("SLOT_ENDED", f"Slot {slot_id} is {end['state']}; see `strongroom payout show {slot_id}`.")
    if found is None:
        raise Refused("SLOT_NOT_FOUND", f"There is no open slot {slot_id!r}; see `strongroom payout list`.")
    return found


async def _row(store: "Store", client: "Client", found: OpenSlot, turns: asyncio.Semaphore) -> dict[str, Any]:
    slot = found.slot
    paid = [payment.withdrawal_id for payment in slot.payments]
    async with turns:
        stages = sorted({(await store.books.concluded(id_)).stage.value for id_ in paid})
        says = await _says(client, found)
    age_s = int((datetime.now(UTC) - found.planned_at).total_seconds()) if found.planned_at else 0
    return {
        "slot": slot.id,
        "withdrawals": paid,
        "stage": ", ".join(stages),
        "versions": len(found.versions),
        "age": f"{age_s} s",
        "says": says,
    }


def _facts(found: OpenSlot) -> dict[str, Any]:
    """The slot in whole coins, and every version with the most that it may take of the network's native coin."""
    from adapters.catalogue import load

    settings = Settings()
    catalogue, slot = load(settings.profile, settings.catalogue_dir), found.slot
    native = catalogue.native(slot.network)
    return {
        "fee_cap": _coins(slot.fee_cap, native),
        "confirmations": slot.confirmations,
        "payments": [
            f"{_coins(paid.amount, catalogue.assets[paid.asset])} to {paid.recipient}" for paid in slot.payments
        ],
        "bytes": [
            f"{v.number}: {'pays nobody, ' if v.void else ''}{v.txid}, fee at most {_coins(v.fee.most, native)}, "
            f"signed {v.signed_at:%Y-%m-%d %H:%M:%S}"
            for v in found.versions
        ],
    }


def _coins(units: str | int, asset: Asset) -> str:
    return f"{Amount(int(units), asset).text()} {asset.id}"


async def _next(store: "Store", found: OpenSlot) -> str:
    """What people do about an open slot that a stranger's transaction consumed; empty for any other."""
    consumer, slot = await store.views.slot_consumer(found.slot.id), found.slot.id
    if consumer is None or consumer in {version.txid for version in found.versions}:
        return ""
    return f"a stranger's transaction consumed it: strongroom payout replan {slot} --stranger {consumer} --reason ..."


def _after(end: Mapping[str, str]) -> str:
    """What people do after a slot that a stranger's transaction consumed; empty for any other."""
    if end["state"] != "CONSUMED":
        return ""
    return f"its payments are queued again: strongroom wallet resume {end['network']} --reason ... if it is halted"


async def _says(client: "Client", found: OpenSlot) -> str:
    """What whoever tells the slot's story says of it: why it is halted, or what the last look waited for."""
    from temporalio.service import RPCError, RPCStatusCode

    paid = found.slot.payments
    tellers = [payout_workflow_id(found.slot.id), *([workflow_id(paid[0].withdrawal_id)] if len(paid) == 1 else [])]
    for id_ in tellers:
        try:
            heard = await _heard(client, id_)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                continue
            raise Unavailable("TEMPORAL_UNAVAILABLE", f"Temporal does not answer: {error.status.name}.") from None
        if heard is not None:
            return heard
    return "nobody tells its story; the wallet's sweep begins it anew"


async def _heard(client: "Client", id_: str) -> str | None:
    """The line of the activity at hand of a workflow that runs; None when it does not run."""
    from temporalio.client import WorkflowExecutionStatus

    described = await client.get_workflow_handle(id_).describe()
    if described.status is not WorkflowExecutionStatus.RUNNING:
        return None
    for pending in described.raw_description.pending_activities:
        beats = pending.heartbeat_details.payloads
        said = await client.data_converter.decode(beats) if beats else []
        if said and isinstance(said[0], Mapping):
            return str(said[0].get("waits_for") or said[0].get("says") or "")
        return f"{pending.activity_type.name}, attempt {pending.attempt}"
    return "it stands still: people must look"
