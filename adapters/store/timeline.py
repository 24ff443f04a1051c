"""The row of a withdrawal and its timeline. Every change of stage goes through `advance`, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapters.store.database import Connection, Row
from domain.errors import Refused
from domain.ports import Conclusion
from domain.withdrawal import Stage, Withdrawal, check_step

REASON_CHARS_MAX = 500

COLUMNS = """id, account, client_ref, network, asset, amount::text, fee::text, recipient, requester,
    stage, reason, txid, slot_id, created_at"""
_LOCK = f"SELECT {COLUMNS} FROM withdrawal WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"  # noqa: S608 - columns of ours
_STEP = """
WITH stepped AS (
    UPDATE withdrawal SET stage = $2, reason = $11, updated_at = $4, last_seq = last_seq + 1,
        txid = $5, slot_id = $6, network_fee = coalesce($7::text::numeric, network_fee)
    WHERE id = $1 RETURNING last_seq
)
INSERT INTO withdrawal_event (withdrawal_id, seq, stage, at, actor, reason, detail, deadline)
SELECT $1, last_seq, $2, $4, $8, $3, $9::jsonb, $10 FROM stepped
"""


@dataclass(slots=True)
class Standing:
    """A withdrawal's row under our lock: what was asked, and where it stands."""

    asked: Withdrawal
    stage: Stage
    reason: str
    txid: str | None
    slot_id: str | None
    created_at: datetime

    @property
    def conclusion(self) -> Conclusion:
        return Conclusion(self.asked.id, self.stage, self.reason, self.txid)


@dataclass(frozen=True, slots=True)
class Event:
    """What a timeline row says beside the stage: when, who, the stable reason code, and what happens by itself next."""

    at: datetime
    actor: str
    reason: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)
    deadline: datetime | None = None


def standing_of(row: Row) -> Standing:
    asked = Withdrawal(
        id=row["id"],
        account=row["account"],
        client_ref=row["client_ref"],
        network=row["network"],
        asset=row["asset"],
        amount=row["amount"],
        fee=row["fee"],
        recipient=row["recipient"],
        requester=row["requester"],
    )
    return Standing(asked, Stage(row["stage"]), row["reason"], row["txid"], row["slot_id"], row["created_at"])


async def lock_all(connection: Connection, ids: Sequence[str]) -> list[Standing]:
    """The rows of `ids`, locked in the order of their ids. Raises Refused WITHDRAWAL_UNKNOWN."""
    return all_of(ids, await connection.fetch(_LOCK, list(ids)))


def all_of(ids: Sequence[str], rows: Sequence[Row]) -> list[Standing]:
    """The locked rows as they stand. Raises Refused WITHDRAWAL_UNKNOWN unless they are all that were asked for."""
    if len(rows) != len(set(ids)):
        raise Refused("WITHDRAWAL_UNKNOWN", "There is no such withdrawal.")
    return [standing_of(row) for row in rows]


async def lock(connection: Connection, withdrawal_id: str) -> Standing:
    return (await lock_all(connection, [withdrawal_id]))[0]


@dataclass(frozen=True, slots=True)
class Step:
    """One withdrawal's way to its next stage, with what its row then says. `anew`: no slot and no transaction is its
    own any more.
    """

    standing: Standing
    stage: Stage
    event: Event
    txid: str | None = None
    slot_id: str | None = None
    network_fee: str | None = None
    anew: bool = False

    def take(self) -> tuple[object, ...]:
        """The row to write. Raises Refused WITHDRAWAL_STAGE unless the NEXT table allows it."""
        standing = self.standing
        check_step(standing.stage, self.stage)
        standing.stage = self.stage
        standing.reason = clean(self.event.reason)
        standing.txid = self.txid or (None if self.anew else standing.txid)
        standing.slot_id = self.slot_id or (None if self.anew else standing.slot_id)
        return _row(standing, self.event, self.network_fee)


async def advance(
    connection: Connection,
    standing: Standing,
    stage: Stage,
    event: Event,
    *,
    txid: str | None = None,
    slot_id: str | None = None,
    network_fee: str | None = None,
) -> None:
    """Takes a locked withdrawal to `stage` and writes its timeline row. Raises Refused WITHDRAWAL_STAGE unless the
    NEXT table allows it.
    """
    step = Step(standing, stage, event, txid, slot_id, network_fee)
    await connection.execute(_STEP, *step.take())


async def advance_all(connection: Connection, steps: Sequence[Step]) -> None:
    """The same for many locked withdrawals, at the price of one round trip."""
    await connection.executemany(_STEP, [step.take() for step in steps])


async def note(connection: Connection, standing: Standing, event: Event, *, shown: bool = False) -> None:
    """Adds a timeline row to a locked withdrawal that stays where it stands; `shown` puts the reason on its row too."""
    if shown:
        standing.reason = clean(event.reason)
    await connection.execute(_STEP, *_row(standing, event, None))


def _row(standing: Standing, event: Event, network_fee: str | None) -> tuple[object, ...]:
    said = json.dumps({key: clean(value) for key, value in event.detail.items()})
    return (
        standing.asked.id,
        standing.stage.value,
        clean(event.reason),
        event.at,
        standing.txid,
        standing.slot_id,
        network_fee,
        clean(event.actor),
        said,
        event.deadline,
        standing.reason,
    )


def clean(text: str, chars_max: int = REASON_CHARS_MAX) -> str:
    """Text from outside as the store takes it: without NUL, which PostgreSQL refuses, and bounded."""
    return text.replace("\x00", "")[:chars_max]
