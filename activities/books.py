"""All that workflows write in the books. Each call is one transaction there, and a repeat changes nothing.

`at` is the workflow's clock: when it learned what it asks for, whatever time the call takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from activities.stories import Stories
from domain.crash_points import CrashPoint, passing
from domain.intent import Decision
from domain.payout import Consumption, Final, Slot
from domain.policy import Verdict
from domain.ports import Books, Conclusion, DecisionNote, ProcedureNote
from domain.procedure import Endorsed, Kind
from domain.withdrawal import Stage


@dataclass(frozen=True, slots=True)
class Case:
    """One withdrawal at one time."""

    withdrawal_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Word:
    """A decision as it arrived; `source` is the door it came through (signal, update)."""

    withdrawal_id: str
    decision: Decision
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Noise:
    """Something that arrived as a decision and was none."""

    withdrawal_id: str
    source: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Return:
    """The hold goes back and the withdrawal ends in `stage`."""

    withdrawal_id: str
    stage: Stage
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Settlement:
    """A slot with the proof of its end. `teller`: the withdrawal whose own workflow settles it, "" for none."""

    slot: Slot
    final: Final
    at: datetime
    teller: str = ""


@dataclass(frozen=True, slots=True)
class Halt:
    network: str
    wallet: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Ordered:
    """A procedure about a hot wallet or one of its slots, as it arrived. `proof`: what the chain said since, where the
    procedure rests on that.
    """

    network: str
    wallet: str
    endorsed: Endorsed
    at: datetime
    proof: Consumption | None = None


class BooksActivities:
    """The books, and the stories that must hear what was written."""

    def __init__(self, books: Books, stories: Stories) -> None:
        self._books = books
        self._stories = stories

    @activity.defn
    async def judge(self, case: Case) -> Verdict:
        """Policy's word, recorded; whoever needs no approver is queued by the same transaction."""
        verdict = await self._books.judge(case.withdrawal_id, case.at)
        passing(CrashPoint.JUDGED)
        return verdict

    @activity.defn
    async def record_decision(self, word: Word) -> DecisionNote:
        """What the decision was worth. Strangers, repeats and latecomers are recorded and move nothing."""
        note = await self._books.record_decision(word.withdrawal_id, word.decision, word.source, word.at)
        passing(CrashPoint.DECISION_RECORDED)
        return note

    @activity.defn
    async def record_malformed(self, noise: Noise) -> None:
        await self._books.record_malformed(noise.withdrawal_id, noise.source, noise.why, noise.at)

    @activity.defn
    async def queue_payout(self, case: Case) -> Conclusion:
        """Cleared by its quorum. Raises Refused when the books count otherwise."""
        conclusion = await self._books.queue_payout(case.withdrawal_id, case.at)
        passing(CrashPoint.PAYOUT_QUEUED)
        return conclusion

    @activity.defn
    async def return_hold(self, order: Return) -> Conclusion:
        """The money goes back to the client. Raises Refused TOO_LATE once a slot has taken the payment."""
        return await self._books.return_hold(order.withdrawal_id, order.stage, order.reason, order.actor, order.at)

    @activity.defn
    async def concluded(self, withdrawal_id: str) -> Conclusion:
        """Where the withdrawal stands in the books."""
        return await self._books.concluded(withdrawal_id)

    @activity.defn
    async def settle(self, settlement: Settlement) -> Sequence[Conclusion]:
        """Closes the slot and its withdrawals in the books, then tells each story but the teller's, which reads the
        answer; a retry tells them again.
        """
        conclusions = await self._books.settle(settlement.slot, settlement.final, settlement.at)
        passing(CrashPoint.SETTLED)
        for conclusion in conclusions:
            activity.logger.info("%s ended: %s", conclusion.withdrawal_id, conclusion.stage)
            if conclusion.withdrawal_id != settlement.teller:
                await self._stories.conclude(conclusion)
        passing(CrashPoint.CONCLUSION_TOLD)
        return conclusions

    @activity.defn
    async def halt_wallet(self, halt: Halt) -> None:
        """No slot of the wallet is planned from here on; those that are open are still watched."""
        activity.logger.error("hot wallet halted: %s", halt.reason, extra={"wallet": halt.wallet})
        await self._books.halt_wallet(halt.network, halt.wallet, halt.reason, halt.at)

    @activity.defn
    async def take_procedure(self, order: Ordered) -> ProcedureNote:
        """Has a procedure weighed and recorded. Who tells the story of its slot hears of one that was taken; after a
        RESUME everybody whose story stands still looks anew.
        """
        procedure = order.endorsed.procedure
        note = await self._books.take_procedure(order.network, order.wallet, order.endorsed, order.at, order.proof)
        passing(CrashPoint.PROCEDURE_TAKEN)
        activity.logger.warning(
            "procedure %s about %s: %s", procedure.kind, procedure.subject, note.code, extra={"hash": note.hash}
        )
        for open_slot in await self._books.open_slots(order.network, order.wallet) if note.taken else ():
            if procedure.kind == Kind.RESUME:
                await self._stories.look_again(open_slot.slot)
            elif procedure.subject == open_slot.slot.id:
                await self._stories.hand_over(open_slot.slot, order.endorsed)
        if note.taken and order.proof is not None:  # its slot is open no more
            await self._stories.hand_over(order.proof.slot, order.endorsed)
        return note

    @activity.defn
    async def consumer(self, slot_id: str) -> str | None:
        """The stranger's txid by which people gave the slot up; None for any other slot."""
        return await self._books.consumer(slot_id)
