"""Where nothing but time excludes two versions: random worlds in which a payment is signed again and never paid twice.

Blocks come every three seconds, some slots are skipped, and the last eighteen may be replaced at any moment. Bytes that
were ever sent anywhere may be included by anybody as long as the parent of their block is younger than their
expiration. Nodes lag, forget history, hide results, fall silent and name blocks of no chain; two deliverers that know
nothing of each other work on the same slots through one signer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain import payout
from domain.payout import Act, Facts, Fee, Final, Inclusion, Offer, Payment, Sighting, Slot, Version

LAG = 18
SLOT_MS = 3000
WINDOW_MS = 20 * SLOT_MS
START = datetime(2026, 1, 1, tzinfo=UTC)
BUMP_AFTER = timedelta(seconds=20)
FEE = Fee(1_000_000, 1, 0)
WORKERS = st.integers(0, 1)
PICKS = st.integers(0, 15)
FATES = st.sampled_from(["taken", "reply lost", "swallowed", "unreachable"])


@dataclass(frozen=True)
class Attempt:
    """A signed transaction as the network sees it. `reference`: the height and the hash of the solid block it names."""

    txid: str
    withdrawal: int
    reference: int
    reference_hash: str
    expires_at_ms: int


@dataclass(frozen=True)
class Block:
    number: int
    salt: int
    at_ms: int
    parent_ms: int
    paid: dict[str, bool]  # txid -> whether it did what it should

    @property
    def hash(self) -> str:
        return f"{self.number}/{self.salt}"


@dataclass
class Chain:
    """The network: its best branch, of which the last LAG blocks may still be replaced."""

    blocks: list[Block] = field(default_factory=lambda: [Block(0, 0, 0, -1, {})])
    broken: bool = False
    salt: int = 0

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    @property
    def solid(self) -> int:
        return max(0, self.head.number - LAG)

    def mine(self, txs: Sequence[Attempt], skipped: int = 0) -> None:
        parent = self.head
        known = {txid for block in self.blocks for txid in block.paid}
        fits = [tx for tx in txs if tx.txid not in known and parent.at_ms < tx.expires_at_ms and self.names(tx)]
        at_ms = parent.at_ms + SLOT_MS * (1 + skipped)
        paid = {tx.txid: not self.broken for tx in fits}
        self.blocks.append(Block(parent.number + 1, self.salt, at_ms, parent.at_ms, paid))

    def fork(self, depth: int, txs: Sequence[Sequence[Attempt]]) -> None:
        """Another branch, one block longer, takes the place of the last `depth` blocks."""
        depth = min(depth, LAG, self.head.number)
        del self.blocks[len(self.blocks) - depth :]
        self.salt += 1
        for at in range(depth + 1):
            self.mine(txs[at] if at < len(txs) else ())

    def names(self, tx: Attempt) -> bool:
        """Whether the block that the bytes name is one of this branch; otherwise no block of it may hold them."""
        return self.blocks[tx.reference].hash == tx.reference_hash

    def find(self, txid: str, through: int) -> Block | None:
        return next((block for block in self.blocks[: through + 1] if txid in block.paid), None)


@dataclass
class Bound:
    """A slot, the books' versions of it and the signer's memory of it."""

    slot: Slot
    withdrawal: int
    versions: list[Version] = field(default_factory=list)
    settled: Final | None = None


@dataclass
class Look:
    """A look that has read solid blocks and not yet asked where the versions are."""

    bound: Bound
    versions: list[Version]
    solid: int
    absent: dict[str, int | None]
    complete: bool


class ResignMachine(RuleBasedStateMachine):
    rule_of_payout = staticmethod(payout.decide)

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.attempts: dict[str, Attempt] = {}
        self.pool: dict[str, Attempt] = {}
        self.gossip: dict[str, Attempt] = {}
        self.bound: list[Bound] = []
        self.withdrawals = 0
        self.halted: str | None = None
        self.looks: list[Look | None] = [None, None]
        self.known: list[tuple[Bound, list[Version], Facts] | None] = [None, None]
        self.offers: list[dict[str, Offer]] = [{}, {}]
        self.clock_ahead_s = 0
        self.node_lies = False

    @property
    def now(self) -> datetime:
        return START + timedelta(milliseconds=self.chain.head.at_ms, seconds=self.clock_ahead_s)

    @initialize()
    def open_wallet(self) -> None:
        self._mine(25, [])
        self.request()

    # ------------------------------------------------------------ what we do
    @precondition(lambda self: len(self.bound) < 3 and self.halted is None)
    @rule()
    def request(self) -> None:
        self.withdrawals += 1
        self.plan(self.withdrawals)

    @precondition(lambda self: len(self.bound) < 4 and self.halted is None)
    @rule(pick=PICKS)
    def pay_anew_what_was_proven_unpaid(self, pick: int) -> None:
        latest = {bound.withdrawal: bound for bound in self.bound}
        failed = [bound for bound in latest.values() if bound.settled is not None and not bound.settled.paid]
        if failed:
            self.plan(failed[pick % len(failed)].withdrawal)

    @precondition(lambda self: self.bound)
    @rule(worker=WORKERS, pick=PICKS, lag=st.integers(0, 25), silent=st.booleans(), forgets=st.booleans())
    def begin_look(self, worker: int, pick: int, lag: int, silent: bool, forgets: bool) -> None:
        bound = self.bound[pick % len(self.bound)]
        solid = max(0, self.chain.solid - lag)
        absent = {v.txid: self.absent_through(self.attempts[v.txid], solid, forgets) for v in bound.versions}
        self.looks[worker] = Look(bound, list(bound.versions), solid, absent, not silent)

    @rule(worker=WORKERS, hides=st.booleans())
    def end_look(self, worker: int, hides: bool) -> None:
        look = self.looks[worker]
        if look is None:
            return
        self.looks[worker] = None
        sightings = tuple(self.sighting(version.txid, look, hides) for version in look.versions)
        used = any(s.inclusion is not None and s.inclusion.block <= look.solid for s in sightings)
        head = self.chain.head.number
        facts = Facts(head, look.solid, used, None, sightings, self.now, complete=look.complete)
        self.known[worker] = (look.bound, look.versions, facts)

    @rule(worker=WORKERS, fate=FATES)
    def act(self, worker: int, fate: str) -> None:
        known = self.known[worker]
        if known is not None and self.halted is None:
            self.follow(worker, *known, fate)

    @precondition(lambda self: self.bound)
    @rule(worker=WORKERS, pick=PICKS, fate=FATES)
    def look_and_act(self, worker: int, pick: int, fate: str) -> None:
        self.begin_look(worker, pick, 0, False, False)
        self.end_look(worker, False)
        self.act(worker, fate)

    @rule(worker=WORKERS, fates=st.lists(FATES, min_size=1, max_size=3))
    def work_on_all(self, worker: int, fates: list[str]) -> None:
        for pick in range(len(self.bound)):
            self.look_and_act(worker, pick, fates[pick % len(fates)])

    @rule(worker=WORKERS, blocks=st.integers(18, 45), fates=st.lists(FATES, min_size=1, max_size=3))
    def work_later(self, worker: int, blocks: int, fates: list[str]) -> None:
        self._mine(blocks, [])
        self.work_on_all(worker, fates)

    @rule(worker=WORKERS)
    def restart(self, worker: int) -> None:
        self.looks[worker], self.known[worker], self.offers[worker] = None, None, {}

    # ------------------------------------------------------------ what the world does
    @rule(
        blocks=st.integers(1, 25),
        skipped=st.integers(0, 3),
        takes_pool=st.booleans(),
        picks=st.lists(PICKS, max_size=3),
    )
    def mine(self, blocks: int, skipped: int, takes_pool: bool, picks: list[int]) -> None:
        """Producers take the pool or leave it, and any bytes that were ever sent anywhere."""
        first = [*(self.pool.values() if takes_pool else ()), *self._resurfaced(picks)]
        self.chain.mine(first, skipped)
        self._mine(blocks - 1, [])

    @rule(depth=st.integers(1, LAG), at=st.integers(0, 4), picks=st.lists(PICKS, min_size=1, max_size=4))
    def fork(self, depth: int, at: int, picks: list[int]) -> None:
        """The winning branch holds what somebody still had, in one of its blocks; the rest is gone."""
        self.chain.fork(depth, [*([()] * min(at, depth)), self._resurfaced(picks)])

    @rule()
    def empty_the_pool(self) -> None:
        self.pool.clear()

    @rule()
    def break_or_mend(self) -> None:
        """While broken, every included payment fails on chain."""
        self.chain.broken = not self.chain.broken

    @rule(seconds=st.sampled_from([-600, 0, 600]))
    def skew_our_clock(self, seconds: int) -> None:
        self.clock_ahead_s = seconds

    @rule()
    def a_node_begins_or_ends_to_name_blocks_of_no_chain(self) -> None:
        self.node_lies = not self.node_lies

    # ------------------------------------------------------------ what must hold, always
    @invariant()
    def nobody_is_paid_twice(self) -> None:
        for withdrawal in range(1, self.withdrawals + 1):
            times = self.times_paid(withdrawal)
            assert times <= 1, f"withdrawal {withdrawal} was paid {times} times"

    @invariant()
    def what_is_settled_is_true(self) -> None:
        for bound in self.bound:
            if bound.settled is not None:
                found = self.chain.find(bound.settled.txid, self.chain.head.number)
                assert found is not None, "settled by a transaction that is not on the chain"
                assert found.paid[bound.settled.txid] == bound.settled.paid, "settled otherwise than it was paid"

    @invariant()
    def nothing_halts(self) -> None:
        assert self.halted is None, self.halted

    def teardown(self) -> None:
        """The faults stop: everything ends."""
        self.chain.broken, self.clock_ahead_s, self.node_lies = False, 0, False
        for _ in range(160):
            for pick in range(len(self.bound)):
                self.look_and_act(0, pick, "taken")
            self.chain.mine(list(self.pool.values()))
            if all(bound.settled for bound in self.bound):
                break
        assert all(bound.settled for bound in self.bound), "no progress although the faults stopped"
        self.nobody_is_paid_twice()
        self.what_is_settled_is_true()

    # ------------------------------------------------------------ what a look can see
    def absent_through(self, tx: Attempt, solid: int, forgets: bool) -> int | None:
        """Solid blocks from the reference on, without a gap, up to the first that reaches the expiration. Where another
        block than the one named is solid there, by all nodes' word, it is enough that solid time has reached it.
        """
        if forgets:
            return None
        if self.seems_foreign(tx):
            at_ms = self.chain.blocks[solid].at_ms
            return at_ms if solid >= tx.reference and at_ms >= tx.expires_at_ms else None
        for block in self.chain.blocks[tx.reference : solid + 1]:
            if tx.txid in block.paid:
                return None
            if block.at_ms >= tx.expires_at_ms:
                return block.at_ms
        return None

    def seems_foreign(self, tx: Attempt) -> bool:
        """While a node lies the nodes do not agree on the block, and nothing follows from it."""
        return not self.node_lies and not self.chain.names(tx)

    def sighting(self, txid: str, look: Look, hides: bool) -> Sighting:
        block = None if hides else self.chain.find(txid, self.chain.head.number)
        inclusion = None
        if block is not None:
            inclusion = Inclusion(block.number, block.hash, block.paid[txid], block.paid[txid], "345000")
        expires_at_ms = self.attempts[txid].expires_at_ms
        return Sighting(txid, block is not None or txid in self.pool, inclusion, expires_at_ms, look.absent.get(txid))

    # ------------------------------------------------------------ how it is done
    def plan(self, withdrawal: int) -> None:
        number = str(len(self.bound))
        payment = Payment(f"wd_{withdrawal}", "TRX-TRON", "1000", f"T{withdrawal}")
        slot = Slot(payout.slot_id("tron", "TW", number), "tron", "TW", number, (payment,), "30000000", LAG + 1)
        self.bound.append(Bound(slot, withdrawal))
        self.sign(self.bound[-1], ())

    def sign(self, bound: Bound, after: tuple[str, ...]) -> None:
        """The signer: the last version again, unless the order names every one as dead."""
        if {version.txid for version in bound.versions} - set(after):
            return
        number = len(bound.versions) + 1
        expires = self.chain.head.at_ms + WINDOW_MS
        named = "foreign" if self.node_lies else self.chain.blocks[self.chain.solid].hash
        tx = Attempt(f"{bound.slot.id}#{number}", bound.withdrawal, self.chain.solid, named, expires)
        self.attempts[tx.txid] = tx
        bound.versions.append(Version(bound.slot.id, number, tx.txid, tx.txid, FEE, self.now))

    def follow(self, worker: int, bound: Bound, versions: list[Version], facts: Facts, fate: str) -> None:
        offer = self.offers[worker].get(bound.slot.id)
        step = self.rule_of_payout(
            bound.slot,
            versions,
            facts,
            offer=offer,
            next_fee=FEE,
            bump_after=BUMP_AFTER,
            now=self.now,
            settled=bound.settled,
        )
        if step.act is Act.OFFER:
            version = next(version for version in versions if version.number == step.offer)
            self.offer(self.attempts[version.txid], fate)
            self.offers[worker][bound.slot.id] = payout.offered(offer, version.number, self.now)
        elif step.act is Act.BUMP:
            self.sign(bound, step.after)
        elif step.act is Act.FINAL and step.final is not None:
            assert bound.settled in (None, step.final), "a settled slot was settled otherwise"
            bound.settled = step.final
        elif step.act is Act.HALT:
            self.halted = step.reason

    def offer(self, tx: Attempt, fate: str) -> None:
        if fate != "unreachable":
            self.gossip[tx.txid] = tx  # somebody may keep it to himself, and bring it back much later
        if fate in ("taken", "reply lost"):
            self.pool[tx.txid] = tx

    def times_paid(self, withdrawal: int) -> int:
        txids = [txid for txid, tx in self.attempts.items() if tx.withdrawal == withdrawal]
        return sum(block.paid.get(txid, False) for block in self.chain.blocks for txid in txids)

    def _mine(self, blocks: int, txs: Sequence[Attempt]) -> None:
        for _ in range(blocks):
            self.chain.mine(txs)

    def _resurfaced(self, picks: list[int]) -> list[Attempt]:
        """Bytes somebody kept, of those that some branch could still hold."""
        oldest_ms = self.chain.head.at_ms - LAG * SLOT_MS
        known = [tx for _, tx in sorted(self.gossip.items()) if tx.expires_at_ms > oldest_ms]
        return [known[pick % len(known)] for pick in picks] if known else []


# ---------------------------------------------------------------- rules that pay twice
class NaiveMachine(ResignMachine):
    """The rule of too many senders: the head is past the expiration and does not know it, so it is sent anew."""

    def absent_through(self, tx: Attempt, solid: int, forgets: bool) -> int | None:
        return self.chain.head.at_ms if self.chain.find(tx.txid, self.chain.head.number) is None else None


class ForgetfulMachine(ResignMachine):
    """Solid time, but the absence is the word of a node that keeps no history."""

    def absent_through(self, tx: Attempt, solid: int, forgets: bool) -> int | None:
        return self.chain.blocks[solid].at_ms

    def sighting(self, txid: str, look: Look, hides: bool) -> Sighting:
        return super().sighting(txid, look, hides=True)


class AbsenceFirstMachine(ResignMachine):
    """Both halves of the proof, in the wrong order: absent from solid history then, solid time reached now."""

    def absent_through(self, tx: Attempt, solid: int, forgets: bool) -> int | None:
        return 0 if self.chain.find(tx.txid, solid) is None else None

    def sighting(self, txid: str, look: Look, hides: bool) -> Sighting:
        seen = super().sighting(txid, look, True)
        reached = None if seen.absent_through_ms is None else self.chain.blocks[self.chain.solid].at_ms
        return replace(seen, absent_through_ms=reached)


class OneWordMachine(ResignMachine):
    """The block that the bytes name is asked of one node, which lies: it names another one and they are called dead."""

    def seems_foreign(self, tx: Attempt) -> bool:
        return True

    def sighting(self, txid: str, look: Look, hides: bool) -> Sighting:
        return super().sighting(txid, look, hides=True)


class ClockMachine(ResignMachine):
    """Past the expiration by our own clock."""

    def absent_through(self, tx: Attempt, solid: int, forgets: bool) -> int | None:
        return int((self.now - START).total_seconds() * 1000)


PACE = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SEEDS = range(60)
STEPS = 100


_DOINGS = (
    *("request", "request", "look", "look", "work", "work", "later", "later", "mine"),
    *("fork", "fork", "fork", "fork", "anew", "mend", "skew"),
)


def lived(machine: type[ResignMachine], seed: int) -> tuple[bool, int]:
    """One world of STEPS random steps: (whether somebody was ever paid twice in it, how many times anything was signed
    again).
    """
    dice, lies, world = Random(seed), Random(-1 - seed), machine()
    world.open_wallet()
    for _ in range(STEPS):
        world.node_lies = lies.random() < 0.05
        fates = [dice.choice(["taken", "reply lost", "swallowed", "unreachable"]) for _ in range(3)]
        worker, picks = dice.randrange(2), [dice.randrange(16) for _ in range(dice.randrange(1, 4))]
        match dice.choice(_DOINGS):
            case "request" if sum(bound.settled is None for bound in world.bound) < 4:
                world.request()
            case "anew":
                world.pay_anew_what_was_proven_unpaid(picks[0])
            case "look":
                world.begin_look(worker, picks[0], dice.choice([0, 0, 3, 25]), dice.random() < 0.1, dice.random() < 0.5)
                world.mine(dice.randrange(1, 12), 0, dice.random() < 0.4, picks)
                world.end_look(worker, dice.random() < 0.5)
                world.act(worker, fates[0])
            case "later":
                world.work_later(worker, dice.choice([20, 20, 22, 40]), fates)
            case "mine":
                world.mine(dice.randrange(1, 8), dice.randrange(2), dice.random() < 0.6, [])
            case "fork":
                world.fork(dice.randrange(1, LAG + 1), dice.randrange(4), picks if dice.random() < 0.8 else [])
            case "mend":
                world.chain.broken = dice.random() < 0.2
            case "skew":
                world.skew_our_clock(dice.choice([-600, 0, 600]))
            case _:
                world.work_on_all(worker, fates)
        if any(world.times_paid(withdrawal) > 1 for withdrawal in range(1, world.withdrawals + 1)):
            return True, 0
    world.what_is_settled_is_true()
    return False, sum(len(bound.versions) - 1 for bound in world.bound)


def test_whatever_happens_nobody_is_paid_twice_and_everything_ends() -> None:
    run_state_machine_as_test(ResignMachine, settings=PACE)


def test_in_seeded_worlds_payments_are_signed_again_and_never_paid_twice() -> None:
    lives = [lived(ResignMachine, seed) for seed in SEEDS]
    assert not any(twice for twice, _ in lives)
    assert sum(again for _, again in lives) > 100, "the worlds must make us sign again, or they show nothing"


@pytest.mark.parametrize("machine", [NaiveMachine, ForgetfulMachine, AbsenceFirstMachine, OneWordMachine, ClockMachine])
def test_the_same_worlds_make_a_weaker_proof_pay_twice(machine: type[ResignMachine]) -> None:
    """The harness can fail: each premise of the proof that is left out is found to cost a second payment."""
    assert any(lived(machine, seed)[0] for seed in SEEDS)


def test_a_version_that_still_lives_beside_a_final_one_is_waited_for() -> None:
    slot = Slot("s", "tron", "TW", "1", (Payment("w", "TRX-TRON", "1", "T1"),), "100", LAG + 1)
    versions = [Version("s", n, f"t{n}", f"t{n}", Fee(1, 1, 0), START) for n in (1, 2)]
    paid = Sighting("t1", True, Inclusion(5, "h5", True, True, "1"), 100, None)
    facts = Facts(40, 22, True, None, (paid, Sighting("t2", False, None, 200, None)), START)
    rest: dict[str, Any] = {"offer": None, "next_fee": FEE, "bump_after": BUMP_AFTER, "now": START}
    assert payout.decide(slot, versions, facts, **rest).act is Act.WAIT
    gone = replace(facts, sightings=(paid, Sighting("t2", False, None, 200, 200)))
    assert payout.decide(slot, versions, gone, **rest).act is Act.FINAL


LIVE = Sighting("t1", False, None, expires_at_ms=100, absent_through_ms=None)


@pytest.mark.parametrize(
    ("seen", "is_dead"),
    [
        (LIVE, False),
        (replace(LIVE, absent_through_ms=99), False),
        (replace(LIVE, absent_through_ms=100), True),
        (replace(LIVE, absent_through_ms=100, known=True), True),
        (replace(LIVE, absent_through_ms=100, inclusion=Inclusion(1, "h", False, False, "1")), False),
        (replace(LIVE, expires_at_ms=None, absent_through_ms=100), False),
    ],
)
def test_only_solid_time_and_then_absence_prove_a_version_dead(seen: Sighting, is_dead: bool) -> None:
    assert payout.dead(seen) is is_dead


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: replace(facts, complete=False),
        lambda facts: replace(facts, used=True),
        lambda facts: replace(facts, sightings=facts.sightings[:1]),
    ],
)
def test_a_look_that_missed_a_node_or_a_version_allows_no_new_one(change: Callable[[Facts], Facts]) -> None:
    versions = [Version("s", n, f"t{n}", f"t{n}", Fee(1, 1, 0), START) for n in (1, 2)]
    gone = tuple(Sighting(f"t{n}", False, None, 100, 100) for n in (1, 2))
    facts = Facts(40, 22, False, None, gone, START)
    assert payout.all_dead(versions, facts)
    assert not payout.all_dead(versions, change(facts))
