"""The reference for `bench withdrawals`: a workflow of as many activities that do nothing, in as many processes.

`python -m ops.bench.noop workflows ADDRESS` runs the workflow worker, `... activities ADDRESS` the activity worker.
"""

import sys
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import uvloop  # not once more for each run

WORKFLOW_QUEUE = "bench-noop-workflows"
ACTIVITY_QUEUE = "bench-noop-activities"


@activity.defn
async def nothing(step: int) -> int:
    return step


@workflow.defn(name="Noop")
class Noop:
    """`steps` activities in a row, each on another queue than the workflow, as ours are."""

    @workflow.run
    async def run(self, steps: int) -> int:
        for step in range(steps):
            await workflow.execute_activity(
                nothing, step, task_queue=ACTIVITY_QUEUE, start_to_close_timeout=timedelta(seconds=30)
            )
        return steps


async def serve(kind: str, address: str) -> None:
    client = await Client.connect(address)
    if kind == "workflows":
        worker = Worker(client, task_queue=WORKFLOW_QUEUE, workflows=[Noop], max_cached_workflows=1000)
    else:
        worker = Worker(client, task_queue=ACTIVITY_QUEUE, activities=[nothing], max_concurrent_activities=100)
    await worker.run()


if __name__ == "__main__":
    try:
        uvloop.run(serve(sys.argv[1], sys.argv[2]))
    finally:
        time.sleep(0.5)  # the SDK's threads must be gone before the interpreter is
