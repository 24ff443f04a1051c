"""Two at once, often: one wins, the other hears so, and the books are whole."""

import asyncio
from collections import Counter

import pytest

from adapters.store.opening import Store
from domain.errors import StrongroomError
from domain.intent import Ruling
from domain.ledger import chart
from domain.ports import Receipt, Request
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, USDT, World, final_of


async def test_one_key_at_two_doors_at_once_holds_once_and_the_other_is_told_to_wait(
    world: World, store: Store
) -> None:
    await world.fund(1000 * COIN)
    said: Counter[str] = Counter()
    for _ in range(20):
        request = world.request(world.ask())
        said.update(await asyncio.gather(*(_door(books, request) for books in (world.books, store.books) * 2)))
        assert (await store.books.request_withdrawal(request)).replayed
    assert said["accepted"] == 20
    assert set(said) <= {"accepted", "replayed", "IDEMPOTENCY_IN_PROGRESS"}
    assert said["IDEMPOTENCY_IN_PROGRESS"] >= 20
    assert await world.balance(chart.held("acme", USDT)) == 20 * 11 * COIN


async def test_one_client_ref_under_many_keys_at_once_is_one_withdrawal(world: World, store: Store) -> None:
    await world.fund(1000 * COIN)
    for number in range(20):
        asked = world.ask()
        requests = [world.request(asked, key=f"{number}-{i}") for i in range(6)]
        doors = (world.books, store.books) * 3
        said = Counter(await asyncio.gather(*(_door(b, r) for b, r in zip(doors, requests, strict=True))))
        assert said == {"accepted": 1, "replayed": 5}
    assert await world.balance(chart.held("acme", USDT)) == 20 * 11 * COIN


async def test_one_quote_in_many_hands_at_once_is_honoured_once(world: World, store: Store) -> None:
    await world.fund(1000 * COIN)
    soon = world.now.replace(year=2100)
    for _ in range(5):
        quote = await world.books.make_quote("acme", USDT, str(10 * COIN), str(COIN), world.now, soon)
        requests = [world.request(world.ask(), quote_id=quote.id) for _ in range(8)]
        doors = (world.books, store.books) * 4
        said = Counter(await asyncio.gather(*(_door(b, r) for b, r in zip(doors, requests, strict=True))))
        assert said["accepted"] == 1
        assert set(said) <= {"accepted", "QUOTE_USED", "STORE_UNAVAILABLE"}
        assert await _door(world.books, requests[0]) in ("replayed", "QUOTE_USED")


async def _door(books: object, request: Request) -> str:
    try:
        receipt: Receipt = await books.request_withdrawal(request)  # type: ignore[attr-defined]
    except StrongroomError as error:
        return error.code
    return "replayed" if receipt.replayed else "accepted"


async def test_cancel_against_plan_has_one_winner_in_a_hundred_rounds(world: World, store: Store) -> None:
    await world.fund_wallet()
    outcomes: dict[Stage, int] = {}
    for number in range(100):
        asked = await world.queued(COIN)
        item = await world.item(asked)

        async def cancel(id_: str = asked.id, wait_s: float = (number % 5) * 0.0005) -> object:
            await asyncio.sleep(wait_s)
            return await world.books.return_hold(id_, Stage.CANCELLED, "CLIENT", "olga", world.now)

        plan, _ = await asyncio.gather(world.plan([item]), cancel(), return_exceptions=True)
        view = await store.views.withdrawal(asked.id)
        assert view is not None
        outcomes[view.stage] = outcomes.get(view.stage, 0) + 1
        if view.stage is Stage.PLANNED:
            await world.books.settle(plan, final_of(await world.broadcast(plan)), world.now)  # type: ignore[arg-type]
        else:
            assert view.slot_id is None
    assert set(outcomes) == {Stage.PLANNED, Stage.CANCELLED}, outcomes
    assert await world.balance(chart.held("acme", USDT)) == 0
    assert await world.balance(chart.in_flight("ethereum", USDT)) == 0
    assert not any((await world.sums()).values())


async def test_the_same_decision_from_many_sides_counts_once(world: World, store: Store) -> None:
    asked, intent = await world.referred()
    decision = world.people.decision("anna", Ruling.APPROVE, intent)
    notes = await asyncio.gather(
        *(world.books.record_decision(asked.id, decision, f"door-{i}", world.later(i)) for i in range(8))
    )
    assert sum(note.counted for note in notes) == 1
    assert {note.code for note in notes} == {"COUNTED", "REPEAT"}
    assert {note.approvals for note in notes} == {1}


async def test_a_flood_of_strangers_is_answered_but_not_kept_for_ever(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.store.judgement.DECISIONS_KEPT_MAX", 5)
    asked, intent = await world.referred()
    for i in range(9):
        assert (await world.says(f"mallory{i}", asked, intent)).code == "STRANGER"
        await world.books.record_malformed(asked.id, "signal", "x" * 10_000, world.later(i))
    assert (await world.says("anna", asked, intent)).counted
    view = await store.views.withdrawal(asked.id)
    assert view is not None
    assert len(view.decisions) == 6
    assert view.approvals == ("anna",)
