"""What is going to happen, and when: a pure function of a seed, a length and the networks.

A schedule says nothing about how a network is hurt or asked; it names the harm in words that every network understands
(`nodes.py` translates them). It is written down as JSON, so that the same thing can be made to happen again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError

from ops.chaos.written import Written, fault

WORKERS = ("orchestrator", "books", "chain", "signer")
PARTS = (*WORKERS, "api", "temporal", "postgres")
TWIN = "_2"  # after a worker's name: the second one of its kind
TWINS = tuple(worker + TWIN for worker in WORKERS)

EVENTS_MAX = 20_000
MINUTES_MAX = 120.0
FLOW_SHARE = 0.85  # of the time withdrawals flow in; what is asked for last is hurt as well
HARM_SHARE = 0.95
TWINS_FROM, TWINS_TO = 0.35, 0.7


class What(StrEnum):
    """The kinds of events. `target` is a network, or a part for the last three."""

    WITHDRAW = "withdraw"
    FAULT = "fault"
    REORG = "reorg"
    FEES = "fees"
    EMPTY = "empty"
    KILL = "kill"
    JOIN = "join"
    LEAVE = "leave"


class Harm(StrEnum):
    """What a node can be made to do. A number between 0 and 1 says how often, a whole one how many blocks."""

    LOSE_REPLY = "lose_reply"  # takes a transaction and does not answer
    SWALLOW = "swallow"  # answers a transaction and throws it away
    ERRORS = "errors"  # 429, 502, 503
    HIDE_RECEIPTS = "hide_receipts"  # says that a receipt it has is not there
    LAG = "lag"  # tells everything as it was so many blocks ago
    FORGET = "forget"  # what it knew of transactions is gone
    HOLD = "hold"  # no transaction gets into a block
    SLOW = "slow"  # every answer waits so many milliseconds
    DOWN = "down"  # every connection is cut


class People(StrEnum):
    """What people do about one withdrawal."""

    NOTHING = "nothing"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"  # while it may be planned at the same moment
    APPROVE_AND_CANCEL = "approve_and_cancel"  # in the same moment
    SPEED_UP = "speed_up"  # as soon as a slot pays it
    VOID = "void"  # likewise: it is paid nobody, unless an older version wins


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens `at_s` seconds after the start. `words` are plain JSON."""

    at_s: float
    what: What
    target: str
    words: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that happens, in order of time."""

    seed: int
    networks: tuple[str, ...]
    minutes: float
    events: tuple[Event, ...]

    def only(self, what: What) -> list[Event]:
        return [event for event in self.events if event.what is what]

    def text(self) -> str:
        """As JSON, one event a line."""
        head = {"seed": self.seed, "networks": list(self.networks), "minutes": self.minutes}
        rows = ",\n".join(json.dumps(asdict(event)) for event in self.events)
        return json.dumps(head)[:-1] + f', "events": [\n{rows}\n]}}\n'

    @classmethod
    def read(cls, path: Path) -> Self:
        """The schedule in a file. Raises ValueError for anything else than `text` wrote."""
        try:
            return cls.parse(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is no schedule: {error}") from error

    @classmethod
    def parse(cls, text: str) -> Self:
        """The schedule that `text` wrote. Raises ValueError for anything else; whether its networks and coins are in a
        catalogue is for others to say.
        """
        try:
            told = _Told.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(fault(error)) from None
        if len(set(told.networks)) < len(told.networks):
            raise ValueError("networks: one of them is named twice")
        events = (_event(place, row, told.networks) for place, row in enumerate(told.events))
        return cls(told.seed, tuple(told.networks), told.minutes, tuple(events))


# ---------------------------------------------------------------- what a file may say
_Seconds = Annotated[float, Field(ge=0, le=MINUTES_MAX * 60)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Whole = Annotated[int, Field(ge=0)]


class _Words(Written):
    """The words of the events that have none, and what holds for those of all."""

    model_config = ConfigDict(extra="forbid")


class _For(_Words):
    for_s: _Seconds


class _Harms(_Words):
    """How much of each harm: a name is one of Harm."""

    lose_reply: _Share = 0.0
    swallow: _Share = 0.0
    errors: _Share = 0.0
    hide_receipts: _Share = 0.0
    lag: _Whole = 0
    forget: bool = False
    hold: bool = False
    slow: _Whole = 0
    down: bool = False


class _Fault(_For):
    harms: _Harms


class _Fees(_For):
    times: Annotated[int, Field(ge=1)]


class _Reorg(_Words):
    depth: Annotated[int, Field(ge=1)]


class _Withdraw(_Words):
    n: _Whole
    asset: str
    amount: Annotated[str, Field(pattern=r"^[0-9]{1,40}(\.[0-9]{1,40})?$")]
    people: People
    after_s: _Seconds


_WORDS: dict[What, type[_Words]] = {
    What.WITHDRAW: _Withdraw,
    What.FAULT: _Fault,
    What.REORG: _Reorg,
    What.FEES: _Fees,
    What.EMPTY: _For,
    What.KILL: _Words,
    What.JOIN: _Words,
    What.LEAVE: _Words,
}
_TARGETS = {What.KILL: (*PARTS, *TWINS), What.JOIN: TWINS, What.LEAVE: TWINS}  # of all others: the networks


class _Row(_Words):
    at_s: _Seconds
    what: What
    target: str
    words: dict[str, Any]


class _Told(_Words):
    seed: _Whole
    networks: Annotated[list[str], Field(min_length=1)]
    minutes: Annotated[float, Field(gt=0, le=MINUTES_MAX)]
    events: Annotated[list[_Row], Field(max_length=EVENTS_MAX)]


def _event(place: int, row: _Row, networks: Sequence[str]) -> Event:
    """Raises ValueError for a target that this kind of event cannot have, and for words that it does not understand."""
    targets = _TARGETS.get(row.what, networks)
    if row.target not in targets:
        raise ValueError(f"events.{place}.target: a {row.what} is of {', '.join(targets)}, not of {row.target!r}")
    try:
        _WORDS[row.what].model_validate_json(json.dumps(row.words))
    except ValidationError as error:
        raise ValueError(fault(error, "events", place, "words")) from None
    return Event(row.at_s, row.what, row.target, row.words)


# ---------------------------------------------------------------- what a seed plans
@dataclass(frozen=True, slots=True)
class Coin:
    """An asset that is asked for: its code, the least of it that is paid, and from where on people are asked. Amounts
    are in whole coins.
    """

    code: str
    least: str
    quorum_from: str


@dataclass(frozen=True, slots=True)
class Terrain:
    """What must be known of a network to hurt it: its coins, the one that is asked for most first, whether somebody may
    take coins out of a wallet, and how deep a reorg may go.
    """

    network: str
    coins: tuple[Coin, ...]
    has_issuer: bool
    reorg_max: int


def plan(seed: int, terrains: Sequence[Terrain], minutes: float, withdrawals: int) -> Schedule:
    """The schedule of `seed`. Every kind of event has dice of its own: more of one never changes another."""
    seconds = min(minutes, MINUTES_MAX) * 60
    events = [*_kills(Random(f"{seed}/kills"), seconds), *_twins(seconds)]
    for n, terrain in enumerate(terrains):
        share = withdrawals // len(terrains) + (1 if n < withdrawals % len(terrains) else 0)
        for make in (_faults, _reorgs, _fees, _empties):
            events += make(Random(f"{seed}/{make.__name__}/{terrain.network}"), seconds, terrain)
        events += _withdrawals(Random(f"{seed}/withdrawals/{terrain.network}"), seconds, terrain, share)
    ordered = sorted(events, key=lambda event: (event.at_s, event.what, event.target))
    return Schedule(seed, tuple(t.network for t in terrains), minutes, tuple(ordered[:EVENTS_MAX]))


def _every(dice: Random, least_s: float, most_s: float, until_s: float) -> Iterator[float]:
    """Moments with pauses between `least_s` and `most_s`."""
    at_s = dice.uniform(least_s, most_s) / 2
    while at_s < until_s:
        yield round(at_s, 2)
        at_s += dice.uniform(least_s, most_s)


def _kills(dice: Random, seconds: float) -> Iterator[Event]:
    """One part after another in a shuffled order, so that a short run meets each of them too."""
    waiting: list[str] = []
    for at_s in _every(dice, 5, 10, seconds * HARM_SHARE):
        if not waiting:
            waiting = dice.sample(PARTS, len(PARTS))
        part = waiting.pop()
        yield Event(at_s, What.KILL, part)
        if part in WORKERS and TWINS_FROM < at_s / seconds < TWINS_TO and dice.random() < 0.5:
            yield Event(at_s, What.KILL, part + TWIN)


def _twins(seconds: float) -> Iterator[Event]:
    """In the middle of the run there are two workers of each kind."""
    for kind in WORKERS:
        yield Event(round(seconds * TWINS_FROM, 2), What.JOIN, kind + TWIN)
        yield Event(round(seconds * TWINS_TO, 2), What.LEAVE, kind + TWIN)


_HARMS: tuple[tuple[Harm, Callable[[Random], float | int | bool]], ...] = (
    (Harm.LOSE_REPLY, lambda dice: dice.choice((0.3, 0.6, 1.0))),
    (Harm.SWALLOW, lambda dice: dice.choice((0.3, 0.6, 1.0))),
    (Harm.ERRORS, lambda dice: dice.choice((0.1, 0.3, 0.5))),
    (Harm.HIDE_RECEIPTS, lambda dice: dice.choice((0.3, 0.7, 1.0))),
    (Harm.LAG, lambda dice: dice.randint(1, 5)),
    (Harm.FORGET, lambda _: True),
    (Harm.HOLD, lambda _: True),
    (Harm.SLOW, lambda dice: dice.choice((100, 500))),
    (Harm.DOWN, lambda _: True),
)


def _faults(dice: Random, seconds: float, terrain: Terrain) -> Iterator[Event]:
    """One or two harms at a time, for some seconds; then the node is well for a moment."""
    waiting: list[Harm] = []
    amounts = dict(_HARMS)
    for at_s in _every(dice, 5, 9, seconds * HARM_SHARE):
        if len(waiting) < 2:
            waiting = dice.sample(list(amounts), len(amounts))
        harms = [waiting.pop() for _ in range(dice.choice((1, 1, 2)))]
        words = {harm.value: amounts[harm](dice) for harm in harms}
        yield Event(at_s, What.FAULT, terrain.network, {"harms": words, "for_s": round(dice.uniform(2, 4.5), 2)})


def _reorgs(dice: Random, seconds: float, terrain: Terrain) -> Iterator[Event]:
    for at_s in _every(dice, 6, 11, seconds * HARM_SHARE):
        yield Event(at_s, What.REORG, terrain.network, {"depth": dice.randint(1, terrain.reorg_max)})


def _fees(dice: Random, seconds: float, terrain: Terrain) -> Iterator[Event]:
    for at_s in _every(dice, 15, 30, seconds * HARM_SHARE):
        times, for_s = dice.choice((2, 5, 20)), round(dice.uniform(3, 6), 2)
        yield Event(at_s, What.FEES, terrain.network, {"times": times, "for_s": for_s})


def _empties(dice: Random, seconds: float, terrain: Terrain) -> Iterator[Event]:
    for at_s in _every(dice, 40, 70, seconds * FLOW_SHARE) if terrain.has_issuer else ():
        yield Event(at_s, What.EMPTY, terrain.network, {"for_s": round(dice.uniform(3, 6), 2)})


def _withdrawals(dice: Random, seconds: float, terrain: Terrain, count: int) -> Iterator[Event]:
    """Most are small and paid at once; people are asked about some, and some are cancelled."""
    for n in range(count):
        at_s = round(dice.uniform(0, seconds * FLOW_SHARE), 2)
        rare = dice.random() < 0.25
        people = dice.choices(list(People), weights=(48, 14, 6, 12, 8, 6, 6))[0]
        asked = people in (People.APPROVE, People.REJECT, People.APPROVE_AND_CANCEL)
        coin = terrain.coins[-1 if rare and not asked else 0]
        words = {
            "n": n,
            "asset": coin.code,
            "amount": amount(coin, dice.randint(100, 140), asked) if asked else amount(coin, dice.randint(200, 4000)),
            "people": people.value,
            "after_s": round(dice.choice((0, 0, 0.1, 0.4, 1.0)), 2),
        }
        yield Event(at_s, What.WITHDRAW, terrain.network, words)


def amount(coin: Coin, percent: int, asked: bool = False) -> str:
    """So much of the least amount, or of that from which on people are asked: small enough for every daily cap."""
    return format((Decimal(coin.quorum_from if asked else coin.least) * percent / 100).normalize(), "f")
