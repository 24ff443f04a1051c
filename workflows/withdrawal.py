"""The story of one withdrawal: judged, agreed to by people where policy asks for them, paid by the hot wallet, ended.

Start it with `client.start_workflow(WithdrawalWorkflow.run, order, id=domain.withdrawal.workflow_id(order.id),
task_queue=ORCHESTRATOR_QUEUE, id_conflict_policy=USE_EXISTING, id_reuse_policy=REJECT_DUPLICATE,
search_attributes=attributes.for_withdrawal(...), static_summary=order.summary)`.

Names for its callers: updates `decide` (a Decision, answers a DecisionNote) and `cancel` (a Plea, answers a
Conclusion); signals `approve` and `reject` (an approver's signed decision), `cancel` (a Plea) and `concluded`; query
`status`.
An update that is refused raises ApplicationError whose `type` is the code: FOUR_EYES, REPEAT, TOO_LATE, STRANGER ...

Handlers only bring facts; `story` alone acts on them, one step at a time, and the books' row lock decides every race.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.books import BooksActivities, Case, Noise, Return, Word
    from activities.failures import refusal, told
    from domain.errors import Refused
    from domain.intent import Decision, Ruling
    from domain.policy import Outcome, Verdict
    from domain.ports import Conclusion, DecisionNote
    from domain.withdrawal import CANCELLABLE, ENDS, SENTENCE, Stage
    from workflows import attributes, letters
    from workflows.options import BOOKS, titled
    from workflows.state import Asked, Plea, Status, WithdrawalOrder, WithdrawalState

# A signal can be lost with a server's disk; silence is not evidence, so the books are asked now and then.
SELF_CHECK_FIRST_MIN = 10
SELF_CHECK_MAX_MIN = 6 * 60
# When the books do not agree that the deadline has passed, clocks differ: ask again after this.
EXPIRY_RETRY_S = 60
# Nobody fills our books by shouting; updates are not counted, so approvers always get through.
LETTERS_MAX = 100


@workflow.defn(name="Withdrawal")
class WithdrawalWorkflow:
    """One withdrawal from its verdict to its end."""

    @workflow.init
    def __init__(self, order: WithdrawalOrder) -> None:
        self._order = order
        self._state = WithdrawalState()

    @workflow.run
    async def run(self, order: WithdrawalOrder) -> Conclusion:
        """Where the withdrawal ended. The UI's cancel button is one more plea: it never breaks the story off."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise
                self._state.pleas.append(Asked(Plea("temporal", workflow.cancellation_reason() or "")))

    async def _story(self) -> Conclusion:
        verdict = await self._judged()
        if verdict.outcome is Outcome.DECLINE:
            return await self._end(Conclusion(self._order.id, Stage.DECLINED, verdict.rule))
        if verdict.outcome is Outcome.REFER:
            found = await self._referred(verdict)
            if found.stage in ENDS:
                return await self._end(found)
        return await self._end(await self._paid())

    async def _judged(self) -> Verdict:
        verdict = await workflow.execute_activity_method(BooksActivities.judge, self._case(), **BOOKS)
        self._state.verdict, self._state.deadline = verdict, verdict.expires_at
        return verdict

    async def _referred(self, verdict: Verdict) -> Conclusion:
        """Waits for people. Where the withdrawal stands once they, the client or the clock have spoken."""
        self._show(Stage.REFERRED, "people decide")
        while True:
            await self._hear_people()
            found = await self._heed()
            if found.stage is not Stage.REFERRED:
                return found
            self._show(Stage.REFERRED, "people decide")

    async def _hear_people(self) -> None:
        """Until there is something to act on. What arrived before the deadline is heard out after it."""
        state = self._state
        if not state.moved and (left := self._left()) > timedelta():
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: state.moved, timeout=left, timeout_summary="deadline of the approvals"
                )
        begun = set(state.hearing)
        await workflow.wait_condition(lambda: not begun & state.hearing)

    async def _heed(self) -> Conclusion:
        """Acts on what people said, or on the clock; where the withdrawal stands then. A refusal is looked into."""
        state = self._state
        if state.rejected_by:
            actor, state.rejected_by = state.rejected_by, None
            return await self._returned(Stage.REJECTED, "rejected", actor)
        if state.pleas:
            return await self._heed_pleas()
        if state.quorum:
            state.quorum = False
            return await self._queued()
        if state.told:
            state.told = None
            return await self._looked()
        found = await self._returned(Stage.EXPIRED, "no-quorum-in-time", "clock")
        if found.stage is Stage.REFERRED:
            state.deadline = workflow.now() + timedelta(seconds=EXPIRY_RETRY_S)
        return found

    async def _paid(self) -> Conclusion:
        """Waits for the hot wallet and its payout. No timeout ends this: only their word, a look or a cancel does."""
        self._show(Stage.QUEUED, "the hot wallet pays it")
        state, pause = self._state, timedelta(minutes=SELF_CHECK_FIRST_MIN)
        while True:
            try:
                await workflow.wait_condition(
                    lambda: bool(state.told or state.pleas), timeout=pause, timeout_summary="next look at the books"
                )
            except TimeoutError:
                found = await self._looked()
                pause = min(pause * 2, timedelta(minutes=SELF_CHECK_MAX_MIN))
            else:
                found = state.told or await self._heed_pleas()
            if found.stage in ENDS:
                return found

    async def _end(self, conclusion: Conclusion) -> Conclusion:
        """Everybody who still waits for an answer gets this one."""
        self._state.ended = conclusion
        for asked in self._state.pleas:
            asked.answer = conclusion
        self._show(conclusion.stage, conclusion.reason)
        ended = workflow.metric_meter().create_counter("strongroom_withdrawals_concluded", "Withdrawals by their end")
        ended.add(1, {"stage": conclusion.stage.value, "asset": self._order.asset})
        await workflow.wait_condition(workflow.all_handlers_finished)
        return conclusion

    # ------------------------------------------------------------ steps in the books
    async def _heed_pleas(self) -> Conclusion:
        """Cancels if the books still allow it, and answers everybody who asked."""
        asked, self._state.pleas = self._state.pleas, []
        plea = asked[0].plea
        found = await self._returned(Stage.CANCELLED, plea.reason or "cancelled", plea.actor)
        for one in asked:
            one.answer = found
        return found

    async def _returned(self, stage: Stage, reason: str, actor: str) -> Conclusion:
        order = Return(self._order.id, stage, reason, actor, workflow.now())
        try:
            return await workflow.execute_activity_method(BooksActivities.return_hold, order, **BOOKS)
        except ActivityError as error:
            return await self._looked_after(error)

    async def _queued(self) -> Conclusion:
        try:
            return await workflow.execute_activity_method(BooksActivities.queue_payout, self._case(), **BOOKS)
        except ActivityError as error:
            return await self._looked_after(error)

    async def _looked_after(self, error: ActivityError) -> Conclusion:
        """The books refused: somebody was faster, and where it stands now is the answer."""
        if refusal(error) is None:
            raise error
        return await self._looked()

    async def _looked(self) -> Conclusion:
        return await workflow.execute_activity_method(BooksActivities.concluded, self._order.id, **BOOKS)

    # ------------------------------------------------------------ what people say
    @workflow.update(description="An approver's signed decision; answers what it was worth, or its code.")
    async def decide(self, decision: Decision) -> DecisionNote:
        try:
            note = await self._heard(decision, "update")
        except ActivityError as error:
            if (why := refusal(error)) is not None:
                raise told(why) from error
            raise
        if not note.counted:
            raise told(_worthless(note.code, approvals=note.approvals, needed=note.needed))
        return note

    @decide.validator
    def _decidable(self, decision: Decision) -> None:
        """What can be refused at once leaves no trace in the history; the books check all of it again."""
        if self._state.verdict is None:
            return
        if self._state.stage is not Stage.REFERRED or self._left() <= timedelta():
            raise told(_worthless("TOO_LATE", stage=self._state.stage.value))
        if decision.approver == self._order.requester:
            raise told(_worthless("FOUR_EYES"))
        if decision.approver in self._state.decided:
            raise told(_worthless("REPEAT"))
        if decision.intent_hash != self._state.verdict.intent_hash:
            raise told(_worthless("INTENT_CHANGED"))

    @workflow.signal(description='Approve: {"approver", "intent_hash", "signature"}, as `approver sign` prints it.')
    async def approve(self, *words: Any) -> None:
        await self._letter(words, Ruling.APPROVE)

    @workflow.signal(description='Reject: {"approver", "intent_hash", "signature"}, as `approver sign` prints it.')
    async def reject(self, *words: Any) -> None:
        await self._letter(words, Ruling.REJECT)

    @workflow.update(name="cancel", description="Cancel it; answers CANCELLED, or TOO_LATE once it is being paid.")
    async def cancel(self, plea: Plea) -> Conclusion:
        asked = Asked(plea, self._state.ended)
        if asked.answer is None:
            self._state.pleas.append(asked)
            await workflow.wait_condition(lambda: asked.answer is not None)
        found = asked.answer or Conclusion(self._order.id, self._state.stage)
        if found.stage is not Stage.CANCELLED:
            raise told(Refused("TOO_LATE", f"It is {found.stage}: {SENTENCE[found.stage]}", stage=found.stage.value))
        return found

    @workflow.signal(name="cancel", description='Cancel: {"actor", "reason"}; changes nothing once it is being paid.')
    async def ask_to_cancel(self, *words: Any) -> None:
        try:
            self._state.pleas.append(Asked(Plea(*letters.plea(words))))
        except letters.Unreadable as why:
            await self._noted("cancel", str(why))

    @workflow.signal(description="Sent by settling: how it ended.")
    def concluded(self, *words: Any) -> None:
        try:
            self._state.told = letters.conclusion(words, self._order.id)
        except letters.Unreadable as why:
            workflow.logger.warning("a conclusion was not understood: %s", why)

    @workflow.signal(dynamic=True)
    async def unknown(self, name: str, words: Sequence[RawValue]) -> None:
        """A slip of the pen must be seen, not buffered for ever."""
        await self._noted(name[: letters.NAME_MAX], "no such signal: use approve, reject or cancel")

    @workflow.query(description="Stage, quorum so far, deadline.")
    def status(self) -> Status:
        state = self._state
        return Status(state.stage, state.approvals, state.needed, state.deadline, tuple(state.decided), state.malformed)

    async def _letter(self, words: Sequence[Any], ruling: Ruling) -> None:
        try:
            decision = letters.decision(words, ruling)
        except letters.Unreadable as why:
            return await self._noted(ruling.value, str(why))
        if not self._may_speak():
            return None
        try:
            await self._heard(decision, "signal")
        except ActivityError as error:  # raised further it would end the withdrawal: no letter may do that
            workflow.logger.error("a letter was not recorded: %s", error.cause)

    async def _heard(self, decision: Decision, source: str) -> DecisionNote:
        """Has the books weigh a decision as of now, and takes in what it changed."""
        state, at = self._state, workflow.now()
        state.heard += 1
        mine = state.heard
        state.hearing.add(mine)
        try:
            await workflow.wait_condition(lambda: state.verdict is not None)
            word = Word(self._order.id, decision, source, at)
            how = titled(BOOKS, f"{decision.ruling} by {decision.approver}")
            note = await workflow.execute_activity_method(BooksActivities.record_decision, word, **how)
        finally:
            state.hearing.discard(mine)
        if note.counted:
            state.decided[note.approver] = Ruling(note.ruling)
            if note.ruling == Ruling.REJECT:
                state.rejected_by = note.approver
        state.approvals = max(state.approvals, note.approvals)
        state.quorum = state.quorum or (0 < note.needed <= note.approvals)
        if state.stage is Stage.REFERRED:
            self._detail("people decide")
        return note

    async def _noted(self, source: str, why: str) -> None:
        self._state.malformed += 1
        if not self._may_speak():
            return
        noise = Noise(self._order.id, f"signal {source}", why, workflow.now())
        try:
            await workflow.execute_activity_method(BooksActivities.record_malformed, noise, **BOOKS)
        except ActivityError as error:
            workflow.logger.error("a letter was not recorded: %s", error.cause)

    def _may_speak(self) -> bool:
        self._state.letters += 1
        return self._state.letters <= LETTERS_MAX

    # ------------------------------------------------------------ what people see
    def _show(self, stage: Stage, why: str) -> None:
        """Moves the stage that operators search for; each move is one event of the history, so only real ones count."""
        if stage is not self._state.stage:
            updates = [attributes.STATE.value_set(stage.value)]
            if self._state.stage is Stage.REQUESTED and self._state.verdict:
                updates.append(attributes.RISK_LEVEL.value_set(self._state.verdict.risk.value))
            workflow.upsert_search_attributes(updates)
            self._state.stage = stage
        self._detail(why)

    def _detail(self, why: str) -> None:
        state = self._state
        lines = [f"**{state.stage}** — {SENTENCE[state.stage]}", f"{self._order.summary} ({why})"]
        if state.stage is Stage.REFERRED and state.deadline:
            who = ", ".join(f"{name} ({ruling})" for name, ruling in state.decided.items()) or "nobody yet"
            lines.append(f"Approvals: **{state.approvals} of {state.needed}**. Decided: {who}.")
            lines.append(f"Without a quorum it expires at **{state.deadline:%Y-%m-%d %H:%M:%S} UTC**.")
        elif state.stage in CANCELLABLE:
            lines.append("It can still be cancelled.")
        workflow.set_current_details("\n\n".join(lines))

    def _left(self) -> timedelta:
        """Time until the deadline of the approvals; as good as endless when there is none."""
        return self._state.deadline - workflow.now() if self._state.deadline else timedelta(days=3650)

    def _case(self) -> Case:
        return Case(self._order.id, workflow.now())


_WORTHLESS = {
    "FOUR_EYES": "Whoever asked for a withdrawal cannot decide on it; ask somebody else.",
    "STRANGER": "This name is not on the roster of approvers.",
    "BAD_SIGNATURE": "The signature does not match the decision; sign the intent as it stands now.",
    "REPEAT": "This approver has decided already; a quorum is of different people.",
    "INTENT_CHANGED": "The decision is about another intent; read it again and sign that.",
    "TOO_LATE": "Nothing is decided on this withdrawal any more.",
}


def _worthless(code: str, **facts: str | int) -> Refused:
    return Refused(code, _WORTHLESS.get(code, "The decision was recorded and moves nothing."), **facts)
