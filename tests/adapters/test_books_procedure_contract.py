"""What every set of books promises about procedures; the fake and PostgreSQL keep it alike."""

import asyncio
from dataclasses import replace

import pytest

from domain.ledger import chart
from domain.outgoing import Outgoing
from domain.payout import Consumption, Facts, Slot
from domain.ports import PlanRefusal, ProcedureNote
from domain.procedure import Endorsed, Kind
from domain.withdrawal import Stage, Withdrawal
from tests.adapters.store.world import COIN, ETH, USDT, WALLET, World, final_of, refused, version_of

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


# ---------------------------------------------------------------- a stranger's slot
STRANGER = "0x" + "5e" * 32


def proof_of(slot: Slot, code: str = "PROVEN", txid: str = STRANGER, counted: int = 0) -> Consumption:
    return Consumption(slot, txid, code, block=77, counted=counted)


async def replan(
    world: World, slot: Slot, *people: str, proof: Consumption | None = None, after_s: float = 5, txid: str = STRANGER
) -> ProcedureNote:
    endorsed = world.people.endorse(world.procedure(Kind.REPLAN, slot.id, rests_on=txid), *people)
    note: ProcedureNote = await world.books.take_procedure("ethereum", WALLET, endorsed, world.later(after_s), proof)
    return note


async def halted_slot(world: World) -> tuple[Withdrawal, Slot]:
    """A withdrawal whose bytes are out, and its halted wallet."""
    await world.fund_wallet()
    asked = await world.queued()
    slot = await world.planned(asked)
    await world.broadcast(slot)
    await world.books.halt_wallet("ethereum", WALLET, HALT, world.later(3))
    return asked, slot


async def test_a_slot_that_a_stranger_consumed_is_given_up_and_its_payment_is_queued_again(world: World) -> None:
    asked, slot = await halted_slot(world)
    note = await replan(world, slot, "anna", "boris", proof=proof_of(slot))
    assert (note.code, note.endorsers, note.needed) == ("TAKEN", ("anna", "boris"), 2)
    found = await world.books.concluded(asked.id)
    assert (found.stage, found.reason, found.txid) == (Stage.QUEUED, "SLOT_CONSUMED", None)
    assert await world.books.consumer(slot.id) == STRANGER
    assert not await world.books.open_slots("ethereum", WALLET)
    assert await world.balance(chart.in_flight("ethereum", USDT)) == 0
    assert await world.balance(chart.in_flight("ethereum", ETH)) == 0
    assert await world.balance(chart.hot_wallet("ethereum", WALLET, USDT)) == 10**12, (
        "what the slot bound is free again"
    )
    assert await world.balance(chart.held("acme", USDT)) == 11 * COIN, "the client's money stays held"
    assert await world.books.halted("ethereum", WALLET) == HALT, "resuming is another act"


async def test_what_was_queued_again_is_paid_once_from_another_slot_with_the_word_that_freed_it(world: World) -> None:
    asked, slot = await halted_slot(world)
    await replan(world, slot, "anna", "boris", "mallory", proof=proof_of(slot, counted=1))
    assert await world.plan([await world.item(asked)]) == PlanRefusal("WALLET_HALTED", HALT)
    await world.take(world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT), "anna", "boris", after_s=6)
    (shown,) = (await world.item(asked)).replans
    assert (shown.procedure.subject, shown.procedure.rests_on) == (slot.id, STRANGER)
    assert {word.approver for word in shown.endorsements} >= {"anna", "boris"}
    again = await world.planned(asked)
    assert (again.id != slot.id, again.payments) == (True, slot.payments)
    (opened,) = await world.books.open_slots("ethereum", WALLET)
    assert opened.items[0].replans == (shown,)
    version = await world.broadcast(again)
    (ended,) = await world.books.settle(again, final_of(version), world.later(9))
    assert (ended.stage, ended.txid) == (Stage.SETTLED, version.txid)
    assert await world.balance(chart.hot_wallet("ethereum", WALLET, USDT)) == 10**12 - 10 * COIN
    assert await world.balance(chart.in_flight("ethereum", USDT)) == 0


async def test_a_late_word_about_a_slot_given_up_changes_nothing_of_the_next_one(world: World) -> None:
    asked, slot = await halted_slot(world)
    await replan(world, slot, "anna", "boris", proof=proof_of(slot))
    await world.take(world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT), "anna", "boris", after_s=6)
    again = await world.planned(asked)
    old = version_of(slot, 1)
    await refused("SLOT_CONSUMED", lambda: world.books.begin_delivery(old, world.later(7)))
    await refused("SLOT_CONSUMED", lambda: world.books.begin_delivery(version_of(slot, 2), world.later(7)))
    await refused("SLOT_CLOSED", lambda: world.books.settle(slot, final_of(old), world.later(7)))
    await world.books.record_facts(slot, world.facts(old, 90, at=7))
    assert (await world.books.concluded(asked.id)).stage is Stage.PLANNED
    assert [opened.slot for opened in await world.books.open_slots("ethereum", WALLET)] == [again]


