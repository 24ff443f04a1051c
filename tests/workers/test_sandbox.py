"""The sandbox stays on: what would differ between a run and its replay is stopped at its first use."""

import time
from datetime import timedelta

from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from tests.workflows.world import World
    from workers.sandbox import sandbox


@workflow.defn(name="PeeksAtTheClock")
class PeeksAtTheClock:
    @workflow.run
    async def run(self) -> float:
        return time.time()


async def test_a_workflow_that_reads_the_clock_of_the_machine_is_stopped(world: World) -> None:
    async with Worker(world.client, task_queue="peeking", workflows=[PeeksAtTheClock], workflow_runner=sandbox()):
        handle = await world.client.start_workflow(
            PeeksAtTheClock.run, id="peeks", task_queue="peeking", execution_timeout=timedelta(seconds=10)
        )
        await world.until(lambda: _stopped(handle), "a workflow task refused")
        await handle.terminate()


async def _stopped(handle: WorkflowHandle[PeeksAtTheClock, float]) -> bool:
    failed = [
        event.workflow_task_failed_event_attributes.failure.message
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    return any("time.time" in why for why in failed)
