"""What every set of books promises about procedures; the fake and PostgreSQL keep it alike."""

import asyncio
from dataclasses import replace

import pytest

from domain.ledger import chart
from domain.procedure import Endorsed, Kind
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, USDT, WALLET, World, final_of, refused, version_of

HALT = "a stranger used the key"
SUBJECT = f"ethereum/{WALLET.lower()}"


@pytest.fixture
def world(any_books: World) -> World:
    return any_books


async def test_a_halted_wallet_takes_two_people_who_looked_at_this_very_halt(world: World) -> None:
    await world.fund_wallet()
    await world.books.halt_wallet("ethereum", WALLET, HALT, world.now)
    resume = world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT)
    for people in ((), ("anna",), ("anna", "mallory"), ("mallory", "eve")):
        note = await world.take(resume, *people)
        assert (note.code, note.needed) == ("ENDORSEMENTS_MISSING", 2)
        assert await world.books.halted("ethereum", WALLET) == HALT
    other = world.procedure(Kind.RESUME, SUBJECT, rests_on="another halt")
    assert (await world.take(other, "anna", "boris")).code == "EVIDENCE_CHANGED"
    note = await world.take(resume, "anna", "boris", "mallory")
    assert (note.code, note.endorsers, note.hash) == ("TAKEN", ("anna", "boris"), resume.hash())
    assert await world.books.halted("ethereum", WALLET) is None


async def test_an_endorsement_opens_one_halt_and_no_later_one(world: World) -> None:
    await world.fund_wallet()
    resume = world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT)
    for later in (1, 2):
        await world.books.halt_wallet("ethereum", WALLET, HALT, world.later(later))
        note = await world.take(resume, "anna", "boris", after_s=later + 10)
        assert note.code == ("TAKEN" if later == 1 else "PROCEDURE_USED")
    assert await world.books.halted("ethereum", WALLET) == HALT


async def test_the_same_call_again_is_answered_as_before(world: World) -> None:
    await world.fund_wallet()
    await world.books.halt_wallet("ethereum", WALLET, HALT, world.now)
    resume = world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT)
    notes = await asyncio.gather(*(world.take(resume, "anna", "boris") for _ in range(5)))
    assert {note.code for note in notes} == {"TAKEN"}


async def test_a_slot_is_hastened_by_one_person_and_voided_by_two_while_it_is_open(world: World) -> None:
    await world.fund_wallet()
    slot = await world.planned(await world.queued())
    assert (await world.take(world.procedure(Kind.SPEED_UP, slot.id))).code == "ENDORSEMENTS_MISSING"
    assert (await world.take(world.procedure(Kind.SPEED_UP, slot.id), "anna")).taken
    assert (await world.take(world.procedure(Kind.VOID, slot.id), "anna")).code == "ENDORSEMENTS_MISSING"
    assert (await world.take(world.procedure(Kind.VOID, slot.id), "anna", "carla")).taken
    assert (await world.take(world.procedure(Kind.VOID, slot.id + "9"), "anna", "carla")).code == "SLOT_NOT_OPEN"


async def test_a_slot_that_ends_with_the_version_that_pays_nobody_is_voided(world: World) -> None:
    await world.fund_wallet()
    asked = await world.queued()
    slot = await world.planned(asked)
    await world.broadcast(slot)
    void = replace(version_of(slot, 2), void=True)
    assert list(await world.books.begin_delivery(void, world.later(3)))[-1].void
    (ended,) = await world.books.settle(slot, final_of(void, paid=False), world.later(9))
    assert (ended.stage, ended.reason) == (Stage.FAILED, "VOIDED")
    assert await world.balance(chart.available("acme", USDT)) == 11 * COIN
    assert await world.balance(chart.in_flight("ethereum", USDT)) == 0


async def test_an_older_version_that_failed_on_chain_is_not_called_voided(world: World) -> None:
    await world.fund_wallet()
    slot = await world.planned(await world.queued())
    paying = await world.broadcast(slot)
    await world.books.begin_delivery(replace(version_of(slot, 2), void=True), world.later(3))
    (ended,) = await world.books.settle(slot, final_of(paying, paid=False), world.later(9))
    assert ended.reason == "PAYMENT_REVERTED"


async def test_whoever_takes_up_an_open_slot_finds_the_void_that_people_endorsed(world: World) -> None:
    await world.fund_wallet()
    slot = await world.planned(await world.queued())
    void = world.procedure(Kind.VOID, slot.id)
    assert (await world.books.open_slots("ethereum", WALLET))[0].void is None
    await world.take(void, "anna")
    assert (await world.books.open_slots("ethereum", WALLET))[0].void is None
    await world.take(void, "anna", "mallory", "boris")
    found = (await world.books.open_slots("ethereum", WALLET))[0].void
    assert found is not None
    assert found.procedure == void
    assert {word.approver for word in found.endorsements} >= {"anna", "boris"}


async def test_nothing_is_known_of_a_wallet_nobody_opened(world: World) -> None:
    endorsed = Endorsed(world.procedure(Kind.RESUME, "ethereum/0x00"), ())
    await refused("WALLET_UNKNOWN", lambda: world.books.take_procedure("ethereum", "0x00", endorsed, world.now))
