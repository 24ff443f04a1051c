"""The wallet's side of the books: the queue of payouts, the slots they are bound to, and the signed versions."""

from collections.abc import Sequence
from datetime import datetime

from adapters.store.coins import spendable
from adapters.store.database import Connection
from adapters.store.desk import Desk
from adapters.store.ledger import insist
from adapters.store.procedures import endorsed_voids
from adapters.store.slots import (
    INPUTS,
    ITEM,
    VERSIONS,
    coin_of,
    intent_of,
    item_of,
    slot_of,
    version_of,
)
from adapters.store.timeline import COLUMNS, Event, Standing, Step, advance_all, all_of, note
from adapters.store.wallets import lock_wallet, wallet_id
from domain.coin import Coin
from domain.ledger.entry import Posted
from domain.ledger.hold import Move
from domain.ledger.withdrawal import dispatch
from domain.money import Amount
from domain.network import Network
from domain.payout import Payment, Slot, Version, slot_id
from domain.ports import OpenSlot, PayoutItem, PlanRefusal
from domain.withdrawal import Stage

QUEUED_MAX = 500

_QUEUED = f"""
SELECT {ITEM} FROM payout p JOIN withdrawal w ON w.id = p.withdrawal_id JOIN verdict v ON v.withdrawal_id = w.id
WHERE p.network = $1 AND p.state = 'QUEUED' ORDER BY p.tried_at, p.queued_at, p.withdrawal_id LIMIT $2
"""  # noqa: S608 - columns of ours
# One that somebody holds is being planned or given back: it needs no place in the queue.
_PUT_OFF = """
UPDATE payout SET tried_at = $2 WHERE withdrawal_id IN (
    SELECT withdrawal_id FROM payout WHERE withdrawal_id = ANY($1) AND state = 'QUEUED' FOR NO KEY UPDATE SKIP LOCKED
)
"""
_ITEMS_OF = f"""
SELECT {ITEM}, s.slot_id FROM slot_payment s JOIN withdrawal w ON w.id = s.withdrawal_id
JOIN verdict v ON v.withdrawal_id = w.id JOIN payout p ON p.withdrawal_id = w.id
WHERE s.slot_id = ANY($1) ORDER BY s.slot_id, s.line
"""  # noqa: S608 - columns of ours
_OPEN_SLOTS = """
SELECT id, network, wallet, scarce, fee_cap::text, confirmations, planned_at FROM slot
WHERE wallet_id = $1 AND state = 'OPEN' ORDER BY planned_at, length(scarce), scarce
"""
# Read under the wallet's lock, so what is counted stays as it is.
_LOCK_TO_PLAN = f"""
SELECT {COLUMNS}, (SELECT intent FROM verdict v WHERE v.withdrawal_id = withdrawal.id) AS intent,
    (SELECT count(*) FROM slot WHERE wallet_id = $2 AND state = 'OPEN') AS open_now
FROM withdrawal WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 - columns of ours
_BIND = """
WITH taken AS (
    UPDATE wallet SET next_scarce = next_scarce + 1 WHERE id = $2 AND cardinality($9::text[]) = 0
), opened AS (
    INSERT INTO slot (id, wallet_id, network, wallet, scarce, fee_cap, confirmations, planned_at, state)
    VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7, $8, 'OPEN')
), fed AS (
    INSERT INTO slot_input (slot_id, line, network, outpoint, units)
    SELECT $1, u.line, $3, u.outpoint, u.units::numeric
    FROM unnest($9::text[], $10::text[]) WITH ORDINALITY AS u (outpoint, units, line)
), planned AS (
    UPDATE payout SET state = 'PLANNED' WHERE withdrawal_id = ANY($11::text[])
)
INSERT INTO slot_payment (slot_id, line, withdrawal_id, asset, amount, recipient)
SELECT $1, u.line, u.withdrawal_id, u.asset, u.amount::numeric, u.recipient
FROM unnest($11::text[], $12::text[], $13::text[], $14::text[])
    WITH ORDINALITY AS u (withdrawal_id, asset, amount, recipient, line)
