"""The workflows as the API's pages see them, without an engine: what is said goes straight to the books."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from api.commands import Health
from domain.errors import Refused, Unavailable
from domain.intent import Decision
from domain.ports import Books, Conclusion, DecisionNote
from domain.withdrawal import Stage
from workflows.state import Plea, WithdrawalOrder


@dataclass
class FakeStories:
    """Implements `api.commands.Stories`. `submitted` keeps what the relay was handed; `up` is settable."""

    books: Books
    up: bool = True
    silent: bool = False
    submitted: list[WithdrawalOrder] = field(default_factory=list)

    @property
    def health(self) -> Health:
        return Health(self.up, "" if self.up else "switched off")

    def check_up(self) -> None:
        if not self.up:
            raise Unavailable("TEMPORAL_UNAVAILABLE", "switched off")

    def submit(self, order: WithdrawalOrder) -> None:
        self.submitted.append(order)

    async def decide(self, withdrawal_id: str, decision: Decision) -> DecisionNote:
        self.check_up()
        if self.silent:
            raise Unavailable("DECISION_PENDING", "no answer in time")
        note = await self.books.record_decision(withdrawal_id, decision, "rest", datetime.now(UTC))
        if not note.counted:
            raise Refused(note.code, f"The decision was not counted: {note.code}.")
        return note

    async def cancel(self, withdrawal_id: str, plea: Plea) -> Conclusion:
        self.check_up()
        now = datetime.now(UTC)
        return await self.books.return_hold(withdrawal_id, Stage.CANCELLED, plea.reason, plea.actor, now)