@pytest.mark.parametrize("code", ["CONSUMER_OURS", "CONSUMER_OTHER", "CONSUMPTION_UNPROVEN"])
async def test_without_the_chains_proof_nothing_is_given_up_and_the_same_words_do_it_later(
    world: World, code: str
) -> None:
    asked, slot = await halted_slot(world)
    endorsed = world.people.endorse(world.procedure(Kind.REPLAN, slot.id, rests_on=STRANGER), "anna", "boris")
    take = world.books.take_procedure
    for after_s, proof in ((4, proof_of(slot, code)), (5, None), (6, proof_of(slot, txid="0x" + "66" * 32))):
        note = await take("ethereum", WALLET, endorsed, world.later(after_s), proof)
        assert note.code == (code if after_s == 4 else "CONSUMPTION_UNPROVEN")
    assert (await world.books.concluded(asked.id)).stage is Stage.BROADCAST
    assert [opened.slot for opened in await world.books.open_slots("ethereum", WALLET)] == [slot]
    assert (await take("ethereum", WALLET, endorsed, world.later(7), proof_of(slot))).taken


async def test_a_version_of_ours_is_no_stranger_whatever_the_proof_says(world: World) -> None:
    _, slot = await halted_slot(world)
    ours = version_of(slot, 1).txid
    note = await replan(world, slot, "anna", "boris", proof=proof_of(slot, txid=ours), txid=ours)
    assert note.code == "CONSUMER_OURS"


async def test_one_person_gives_no_slot_up_and_two_do_it_once(world: World) -> None:
    asked, slot = await halted_slot(world)
    for people in ((), ("anna",), ("anna", "mallory")):
        assert (await replan(world, slot, *people, proof=proof_of(slot))).code == "ENDORSEMENTS_MISSING"
    endorsed = world.people.endorse(world.procedure(Kind.REPLAN, slot.id, rests_on=STRANGER), "anna", "boris")
    take = world.books.take_procedure
    notes = await asyncio.gather(
        *(take("ethereum", WALLET, endorsed, world.later(5), proof_of(slot)) for _ in range(4))
    )
    assert {note.code for note in notes} == {"TAKEN"}, "the same call again is answered as before"
    assert (await take("ethereum", WALLET, endorsed, world.later(8), None)).code == "PROCEDURE_USED"
    assert (await replan(world, slot, "anna", "boris", proof=proof_of(slot), after_s=9)).code == "SLOT_NOT_OPEN"
    assert len((await world.item(asked)).replans) == 1


async def test_the_next_slot_is_above_every_number_that_the_network_counts(world: World) -> None:
    asked, slot = await halted_slot(world)
    await replan(world, slot, "anna", "boris", proof=proof_of(slot, counted=4))
    await world.take(world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT), "anna", "boris", after_s=6)
    assert (await world.planned(asked)).scarce == "4"


async def test_a_slot_of_several_payments_frees_them_all(world: World) -> None:
    await world.fund_wallet()
    asked = [await world.queued() for _ in range(3)]
    slot = await world.plan([await world.item(one) for one in asked])
    assert isinstance(slot, Slot)
    assert (await replan(world, slot, "anna", "boris", proof=proof_of(slot))).taken
    for one in asked:
        assert (await world.books.concluded(one.id)).stage is Stage.QUEUED
        assert (await world.item(one)).replans[0].procedure.subject == slot.id
    first = await world.planned(asked[1])
    assert first.payments[0].withdrawal_id == asked[1].id
    await world.books.return_hold(asked[0].id, Stage.CANCELLED, "no longer wanted", "client", world.later(9))
    assert (await world.books.concluded(asked[0].id)).stage is Stage.CANCELLED


async def test_a_stranger_whom_people_gave_a_slot_up_for_halts_the_wallet_no_second_time(world: World) -> None:
    _, slot = await halted_slot(world)
    await replan(world, slot, "anna", "boris", proof=proof_of(slot))
    await world.take(world.procedure(Kind.RESUME, SUBJECT, rests_on=HALT), "anna", "boris", after_s=6)
    read = world.books.record_outgoing
    assert await read("ethereum", WALLET, Outgoing(None, 100), world.now) is None
    assert await read("ethereum", WALLET, Outgoing(100, 120, (STRANGER,)), world.now) is None
    assert await world.books.halted("ethereum", WALLET) is None
    assert await read("ethereum", WALLET, Outgoing(120, 130, ("0xfeed", STRANGER)), world.now), "another one does"


async def test_whom_a_look_once_named_is_remembered_when_later_looks_name_nobody(world: World) -> None:
    _, slot = await halted_slot(world)
    assert await world.books.suspect(slot.id) is None
    for block, consumer in ((90, None), (91, STRANGER), (200, None)):
        await world.books.record_facts(slot, Facts(block + 3, block, True, consumer, (), world.later(block)))
    assert await world.books.suspect(slot.id) == STRANGER
    assert await world.books.suspect("ethereum/0x00/7") is None
