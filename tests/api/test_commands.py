"""The API on a real Temporal: every accepted withdrawal gets its workflow, whoever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowExecutionStatus

from activities.books import BooksActivities
from api import commands
from api.commands import Commands
from api.http.withdrawals import order_of
from domain.errors import Refused, StrongroomError, Unavailable
from domain.intent import Decision, Ruling
from domain.payout import Slot
from domain.ports import Conclusion, WithdrawalView
from domain.procedure import Endorsed
from domain.withdrawal import Stage, withdrawal_id, workflow_id
from ops.bench.scratch import free_port
from tests.api.engine import Engine
from tests.api.house import House, code_of
from workers.hosting import Hosted, worker
from workflows.options import BOOKS_QUEUE, ORCHESTRATOR_QUEUE
from workflows.state import Plea, WithdrawalOrder
from workflows.withdrawal import WithdrawalWorkflow


class NobodyToTell:
    """Stories of workers; nothing here pays anything."""

    async def conclude(self, conclusion: Conclusion) -> None: ...

    async def hand_over(self, slot: Slot, endorsed: Endorsed) -> None: ...

    async def look_again(self, slot: Slot) -> None: ...


@dataclass
class Office:
    """A house whose stories are real ones."""

    house: House
    engine: Engine
    client: Client

    @asynccontextmanager
    async def commands(self, *, relay_enabled: bool = True) -> AsyncIterator[Commands]:
        """An API process's line to Temporal; the house's pages use it meanwhile."""
        made = Commands(
            self.engine.connect,
            self.house.store.views,
            partial(order_of, self.house.catalogue),
            relay_enabled=relay_enabled,
        )
        async with made.running():
            fake, self.house.app.state.door = (
                self.house.app.state.door,
                replace(self.house.app.state.door, stories=made),
            )
            try:
                yield made
            finally:
                self.house.app.state.door = fake

    @asynccontextmanager
    async def workers(self) -> AsyncIterator[None]:
        books = BooksActivities(self.house.store.books, NobodyToTell())  # type: ignore[arg-type]
        doing: list[Callable[..., Any]] = [books.judge, books.record_decision, books.record_malformed]
        doing += [books.queue_payout, books.return_hold, books.concluded]
        async with AsyncExitStack() as stack:
            await self.client.service_client.check_health()
            connected = await Client.connect(f"127.0.0.1:{self.engine.port}", data_converter=self.client.data_converter)
            await stack.enter_async_context(
                worker(connected, Hosted(ORCHESTRATOR_QUEUE, workflows=[WithdrawalWorkflow]))
            )
            await stack.enter_async_context(worker(connected, Hosted(BOOKS_QUEUE, activities=doing)))
            yield

    async def asked(self, **changes: Any) -> str:
        answer = await self.house.ask(**changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def until(self, id_: str, reached: Callable[[WithdrawalView], bool]) -> WithdrawalView:
        for _ in range(600):
            view = await self.house.store.views.withdrawal(id_)
            assert view is not None
            if reached(view):
                return view
            await asyncio.sleep(0.05)
        raise AssertionError(f"{id_} stands at {view and view.stage}, submitted {view and view.submitted}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    engine = Engine(tmp_path_factory.mktemp("temporal"), free_port())
    await engine.start()
    yield Office(house, engine, await engine.connect())
    engine.kill()
    await asyncio.sleep(0.5)  # the SDK may abort an interpreter that exits right after its last call


async def code_from(call: Awaitable[object]) -> str:
    with pytest.raises(StrongroomError) as error:
        await call
    return error.value.code


# ------------------------------------------------------------ the relay
async def test_an_accepted_withdrawal_gets_its_workflow_right_away(office: Office) -> None:
    async with office.commands():
        id_ = await office.asked(client_ref="relayed")
        await office.until(id_, lambda view: view.submitted)
    description = await office.client.get_workflow_handle(workflow_id(id_)).describe()
    found = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    assert found == {"State": "REQUESTED", "Account": "acme", "Network": "ethereum", "Asset": "USDT-ETHEREUM"}
    assert await description.static_summary() == "10 USDT on Ethereum for acme"


async def test_what_a_dying_process_left_is_started_by_any_other(office: Office) -> None:
    async with office.commands(relay_enabled=False):
        id_ = await office.asked(client_ref="left-behind")
        await asyncio.sleep(0.3)
        left = await office.house.store.views.withdrawal(id_)
        assert left is not None
        assert not left.submitted
    async with office.commands():
        await office.until(id_, lambda view: view.submitted)


async def test_starting_twice_is_harmless(office: Office) -> None:
    id_ = withdrawal_id("acme", "twice")
    order = WithdrawalOrder(id_, "acme", "ethereum", "USDT-ETHEREUM", "acme-bot", "twice")
    async with office.commands() as one, office.commands() as two:
        for _ in range(3):
            one.submit(order)
            two.submit(order)
        await _told(office, id_)
    started = [e async for e in office.client.list_workflows(f"WorkflowId = '{workflow_id(id_)}'")]
    assert len(started) == 1
    handle = office.client.get_workflow_handle(workflow_id(id_))
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()


async def _told(office: Office, id_: str) -> None:
    """Waits until the withdrawal has a workflow that people can find."""
    for _ in range(300):
        if [row async for row in office.client.list_workflows(f"WorkflowId = '{workflow_id(id_)}'")]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"nobody began the workflow of {id_}")


# ------------------------------------------------------------ decisions and cancellations
async def test_a_quorum_over_rest_moves_the_real_workflow(office: Office) -> None:
    async with office.workers(), office.commands():
        id_ = await office.asked(amount="2000")
        view = await office.until(id_, lambda v: v.stage is Stage.REFERRED)
        url = f"/v1/withdrawals/{id_}"
        first = await office.house.post(f"{url}/approve", office.house.decision("ann", view), "ann")
        assert (first.status_code, first.json()["approvals"]) == (200, 1)
        again = await office.house.post(f"{url}/approve", office.house.decision("ann", view), "ann")
        assert again.status_code in (200, 409), "the same words: the first answer again, or a repeat"
        forged = {**office.house.decision("ann", view), "approver": "ben"}
        refused = await office.house.post(f"{url}/approve", forged, "ben")
        assert (refused.status_code, code_of(refused)) == (403, "BAD_SIGNATURE")
        second = await office.house.post(f"{url}/approve", office.house.decision("ben", view), "ben")
        assert (second.status_code, second.json()["approvals"]) == (200, 2)
        await office.until(id_, lambda v: v.stage is Stage.QUEUED)
        cancelled = await office.house.post(f"{url}/cancel", {"reason": "changed my mind"})
        assert (cancelled.status_code, cancelled.json()["stage"]) == (200, "CANCELLED")
        repeated = await office.house.post(f"{url}/cancel", who="olga")
        assert (repeated.status_code, repeated.json()["stage"]) == (200, "CANCELLED")
        too_late = await office.house.post(f"{url}/reject", office.house.decision("ben", view, Ruling.REJECT), "ben")
        assert (too_late.status_code, code_of(too_late)) == (409, "TOO_LATE")


async def test_four_eyes_hold_in_the_real_workflow(office: Office) -> None:
    async with office.workers(), office.commands() as line:
        answer = await office.house.ask(who="olga", account="acme", amount="2000")
        view = await office.until(answer.json()["id"], lambda v: v.stage is Stage.REFERRED)
        word = office.house.people.decision("olga", Ruling.APPROVE, str(view.intent_hash))
        assert await code_from(line.decide(view.id, word)) == "FOUR_EYES"
        stranger = office.house.people.decision("dan", Ruling.APPROVE, str(view.intent_hash))
        assert await code_from(line.decide(view.id, stranger)) == "STRANGER"
        ended = await line.cancel(view.id, Plea("olga", "enough"))
        assert ended.stage is Stage.CANCELLED
        late = office.house.people.decision("ann", Ruling.APPROVE, str(view.intent_hash))
        assert await code_from(line.decide(view.id, late)) == "TOO_LATE"


async def test_a_decision_before_the_workflow_began_is_told_to_come_back(office: Office) -> None:
    async with office.commands(relay_enabled=False) as line:
        id_ = await office.asked(client_ref="not-begun")
        word = Decision("ann", Ruling.APPROVE, "0" * 64, "0" * 128)
        assert await code_from(line.decide(id_, word)) == "WORKFLOW_STARTING"
        assert await code_from(line.decide("wd_" + "a" * 26, word)) == "WITHDRAWAL_UNKNOWN"


async def test_without_an_orchestrator_a_decision_is_pending_and_the_same_call_works_later(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.commands():
        async with office.workers():
            id_ = await office.asked(amount="2000")
            view = await office.until(id_, lambda v: v.stage is Stage.REFERRED)
        monkeypatch.setattr(commands, "ANSWER_WAIT_S", 1.0)
        answer = await office.house.post(f"/v1/withdrawals/{id_}/approve", office.house.decision("ann", view), "ann")
        assert (answer.status_code, code_of(answer)) == (503, "DECISION_PENDING")
        monkeypatch.undo()
        async with office.workers():
            again = await office.house.post(f"/v1/withdrawals/{id_}/approve", office.house.decision("ann", view), "ann")
            assert (again.status_code, again.json()["approvals"]) == (200, 1)


async def test_a_crowd_of_deciders_is_let_in_a_few_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ANSWER_WAIT_S", 1.0)
    async with office.commands() as line:
        id_ = await office.asked()
        await office.until(id_, lambda v: v.submitted)
        words = [Decision("ann", Ruling.APPROVE, "0" * 64, f"{n:0128x}") for n in range(12)]
        codes = await asyncio.gather(*(code_from(line.decide(id_, word)) for word in words))
        assert codes.count("DECISIONS_BUSY") == 12 - commands.UPDATES_IN_FLIGHT_MAX


# ------------------------------------------------------------ outages
async def test_when_temporal_dies_the_door_says_so_and_later_everything_goes_on(office: Office) -> None:
    house = office.house
    async with office.commands() as line:
        body = house.body(client_ref="through-the-outage")
        office.engine.kill()
        stranded = await house.ask(key="stranded", client_ref="stranded")
        for _ in range(300):
            if not line.health.up:
                break
            await asyncio.sleep(0.1)
        answer = await house.ask(body, key="outage")
        assert (answer.status_code, code_of(answer)) == (503, "TEMPORAL_UNAVAILABLE")
        ready = await house.get("/readyz", "nobody")
        assert (ready.status_code, ready.json()["temporal"]["ok"]) == (503, False)
        assert (await house.get("/v1/assets")).status_code == 200, "reading goes on"

        await office.engine.start()
        for _ in range(300):
            if line.health.up:
                break
            await asyncio.sleep(0.1)
        answer = await house.ask(body, key="outage")
        assert answer.status_code == 202
        await office.until(answer.json()["id"], lambda v: v.submitted)
        if stranded.status_code == 202:
            await office.until(stranded.json()["id"], lambda v: v.submitted)


async def test_an_api_that_starts_while_temporal_is_down_waits_for_it() -> None:
    async def nowhere() -> Client:
        return await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)

    line = Commands(nowhere, None, None, relay_enabled=False)  # type: ignore[arg-type]
    began = datetime.now(UTC)
    async with line.running():
        assert not line.health.up
        with pytest.raises(Unavailable):
            line.check_up()
        with pytest.raises((Unavailable, Refused)):
            await line.cancel("wd_" + "a" * 26, Plea("olga"))
    assert datetime.now(UTC) - began < timedelta(seconds=10)
