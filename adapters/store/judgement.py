"""The people's and the policy's side of the books: verdicts, decisions, quorum, and holds returned."""

import asyncio
import json
from dataclasses import asdict, replace
from datetime import datetime

from adapters.catalogue import Catalogue
from adapters.store.database import Connection, Database, Row
from adapters.store.deposit_address import owner_within
from adapters.store.desk import Desk
from adapters.store.ledger import insist
from adapters.store.timeline import Event, Standing, advance, clean, lock, note
from adapters.store.usage import count, count_back, lock_to_judge, usage_before
from domain.errors import Refused
from domain.intent import Decision, Intent, Ruling
from domain.ledger.withdrawal import release, transfer
from domain.money import Amount
from domain.policy import Outcome, Risk, Verdict, judge
from domain.ports import Conclusion, DecisionNote, Roster
from domain.withdrawal import INTERNAL, Stage

# Judgements of one asset follow one another; more of them at once would only sit on connections that others need.
JUDGES_MAX = 3
# Beyond so many, what does not count is answered but no longer written down.
DECISIONS_KEPT_MAX = 1000
NAME_CHARS_MAX = 128
SIGNATURE_CHARS_MAX = 256
WAKE_CHANNEL = "strongroom_queued"

_VERDICT = """SELECT outcome, approvals, risk, rule, policy_version, intent_hash, expires_at FROM verdict
    WHERE withdrawal_id = $1"""