"""


class Payouts(Desk):
    """`queued`, `put_off`, `plan_slot`, `open_slots` and `versions`."""

    async def queued(self, network: str, wallet: str, limit: int) -> Sequence[PayoutItem]:
        """The next payouts of the network, those that were tried longest ago first, so that however many cannot be paid
        now, they do not stop the rest; of equals those that were queued first.
        """
        rows = await self._database.fetch("queued", _QUEUED, network, max(0, min(limit, QUEUED_MAX)))
        return [item_of(row) for row in rows]

    async def put_off(self, withdrawal_ids: Sequence[str], now: datetime) -> None:
        """In one statement, which waits for nobody: those still queued go behind all that were not tried since."""
        await self._database.write("put_off", _PUT_OFF, list(withdrawal_ids), now)

    async def plan_slot(
        self, network: Network, wallet: str, items: Sequence[PayoutItem], now: datetime, inputs: Sequence[Coin] = ()
    ) -> Slot | PlanRefusal:
        """Binds the payouts to the wallet's next slot: wallet row locked, scarce number or coins taken, dispatch entry
        posted, stage PLANNED. What is paid, and with what, is read from our own rows, not from `items` and `inputs`.
        NOT_QUEUED and COIN_TAKEN name the first one at fault.
        """
        ids = sorted({item.payment.withdrawal_id for item in items})
        if not ids:
            return PlanRefusal("NOT_QUEUED", "nothing to plan")
        async with self._database.transaction("plan_slot") as connection:
            address, scarce, halted = await lock_wallet(connection, network.id, wallet)
            if halted is not None:
                return PlanRefusal("WALLET_HALTED", halted)
            rows = await connection.fetch(_LOCK_TO_PLAN, ids, wallet_id(network.id, wallet))
            if rows and rows[0]["open_now"] >= network.in_flight_max:
                return PlanRefusal("IN_FLIGHT_FULL", f"{rows[0]['open_now']} slots are open")
            standings = all_of(ids, rows)
            coins = await spendable(connection, network.id, wallet, inputs)
            if refusal := _gone(standings, network) or _taken(inputs, coins):
                return refusal
            cap = min(int(intent_of(row["intent"]).fee_cap) for row in rows)
            slot = self._slot(network, address, scarce, standings, coins, cap)
            move = Move(dispatch(slot, network.native_asset))
            (posted,) = await self.ledger.post_within(connection, [move], now)
            if posted.posted is Posted.INSUFFICIENT:
                await self._wait_for_funds(connection, standings, posted.short_of or "", now)
                return PlanRefusal("HOT_WALLET_SHORT", posted.short_of or "")
            insist(posted, move)
            await self._bind(connection, slot, standings, now)
            return slot

    async def open_slots(self, network: str, wallet: str) -> Sequence[OpenSlot]:
        """The wallet's open slots in the order of planning, each with its items and its versions so far."""
        async with self._database.snapshot("open_slots") as connection:
            rows = await connection.fetch(_OPEN_SLOTS, wallet_id(network, wallet))
            ids = [row["id"] for row in rows]
            items: dict[str, list[PayoutItem]] = {id_: [] for id_ in ids}
            inputs: dict[str, list[Coin]] = {id_: [] for id_ in ids}
            versions: dict[str, list[Version]] = {id_: [] for id_ in ids}
            for row in await connection.fetch(_ITEMS_OF, ids) if ids else ():
                items[row["slot_id"]].append(item_of(row))
            for row in await connection.fetch(INPUTS, ids) if ids else ():
                inputs[row["slot_id"]].append(coin_of(row))
            for row in await connection.fetch(VERSIONS, ids) if ids else ():
                versions[row["slot_id"]].append(version_of(row))
            voids = await endorsed_voids(connection, ids) if ids else {}
        return [
            OpenSlot(
                slot=slot_of(row, [item.payment for item in items[row["id"]]], inputs[row["id"]]),
                items=tuple(items[row["id"]]),
                versions=tuple(versions[row["id"]]),
                void=voids.get(row["id"]),
                planned_at=row["planned_at"],
            )
            for row in rows
        ]

    async def versions(self, slot_id: str) -> Sequence[Version]:
        """All versions of the slot, the oldest first; none is ever forgotten."""
        return [version_of(row) for row in await self._database.fetch("versions", VERSIONS, [slot_id])]

    # ------------------------------------------------------------ planning
    def _slot(
        self,
        network: Network,
        wallet: str,
        number: int,
        standings: Sequence[Standing],
        inputs: tuple[Coin, ...],
        cap: int,
    ) -> Slot:
        """The wallet's next slot for these withdrawals: final when the largest needs it, costing no more than `cap`,
        the least that any of them was approved with.
        """
        scarce = inputs[0].outpoint if inputs else str(number)
        asked = [standing.asked for standing in standings]
        return Slot(
            id=slot_id(network.id, wallet, scarce),
            network=network.id,
            wallet=wallet,
            scarce=scarce,
            payments=tuple(Payment(w.id, w.asset, w.amount, w.recipient) for w in asked),
            fee_cap=str(min(network.fees.network_fee_cap, cap)),
            confirmations=max(network.confirmations_for(Amount(int(w.amount), self._asset(w.asset))) for w in asked),
            inputs=inputs,
        )

    async def _bind(self, connection: Connection, slot: Slot, standings: Sequence[Standing], now: datetime) -> None:
        await connection.execute(
            _BIND,
            *(slot.id, wallet_id(slot.network, slot.wallet), slot.network, slot.wallet, slot.scarce),
            *(slot.fee_cap, slot.confirmations, now),
            *([coin.outpoint for coin in slot.inputs], [coin.units for coin in slot.inputs]),
            [payment.withdrawal_id for payment in slot.payments],
            [payment.asset for payment in slot.payments],
            [payment.amount for payment in slot.payments],
            [payment.recipient for payment in slot.payments],
        )
        event = Event(now, "hot wallet", "", {"slot": slot.id})
        await advance_all(connection, [Step(standing, Stage.PLANNED, event, slot_id=slot.id) for standing in standings])

    async def _wait_for_funds(
        self, connection: Connection, standings: Sequence[Standing], short_of: str, now: datetime
    ) -> None:
        """They stay queued, behind those not tried since; the reason is said once, not at every try."""
        await connection.execute(
            "UPDATE payout SET tried_at = $2 WHERE withdrawal_id = ANY($1)", [s.asked.id for s in standings], now
        )
        for standing in standings:
            if standing.reason != "HOT_WALLET_SHORT":
                event = Event(now, "hot wallet", "HOT_WALLET_SHORT", {"account": short_of})
                await note(connection, standing, event, shown=True)


def _gone(standings: Sequence[Standing], network: Network) -> PlanRefusal | None:
    """The refusal for the first that does not wait to be paid on this network."""
    for standing in standings:
        if standing.stage is not Stage.QUEUED or standing.asked.network != network.id:
            return PlanRefusal("NOT_QUEUED", standing.asked.id)
    return None


def _taken(inputs: Sequence[Coin], coins: Sequence[Coin]) -> PlanRefusal | None:
    """The refusal for the first of `inputs` that is not among the coins which may be spent."""
    free = {coin.outpoint for coin in coins}
    gone = next((coin.outpoint for coin in inputs if coin.outpoint not in free), None)
    return PlanRefusal("COIN_TAKEN", gone) if gone else None
