"""What the chain's facts do to the books: broadcast, confirming and back, and the settlement of what was proven."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from adapters.store.database import Connection
from adapters.store.desk import Desk
from adapters.store.ledger import insist
from adapters.store.slots import VERSIONS, lock_paid, lock_slot, read_slot, version_of
from adapters.store.timeline import Event, Standing, Step, advance, advance_all, note
from adapters.store.usage import count_back
from domain.errors import Refused
from domain.hot_wallet import fee_shares
from domain.ledger.hold import Move
from domain.ledger.withdrawal import close, release, settle
from domain.payout import Facts, Final, Inclusion, Slot, Version, inclusion
from domain.ports import Conclusion
from domain.withdrawal import ENDS, Stage

_ADD_VERSION = """
INSERT INTO version (slot_id, number, txid, raw, fee_weight, fee_price, fee_tip, signed_at, void)
VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7::text::numeric, $8, $9)
"""
_VERSION = "SELECT void FROM version WHERE txid = $1 AND slot_id = $2"
_LAST_SAID = "SELECT said FROM sighting WHERE slot_id = $1 ORDER BY id DESC LIMIT 1"
_CLOSE_SLOT = """
WITH closed AS (
    UPDATE slot SET state = 'CLOSED', txid = $2, block = $3, block_hash = $4, paid = $5, fee_units = $6::text::numeric,
        closed_at = $7 WHERE id = $1
)
UPDATE slot_payment SET open = false WHERE slot_id = $1
"""
_FIRST_BROADCAST = """
INSERT INTO first_broadcast (withdrawal_id, network, seconds)
VALUES ($1, $2, $3) ON CONFLICT (withdrawal_id) DO NOTHING
"""
_MENTIONED = "SELECT true FROM withdrawal_event WHERE withdrawal_id = $1 AND detail ->> 'txid' = $2 LIMIT 1"


class Settlements(Desk):
    """`begin_delivery`, `record_facts`, `settle` and `concluded`."""

    async def begin_delivery(self, version: Version, now: datetime) -> Sequence[Version]:
        """Stores the signed bytes under (slot, number) and takes what the slot pays from PLANNED to BROADCAST; a later
        version is noted on the timeline once. A repeat keeps the stored bytes, whatever it brings. Answers all
        versions, the oldest first; committed when this returns. Raises Refused SLOT_UNKNOWN, SLOT_CLOSED or
        SLOT_CONSUMED.
        """
        slot_id = version.slot_id
        async with self._database.transaction("begin_delivery") as connection:
            slot = await lock_slot(connection, slot_id)
            if slot["state"] == "CONSUMED":
                raise Refused("SLOT_CONSUMED", "People gave this slot up: a stranger consumed it.", slot=slot_id)
            stored = [version_of(row) for row in await connection.fetch(VERSIONS, [slot_id])]
            known = next((v for v in stored if v.number == version.number or v.txid == version.txid), None)
            if known is None:
                if slot["state"] != "OPEN":
                    raise Refused("SLOT_CLOSED", "This slot's end is proven; nothing is added to it.", slot=slot_id)
                await _add(connection, version)
                stored = sorted([*stored, version], key=lambda one: one.number)
            for standing in await lock_paid(connection, slot_id):
                await _offered(connection, standing, known or version, now)
        return stored

    async def record_facts(self, slot: Slot, facts: Facts) -> None:
        """Keeps the look (when it says something new) and advances BROADCAST <-> CONFIRMING accordingly."""
        said = json.dumps([facts.used, facts.consumer, [asdict(s) for s in facts.sightings]], sort_keys=True)
        seen = inclusion(facts)
        async with self._database.transaction("record_facts") as connection:
            if (await lock_slot(connection, slot.id))["state"] != "OPEN":
                return
            last = await connection.fetchval(_LAST_SAID, slot.id)
            if last == said:
                return
            await connection.execute(
                "INSERT INTO sighting (slot_id, at, head, final_block, said) VALUES ($1, $2, $3, $4, $5)",
                *(slot.id, facts.at, facts.head, facts.final_block, said),
            )
            for standing in await lock_paid(connection, slot.id):
                await _follow(connection, standing, seen, facts)

    async def settle(self, slot: Slot, final: Final, now: datetime) -> Sequence[Conclusion]:
        """Closes the slot with its proof, posts the entries, ends every withdrawal in it SETTLED or FAILED; together,
        once. Raises Refused SLOT_UNKNOWN, VERSION_UNKNOWN (the proof is of no version of ours), SLOT_CLOSED (other
        proof than the one it was closed with).
        """
        async with self._database.transaction("settle") as connection:
            row = await lock_slot(connection, slot.id)
            standings = await lock_paid(connection, slot.id)
            if row["state"] != "OPEN":
                if (row["txid"], row["paid"]) != (final.txid, final.paid):
                    raise Refused("SLOT_CLOSED", "This slot was closed with another proof.", slot=slot.id)
                return [standing.conclusion for standing in standings]
            if (void := await connection.fetchval(_VERSION, final.txid, slot.id)) is None:
                raise Refused("VERSION_UNKNOWN", "The proof is of no version of this slot.", slot=slot.id)
            ours = await read_slot(connection, slot.id)
            moves = [settle(s.asked) if final.paid else release(s.asked) for s in standings]
            moves.append(Move(close(ours, self._network(ours.network).native_asset, final)))
            for verdict, move in zip(await self.ledger.post_within(connection, moves, now), moves, strict=True):
                insist(verdict, move)
            await connection.execute(
                _CLOSE_SLOT, slot.id, final.txid, final.block, final.block_hash, final.paid, final.fee_units, now
            )
            if not final.paid:
                await count_back(connection, [standing.asked.id for standing in standings])
            shares = dict(zip((p.withdrawal_id for p in ours.payments), fee_shares(final, ours.payments), strict=True))
            reason = "" if final.paid else "VOIDED" if void else "PAYMENT_REVERTED"
            await _end(connection, standings, shares, final, reason, now)
            return [standing.conclusion for standing in standings]

    async def concluded(self, withdrawal_id: str) -> Conclusion:
        """Where the withdrawal stands now. Raises Refused WITHDRAWAL_UNKNOWN."""
        row = await self._database.fetchrow(
            "concluded", "SELECT stage, reason, txid FROM withdrawal WHERE id = $1", withdrawal_id
        )
        if row is None:
            raise Refused("WITHDRAWAL_UNKNOWN", "There is no such withdrawal.")
        return Conclusion(withdrawal_id, Stage(row["stage"]), row["reason"], row["txid"])


async def _add(connection: Connection, version: Version) -> None:
    fee = version.fee
    await connection.execute(
        _ADD_VERSION,
        *(version.slot_id, version.number, version.txid, version.raw),
        *(fee.weight, str(fee.price), str(fee.tip), version.signed_at, version.void),
    )


async def _offered(connection: Connection, standing: Standing, version: Version, now: datetime) -> None:
    """Says on one withdrawal's timeline that this version is about to be offered."""
    detail = {"txid": version.txid, "version": str(version.number)}
    if standing.stage is Stage.PLANNED:
        await _first_broadcast(connection, standing, Event(now, "payout", "", detail), version.txid)
    elif standing.stage not in ENDS and not await connection.fetchval(_MENTIONED, standing.asked.id, version.txid):
        reason = "VOID_OFFERED" if version.void else "FEE_BUMPED"
        await note(connection, standing, Event(now, "payout", reason, detail))


