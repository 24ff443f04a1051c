"""Random facts in, never two payments: the pure core driven over a true little network that does its worst.

Two deliverers that know nothing of each other work on the same slots. Looks are cut in two, come late, lie by silence
or lag; bytes are lost, swallowed or resurface when nobody expects them; blocks are reorganised up to one short of
finality; the key is used elsewhere. Whatever the order, a withdrawal is paid at most once and settled only as it was
paid; and once the faults stop, everything ends. What a stranger consumed people give up by proof, and it is paid anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain import fee as fees
from domain import payout
from domain.asset import Asset
from domain.network import FeeRules, Network
from domain.payout import Act, Facts, Fee, Final, Inclusion, Offer, Payment, Sighting, Slot, Step, Version
from domain.procedure import PROVEN
from tests.fakes.chain import ModelChain, Tx, signed

GWEI = 10**9
K = 3
WALLET = "0x00000000000000000000000000000000000000aa"
COIN = Asset("ETH-TEST", "ETH", "test", 18)
RULES = FeeRules(price_floor=1, tip_floor=1, price_cap=400 * GWEI, network_fee_cap=400 * GWEI * 25_200, bump_after_s=48)
NETWORK = Network("test", "Test", "evm", 1, COIN.id, 12_000, K, RULES, date(2026, 11, 21))
BUMP_AFTER = timedelta(seconds=RULES.bump_after_s)
WORKERS = st.integers(0, 1)
PICKS = st.integers(0, 7)
SLOTS_MAX = 24
FATES = st.sampled_from(["taken", "reply lost", "swallowed", "unreachable"])


@dataclass
class Bound:
    """A slot and everything that survives a restart."""

    slot: Slot
    withdrawal: int
    versions: list[Version] = field(default_factory=list)
    settled: Final | None = None
    void: bool = False
    consumer: str | None = None

    @property
    def open(self) -> bool:
        return self.settled is None and self.consumer is None


@dataclass
class Look:
    """A look that has read the nonces and not yet the receipts."""

    bound: Bound
    versions: list[Version]
    heads: tuple[int, int]
    final_block: int
    used: bool
    complete: bool


class PayoutMachine(RuleBasedStateMachine):
    rule_of_payout = staticmethod(payout.decide)

    def __init__(self) -> None:
        super().__init__()
        self.chain = ModelChain(NETWORK, {COIN.id: COIN}, base_fee=GWEI, tip=GWEI)
        self.gossip: dict[str, Tx] = {}
        self.strangers: set[str] = set()
        self.bound: list[Bound] = []
        self.withdrawals = 0
        self.halted: str | None = None
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.looks: list[Look | None] = [None, None]
        self.known: list[tuple[Bound, list[Version], Facts] | None] = [None, None]
        self.offers: list[dict[str, Offer]] = [{}, {}]

    @initialize()
    def open_wallet(self) -> None:
        self.chain.fund(COIN.id, WALLET, 10**24)
        self.request()
        self.request()

    # ------------------------------------------------------------ what we do
    @precondition(lambda self: len(self.bound) < 6 and self.halted is None)
    @rule()
    def request(self) -> None:
        self.withdrawals += 1
        self.plan(self.withdrawals)

    @precondition(lambda self: len(self.bound) < 6 and self.halted is None)
    @rule(pick=PICKS)
    def pay_anew_what_was_proven_unpaid(self, pick: int) -> None:
        latest = {bound.withdrawal: bound for bound in self.bound}
        failed = [bound for bound in latest.values() if bound.settled is not None and not bound.settled.paid]
        if failed:
            self.plan(failed[pick % len(failed)].withdrawal)

    @precondition(lambda self: self.bound)
    @rule(worker=WORKERS, pick=PICKS, lags=st.tuples(st.integers(0, 4), st.integers(0, 4)), silent=st.booleans())
    def begin_look(self, worker: int, pick: int, lags: tuple[int, int], silent: bool) -> None:
        bound = self.bound[pick % len(self.bound)]
        heads = (max(0, self.chain.head - lags[0]), max(0, self.chain.head - lags[1]))
        final_block = min(heads) - K + 1
        nonce = int(bound.slot.scarce)
        used = not silent and final_block >= 0 and self.chain.count(WALLET, final_block) > nonce
        self.looks[worker] = Look(bound, list(bound.versions), heads, final_block, used, not silent)

    @rule(worker=WORKERS, blind=st.tuples(st.booleans(), st.booleans()))
    def end_look(self, worker: int, blind: tuple[bool, bool]) -> None:
        look = self.looks[worker]
        if look is None:
            return
        self.looks[worker] = None
        heads = [head for head, lies in zip(look.heads, blind, strict=True) if not lies]
        sightings = tuple(self._sighting(version.txid, heads) for version in look.versions)
        consumer = None
        if look.used and not any(s.inclusion for s in sightings):
            consumer = self.chain.spender(WALLET, int(look.bound.slot.scarce), look.final_block)
        facts = Facts(
            min(look.heads), look.final_block, look.used, consumer, sightings, self.now, complete=look.complete
        )
        self.known[worker] = (look.bound, look.versions, facts)

    @rule(worker=WORKERS, fate=FATES)
    def act(self, worker: int, fate: str) -> None:
        known = self.known[worker]
        if known is not None and self.halted is None:
            self.follow(worker, *known, fate)

    @rule(worker=WORKERS, pick=PICKS, fate=FATES)
    def look_and_act(self, worker: int, pick: int, fate: str) -> None:
        if self.bound:
            self.begin_look(worker, pick, (0, 0), False)
            self.end_look(worker, (False, False))
            self.act(worker, fate)

    @rule(worker=WORKERS, fates=st.lists(FATES, min_size=1, max_size=3))
    def work_on_all(self, worker: int, fates: list[str]) -> None:
        for pick in range(len(self.bound)):
            self.look_and_act(worker, pick, fates[pick % len(fates)])

    @rule(worker=WORKERS, fates=st.lists(FATES, min_size=1, max_size=3))
    def work_later(self, worker: int, fates: list[str]) -> None:
        self.now += BUMP_AFTER
        self.work_on_all(worker, fates)

    @rule(worker=WORKERS)
    def restart(self, worker: int) -> None:
        self.looks[worker], self.known[worker], self.offers[worker] = None, None, {}

    @precondition(lambda self: self.bound and self.halted is None)
    @rule(pick=PICKS)
    def void(self, pick: int) -> None:
        """People endorse that a slot ends without a payment: from here on nothing signed for it pays."""
        bound = self.bound[pick % len(self.bound)]
        if bound.open:
            bound.void = True
            self.sign_above(bound)

    @precondition(lambda self: self.bound and self.halted is None)
    @rule(pick=PICKS)
    def speed_up(self, pick: int) -> None:
        """A person asks for a bump, whatever was seen or is left of the patience."""
        bound = self.bound[pick % len(self.bound)]
        if bound.open:
            self.sign_above(bound)

    # ------------------------------------------------------------ what the world does
    @rule(picks=st.lists(PICKS, max_size=4), blocks=st.integers(1, 3))
    def mine(self, picks: list[int], blocks: int) -> None:
        """The miner has the pool, and any transaction that was ever sent anywhere."""
        self.chain.mine(blocks, self._resurfaced(picks))

    @precondition(lambda self: self.chain.head > K)
    @rule(depth=st.integers(1, K - 1), picks=st.lists(PICKS, max_size=4))
    def reorg(self, depth: int, picks: list[int]) -> None:
        self.chain.reorg(depth, [self._resurfaced(picks)])

    @rule()
    def empty_the_pool(self) -> None:
        self.chain.pool.clear()

    @rule(seconds=st.sampled_from([1, 30, 60]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(gwei=st.sampled_from([1, 5, 100, 1000]))
    def move_market(self, gwei: int) -> None:
        self.chain.base_fee = gwei * GWEI

    @rule()
    def break_or_mend(self) -> None:
        """While broken, every included payment reverts."""
        self.chain.broken ^= {COIN.id}

    @precondition(lambda self: self.bound)
    @rule(pick=PICKS, luck=st.integers(0, 2))
    def stranger_signs(self, pick: int, luck: int) -> None:
        if luck:
            return
        nonce = int(self.bound[pick % len(self.bound)].slot.scarce)
        tx = Tx(1, WALLET, nonce, COIN.id, "0x" + "ff" * 20, 1, 25_200, 300 * GWEI, GWEI, "stranger")
        self.strangers.add(tx.txid)
        self.gossip[tx.txid] = tx

    # ------------------------------------------------------------ what must hold, always
    @invariant()
    def nobody_is_paid_twice(self) -> None:
        for withdrawal in range(1, self.withdrawals + 1):
            times = self._payments(withdrawal)
            assert times <= 1, f"withdrawal {withdrawal} was paid {times} times"

    @invariant()
    def what_is_settled_is_true(self) -> None:
        for bound in self.bound:
            if bound.settled is None:
                continue
            found = self.chain.find(bound.settled.txid)
            assert found is not None, "settled by a transaction that is not on the chain"
            assert found[1].moved == bound.settled.paid, "settled otherwise than it was paid"

    @invariant()
    def no_new_slot_while_an_old_one_may_live(self) -> None:
        open_slots = [bound.withdrawal for bound in self.bound if bound.open]
        paid = [bound.withdrawal for bound in self.bound if bound.settled is not None and bound.settled.paid]
        assert len(open_slots + paid) == len(set(open_slots + paid))

    @invariant()
    def the_wallet_halts_only_for_a_stranger(self) -> None:
        assert self.halted is None or any(txid in self.halted for txid in self.strangers), self.halted

    def teardown(self) -> None:
        """The faults stop: everything ends, settled, or halted because a stranger was proven."""
        self.chain.base_fee, self.chain.broken = GWEI, set()
        for _ in range(60):
            self.now += BUMP_AFTER / 4
            for pick in range(len(self.bound)):
                self.look_and_act(0, pick, "taken")
            self.chain.mine()
            if self.halted or all(bound.settled for bound in self.bound):
                break
        assert self.halted or all(bound.settled for bound in self.bound), "no progress although the faults stopped"
        self.nobody_is_paid_twice()
        self.what_is_settled_is_true()

    # ------------------------------------------------------------ how it is done
    def plan(self, withdrawal: int) -> None:
        nonce = str(len(self.bound))
        payment = Payment(f"wd_{withdrawal}", COIN.id, "1000", self._recipient(withdrawal))
        slot_id = payout.slot_id(NETWORK.id, WALLET, nonce)
        slot = Slot(slot_id, NETWORK.id, WALLET, nonce, (payment,), str(RULES.network_fee_cap), K)
        self.bound.append(Bound(slot, withdrawal))
        self.sign(self.bound[-1], Fee(25_200, 3 * GWEI, GWEI))

    def sign_above(self, bound: Bound) -> None:
        """A version that takes the place of all before it, if the caps leave room for one."""
        market = fees.choose(fees.Market(self.chain.base_fee, self.chain.tip), 25_200, RULES, RULES.network_fee_cap)
        fee = market and fees.bump(bound.versions[-1].fee, market, RULES, int(bound.slot.fee_cap))
        if fee is not None:
            self.sign(bound, fee)

    def sign(self, bound: Bound, fee: Fee) -> None:
        """Stored before anybody else sees it; signing the same fee twice gives the same version. The signer remembers
        what was voided, whoever asks.
        """
        slot, payment = bound.slot, bound.slot.payments[0]
        if bound.consumer is not None:
            return  # the signer was shown who gave it up
        tx = Tx(
            1,
            WALLET,
            int(slot.scarce),
            payment.asset,
            WALLET if bound.void else payment.recipient,
            0 if bound.void else 1000,
            fee.weight,
            fee.price,
            fee.tip,
            slot.id,
        )
        version = signed(payout.Draft(slot.id, tx.unsigned, fee), len(bound.versions) + 1, self.now)
        if version.txid not in {stored.txid for stored in bound.versions}:
            bound.versions.append(version)

    def follow(self, worker: int, bound: Bound, versions: list[Version], facts: Facts, fate: str) -> None:
        offer = self.offers[worker].get(bound.slot.id)
        next_fee = None
        if payout.bump_due(versions, facts, offer, BUMP_AFTER, self.now):
            market = fees.choose(fees.Market(self.chain.base_fee, self.chain.tip), 25_200, RULES, RULES.network_fee_cap)
            next_fee = market and fees.bump(versions[-1].fee, market, RULES, int(bound.slot.fee_cap))
        step = self.rule_of_payout(
            bound.slot,
            versions,
            facts,
            offer=offer,
            next_fee=next_fee,
            bump_after=BUMP_AFTER,
            now=self.now,
            settled=bound.settled,
        )
        if bound.consumer is not None and step.act is not Act.FINAL:
            return  # a teller who comes late finds it given up in the books
        if step.act is Act.OFFER:
            version = next(version for version in versions if version.number == step.offer)
            low = self.offer(version, fate)
            self.offers[worker][bound.slot.id] = payout.offered(offer, version.number, self.now, underpriced=low)
        elif step.act is Act.BUMP and step.fee is not None:
            self.sign(bound, step.fee)
        elif step.act is Act.FINAL and step.final is not None:
            assert bound.settled in (None, step.final), "a settled slot was settled otherwise"
            assert bound.consumer is None, "a slot that was given up was consumed by us"
            bound.settled = step.final
        elif step.act is Act.HALT:
            self.halted = step.reason

    def offer(self, version: Version, fate: str) -> bool:
        """Sends the bytes into whatever awaits them; True when a node called them underpriced."""
        tx = Tx.read(version.raw)
        if fate in ("taken", "reply lost"):
            self.gossip[tx.txid] = tx
            return self.chain.submit(tx) == "BROADCAST_UNDERPRICED" and fate == "taken"
        if fate == "swallowed":
            self.gossip[tx.txid] = tx  # some node keeps it to itself, and may bring it back much later
        return False

    def _sighting(self, txid: str, heads: list[int]) -> Sighting:
        found = next((found for head in heads if (found := self.chain.find(txid, head))), None)
        if found is None:
            return Sighting(txid, bool(heads) and txid in self.chain.pool, None)
        block, outcome = found
        seen = Inclusion(block.number, block.hash, outcome.succeeded, outcome.moved, str(outcome.cost))
        return Sighting(txid, True, seen)

    def _resurfaced(self, picks: list[int]) -> list[Tx]:
        known = sorted(self.gossip.values(), key=lambda tx: (tx.nonce, tx.txid))
        return [known[pick % len(known)] for pick in picks] if known else []

    def _recipient(self, withdrawal: int) -> str:
        return f"0x{withdrawal:040x}"

    def _payments(self, withdrawal: int) -> int:
        to = self._recipient(withdrawal)
        return sum(o.moved and o.tx.recipient == to for block in self.chain.blocks for o in block.outcomes)


class ReplanMachine(PayoutMachine):
    """The same, and people who give slots up that a stranger consumed, at any moment and with looks of any age."""

    rule_of_proof = staticmethod(payout.consumption)

    @rule(worker=WORKERS)
    def replan(self, worker: int) -> None:
        """People name whom a look of any age shows as the slot's consumer, whoever that is: it takes a proof, and then
        its payment is paid anew from another slot.
        """
        known = self.known[worker]
        if known is not None and len(self.bound) < SLOTS_MAX:
            bound, _, facts = known
            self.give_up(bound, facts, self.named(bound))

    @rule(worker=WORKERS)
    def resume(self, worker: int) -> None:
        self.halted = None
        self.restart(worker)

    def teardown(self) -> None:
        """The faults stop, and people see to what a stranger took: everything ends settled."""
        self.chain.base_fee, self.chain.broken = GWEI, set()
        for _ in range(120):
            self.now += BUMP_AFTER / 4
            for pick in range(len(self.bound)):
                self.halted = None
                self.look_and_act(0, pick, "taken")
                if self.halted:
                    self.replan(0)
            self.chain.mine()
            if not any(bound.open for bound in self.bound):
                break
        self.nobody_is_paid_twice()
        assert not any(bound.open for bound in self.bound), "no progress although the faults stopped"
        self.what_is_settled_is_true()
        self.nothing_is_lost()

    def nothing_is_lost(self) -> None:
        """Each withdrawal was paid, or its last slot ended with the proof that it was not."""
        latest = {bound.withdrawal: bound for bound in self.bound}
        assert set(latest) == set(range(1, self.withdrawals + 1))
        for withdrawal, bound in latest.items():
            assert bound.settled is not None, f"withdrawal {withdrawal} ended with nothing"
            assert bound.settled.paid == bool(self._payments(withdrawal))

    def named(self, bound: Bound) -> str:
        """Whom people see at the head of the chain, or a transaction nobody ever saw."""
        return self.chain.spender(WALLET, int(bound.slot.scarce), self.chain.head) or "0x" + "ee" * 32

    def give_up(self, bound: Bound, facts: Facts, consumer: str) -> None:
        """As the books do: the versions are read after the look, an open slot is given up once, its payment planned."""
        if bound.open and self.rule_of_proof(bound.versions, facts, consumer) == PROVEN:
            bound.consumer = consumer
            self.plan(bound.withdrawal)


class NaiveMachine(PayoutMachine):
    """The rule of too many senders: no word of it in time, so it is lost, so it is sent anew under the next nonce."""

    def follow(self, worker: int, bound: Bound, versions: list[Version], facts: Facts, fate: str) -> None:
        if bound.settled is not None:
            return
        offer = self.offers[worker].get(bound.slot.id)
        if (seen := payout.inclusion(facts)) is not None:
            txid, inclusion = seen
            bound.settled = Final(txid, inclusion.block, inclusion.block_hash, inclusion.delivered, inclusion.fee_units)
        elif offer is None:
            self.offer(versions[-1], fate)
            self.offers[worker][bound.slot.id] = payout.offered(None, 1, self.now)
        elif self.now - offer.since >= BUMP_AFTER and len(self.bound) < 8:
            bound.settled = Final("given up", 0, "", False, "0")
            self.plan(bound.withdrawal)

    def what_is_settled_is_true(self) -> None:
        """Not claimed by this rule."""

    def no_new_slot_while_an_old_one_may_live(self) -> None:
        """Not claimed by this rule."""

    def teardown(self) -> None:
        """Nothing is promised about its end either."""


def believes_the_first_sight(slot: Slot, versions: Sequence[Version], facts: Facts, **rest: Any) -> Step:
    seen = payout.inclusion(facts) is not None
    return payout.decide(slot, versions, replace(facts, final_block=facts.head, used=seen or facts.used), **rest)


def forgets_old_versions(slot: Slot, versions: Sequence[Version], facts: Facts, **rest: Any) -> Step:
    return payout.decide(slot, versions[-1:], facts, **rest)


def takes_silence_for_a_stranger(slot: Slot, versions: Sequence[Version], facts: Facts, **rest: Any) -> Step:
    hidden = facts.used and payout.inclusion(facts) is None
    return payout.decide(slot, versions, replace(facts, consumer="nobody") if hidden else facts, **rest)


def believes_people(versions: Sequence[Version], facts: Facts, named: str) -> str:
    return PROVEN


PACE = settings(
    max_examples=250,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
FIXED = settings(
    PACE, max_examples=400, derandomize=True, database=None, report_multiple_bugs=False, phases=[Phase.generate]
)


def test_whatever_happens_nobody_is_paid_twice_and_everything_ends() -> None:
    run_state_machine_as_test(PayoutMachine, settings=PACE)


def test_what_a_stranger_consumed_is_paid_anew_and_never_twice() -> None:
    run_state_machine_as_test(ReplanMachine, settings=PACE)


def test_the_same_world_makes_the_naive_rule_pay_twice() -> None:
    """The harness can fail: with the rule "timeout, so send anew" it finds a double payment."""
    with pytest.raises(AssertionError, match="was paid 2 times"):
        run_state_machine_as_test(NaiveMachine, settings=FIXED)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (believes_the_first_sight, "settled by a transaction that is not on the chain"),
        (forgets_old_versions, "no progress although the faults stopped"),
        (takes_silence_for_a_stranger, "consumed at final depth by nobody"),
    ],
)
def test_the_same_world_finds_each_shortcut(wrong: Callable[..., Step], found: str) -> None:
    machine = type("WrongMachine", (PayoutMachine,), {"rule_of_payout": staticmethod(wrong)})
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(machine, settings=FIXED)


def test_the_same_world_finds_a_slot_given_up_without_proof() -> None:
    machine = type("RashMachine", (ReplanMachine,), {"rule_of_proof": staticmethod(believes_people)})
    with pytest.raises(AssertionError, match=r"was paid 2 times|was consumed by us|no progress"):
        run_state_machine_as_test(machine, settings=FIXED)
