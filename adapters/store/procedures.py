"""What people had done about what was stuck: every procedure and every endorsement is kept, whatever it was worth."""

import json
from collections.abc import Sequence
from datetime import datetime

from adapters.store.database import Connection
from adapters.store.desk import Desk
from adapters.store.judgement import NAME_CHARS_MAX, SIGNATURE_CHARS_MAX, WAKE_CHANNEL
from adapters.store.ledger import insist
from adapters.store.slots import lock_paid, read_slot
from adapters.store.timeline import Event, Step, advance_all, clean
from adapters.store.wallets import WALLET_EVENT, lock_wallet, wallet_id
from domain import procedure as procedures
from domain.ledger.hold import Move
from domain.ledger.withdrawal import undo
from domain.payout import Consumption
from domain.ports import ProcedureNote
from domain.procedure import Circumstances, Endorsed, Endorsement, Kind, Procedure
from domain.withdrawal import Stage

_ADD = """
INSERT INTO procedure (wallet_id, hash, kind, subject, reason, rests_on, asked_at, code, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id
"""
_ADD_ENDORSEMENT = """
INSERT INTO endorsement (procedure_id, approver, procedure_hash, signature, code) VALUES ($1, $2, $3, $4, $5)
"""
_TAKEN = "SELECT at FROM procedure WHERE hash = $1 AND code = 'TAKEN'"
_VOIDS = """
SELECT p.kind, p.subject, p.reason, p.rests_on, p.asked_at,
    (SELECT json_agg(json_build_array(e.approver, e.procedure_hash, e.signature) ORDER BY e.id)
     FROM endorsement e WHERE e.procedure_id = p.id AND e.code = 'COUNTED')::text AS words
FROM procedure p WHERE p.subject = ANY($1) AND p.kind = 'VOID' AND p.code = 'TAKEN' ORDER BY p.id
"""
_OPEN = "SELECT id FROM slot WHERE wallet_id = $1 AND id = $2 AND state = 'OPEN' FOR NO KEY UPDATE"
_OURS = "SELECT true FROM version WHERE txid = $1"
_CONSUMER = "SELECT txid FROM slot WHERE id = $1 AND state = 'CONSUMED'"
_SUSPECT = """
SELECT said::json ->> 1 AS txid FROM sighting WHERE slot_id = $1 AND said::json ->> 1 IS NOT NULL
ORDER BY id DESC LIMIT 1
"""
_CONSUME = """
WITH consumed AS (
    UPDATE slot SET state = 'CONSUMED', txid = $2, block = $3, closed_at = $4 WHERE id = $1
), closed AS (
    UPDATE slot_payment SET open = false WHERE slot_id = $1 RETURNING withdrawal_id
), again AS (
    UPDATE payout SET state = 'QUEUED', tried_at = $4 WHERE withdrawal_id IN (SELECT withdrawal_id FROM closed)
), passed AS (
    UPDATE wallet SET next_scarce = greatest(next_scarce, $6::bigint) WHERE id = $7
)
INSERT INTO consumption (withdrawal_id, slot_id, procedure_id, txid, block, at)
SELECT withdrawal_id, $1, $5, $2, $3, $4 FROM closed
"""


