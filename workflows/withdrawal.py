"""The story of one withdrawal: judged, agreed to by people where policy asks for them, paid from a slot of the hot
wallet, ended. A slot that pays it alone is signed, delivered and settled from here (`workflows.slot_story`); one that
pays several has a workflow of its own, which tells each of them how it ended. To an account here it is paid by the
books, in the transaction that clears it.

Start it with `client.start_workflow(WithdrawalWorkflow.run, order, id=domain.withdrawal.workflow_id(order.id),
task_queue=ORCHESTRATOR_QUEUE, id_conflict_policy=USE_EXISTING, id_reuse_policy=REJECT_DUPLICATE,
search_attributes=attributes.for_withdrawal(...), static_summary=order.summary)`.

Names for its callers: updates `decide` (a Decision, answers a DecisionNote) and `cancel` (a Plea, answers a
Conclusion); signals `approve` and `reject` (an approver's signed decision), `cancel` (a Plea), `planned` (a
PayoutOrder), `procedure` (one that people endorsed), `resume` and `concluded`; query `status`.
An update that is refused raises ApplicationError whose `type` is the code: FOUR_EYES, REPEAT, TOO_LATE, STRANGER ...

Handlers only bring facts; `story` alone acts on them, one step at a time, and the books' row lock decides every race.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    import workflows.attributes as attributes  # noqa: PLR0402 - the sandbox loads `from workflows import` anew each run
    import workflows.letters as letters  # noqa: PLR0402
    from activities.books import BooksActivities, Case, Noise, Return, Word
    from activities.failures import refusal, told
    from activities.stories import PayoutOrder
    from domain.errors import Refused
    from domain.intent import Decision, Ruling
    from domain.policy import Outcome, Verdict
    from domain.ports import Conclusion, DecisionNote
    from domain.withdrawal import CANCELLABLE, ENDS, INTERNAL, SENTENCE, Stage
    from workflows.options import BOOKS, titled
    from workflows.slot_story import SlotStory
    from workflows.state import Asked, Plea, Status, WithdrawalOrder, WithdrawalState

# Most are planned at once; one that is not is shown as queued after this, so that all others cost no event for it.
QUEUE_SHOWN_AFTER_S = 5
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
        self._slot: SlotStory | None = None

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
        if verdict.settled:
            return await self._end(Conclusion(self._order.id, Stage.SETTLED, INTERNAL))
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
        """Waits for the hot wallet, then tells the story of the slot that it planned. No timeout ends this: only proof,
        the word of whoever else tells that story, a look or a cancel does.
        """
        state, pauses = self._state, _pauses()
        state.stage, says = Stage.QUEUED, "the hot wallet pays it"
        self._detail(says)
        while True:
            try:
                await workflow.wait_condition(
                    lambda: bool(state.plan or state.told or state.pleas),
                    timeout=next(pauses),
                    timeout_summary="next look at the books",
                )
            except TimeoutError:
                self._show(Stage.QUEUED, says)
                found = await self._looked()
            else:
                if state.plan is None:
                    found = state.told or await self._heed_pleas()
                elif (end := await self._tell(state.plan)) is not None:
                    return end
                else:
                    says, pauses = "a stranger consumed its slot; the hot wallet pays it from another one", _pauses()
                    found = self._planned_anew(state.plan, says)
            if found.stage in ENDS:
                return found

    def _planned_anew(self, plan: PayoutOrder, says: str) -> Conclusion:
        """Its slot was given up: it waits for the next one, which it may have been told of."""
        state = self._state
        state.given_up.add(plan.slot.id)
        state.plan, state.next_plan, self._slot = state.next_plan, None, None
        self._show(Stage.QUEUED, says)
        return Conclusion(self._order.id, Stage.QUEUED)

    async def _tell(self, plan: PayoutOrder) -> Conclusion | None:
        """Tells the slot's story; None when the slot was given up. What anybody says meanwhile is looked up in the
        books, and answered.
        """
        state = self._state
        self._slot = SlotStory(plan, self._detail, self._order.id)
        for endorsed in state.procedures:
            self._slot.heed(endorsed)
        self._show(Stage.PLANNED, "the hot wallet pays it")
        story = asyncio.create_task(self._slot.tell())
        while True:
            await workflow.wait_condition(lambda: story.done() or bool(state.told or state.pleas))
            if story.done():
                if (end := await story) is None:
                    return None
                return next(one for one in end.conclusions if one.withdrawal_id == self._order.id)
            state.told, told = None, state.told
            found = await self._looked() if told else await self._heed_pleas()
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

    @workflow.signal(description="Sent by the hot wallet: the slot that pays it alone. A repeat changes nothing.")
    def planned(self, *words: Any) -> None:
        try:
            plan = letters.plan(words, self._order.id)
        except letters.Unreadable as why:
            workflow.logger.warning("a plan was not understood: %s", why)
        else:
            state = self._state
            if state.plan is None and plan.slot.id not in state.given_up:
                state.plan = plan
            elif state.plan is not None and plan.slot.id not in {state.plan.slot.id, *state.given_up}:
                state.next_plan = plan

    @workflow.signal(description="The wallet was resumed: look at the slot again.")
    def resume(self, *words: Any) -> None:
        if self._slot is not None:
            self._slot.look_again()

    @workflow.signal(description="Sent by the books: a procedure about its slot, with its endorsements.")
    def procedure(self, *words: Any) -> None:
        try:
            endorsed = letters.endorsed(words)
        except letters.Unreadable as why:
            workflow.logger.warning("a procedure was not understood: %s", why)
        else:
            self._state.procedures.append(endorsed)
            if self._slot is not None:
                self._slot.heed(endorsed)

    @workflow.signal(description="Sent by settling a slot that paid several: how it ended.")
    def concluded(self, *words: Any) -> None:
        try:
            self._state.told = letters.conclusion(words, self._order.id)
        except letters.Unreadable as why:
            workflow.logger.warning("a conclusion was not understood: %s", why)

    @workflow.signal(dynamic=True)
    async def unknown(self, name: str, words: Sequence[RawValue]) -> None:
        """A slip of the pen must be seen, not buffered for ever."""
        await self._noted(name[: letters.NAME_MAX], "no such signal: use approve, reject or cancel")

    @workflow.query(description="Stage, quorum so far, deadline; how its slot stands while it is paid.")
    def status(self) -> Status:
        state = self._state
        slot = self._slot.status if self._slot else None
        return Status(
            state.stage, state.approvals, state.needed, state.deadline, tuple(state.decided), state.malformed, slot
        )

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
        state, at = self._state, self._moment()
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
        noise = Noise(self._order.id, f"signal {source}", why, self._moment())
        try:
            await workflow.execute_activity_method(BooksActivities.record_malformed, noise, **BOOKS)
        except ActivityError as error:
            workflow.logger.error("a letter was not recorded: %s", error.cause)

    def _moment(self) -> datetime:
        """When a letter came. No two share an instant: by it the books tell a second letter from a retry of the first,
        and one workflow task may bring several.
        """
        now, last = workflow.now(), self._state.last_letter
        moment = now if last is None or last < now else last + timedelta(microseconds=1)
        self._state.last_letter = moment
        return moment

    def _may_speak(self) -> bool:
        self._state.letters += 1
        return self._state.letters <= LETTERS_MAX

    # ------------------------------------------------------------ what people see
    def _show(self, stage: Stage, why: str) -> None:
        """Moves the stage that operators search for; each move is one event of the history, so only real ones count."""
        state = self._state
        state.stage = stage
        if stage is not state.shown:
            updates = [attributes.STATE.value_set(stage.value)]
            if state.shown is Stage.REQUESTED and state.verdict:
                updates.append(attributes.RISK_LEVEL.value_set(state.verdict.risk.value))
            workflow.upsert_search_attributes(updates)
            state.shown = stage
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


def _pauses() -> Iterator[timedelta]:
    """Between looks at the books while the hot wallet has not planned it."""
    yield timedelta(seconds=QUEUE_SHOWN_AFTER_S)
    minutes = SELF_CHECK_FIRST_MIN
    while True:
        yield timedelta(minutes=minutes)
        minutes = min(minutes * 2, SELF_CHECK_MAX_MIN)


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
