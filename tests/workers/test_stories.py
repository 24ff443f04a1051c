"""How activities reach the workflows, on a real Temporal."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from activities.stories import PayoutOrder
from domain.payout import Slot
from domain.ports import Conclusion
from domain.withdrawal import Stage
from tests.workflows.world import ETHEREUM, World, pleaded
from workers.stories import TemporalStories
from workflows.state import Plea
from workflows.withdrawal import WithdrawalWorkflow


async def test_a_conclusion_reaches_an_open_story(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.QUEUED)
        await world.inside(lambda: TemporalStories().conclude(Conclusion(id, Stage.SETTLED, "", "0x1")))
        assert (await handle.result()).txid == "0x1"


async def test_a_story_that_is_over_or_was_never_told_needs_no_conclusion(world: World) -> None:
    stories = TemporalStories()
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("2000")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.REFERRED)
        await pleaded(handle, Plea("carol"))
        await handle.result()
    await world.inside(lambda: stories.conclude(Conclusion(id, Stage.CANCELLED)))
    await world.inside(lambda: stories.conclude(Conclusion("wd_nobody", Stage.SETTLED)))
    await world.inside(lambda: stories.look_again(Slot("ethereum/0x0/0", "ethereum", "0x0", "0", (), "1", 1)))


async def test_a_slot_is_handed_to_the_withdrawal_that_it_pays_and_to_it_once(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        handle, order = await planned_order(world)
        for again in (False, True, True):
            await world.inside(partial(TemporalStories().begin_payout, order, planned_before=again))
        told = [event.event_type for event in (await handle.fetch_history()).events]
        assert told.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 1
        await world.until(lambda: _signs(handle), "the story begun")
    with pytest.raises(RPCError):
        await world.payout(0).describe()


async def _signs(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.query(WithdrawalWorkflow.status)).stage is Stage.PLANNED


async def test_a_slot_whose_withdrawal_is_told_no_more_gets_a_workflow_of_its_own(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        handle, order = await planned_order(world)
        await world.inside(lambda: TemporalStories().begin_payout(order))
    await handle.terminate("somebody meant well")
    runs = []
    for _ in range(2):
        await world.inside(lambda: TemporalStories().begin_payout(order, planned_before=True))
        runs.append((await world.payout(0).describe()).run_id)
    assert runs[0] == runs[1], "one that runs is left alone"
    await world.payout(0).terminate("somebody meant well again")
    await world.inside(lambda: TemporalStories().begin_payout(order, planned_before=True))
    assert (await world.payout(0).describe()).run_id != runs[0], "one that was broken off is begun anew"


async def planned_order(world: World) -> tuple[WorkflowHandle[Any, Any], PayoutOrder]:
    """A withdrawal whose slot is planned and whose story nobody has begun."""
    handle = await world.withdraw("25")
    await world.stands_at(handle.id.removeprefix("withdrawal/"), Stage.QUEUED)
    items = await world.books.queued(ETHEREUM, world.wallet, 1)
    slot = await world.books.plan_slot(world.chain.network, world.wallet, items, datetime.now(UTC))
    assert isinstance(slot, Slot)
    return handle, await world.order_of(slot)
