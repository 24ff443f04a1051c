"""Slots, their items and versions as rows, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.store.database import Connection, Row
from adapters.store.timeline import COLUMNS, Standing, standing_of
from domain.coin import Coin
from domain.errors import Refused
from domain.intent import Decision, Intent, Ruling
from domain.payout import Fee, Payment, Slot, Version
from domain.ports import PayoutItem
from domain.procedure import Endorsed, Endorsement, Procedure

# A payment with its intent, the approvals that cleared it and the procedures that gave up consumed slots of it, of the
# withdrawal `w` with verdict `v` and payout `p`.
ITEM = """w.id, w.asset, w.amount::text, w.recipient, w.created_at, p.queued_at, v.intent,
    (SELECT coalesce(json_agg(json_build_array(d.approver, d.ruling, d.intent_hash, d.signature) ORDER BY d.id), '[]')
     FROM decision d WHERE d.withdrawal_id = w.id AND d.counted AND d.ruling = 'approve')::text AS decisions,
    (SELECT json_agg(json_build_array(r.kind, r.subject, r.reason, r.rests_on, r.asked_at,
        (SELECT json_agg(json_build_array(e.approver, e.procedure_hash, e.signature) ORDER BY e.id)
         FROM endorsement e WHERE e.procedure_id = r.id AND e.code = 'COUNTED')) ORDER BY r.id)
     FROM consumption c JOIN procedure r ON r.id = c.procedure_id WHERE c.withdrawal_id = w.id)::text AS replans"""
VERSIONS = """
SELECT slot_id, number, txid, raw, fee_weight, fee_price::text, fee_tip::text, signed_at, void FROM version
WHERE slot_id = ANY($1) ORDER BY slot_id, number
"""
INPUTS = "SELECT slot_id, outpoint, units::text FROM slot_input WHERE slot_id = ANY($1) ORDER BY slot_id, line"
_SLOT = """
SELECT id, network, wallet, scarce, fee_cap::text, confirmations,
    (SELECT json_agg(json_build_array(withdrawal_id, asset, amount::text, recipient) ORDER BY line)
     FROM slot_payment WHERE slot_id = $1)::text AS payments,
    (SELECT coalesce(json_agg(json_build_array(outpoint, units::text) ORDER BY line), '[]')
     FROM slot_input WHERE slot_id = $1)::text AS inputs
FROM slot WHERE id = $1
"""
_LOCK_SLOT = "SELECT state, txid, paid FROM slot WHERE id = $1 FOR NO KEY UPDATE"
_LOCK_PAID = f"""
SELECT {COLUMNS} FROM withdrawal WHERE id IN (SELECT withdrawal_id FROM slot_payment WHERE slot_id = $1)
ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 - columns of ours


async def lock_slot(connection: Connection, slot_id: str) -> Row:
    """State and proof of the locked slot. Raises Refused SLOT_UNKNOWN."""
    row: Row | None = await connection.fetchrow(_LOCK_SLOT, slot_id)
    if row is None:
        raise Refused("SLOT_UNKNOWN", "There is no such slot.", slot=slot_id)
    return row


async def lock_paid(connection: Connection, slot_id: str) -> list[Standing]:
    """The withdrawals that the slot pays, locked in the order of their ids."""
    return [standing_of(row) for row in await connection.fetch(_LOCK_PAID, slot_id)]


async def read_slot(connection: Connection, slot_id: str) -> Slot:
    """The slot as it was planned."""
    row = await connection.fetchrow(_SLOT, slot_id)
    payments = [Payment(*fields) for fields in json.loads(row["payments"])]
    return slot_of(row, payments, [Coin(*fields) for fields in json.loads(row["inputs"])])


def slot_of(row: Mapping[str, Any], payments: Sequence[Payment], inputs: Sequence[Coin]) -> Slot:
    return Slot(
        id=row["id"],
        network=row["network"],
        wallet=row["wallet"],
        scarce=row["scarce"],
        payments=tuple(payments),
        fee_cap=row["fee_cap"],
        confirmations=row["confirmations"],
        inputs=tuple(inputs),
    )


def coin_of(row: Mapping[str, Any]) -> Coin:
    return Coin(row["outpoint"], row["units"])


def item_of(row: Mapping[str, Any]) -> PayoutItem:
    decisions = (
        Decision(who, Ruling(ruling), hash_, sign) for who, ruling, hash_, sign in json.loads(row["decisions"])
    )
    return PayoutItem(
        payment=Payment(row["id"], row["asset"], row["amount"], row["recipient"]),
        intent=intent_of(row["intent"]),
        decisions=tuple(decisions),
        requested_at=row["created_at"],
        queued_at=row["queued_at"],
        replans=tuple(_endorsed(*told) for told in json.loads(row["replans"] or "[]")),
    )


def _endorsed(kind: str, subject: str, reason: str, rests_on: str, asked_at: str, words: Sequence[Any]) -> Endorsed:
    procedure = Procedure(kind, subject, reason, rests_on, asked_at)
    return Endorsed(procedure, tuple(Endorsement(*word) for word in words))


def intent_of(text: str) -> Intent:
    return Intent(**json.loads(text))


def version_of(row: Mapping[str, Any]) -> Version:
    return Version(
        slot_id=row["slot_id"],
        number=row["number"],
        txid=row["txid"],
        raw=row["raw"],
        fee=Fee(row["fee_weight"], int(row["fee_price"]), int(row["fee_tip"])),
        signed_at=row["signed_at"],
        void=row["void"],
    )
