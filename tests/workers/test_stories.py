"""How activities reach the workflows, on a real Temporal."""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.stories import PayoutOrder
from domain.ports import Conclusion
from domain.withdrawal import Stage
from tests.activities.test_chain import planned
from tests.workflows.world import World
from workers.stories import TemporalStories
from workflows.state import Plea
from workflows.withdrawal import WithdrawalWorkflow


async def inside(client: Client, call: Callable[[], Awaitable[Any]]) -> Any:
    """Makes the call as an activity of a worker of `client` does."""

    @activity.defn
    async def does() -> Any:
        return await call()

    run: Any = ActivityEnvironment(client=client).run(does)
    return await run


async def test_a_conclusion_reaches_an_open_story(world: World) -> None:
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("25")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.QUEUED)
        await inside(world.client, lambda: TemporalStories().conclude(Conclusion(id, Stage.SETTLED, "", "0x1")))
        assert (await handle.result()).txid == "0x1"


async def test_a_story_that_is_over_or_was_never_told_needs_no_conclusion(world: World) -> None:
    stories = TemporalStories()
    async with world.at_work("orchestrator", "books"):
        handle = await world.withdraw("2000")
        id = handle.id.removeprefix("withdrawal/")
        await world.stands_at(id, Stage.REFERRED)
        await handle.execute_update(WithdrawalWorkflow.cancel, Plea("carol"))
        await handle.result()
    await inside(world.client, lambda: stories.conclude(Conclusion(id, Stage.CANCELLED)))
    await inside(world.client, lambda: stories.conclude(Conclusion("wd_nobody", Stage.SETTLED)))
    await inside(world.client, lambda: stories.look_again("ethereum/0x0/0"))


async def test_a_payout_is_begun_once_and_again_only_after_it_was_broken_off(world: World) -> None:
    order = await planned(world)
    draft = await world.chain.draft(order.slot, order.version.fee)

    async def begun() -> bool:
        return await TemporalStories().begin_payout(PayoutOrder(order.slot, draft, ()))

    assert await inside(world.client, begun) is True
    assert await inside(world.client, begun) is False
    await world.payout(0).terminate("somebody meant well")
    assert await inside(world.client, begun) is True
