"""Runs that are open today must go on tomorrow: yesterday's histories are replayed with today's code."""

import json
import re
import socket

import pytest
from temporalio.client import WorkflowHistory
from temporalio.workflow import _Definition

from domain.withdrawal import Stage
from tests.workflows.fingerprints import COMMITTED, fingerprints
from tests.workflows.world import World
from workers.registry import WORKFLOWS
from workers.replaying import HISTORIES, committed, open_runs, replay

RULE = (
    "Runs that are open while you deploy replay their history with this code. Keep the old order for them behind "
    "`workflow.patched(...)`, and add a history of the new path with `python -m tests.workflows.make_histories`."
)


@pytest.mark.parametrize("history", list(committed()), ids=lambda history: history.workflow_id)
async def test_every_committed_history_replays(history: WorkflowHistory) -> None:
    told = await replay(history)
    assert told.failure is None, f"{told.id} would break: {told.failure}\n{RULE}"


def test_there_is_a_history_of_every_workflow() -> None:
    kinds = {
        json.loads(path.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
        for path in HISTORIES.glob("*.json")
    }
    assert kinds == {_Definition.must_from_class(workflow).name for workflow in WORKFLOWS}


async def test_a_history_that_another_code_wrote_is_found_out() -> None:
    """The guard itself: with another first step, replaying fails."""
    text = (HISTORIES / "withdrawal-accepted.json").read_text().replace('"name":"judge"', '"name":"concluded"')
    told = await replay(WorkflowHistory.from_json("changed", text))
    assert told.failure is not None


async def test_open_runs_of_a_server_are_replayed_as_they_stand(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("2000")
        await world.stands_at(handle.id.removeprefix("withdrawal/"), Stage.REFERRED)

        async def seen() -> bool:
            told = [await replay(run, world.client.data_converter) async for run in open_runs(world.client, 50)]
            assert not any(one.failure for one in told)
            return handle.id in {one.id for one in told}

        await world.until(seen, "the open withdrawal in the list")


def test_no_workflow_changes_the_order_of_its_commands_unnoticed() -> None:
    """A change here is not wrong by itself: it asks whether open runs were thought of."""
    before, now = _flat(json.loads(COMMITTED.read_text())), _flat(fingerprints())
    changed = {
        method: {"before": before.get(method), "now": now.get(method)}
        for method in sorted(before | now)
        if before.get(method) != now.get(method)
    }
    assert not changed, (
        f"These methods ask other things of Temporal, or in another order: {json.dumps(changed, indent=2)}\n{RULE} "
        "When the committed histories still replay and open runs are safe, say so in the change and run "
        "`python -m tests.workflows.fingerprints`."
    )


def _flat(prints: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    return {f"{workflow}.{method}": steps for workflow, methods in prints.items() for method, steps in methods.items()}


def test_no_history_names_the_machine_it_was_made_on() -> None:
    for path in HISTORIES.glob("*.json"):
        text = path.read_text()
        assert not re.search(
            rf"{re.escape(str(HISTORIES.parents[2]))}|@|\b{re.escape(socket.gethostname())}\b", text
        ), path
