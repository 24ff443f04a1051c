"""What people had done about what was stuck: every procedure and every endorsement is kept, whatever it was worth."""

import json
from collections.abc import Sequence
from datetime import datetime

from adapters.store.database import Connection
from adapters.store.desk import Desk
from adapters.store.judgement import NAME_CHARS_MAX, SIGNATURE_CHARS_MAX, WAKE_CHANNEL
from adapters.store.timeline import clean
from adapters.store.wallets import WALLET_EVENT, lock_wallet, wallet_id
from domain import procedure as procedures
from domain.ports import ProcedureNote
from domain.procedure import Circumstances, Endorsed, Endorsement, Kind, Procedure

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
_OPEN = "SELECT id FROM slot WHERE wallet_id = $1 AND id = $2 AND state = 'OPEN'"


class Procedures(Desk):
    """`take_procedure`."""

    async def take_procedure(self, network: str, wallet: str, endorsed: Endorsed, now: datetime) -> ProcedureNote:
        """Weighs, records, and, for RESUME, opens the wallet: together. The wallet's row lock orders all of them.
        Raises Refused WALLET_UNKNOWN.
        """
        worth = procedures.worths(endorsed, self._roster.verify)
        hash_ = endorsed.procedure.hash()
        async with self._database.transaction("take_procedure") as connection:
            _, _, halted = await lock_wallet(connection, network, wallet)
            taken_at = await connection.fetchval(_TAKEN, hash_)
            if taken_at == now:
                return _note(endorsed, worth, "TAKEN")
            circumstances = Circumstances(
                wallet=wallet_id(network, wallet),
                slots=await _open_slots(connection, network, wallet, endorsed.procedure.subject),
                halted=halted,
                only_time_decides=self._network(network).window_s > 0,
                used=taken_at is not None,
            )
            code = procedures.code(endorsed, worth, circumstances)
            await _keep(connection, wallet_id(network, wallet), endorsed, worth, code, now)
            if code == "TAKEN" and endorsed.procedure.kind == Kind.RESUME:
                await _resume(connection, network, wallet, endorsed, procedures.endorsers(endorsed, worth), now)
            return _note(endorsed, worth, code)


async def endorsed_voids(connection: Connection, slots: Sequence[str]) -> dict[str, Endorsed]:
    """By slot, the VOID that was taken for it, with the endorsements that counted."""
    found = {}
    for row in await connection.fetch(_VOIDS, list(slots)):
        asked = Procedure(row["kind"], row["subject"], row["reason"], row["rests_on"], row["asked_at"])
        words = (Endorsement(*word) for word in json.loads(row["words"]))
        found[row["subject"]] = Endorsed(asked, tuple(words))
    return found


async def _open_slots(connection: Connection, network: str, wallet: str, subject: str) -> frozenset[str]:
    """The slot that the procedure names, if it is an open one of the wallet."""
    found = await connection.fetchval(_OPEN, wallet_id(network, wallet), clean(subject))
    return frozenset({found} if found else ())


async def _keep(
    connection: Connection, wallet: str, endorsed: Endorsed, worth: Sequence[str], code: str, now: datetime
) -> None:
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
