"""How activities reach the workflows: `activities.stories.Stories` through the client of the worker that runs them."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from opentelemetry import context as tracing
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import PayloadConverter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.stories import PayoutOrder
from domain.errors import Unavailable
from domain.payout import Slot, payout_workflow_id
from domain.ports import Conclusion
from domain.procedure import Endorsed
from domain.withdrawal import workflow_id
from workflows.options import ORCHESTRATOR_QUEUE, TURN
from workflows.payout import PayoutWorkflow
from workflows.withdrawal import WithdrawalWorkflow

T = TypeVar("T")
# Signals of those who tell a slot's story: here is one (a withdrawal's workflow), look at it again, do this with it.
PLANNED, RESUME, PROCEDURE = "planned", "resume", "procedure"
# Where the SDK's OpenTelemetry plugin puts a workflow's trace.
_TRACE_HEADER = "_tracer-data"


class TemporalStories:
    """Stories on a real Temporal. `traced`: a payout's spans join the trace of the withdrawal that it pays."""

    def __init__(self, *, traced: bool = False) -> None:
        self._traced = traced

    async def begin_payout(self, order: PayoutOrder, *, planned_before: bool = False) -> None:
        """A story that was terminated by hand is begun anew: its slot is open, and all it does is safe to repeat."""
        alone = len(order.slot.payments) == 1
        if alone and await self._handed(order, order.slot.payments[0].withdrawal_id, look_first=planned_before):
            return
        await self._told_apart(order)

    async def _handed(self, order: PayoutOrder, withdrawal_id: str, *, look_first: bool) -> bool:
        """Whether the withdrawal's own workflow has the order. The signal's id is derived from the slot, so that a
        second one leaves no event; but the server says yes to a known id also when the workflow has ended since.
        """
        client, id = activity.client(), workflow_id(withdrawal_id)
        if look_first and not await _runs(id):
            return False
        said = SignalWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=id),
            signal_name=PLANNED,
            identity=client.identity,
            request_id=f"planned/{order.slot.id}",
        )
        said.input.payloads.extend(await client.data_converter.encode([order]))
        try:
            await _asked(client.workflow_service.signal_workflow_execution(said, retry=True))
        except _Unknown:
            return False
        return True

    async def _told_apart(self, order: PayoutOrder) -> None:
        """Starts the slot's own workflow unless it is running or has told the story to its end."""
        slot, client = order.slot, activity.client()
        first, more = slot.payments[0], len(slot.payments) - 1
        trace = await self._trace_of(client, first.withdrawal_id) if self._traced else tracing.get_current()
        with _within(trace), suppress(WorkflowAlreadyStartedError):
            await _asked(
                client.start_workflow(
                    PayoutWorkflow.run,
                    order,
                    id=payout_workflow_id(slot.id),
                    task_queue=ORCHESTRATOR_QUEUE,
                    task_timeout=TURN,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    static_summary=f"Slot {slot.scarce} pays {first.withdrawal_id}"
                    + (f" and {more} more" if more else ""),
                )
            )

    async def conclude(self, conclusion: Conclusion) -> None:
        handle = activity.client().get_workflow_handle(workflow_id(conclusion.withdrawal_id))
        try:
            await _asked(handle.signal(WithdrawalWorkflow.concluded, conclusion))
        except _Unknown:
            await self._make_sure_it_is_over(workflow_id(conclusion.withdrawal_id))

    async def hand_over(self, slot: Slot, endorsed: Endorsed) -> None:
        """Both who may tell the slot's story hear it; the sweep gives it to one that is begun anew."""
        for id in _tellers(slot):
            with suppress(_Unknown):
                await _asked(activity.client().get_workflow_handle(id).signal(PROCEDURE, endorsed))

    async def look_again(self, slot: Slot) -> None:
        """Tells both who may tell the slot's story; the sweep of the wallet begins it anew where neither runs."""
        for id in _tellers(slot):
            with suppress(_Unknown):
                await _asked(activity.client().get_workflow_handle(id).signal(RESUME))

    async def _make_sure_it_is_over(self, id: str) -> None:
        """Temporal says NOT_FOUND of closed and of unknown workflows. One that runs must hear its end."""
        if await _runs(id):
            raise Unavailable("WORKFLOW_BUSY", f"Workflow {id} runs but did not take its conclusion; tell it again.")

    async def _trace_of(self, client: Client, withdrawal_id: str) -> tracing.Context:
        """The trace in which the withdrawal's workflow was started, read from the first event of its history."""
        handle = client.get_workflow_handle(workflow_id(withdrawal_id))
        try:
            async for event in handle.fetch_history_events(page_size=1):
                header = event.workflow_execution_started_event_attributes.header.fields.get(_TRACE_HEADER)
                if header is not None:
                    carrier = PayloadConverter.default.from_payload(header, dict[str, str])
                    return TraceContextTextMapPropagator().extract(carrier)
                break
        except RPCError as error:
            activity.logger.debug("no trace for %s: %s", withdrawal_id, error)
        return tracing.get_current()


def _tellers(slot: Slot) -> list[str]:
    """The workflows that may be telling the slot's story."""
    alone = [workflow_id(slot.payments[0].withdrawal_id)] if len(slot.payments) == 1 else []
    return [payout_workflow_id(slot.id), *alone]


@contextmanager
def _within(trace: tracing.Context) -> Iterator[None]:
    token = tracing.attach(trace)
    try:
        yield
    finally:
        tracing.detach(token)


class _Unknown(Exception):
    """There is no such open workflow."""


async def _runs(id: str) -> bool:
    """Whether there is an open workflow of this id."""
    try:
        description = await _asked(activity.client().get_workflow_handle(id).describe())
    except _Unknown:
        activity.logger.warning("there is no workflow %s; the books know how it stands", id)
        return False
    return description.status is WorkflowExecutionStatus.RUNNING


async def _asked(call: Awaitable[T]) -> T:
    """The answer to a call. Raises _Unknown, or Unavailable when Temporal cannot answer now."""
    try:
        return await call
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _Unknown from error
        raise Unavailable("TEMPORAL_UNAVAILABLE", f"Temporal did not answer: {error.status.name}.") from error