async def _follow(connection: Connection, standing: Standing, seen: tuple[str, Inclusion] | None, facts: Facts) -> None:
    """Takes one withdrawal where the facts say it stands."""
    if seen is None:
        if standing.stage is Stage.CONFIRMING:
            await advance(connection, standing, Stage.BROADCAST, Event(facts.at, "network", "REORGANISED"))
        return
    txid, where = seen
    if standing.stage is Stage.PLANNED:
        await _first_broadcast(connection, standing, Event(facts.at, "network", "", {"txid": txid}), txid)
    if standing.stage is Stage.BROADCAST:
        event = Event(facts.at, "network", "", {"txid": txid, "block": str(where.block)})
        await advance(connection, standing, Stage.CONFIRMING, event, txid=txid)


async def _first_broadcast(connection: Connection, standing: Standing, event: Event, txid: str) -> None:
    await advance(connection, standing, Stage.BROADCAST, event, txid=txid)
    seconds = max(0.0, (event.at - standing.created_at).total_seconds())
    await connection.execute(_FIRST_BROADCAST, standing.asked.id, standing.asked.network, seconds)


async def _end(
    connection: Connection,
    standings: Sequence[Standing],
    shares: Mapping[str, str],
    final: Final,
    reason: str,
    now: datetime,
) -> None:
    """SETTLED or FAILED, passing the stages between that nobody had recorded yet. `shares`: what each withdrawal, by
    id, bears of the slot's fee.
    """
    for standing in standings:
        if standing.stage is Stage.PLANNED:
            await _first_broadcast(connection, standing, Event(now, "network", "", {"txid": final.txid}), final.txid)
    stage = Stage.SETTLED if final.paid else Stage.FAILED
    steps = []
    for standing in standings:
        share = shares[standing.asked.id]
        detail = {"txid": final.txid, "block": str(final.block), "network_fee": share}
        steps.append(Step(standing, stage, Event(now, "network", reason, detail), final.txid, network_fee=share))
    await advance_all(connection, steps)