_KEEP_VERDICT = """
INSERT INTO verdict (withdrawal_id, account, asset, units, outcome, approvals, risk, rule, policy_version, intent,
                     intent_hash, expires_at, at)
VALUES ($1, $2, $3, $4::text::numeric, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
_QUEUE = "INSERT INTO payout (withdrawal_id, network, state, queued_at, tried_at) VALUES ($1, $2, 'QUEUED', $3, $3)"
# What most come to, in one round trip: the verdict, the payout in its queue, and what counts against the caps.
_KEEP_AND_QUEUE = f"""
WITH judged AS ({_KEEP_VERDICT} RETURNING account, asset, units, at),
queued AS (
    INSERT INTO payout (withdrawal_id, network, state, queued_at, tried_at) VALUES ($1, $14, 'QUEUED', $13, $13)
), counted AS (
    INSERT INTO usage_minute AS u (asset, account, minute, units)
    SELECT asset, whose, date_trunc('minute', at), units FROM judged, unnest(ARRAY['', account]) AS whose ORDER BY whose
    ON CONFLICT (asset, account, minute) DO UPDATE SET units = u.units + excluded.units
)
SELECT pg_notify($15, $14)
"""  # noqa: S608 - columns of ours
_HAS_PAYOUT = "SELECT true FROM payout WHERE withdrawal_id = $1"
_FEE_RETURNED = "UPDATE withdrawal SET fee = 0 WHERE id = $1"
_COUNTED = "SELECT approver, ruling FROM decision WHERE withdrawal_id = $1 AND counted ORDER BY id"
_SAME = """SELECT counted, code FROM decision
    WHERE withdrawal_id = $1 AND approver = $2 AND signature = $3 AND ruling = $4 AND source = $5 AND at = $6"""
_KEEP_DECISION = """
INSERT INTO decision (withdrawal_id, approver, ruling, intent_hash, signature, source, counted, code, why, at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE $7 OR (SELECT count(*) FROM decision WHERE withdrawal_id = $1) < $11
"""


class Judgements(Desk):
    """`judge`, `record_decision`, `record_malformed`, `queue_payout` and `return_hold`."""

    def __init__(self, database: Database, catalogue: Catalogue, roster: Roster, *, lanes: int = 1) -> None:
        super().__init__(database, catalogue, roster, lanes=lanes)
        self._judges = asyncio.Semaphore(JUDGES_MAX)

    async def judge(self, withdrawal_id: str, now: datetime) -> Verdict:
        """Records the verdict (once; a repeat returns the recorded one) and advances: QUEUED with its payout,
        REFERRED, or DECLINED with the hold returned; on to SETTLED where the recipient is an account here. Raises
        Refused WITHDRAWAL_STAGE when it ended before.
        """
        async with self._judges, self._database.transaction("judge") as connection:
            standing = await lock_to_judge(connection, withdrawal_id)
            if standing.stage is not Stage.REQUESTED:  # only then is there a verdict: one transaction writes both
                if recorded := await connection.fetchrow(_VERDICT, withdrawal_id):
                    return _as_settled(_verdict(recorded), standing)
                raise Refused("WITHDRAWAL_STAGE", f"It is {standing.stage} already.", stage=standing.stage.value)
            intent = self._intent(standing)
            amount = Amount(int(standing.asked.amount), self._asset(standing.asked.asset))
            usage = await usage_before(connection, standing.asked.asset, standing.asked.account, now)
            verdict = judge(self._catalogue.policy, amount, usage, intent.hash(), now)
            await self._keep(connection, standing, intent, verdict, now)
            return _as_settled(verdict, standing)

    async def record_decision(self, withdrawal_id: str, decision: Decision, source: str, now: datetime) -> DecisionNote:
        """Checks roster, signature, intent hash, four eyes, repeats and lateness; records the decision whatever it
        was worth. The same call again (same source and time) is answered as before.
        """
        async with self._database.transaction("record_decision") as connection:
            standing = await lock(connection, withdrawal_id)
            recorded = await connection.fetchrow(_VERDICT, withdrawal_id)
            verdict = _verdict(recorded) if recorded else None
            counted = [(row["approver"], row["ruling"]) for row in await connection.fetch(_COUNTED, withdrawal_id)]
            kept = _kept(decision, source)
            before = await connection.fetchrow(_SAME, withdrawal_id, kept[0], kept[3], kept[1], kept[4], now)
            code = before["code"] if before else self._worth(standing, verdict, decision, counted, now)
            if not before:
                await connection.execute(
                    _KEEP_DECISION, withdrawal_id, *kept, code == "COUNTED", code, "", now, DECISIONS_KEPT_MAX
                )
                if code == "COUNTED":
                    counted.append((decision.approver, decision.ruling))
                    reason = "APPROVED" if decision.ruling == Ruling.APPROVE else "REJECTED"
                    deadline = verdict.expires_at if verdict else None
                    actor = f"approver:{decision.approver}"
                    await note(connection, standing, Event(now, actor, reason, {"source": source}, deadline))
            return DecisionNote(
                approver=decision.approver,
                ruling=str(decision.ruling),
                counted=code == "COUNTED",
                code=code,
                approvals=sum(ruling == Ruling.APPROVE for _, ruling in counted),
                needed=verdict.approvals if verdict else 0,
            )

    async def record_malformed(self, withdrawal_id: str, source: str, why: str, now: datetime) -> None:
        """Records that something which was no decision arrived; it changes nothing."""
        async with self._database.transaction("record_malformed") as connection:
            await lock(connection, withdrawal_id)
            kept = ("", "", "", "", clean(source, NAME_CHARS_MAX), False, "MALFORMED", clean(why), now)
            if not await connection.fetchrow(_SAME, withdrawal_id, "", "", "", kept[4], now):
                await connection.execute(_KEEP_DECISION, withdrawal_id, *kept, DECISIONS_KEPT_MAX)

    async def queue_payout(self, withdrawal_id: str, now: datetime) -> Conclusion:
        """REFERRED -> QUEUED once the recorded quorum is met; checks the quorum again under the row lock. One that was
        queued before stays as it is. On to SETTLED where the recipient is an account here. Raises Refused QUORUM_UNMET,
        TOO_LATE when it ended without having been queued.
        """
        async with self._database.transaction("queue_payout") as connection:
            standing = await lock(connection, withdrawal_id)
            if standing.stage is not Stage.REFERRED:
                queued = standing.stage is Stage.SETTLED or await connection.fetchval(_HAS_PAYOUT, withdrawal_id)
                if not queued:
                    raise Refused("TOO_LATE", f"It is {standing.stage}.", stage=standing.stage.value)
            else:
                verdict = _verdict(await connection.fetchrow(_VERDICT, withdrawal_id))
                rows = await connection.fetch(_COUNTED, withdrawal_id)
                approvals = len({row["approver"] for row in rows if row["ruling"] == Ruling.APPROVE})
                rejected = any(row["ruling"] == Ruling.REJECT for row in rows)
                if rejected or approvals < verdict.approvals:
                    raise Refused("QUORUM_UNMET", f"{approvals} of {verdict.approvals} approvals.", approvals=approvals)
                await self._queue(connection, standing, Event(now, "approvers", "QUORUM_MET"))
            return standing.conclusion

    async def return_hold(self, withdrawal_id: str, stage: Stage, reason: str, actor: str, now: datetime) -> Conclusion:
        """Releases the hold and ends in `stage` (REJECTED, EXPIRED, CANCELLED, DECLINED). Raises Refused TOO_LATE once
        it was planned or ended otherwise: the race with `plan_slot` has one winner.
        """
        async with self._database.transaction("return_hold") as connection:
            standing = await lock(connection, withdrawal_id)
            if standing.stage is not stage:
                if stage not in _RETURNS.get(standing.stage, ()):
                    raise Refused("TOO_LATE", f"It is {standing.stage} already.", stage=standing.stage.value)
                await self._return(connection, standing, stage, Event(now, actor, reason))
            return standing.conclusion

    # ------------------------------------------------------------ judging
    def _intent(self, standing: Standing) -> Intent:
        asked = standing.asked
        return Intent(
            withdrawal_id=asked.id,
            account=asked.account,
            network=asked.network,
            asset=asked.asset,
            amount=asked.amount,
            recipient=asked.recipient,
            fee_cap=str(self._network(asked.network).fees.network_fee_cap),
            requester=asked.requester,
            policy_version=self._catalogue.policy.version,
        )

    async def _keep(
        self, connection: Connection, standing: Standing, intent: Intent, verdict: Verdict, now: datetime
    ) -> None:
        asked = standing.asked
        kept = (
            *(asked.id, asked.account, asked.asset, asked.amount),
            *(verdict.outcome.value, verdict.approvals, verdict.risk.value, verdict.rule, verdict.policy_version),
            *(json.dumps(asdict(intent), sort_keys=True), verdict.intent_hash, verdict.expires_at, now),
        )
        detail = {"rule": verdict.rule, "policy": verdict.policy_version, "risk": verdict.risk.value}
        event = Event(now, "policy", verdict.rule, detail, verdict.expires_at)
        if verdict.outcome is Outcome.ACCEPT:
            owner = await owner_within(connection, asked.network, asked.recipient)
            if owner is None:
                await advance(connection, standing, Stage.QUEUED, event)
                await connection.execute(_KEEP_AND_QUEUE, *kept, asked.network, WAKE_CHANNEL)
                return
            await connection.execute(_KEEP_VERDICT, *kept)
            await advance(connection, standing, Stage.QUEUED, event)
            await self._transfer(connection, standing, owner, now)
        else:
            await connection.execute(_KEEP_VERDICT, *kept)
            if verdict.outcome is Outcome.DECLINE:
                await self._return(connection, standing, Stage.DECLINED, event)
                return
            await advance(connection, standing, Stage.REFERRED, event)
        # After the ledger, as when a hold is returned: in another order two of these could wait for each other.
        await count(connection, [asked.id])

    async def _queue(self, connection: Connection, standing: Standing, event: Event) -> None:
        """Cleared to be paid. Whether a network is needed for that is decided here and nowhere else, by whose address
        the recipient is now: an address given out later finds its payout on the way and its coins on the chain.
        """
        await advance(connection, standing, Stage.QUEUED, event)
        if owner := await owner_within(connection, standing.asked.network, standing.asked.recipient):
            await self._transfer(connection, standing, owner, event.at)
            return
        await connection.execute(_QUEUE, standing.asked.id, standing.asked.network, event.at)
        await connection.execute("SELECT pg_notify($1, $2)", WAKE_CHANNEL, standing.asked.network)

    async def _transfer(self, connection: Connection, standing: Standing, owner: str, at: datetime) -> None:
        """Paid within the ledger, for nothing. Whose address it is stands in the entry alone: the sender's timeline
        does not tell.
        """
        move, fee = transfer(standing.asked, owner), standing.asked.fee
        (posted,) = await self.ledger.post_within(connection, [move], at)
        insist(posted, move)
        detail = {"fee_returned": fee} if int(fee) else {}
        await advance(connection, standing, Stage.SETTLED, Event(at, "books", INTERNAL, detail))
        await connection.execute(_FEE_RETURNED, standing.asked.id)

    async def _return(self, connection: Connection, standing: Standing, stage: Stage, event: Event) -> None:
        move = release(standing.asked)
        (posted,) = await self.ledger.post_within(connection, [move], event.at)
        insist(posted, move)
        await connection.execute("UPDATE payout SET state = 'RETURNED' WHERE withdrawal_id = $1", standing.asked.id)
        await count_back(connection, [standing.asked.id])
        await advance(connection, standing, stage, event)

    # ------------------------------------------------------------ deciding
    def _worth(
        self,
        standing: Standing,
        verdict: Verdict | None,
        decision: Decision,
        counted: list[tuple[str, str]],
        now: datetime,
    ) -> str:
        """COUNTED, or why the decision moves nothing. One rejection, or a full quorum, is the end of deciding."""
        if wrong := self._roster.verify(decision):
            return wrong
        if decision.approver.casefold() == standing.asked.requester.casefold():
            return "FOUR_EYES"
        if verdict is None or decision.intent_hash != verdict.intent_hash:
            return "INTENT_CHANGED"
        if any(approver == decision.approver for approver, _ in counted):
            return "REPEAT"
        approvals = sum(ruling == Ruling.APPROVE for _, ruling in counted)
        decided = approvals >= verdict.approvals or any(ruling == Ruling.REJECT for _, ruling in counted)
        expired = verdict.expires_at is not None and now >= verdict.expires_at
        return "TOO_LATE" if decided or expired or standing.stage is not Stage.REFERRED else "COUNTED"


# From which stages a hold may be returned, and as what.
_RETURNS = {
    Stage.REQUESTED: (Stage.CANCELLED, Stage.DECLINED),
    Stage.REFERRED: (Stage.REJECTED, Stage.EXPIRED, Stage.CANCELLED),
    Stage.QUEUED: (Stage.CANCELLED,),
}


def _as_settled(verdict: Verdict, standing: Standing) -> Verdict:
    """The verdict with what became of it at once: one that needed no people was settled by the same transaction."""
    internal = standing.stage is Stage.SETTLED and standing.reason == INTERNAL
    return replace(verdict, settled=internal and verdict.outcome is Outcome.ACCEPT)


def _verdict(row: Row) -> Verdict:
    return Verdict(
        outcome=Outcome(row["outcome"]),
        approvals=row["approvals"],
        risk=Risk(row["risk"]),
        rule=row["rule"],
        policy_version=row["policy_version"],
        intent_hash=row["intent_hash"],
        expires_at=row["expires_at"],
    )


def _kept(decision: Decision, source: str) -> tuple[str, str, str, str, str]:
    """A decision's texts as they are stored: whoever sent them, they are bounded."""
    return (
        clean(decision.approver, NAME_CHARS_MAX),
        clean(str(decision.ruling), NAME_CHARS_MAX),
        clean(decision.intent_hash, NAME_CHARS_MAX),
        clean(decision.signature, SIGNATURE_CHARS_MAX),
        clean(source, NAME_CHARS_MAX),
    )
