"""What the books' activities add to the books: whoever must hear of it hears of it, also when it is told twice."""

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.books import BooksActivities, Ordered, Settlement
from domain.errors import Unavailable
from domain.payout import Final
from domain.procedure import Kind
from domain.withdrawal import Stage
from tests.activities.conftest import Recorder
from tests.activities.test_chain import planned
from tests.workflows.world import ETHEREUM, World


async def test_a_settlement_is_told_again_when_telling_failed(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    order = await planned(world)
    await world.books.begin_delivery(order.version, datetime.now(UTC))
    settlement = Settlement(order.slot, Final(order.version.txid, 1, "0x1", True, "1000"), datetime.now(UTC))
    settle: Any = BooksActivities(world.books, stories).settle
    stories.down = 1
    with pytest.raises(Unavailable):
        await inside.run(settle, settlement)
    entries = len(world.books.entries)
    (conclusion,) = await inside.run(settle, settlement)
    assert conclusion.stage is Stage.SETTLED
    assert stories.concluded == [conclusion]
    assert len(world.books.entries) == entries, "a second telling posts nothing"


async def test_the_withdrawal_that_settles_its_own_slot_is_told_nothing(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    order = await planned(world)
    await world.books.begin_delivery(order.version, datetime.now(UTC))
    teller = order.slot.payments[0].withdrawal_id
    final = Final(order.version.txid, 1, "0x1", True, "1000")
    settle: Any = BooksActivities(world.books, stories).settle
    (conclusion,) = await inside.run(settle, Settlement(order.slot, final, datetime.now(UTC), teller))
    assert (conclusion.withdrawal_id, conclusion.stage) == (teller, Stage.SETTLED)
    assert not stories.concluded


async def test_resuming_a_wallet_sends_its_open_slots_to_look_again(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    order = await planned(world)
    await world.books.halt_wallet(ETHEREUM, world.wallet, "drill", datetime.now(UTC))
    resume: Any = BooksActivities(world.books, stories).take_procedure
    endorsed = world.endorsed(Kind.RESUME, f"{ETHEREUM}/{world.wallet}", "over")
    await inside.run(resume, Ordered(ETHEREUM, world.wallet, endorsed, datetime.now(UTC)))
    assert world.halted() is None
    assert stories.resumed == [order.slot]


async def test_a_procedure_about_a_slot_is_handed_to_its_teller_again_when_handing_over_failed(
    world: World, stories: Recorder, inside: ActivityEnvironment
) -> None:
    order = await planned(world)
    take: Any = BooksActivities(world.books, stories).take_procedure
    ordered = Ordered(ETHEREUM, world.wallet, world.endorsed(Kind.SPEED_UP, order.slot.id), datetime.now(UTC))
    stories.down = 1
    with pytest.raises(Unavailable):
        await inside.run(take, ordered)
    assert (await inside.run(take, ordered)).code == "TAKEN"
    assert stories.handed == [(order.slot, ordered.endorsed)]
    assert [code for _, code, _ in world.books.procedures] == ["TAKEN"], "recorded once"
