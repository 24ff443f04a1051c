"""What every set of books promises about procedures; the fake and PostgreSQL keep it alike."""

import asyncio

import pytest

from domain.procedure import Endorsed, Kind
from tests.adapters.store.world import WALLET, World, refused

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


async def test_nothing_is_known_of_a_wallet_nobody_opened(world: World) -> None:
    endorsed = Endorsed(world.procedure(Kind.RESUME, "ethereum/0x00"), ())
    await refused("WALLET_UNKNOWN", lambda: world.books.take_procedure("ethereum", "0x00", endorsed, world.now))
