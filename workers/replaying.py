"""Whether today's workflow code still tells yesterday's stories: every history is replayed, none is changed."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.worker import Replayer

from workers.registry import WORKFLOWS
from workers.sandbox import sandbox

HISTORIES = Path(__file__).resolve().parent.parent / "tests" / "workflows" / "histories"
# Our workflows by the names that the server knows them under.
_OURS = " OR ".join(f"WorkflowType='{name}'" for name in ("Withdrawal", "HotWallet", "Payout"))


@dataclass(frozen=True, slots=True)
class Replayed:
    """One history: its workflow's id, how long it was, and what today's code does otherwise (None: nothing)."""

    id: str
    events: int
    failure: str | None


def committed(folder: Path = HISTORIES) -> Iterator[WorkflowHistory]:
    """The histories kept beside the tests; synthetic, and not sealed."""
    for path in sorted(folder.glob("*.json")):
        yield WorkflowHistory.from_json(path.stem, path.read_text())


async def open_runs(client: Client, limit: int) -> AsyncIterator[WorkflowHistory]:
    """The histories of what runs now, newest first, at most `limit`."""
    query = f"ExecutionStatus='Running' AND ({_OURS})"
    async for execution in client.list_workflows(query, limit=limit):
        yield await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()


async def replay(history: WorkflowHistory, converter: DataConverter = pydantic_data_converter) -> Replayed:
    """Replays one history with the workflow code of this checkout."""
    replayer = Replayer(workflows=WORKFLOWS, data_converter=converter, workflow_runner=sandbox())
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    why = result.replay_failure
    return Replayed(history.workflow_id, len(history.events), None if why is None else str(why).splitlines()[0])