class Procedures(Desk):
    """`take_procedure`, `consumer` and `suspect`."""

    async def take_procedure(
        self, network: str, wallet: str, endorsed: Endorsed, now: datetime, proof: Consumption | None = None
    ) -> ProcedureNote:
        """Weighs, records, opens the wallet (RESUME) or gives the slot up (REPLAN): together. The wallet's row lock
        orders all of them. Raises Refused WALLET_UNKNOWN.
        """
        worth = procedures.worths(endorsed, self._roster.verify)
        asked = endorsed.procedure
        async with self._database.transaction("take_procedure") as connection:
            _, _, halted = await lock_wallet(connection, network, wallet)
            taken_at = await connection.fetchval(_TAKEN, asked.hash())
            if taken_at == now:
                return _note(endorsed, worth, "TAKEN")
            circumstances = Circumstances(
                wallet=wallet_id(network, wallet),
                slots=await _open_slots(connection, network, wallet, asked.subject),
                halted=halted,
                only_time_decides=self._network(network).window_s > 0,
                used=taken_at is not None,
                proof=await _proof(connection, endorsed, proof),
            )
            code = procedures.code(endorsed, worth, circumstances)
            id_ = await _keep(connection, wallet_id(network, wallet), endorsed, worth, code, now)
            people = procedures.endorsers(endorsed, worth)
            if code == "TAKEN" and asked.kind == Kind.RESUME:
                await _resume(connection, network, wallet, endorsed, people, now)
            elif code == "TAKEN" and asked.kind == Kind.REPLAN and proof is not None:
                await self._give_up(connection, proof, id_, people, now)
            return _note(endorsed, worth, code)

    async def consumer(self, slot_id: str) -> str | None:
        """The stranger's txid by which people gave the slot up; None for any other slot."""
        row = await self._database.fetchrow("consumer", _CONSUMER, clean(slot_id))
        return str(row["txid"]) if row else None

    async def suspect(self, slot_id: str) -> str | None:
        """The transaction that the last look that named one proved to have consumed the slot."""
        row = await self._database.fetchrow("suspect", _SUSPECT, clean(slot_id))
        return str(row["txid"]) if row else None

    async def _give_up(
        self, connection: Connection, proof: Consumption, procedure: int, people: Sequence[str], now: datetime
    ) -> None:
        """Closes the locked slot by the stranger's txid; what it bound and what it should have paid are free again."""
        slot = await read_slot(connection, proof.slot.id)
        standings = await lock_paid(connection, slot.id)
        move = Move(undo(slot, self._network(slot.network).native_asset))
        (posted,) = await self.ledger.post_within(connection, [move], now)
        insist(posted, move)
        await connection.execute(
            _CONSUME,
            *(slot.id, proof.txid, proof.block, now, procedure, proof.counted, wallet_id(slot.network, slot.wallet)),
        )
        detail = {"slot": slot.id, "txid": proof.txid}
        event = Event(now, ", ".join(people), "SLOT_CONSUMED", detail)
        await advance_all(connection, [Step(standing, Stage.QUEUED, event, anew=True) for standing in standings])
        await connection.execute("SELECT pg_notify($1, $2)", WAKE_CHANNEL, slot.network)


async def endorsed_voids(connection: Connection, slots: Sequence[str]) -> dict[str, Endorsed]:
    """By slot, the VOID that was taken for it, with the endorsements that counted."""
    found = {}
    for row in await connection.fetch(_VOIDS, list(slots)):
        asked = Procedure(row["kind"], row["subject"], row["reason"], row["rests_on"], row["asked_at"])
        words = (Endorsement(*word) for word in json.loads(row["words"]))
        found[row["subject"]] = Endorsed(asked, tuple(words))
    return found


async def _proof(connection: Connection, endorsed: Endorsed, proof: Consumption | None) -> str:
    """What the chain said of the very slot and transaction that were endorsed. A version of ours is no stranger."""
    asked = endorsed.procedure
    if proof is None or (proof.slot.id, proof.txid) != (asked.subject, asked.rests_on):
        return ""
    return "CONSUMER_OURS" if await connection.fetchval(_OURS, proof.txid) else proof.code


async def _open_slots(connection: Connection, network: str, wallet: str, subject: str) -> frozenset[str]:
    """The slot that the procedure names, locked, if it is an open one of the wallet."""
    found = await connection.fetchval(_OPEN, wallet_id(network, wallet), clean(subject))
    return frozenset({found} if found else ())


async def _keep(
    connection: Connection, wallet: str, endorsed: Endorsed, worth: Sequence[str], code: str, now: datetime
) -> int:
    """The number of the row that was made."""
    asked = endorsed.procedure
    texts = [clean(text) for text in (asked.kind, asked.subject, asked.reason, asked.rests_on, asked.asked_at)]
    id_ = await connection.fetchval(_ADD, wallet, asked.hash(), *texts, code, now)
    rows = [
        (
            id_,
            clean(word.approver, NAME_CHARS_MAX),
            clean(word.procedure_hash, NAME_CHARS_MAX),
            clean(word.signature, SIGNATURE_CHARS_MAX),
            what,
        )
        for word, what in zip(endorsed.endorsements, worth, strict=True)
    ]
    await connection.executemany(_ADD_ENDORSEMENT, rows[: procedures.ENDORSEMENTS_MAX])
    return int(id_)


async def _resume(
    connection: Connection, network: str, wallet: str, endorsed: Endorsed, people: Sequence[str], now: datetime
) -> None:
    id_ = wallet_id(network, wallet)
    await connection.execute("UPDATE wallet SET halted_reason = NULL WHERE id = $1", id_)
    await connection.execute(WALLET_EVENT, id_, "RESUMED", clean(endorsed.procedure.reason), list(people), now)
    await connection.execute("SELECT pg_notify($1, $2)", WAKE_CHANNEL, network)


def _note(endorsed: Endorsed, worth: Sequence[str], code: str) -> ProcedureNote:
    people = procedures.endorsers(endorsed, worth)
    return ProcedureNote(endorsed.procedure.hash(), code, tuple(people), procedures.needed(endorsed.procedure) or 0)
