"""How activities reach the workflows: `activities.stories.Stories` through the client of the worker that runs them."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry import context as tracing
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import PayloadConverter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.stories import PayoutOrder
from domain.errors import Unavailable
from domain.payout import payout_workflow_id
from domain.ports import Conclusion
from domain.withdrawal import workflow_id
from workflows.options import ORCHESTRATOR_QUEUE
from workflows.payout import PayoutWorkflow
from workflows.withdrawal import WithdrawalWorkflow

T = TypeVar("T")
# Where the SDK's OpenTelemetry plugin puts a workflow's trace.
_TRACE_HEADER = "_tracer-data"


class TemporalStories:
    """Stories on a real Temporal. `traced`: a payout's spans join the trace of the withdrawal that it pays."""

    def __init__(self, *, traced: bool = False) -> None:
        self._traced = traced

    async def begin_payout(self, order: PayoutOrder) -> bool:
        """A payout that was terminated by hand is begun anew: its slot is open, and all it does is safe to repeat."""
        slot, client = order.slot, activity.client()
        first = slot.payments[0]
        trace = await self._trace_of(client, first.withdrawal_id) if self._traced else tracing.get_current()
        with _within(trace):
            try:
                await _asked(
                    client.start_workflow(
                        PayoutWorkflow.run,
                        order,
                        id=payout_workflow_id(slot.id),
                        task_queue=ORCHESTRATOR_QUEUE,
                        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                        static_summary=f"Slot {slot.scarce} pays {first.withdrawal_id}",
                    )
                )
            except WorkflowAlreadyStartedError:
                return False
        return True

    async def conclude(self, conclusion: Conclusion) -> None:
        handle = activity.client().get_workflow_handle(workflow_id(conclusion.withdrawal_id))
        try:
            await _asked(handle.signal(WithdrawalWorkflow.concluded, conclusion))
        except _Unknown:
            await self._make_sure_it_is_over(workflow_id(conclusion.withdrawal_id))

    async def look_again(self, slot_id: str) -> None:
        handle = activity.client().get_workflow_handle(payout_workflow_id(slot_id))
        try:
            await _asked(handle.signal(PayoutWorkflow.resume))
        except _Unknown:
            activity.logger.info("the payout of %s is not running; the wallet's next sweep starts it", slot_id)

    async def _make_sure_it_is_over(self, id: str) -> None:
        """Temporal says NOT_FOUND of closed and of unknown workflows. One that runs must hear its end."""
        try:
            description = await _asked(activity.client().get_workflow_handle(id).describe())
        except _Unknown:
            return activity.logger.warning("there is no workflow %s to tell; the books have its end", id)
        if description.status is WorkflowExecutionStatus.RUNNING:
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


@contextmanager
def _within(trace: tracing.Context) -> Iterator[None]:
    token = tracing.attach(trace)
    try:
        yield
    finally:
        tracing.detach(token)


class _Unknown(Exception):
    """There is no such open workflow."""


async def _asked(call: Awaitable[T]) -> T:
    """The answer to a call. Raises _Unknown, or Unavailable when Temporal cannot answer now."""
    try:
        return await call
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _Unknown from error
        raise Unavailable("TEMPORAL_UNAVAILABLE", f"Temporal did not answer: {error.status.name}.") from error
