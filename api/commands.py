"""The only file of the API that speaks Temporal: starts a withdrawal's workflow, hands it decisions and cancellations.

The door writes a withdrawal in one database transaction and answers; the *relay* here starts its workflow right after.
What a dying process leaves behind, every API process picks up: the sweep asks the store for withdrawals whose workflow
nobody is known to have started. Starting twice is harmless, because the workflow's id is the withdrawal's.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from opentelemetry import context as tracing
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import heard
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused, StrongroomError, Unavailable
from domain.intent import Decision
from domain.ports import Conclusion, DecisionNote, Views, WithdrawalView
from domain.withdrawal import CANCELLABLE, workflow_id
from workflows.attributes import for_withdrawal
from workflows.options import ORCHESTRATOR_QUEUE, TURN
from workflows.state import Plea, WithdrawalOrder
from workflows.withdrawal import WithdrawalWorkflow

log = logging.getLogger(__name__)

STARTS_IN_FLIGHT_MAX = 16
WAITING_MAX = 10_000
SWEEP_EVERY_S = 1.0
SWEEP_OLDER_THAN_S = 2.0
SWEEP_ROWS_MAX = 200
HEALTH_EVERY_S = 2.0
HEALTH_WAIT_S = 3.0
# A slow answer is not an outage; two in a row are.
SLOW_LOOKS_MAX = 2
ANSWER_WAIT_S = 10.0
DRAIN_S = 2.0
# The server slows down badly past ten updates in flight on one workflow.
UPDATES_IN_FLIGHT_MAX = 8

Answer = TypeVar("Answer", DecisionNote, Conclusion)
_DOWN = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})


@dataclass(frozen=True, slots=True)
class Health:
    """Whether Temporal answers, and since the last look why not."""

    up: bool
    reason: str = ""


class Stories(Protocol):
    """What the pages may ask of the workflows."""

    @property
    def health(self) -> Health: ...

    def check_up(self) -> None:
        """Raises Unavailable TEMPORAL_UNAVAILABLE while Temporal is known to be down; costs nothing."""
        ...

    def submit(self, order: WithdrawalOrder) -> None:
        """Hands a committed withdrawal to the relay; never waits and never fails."""
        ...

    async def decide(self, withdrawal_id: str, decision: Decision) -> DecisionNote:
        """Raises Refused FOUR_EYES, STRANGER, BAD_SIGNATURE, REPEAT, TOO_LATE, INTENT_CHANGED, DECISIONS_BUSY;
        Unavailable when there was no answer: the same decision may be handed over again.
        """
        ...

    async def cancel(self, withdrawal_id: str, plea: Plea) -> Conclusion:
        """Raises Refused TOO_LATE, WITHDRAWAL_STAGE; Unavailable as above."""
        ...


@dataclass(frozen=True, slots=True)
class _Start:
    """A workflow to start, with the trace it belongs to."""

    order: WithdrawalOrder
    trace: tracing.Context


class Commands:
    """Stories on a real Temporal. `connect` gives the client (lazily connected); `relay_enabled` False leaves starting
    workflows to other processes.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Client]],
        views: Views,
        order_of: Callable[[WithdrawalView], WithdrawalOrder],
        *,
        relay_enabled: bool = True,
    ) -> None:
        self._connect = connect
        self._views = views
        self._order_of = order_of
        self._relay_enabled = relay_enabled
        self._client: Client | None = None
        self._waiting: asyncio.Queue[_Start] = asyncio.Queue(WAITING_MAX)
        self._known: set[str] = set()
        self._updates: Counter[str] = Counter()
        self._health = Health(up=False, reason="not asked yet")
        self._slow_looks = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the relay, the sweep and the health check going; on the way out lets what waits start."""
        await self._look()
        tasks = [asyncio.create_task(self._watch_health())]
        if self._relay_enabled:
            tasks.append(asyncio.create_task(self._sweep()))
            tasks += [asyncio.create_task(self._relay()) for _ in range(STARTS_IN_FLIGHT_MAX)]
        try:
            yield
        finally:
            if self._health.up and self._relay_enabled:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.join(), DRAIN_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ health
    @property
    def health(self) -> Health:
        return self._health

    def check_up(self) -> None:
        if not self._health.up:
            raise _no_temporal(self._health.reason)

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(HEALTH_WAIT_S):
                client = await self._connected()
                serving = await client.service_client.check_health()
            self._slow_looks = 0
            self._heard(Health(up=True) if serving else Health(up=False, reason="Temporal does not serve yet"))
        except TimeoutError:
            self._slow_looks += 1
            if self._slow_looks >= SLOW_LOOKS_MAX or not self._health.up:
                self._heard(Health(up=False, reason=f"Temporal did not answer within {HEALTH_WAIT_S:g} s"))
        except (RPCError, RuntimeError, OSError) as error:
            self._heard(Health(up=False, reason=f"Temporal does not answer ({type(error).__name__})"))

    def _heard(self, health: Health) -> None:
        if health.up != self._health.up:
            log.log(logging.INFO if health.up else logging.WARNING, "temporal %s", "is up" if health.up else "is down")
        self._health = health

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await self._connect()
        return self._client

    # ------------------------------------------------------------ relay
    def submit(self, order: WithdrawalOrder) -> None:
        if not self._relay_enabled or order.id in self._known:
            return
        try:
            self._waiting.put_nowait(_Start(order, tracing.get_current()))
            self._known.add(order.id)
        except asyncio.QueueFull:
            log.warning("%s waits for the sweep: %d starts are waiting already", order.id, WAITING_MAX)

    async def _relay(self) -> None:
        while True:
            start = await self._waiting.get()
            try:
                await self._start(start)
            except (RPCError, RuntimeError, StrongroomError) as error:
                log.warning("%s waits for the sweep: its workflow could not be started (%s)", start.order.id, error)
                if _is_down(error):
                    self._heard(Health(up=False, reason="Temporal did not take a workflow"))
            finally:
                self._known.discard(start.order.id)
                self._waiting.task_done()

    async def _start(self, start: _Start) -> None:
        client, order = await self._connected(), start.order
        token = tracing.attach(start.trace)
        try:
            await client.start_workflow(
                WithdrawalWorkflow.run,
                order,
                id=workflow_id(order.id),
                task_queue=ORCHESTRATOR_QUEUE,
                task_timeout=TURN,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=for_withdrawal(account=order.account, network=order.network, asset=order.asset),
                static_summary=order.summary,
            )
        except WorkflowAlreadyStartedError:
            log.info("the workflow of %s has ended already", order.id)
        finally:
            tracing.detach(token)
        passing(CrashPoint.STORY_STARTED)
        await self._views.mark_started(order.id)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            if not self._health.up or self._waiting.qsize() > SWEEP_ROWS_MAX:
                continue
            try:
                older = datetime.now(UTC) - timedelta(seconds=SWEEP_OLDER_THAN_S)
                for view in await self._views.unstarted(older, SWEEP_ROWS_MAX):
                    self.submit(self._order_of(view))
            except Unavailable as error:
                log.warning("the sweep waits for the store: %s", error)

    # ------------------------------------------------------------ decisions and cancellations
    async def decide(self, withdrawal_id: str, decision: Decision) -> DecisionNote:
        said = "\n".join((decision.approver, decision.ruling, decision.intent_hash, decision.signature))
        return await self._update(withdrawal_id, "decide", decision, said, DecisionNote)

    async def cancel(self, withdrawal_id: str, plea: Plea) -> Conclusion:
        return await self._update(withdrawal_id, "cancel", plea, plea.actor, Conclusion)

    async def _update(self, withdrawal_id: str, name: str, word: object, said: str, answer: type[Answer]) -> Answer:
        """Sends an update whose id is derived from what was `said`: saying it again gets the first answer again."""
        with self._turn(withdrawal_id):
            self.check_up()
            try:
                client = await self._connected()
                got = await client.get_workflow_handle(workflow_id(withdrawal_id)).execute_update(
                    name,
                    word,
                    id=f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:40]}",
                    result_type=answer,
                    rpc_timeout=timedelta(seconds=ANSWER_WAIT_S),
                )
            except _FAILURES as error:
                await self._raise_for(withdrawal_id, error)
                raise
            assert isinstance(got, answer)
            return got

    @contextmanager
    def _turn(self, withdrawal_id: str) -> Iterator[None]:
        if self._updates[withdrawal_id] >= UPDATES_IN_FLIGHT_MAX:
            raise Refused("DECISIONS_BUSY", "Others are deciding on this withdrawal right now; send it again.")
        self._updates[withdrawal_id] += 1
        try:
            yield
        finally:
            self._updates[withdrawal_id] -= 1
            if not self._updates[withdrawal_id]:
                del self._updates[withdrawal_id]

    async def _raise_for(self, withdrawal_id: str, error: BaseException) -> None:
        """Raises what `error` means in our words; returns when it means nothing we know."""
        if isinstance(error, WorkflowUpdateFailedError):
            raise _told(error) from error
        if isinstance(error, WorkflowUpdateRPCTimeoutOrCancelledError):
            raise Unavailable("DECISION_PENDING", "no answer in time; an orchestrator may be down") from error
        if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
            await self._raise_for_no_story(withdrawal_id)
        if isinstance(error, RPCError) and error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
            raise Refused("DECISIONS_BUSY", "The workflow engine is busy; send it again.") from error
        if _is_down(error):
            self._heard(Health(up=False, reason="Temporal did not take an update"))
            raise _no_temporal(str(error)) from error

    async def _raise_for_no_story(self, withdrawal_id: str) -> None:
        """There is no open workflow: it has not begun, or it has ended. The row knows."""
        row = await self._views.withdrawal(withdrawal_id)
        if row is None:
            raise Refused("WITHDRAWAL_UNKNOWN", "There is no withdrawal of this id.")
        if row.stage in CANCELLABLE:
            raise Unavailable("WORKFLOW_STARTING", "the relay has not started the workflow yet")
        raise Refused("TOO_LATE", f"The withdrawal is {row.stage.value}; nothing can change it now.")


_FAILURES = (WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError, RuntimeError)


def _told(error: WorkflowUpdateFailedError) -> StrongroomError:
    """What the workflow answered, in our own words."""
    ours = heard(error.cause)
    if ours is not None:
        return ours
    log.error("an update failed without a code: %s", error.cause)
    return Refused("DECISION_REFUSED", "The workflow did not take this; look at the withdrawal's timeline.")


def _is_down(error: BaseException) -> bool:
    if isinstance(error, RPCError):
        return error.status in _DOWN
    return isinstance(error, RuntimeError) and "client connect" in str(error)


def _no_temporal(reason: str) -> Unavailable:
    return Unavailable("TEMPORAL_UNAVAILABLE", reason)
