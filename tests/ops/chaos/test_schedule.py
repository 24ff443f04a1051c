"""What will happen follows from a seed and nothing else, is bounded, and can be written down."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ops.chaos.schedule import (
    EVENTS_MAX,
    FLOW_SHARE,
    MINUTES_MAX,
    PARTS,
    WORKERS,
    Coin,
    Harm,
    Schedule,
    Terrain,
    What,
    plan,
)

USDT, TRX, BTC = Coin("USDT", "1", "1000"), Coin("TRX", "1", "5000"), Coin("BTC", "0.0001", "0.02")
TERRAINS = (
    Terrain("tron", (USDT, TRX), has_issuer=True, reorg_max=3),
    Terrain("bitcoin", (BTC,), has_issuer=False, reorg_max=2),
)


def test_the_same_seed_plans_the_same_and_another_one_does_not() -> None:
    assert plan(5, TERRAINS, 2, 40) == plan(5, TERRAINS, 2, 40)
    assert plan(5, TERRAINS, 2, 40) != plan(6, TERRAINS, 2, 40)


def test_more_of_one_kind_changes_no_other() -> None:
    few, many = plan(5, TERRAINS, 2, 10), plan(5, TERRAINS, 2, 90)
    assert [e for e in few.events if e.what is not What.WITHDRAW] == [
        e for e in many.events if e.what is not What.WITHDRAW
    ]


@pytest.mark.parametrize("seed", range(5))
def test_everything_happens_within_its_time_in_order_and_in_the_number_asked_for(seed: int) -> None:
    schedule = plan(seed, TERRAINS, 3, 75)
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(schedule.events))
    assert all(0 <= event.at_s <= 180 for event in schedule.events)
    asked = schedule.only(What.WITHDRAW)
    assert len(asked) == 75
    assert max(event.at_s for event in asked) <= 180 * FLOW_SHARE
    assert len({(event.target, event.words["n"]) for event in asked}) == 75


@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_hold_thirty_kills_and_thirty_reorgs_and_every_harm(seed: int) -> None:
    schedule = plan(seed, TERRAINS, 10, 100)
    assert len(schedule.only(What.KILL)) >= 30
    assert {event.target for event in schedule.only(What.KILL)} >= set(PARTS)
    for terrain in TERRAINS:
        reorgs = [event for event in schedule.only(What.REORG) if event.target == terrain.network]
        assert len(reorgs) >= 30
        assert {event.words["depth"] for event in reorgs} == set(range(1, terrain.reorg_max + 1))
        harms = [h for e in schedule.only(What.FAULT) if e.target == terrain.network for h in e.words["harms"]]
        assert set(harms) == set(Harm)
        assert terrain.has_issuer is any(event.target == terrain.network for event in schedule.only(What.EMPTY))


def test_every_coin_is_asked_for_between_its_least_amount_and_a_little_above_what_needs_people() -> None:
    words = [(e.target, e.words) for e in plan(5, TERRAINS, 10, 400).only(What.WITHDRAW)]
    for terrain in TERRAINS:
        for coin in terrain.coins:
            asked = [
                Decimal(w["amount"]) for network, w in words if (network, w["asset"]) == (terrain.network, coin.code)
            ]
            assert asked, f"nobody asked for {coin.code}"
            assert min(asked) > Decimal(coin.least)
            assert max(asked) <= Decimal(coin.quorum_from) * Decimal("1.4")


@pytest.mark.parametrize("minutes", [1.0, 3.0])
def test_a_short_run_meets_every_part_as_well(minutes: float) -> None:
    kills = {event.target for event in plan(3, TERRAINS, minutes, 10).only(What.KILL)}
    assert len(kills & set(PARTS)) >= min(len(PARTS), 6)


def test_there_is_a_time_with_two_workers_of_each_kind() -> None:
    schedule = plan(5, TERRAINS, 3, 10)
    joins = {event.target: event.at_s for event in schedule.only(What.JOIN)}
    leaves = {event.target: event.at_s for event in schedule.only(What.LEAVE)}
    assert set(joins) == set(leaves) == {f"{kind}_2" for kind in WORKERS}
    assert all(joins[kind] < leaves[kind] for kind in joins)


def test_no_schedule_is_without_bounds() -> None:
    assert len(plan(1, TERRAINS, 10**6, 10**5).events) <= EVENTS_MAX


@pytest.mark.parametrize("minutes", [1, 10])  # ten minutes hold every kind of event and every harm
def test_a_schedule_survives_being_written_down(tmp_path: Path, minutes: float) -> None:
    schedule = plan(5, TERRAINS, minutes, 12)
    path = tmp_path / "schedule.json"
    path.write_text(schedule.text())
    assert Schedule.read(path) == schedule


@pytest.mark.parametrize(
    "text", ["", "[]", '{"seed": 1}', '{"seed":1,"networks":[],"minutes":1,"events":[{"at_s":1}]}']
)
def test_what_is_no_schedule_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no schedule"):
        Schedule.read(path)


KILL: dict[str, Any] = {"at_s": 1, "what": "kill", "target": "books_2", "words": {}}
FAULT: dict[str, Any] = {
    "at_s": 1,
    "what": "fault",
    "target": "tron",
    "words": {"harms": {"lag": 2, "lose_reply": 1}, "for_s": 3},
}
WITHDRAW: dict[str, Any] = {
    "at_s": 1,
    "what": "withdraw",
    "target": "tron",
    "words": {"n": 0, "asset": "USDT", "amount": "12.5", "people": "nothing", "after_s": 0},
}
SOUND: dict[str, Any] = {"seed": 7, "networks": ["tron"], "minutes": 1, "events": [KILL, FAULT, WITHDRAW]}


def test_what_a_person_wrote_is_read_as_it_stands() -> None:
    assert [event.words for event in Schedule.parse(json.dumps(SOUND)).events] == [
        row["words"] for row in SOUND["events"]
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"seed": "x"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": True}, "seed"),
        ({"networks": "tron"}, "networks"),
        ({"networks": []}, "networks"),
        ({"networks": ["tron", "tron"]}, "networks"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": -3}, "minutes"),
        ({"minutes": MINUTES_MAX + 1}, "minutes"),
        ({"minutes": "3"}, "minutes"),
        ({"events": [KILL] * (EVENTS_MAX + 1)}, "events"),
        ({"events": [KILL | {"target": "nobody"}]}, "events.0.target"),
        ({"events": [KILL | {"target": "api_2"}]}, "events.0.target"),
        ({"events": [KILL | {"what": "join", "target": "books"}]}, "events.0.target"),
        ({"events": [KILL, FAULT | {"target": "dogecoin"}]}, "events.1.target"),
        ({"events": [KILL | {"what": "explode"}]}, "events.0.what"),
        ({"events": [KILL | {"at_s": -5}]}, "events.0.at_s"),
        ({"events": [KILL | {"words": {"for_s": 1}}]}, "events.0.words.for_s"),
        ({"events": [FAULT | {"words": {"harms": {"fly": 1}, "for_s": 3}}]}, "events.0.words.harms.fly"),
        ({"events": [FAULT | {"words": {"harms": {"errors": 1.5}, "for_s": 3}}]}, "events.0.words.harms.errors"),
        ({"events": [FAULT | {"words": {"harms": {}, "for_s": -3}}]}, "events.0.words.for_s"),
        ({"events": [FAULT | {"words": {"for_s": 3}}]}, "events.0.words.harms"),
        ({"events": [FAULT | {"what": "reorg", "words": {"depth": 0}}]}, "events.0.words.depth"),
        ({"events": [FAULT | {"what": "fees", "words": {"times": 0, "for_s": 1}}]}, "events.0.words.times"),
        ({"events": [WITHDRAW | {"words": WITHDRAW["words"] | {"people": "dance"}}]}, "events.0.words.people"),
        ({"events": [WITHDRAW | {"words": WITHDRAW["words"] | {"amount": "much"}}]}, "events.0.words.amount"),
        ({"events": [WITHDRAW | {"words": WITHDRAW["words"] | {"n": -1}}]}, "events.0.words.n"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_and_the_place_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=rf"^{place}: "):
        Schedule.parse(json.dumps(SOUND | change))
