"""What the facts ask for: each promise of `decide` in one sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import payout
from domain.payout import Act, Facts, Fee, Final, Inclusion, Offer, Payment, Sighting, Slot, Step, Version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUMP_AFTER = timedelta(seconds=48)
K = 3
FEE = Fee(weight=60_000, price=30, tip=2)
SLOT = Slot(
    payout.slot_id("ethereum", "0xAA", "7"),
    "ethereum",
    "0xAA",
    "7",
    (Payment("wd_1", "USDT-ETHEREUM", "5", "0xBB"),),
    str(60_000 * 100),
    K,
)


def version(number: int, fee: Fee = FEE) -> Version:
    return Version(SLOT.id, number, f"0x{number}", "0xraw", fee, NOW)


ONE, TWO = version(1), version(2, Fee(60_000, 34, 3))


def included(block: int, *, succeeded: bool = True, delivered: bool = True, strayed: bool = False) -> Inclusion:
    return Inclusion(block, f"0xb{block}", succeeded, delivered, "1000", strayed)


def look(
    *sightings: Sighting,
    head: int = 100,
    used: bool = False,
    consumer: str | None = None,
    complete: bool = True,
) -> Facts:
    return Facts(head, head - K + 1, used, consumer, sightings, NOW, complete)


def seen(of: Version, inclusion: Inclusion | None = None, known: bool = True) -> Sighting:
    return Sighting(of.txid, known, inclusion)


def decide(
    facts: Facts,
    versions: tuple[Version, ...] = (ONE,),
    offer: Offer | None = None,
    next_fee: Fee | None = None,
    now: datetime = NOW,
    settled: Final | None = None,
) -> Step:
    return payout.decide(
        SLOT, versions, facts, offer=offer, next_fee=next_fee, bump_after=BUMP_AFTER, now=now, settled=settled
    )


def on_offer(number: int = 1, ago_s: int = 0, underpriced: bool = False) -> Offer:
    return Offer(number, NOW - timedelta(seconds=ago_s), NOW, underpriced)


# ---------------------------------------------------------------- the end
def test_final_needs_the_slot_used_at_depth_and_a_version_of_ours_there() -> None:
    step = decide(look(seen(ONE, included(98)), used=True))
    assert step.act is Act.FINAL
    assert step.final == Final("0x1", 98, "0xb98", True, "1000")


def test_a_receipt_alone_is_never_final() -> None:
    """One node shows it deep enough, but not every node says that the slot is used."""
    assert decide(look(seen(ONE, included(98)), used=False)).act is Act.WAIT


def test_one_block_short_of_final_waits() -> None:
    step = decide(look(seen(ONE, included(99)), used=False))
    assert step.act is Act.WAIT
    assert "2 of 3 confirmations" in step.reason


def test_a_look_that_a_reorg_cut_in_two_proves_nothing() -> None:
    """The slot was used at final depth when the nonce was read, yet the receipt now lies above it."""
    assert decide(look(seen(ONE, included(99)), used=True)).act is Act.WAIT


def test_an_older_version_may_win_after_all() -> None:
    step = decide(look(seen(ONE, included(98)), seen(TWO), used=True), (ONE, TWO))
    assert step.final is not None
    assert step.final.txid == ONE.txid


@pytest.mark.parametrize("effect", [{"succeeded": False, "delivered": False}, {"delivered": False}])
def test_a_final_failure_is_final_and_not_paid(effect: dict[str, bool]) -> None:
    step = decide(look(seen(ONE, included(98, **effect)), used=True))
    assert step.act is Act.FINAL
    assert step.final is not None
    assert not step.final.paid


def test_money_that_moved_otherwise_than_ordered_is_for_people() -> None:
    """A fee on the transfer: neither paid nor unpaid."""
    step = decide(look(seen(ONE, included(98, delivered=False, strayed=True)), used=True))
    assert step.act is Act.HALT
    assert ONE.txid in step.reason


# ---------------------------------------------------------------- strangers and silence
def test_a_proven_stranger_halts_by_name() -> None:
    step = decide(look(seen(ONE, known=False), used=True, consumer="0xstranger"))
    assert step.act is Act.HALT
    assert "0xstranger" in step.reason


@pytest.mark.parametrize("consumer", [None, ONE.txid])
def test_used_without_proof_of_a_stranger_asks_again(consumer: str | None) -> None:
    assert decide(look(seen(ONE, known=False), used=True, consumer=consumer)).act is Act.WAIT


def test_our_consumer_is_recognised_among_all_versions() -> None:
    facts = look(seen(ONE, known=False), seen(TWO, known=False), used=True, consumer=ONE.txid)
    assert decide(facts, (ONE, TWO)).act is Act.WAIT


def test_a_slot_used_by_a_stranger_halts_even_before_we_signed() -> None:
    assert decide(look(used=True, consumer="0xstranger"), ()).act is Act.HALT
    assert decide(look(), ()).act is Act.WAIT


def test_foreign_use_is_the_nodes_counting_further_than_we_planned() -> None:
    assert payout.foreign_use(7, 5, 7) is None
    assert payout.foreign_use(7, 5, 8) is not None
    assert payout.foreign_use(7, 8, 8) is not None


# ---------------------------------------------------------------- pressing on
def test_what_was_never_offered_is_offered() -> None:
    step = decide(look(seen(ONE, known=False)))
    assert (step.act, step.offer) == (Act.OFFER, 1)


def test_what_no_node_knows_is_offered_again() -> None:
    step = decide(look(seen(ONE, known=False)), offer=on_offer(ago_s=1))
    assert (step.act, step.offer) == (Act.OFFER, 1)


def test_what_the_nodes_know_is_waited_for() -> None:
    assert decide(look(seen(ONE)), offer=on_offer(ago_s=1)).act is Act.WAIT


def test_the_latest_version_is_offered_even_if_an_older_one_is_known() -> None:
    facts = look(seen(ONE), seen(TWO, known=False))
    assert decide(facts, (ONE, TWO), on_offer(1)).offer == 2
    assert decide(facts, (ONE, TWO), on_offer(2)).offer == 2


def test_a_version_we_never_offered_is_offered_even_if_some_node_has_it() -> None:
    assert decide(look(seen(ONE), seen(TWO)), (ONE, TWO), on_offer(1)).offer == 2


def test_nodes_forget_so_even_known_bytes_are_offered_now_and_then() -> None:
    stale = Offer(1, NOW - timedelta(seconds=30), NOW - timedelta(seconds=30))
    assert decide(look(seen(ONE)), offer=stale).act is Act.OFFER


def test_patience_ends_in_a_bump() -> None:
    step = decide(look(seen(ONE)), offer=on_offer(ago_s=48), next_fee=TWO.fee)
    assert (step.act, step.fee) == (Act.BUMP, TWO.fee)


def test_the_underpriced_get_a_quarter_of_the_patience() -> None:
    assert not payout.bump_due((ONE,), look(seen(ONE)), on_offer(ago_s=13), BUMP_AFTER, NOW)
    assert payout.bump_due((ONE,), look(seen(ONE)), on_offer(ago_s=13, underpriced=True), BUMP_AFTER, NOW)


def test_a_cap_keeps_the_last_bytes_on_offer_and_says_so() -> None:
    step = decide(look(seen(ONE, known=False)), offer=on_offer(ago_s=48), next_fee=None)
    assert (step.act, step.offer) == (Act.OFFER, 1)
    assert "caps" in step.reason


def test_a_fee_above_the_slots_own_cap_is_not_taken_whoever_proposes_it() -> None:
    assert decide(look(seen(ONE)), offer=on_offer(ago_s=48), next_fee=Fee(60_000, 101, 3)).act is not Act.BUMP


def test_what_is_included_is_not_bumped() -> None:
    assert not payout.bump_due((ONE,), look(seen(ONE, included(100))), on_offer(ago_s=99), BUMP_AFTER, NOW)


def test_a_new_version_begins_its_own_patience() -> None:
    memory = payout.offered(on_offer(1, ago_s=99), 2, NOW)
    assert memory.since == NOW
    assert payout.offered(memory, 2, NOW + BUMP_AFTER).since == NOW


# ---------------------------------------------------------------- broken finality
FINAL = Final("0x1", 98, "0xb98", True, "1000")


def test_the_same_end_seen_again_is_the_same_end() -> None:
    assert decide(look(seen(ONE, included(98)), used=True), settled=FINAL).final == FINAL


def test_a_final_payment_that_vanished_halts() -> None:
    step = decide(look(seen(ONE)), settled=FINAL)
    assert step.act is Act.HALT
    assert ONE.txid in step.reason


def test_a_final_payment_in_another_block_halts() -> None:
    moved = replace(included(98), block_hash="0xother")
    assert decide(look(seen(ONE, moved), used=True), settled=FINAL).act is Act.HALT


def test_another_version_final_instead_halts() -> None:
    facts = look(seen(ONE), seen(TWO, included(98)), used=True)
    assert decide(facts, (ONE, TWO), settled=FINAL).act is Act.HALT


@pytest.mark.parametrize(
    "facts", [look(seen(ONE), head=99), look(seen(ONE), complete=False), look(seen(ONE), used=True)]
)
def test_a_lagging_or_silent_node_is_no_evidence_against_what_was_final(facts: Facts) -> None:
    assert decide(facts, offer=on_offer(), settled=FINAL).act is not Act.HALT


def test_two_versions_final_at_once_halt() -> None:
    facts = look(seen(ONE, included(97)), seen(TWO, included(98)), used=True)
    assert decide(facts, (ONE, TWO)).act is Act.HALT


# ---------------------------------------------------------------- pace
@given(block_time_ms=st.integers(0, 10**7), looks=st.integers(-5, 10**6))
def test_the_pause_is_bounded_by_a_quarter_block(block_time_ms: int, looks: int) -> None:
    pause = payout.look_pause_s(block_time_ms, looks)
    assert payout.LOOK_PAUSE_MIN_S <= pause <= payout.LOOK_PAUSE_MAX_S
    assert pause <= max(block_time_ms / 4000, payout.LOOK_PAUSE_MIN_S)


def test_the_pause_begins_short_and_grows() -> None:
    pauses = [payout.look_pause_s(12_000, looks) for looks in range(10)]
    assert pauses[0] == 0.02
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3.0


# ---------------------------------------------------------------- a stranger's slot
FOREIGN = "0xforeign"
TAKEN = look(seen(ONE), used=True, consumer=FOREIGN)


def test_a_slot_is_given_up_exactly_where_the_rule_halts_for_the_transaction_that_people_named() -> None:
    assert decide(TAKEN).act is Act.HALT
    assert payout.consumption((ONE,), TAKEN, FOREIGN) == "PROVEN"
    assert payout.consumption((), replace(TAKEN, sightings=()), FOREIGN) == "PROVEN", "before anything was signed too"


@pytest.mark.parametrize(
    ("versions", "facts", "named", "found"),
    [
        ((ONE,), TAKEN, "0xother", "CONSUMER_OTHER"),
        ((ONE,), replace(TAKEN, used=False), FOREIGN, "CONSUMPTION_UNPROVEN"),
        ((ONE,), replace(TAKEN, consumer=None), FOREIGN, "CONSUMPTION_UNPROVEN"),
        ((ONE,), replace(TAKEN, complete=False), FOREIGN, "CONSUMPTION_UNPROVEN"),
        ((ONE,), replace(TAKEN, sightings=(Sighting("0x1", True, None, 1, 2),)), FOREIGN, "CONSUMPTION_UNPROVEN"),
        ((ONE,), replace(TAKEN, sightings=(seen(ONE, included(98)),)), FOREIGN, "CONSUMER_OURS"),
        ((ONE,), replace(TAKEN, consumer="0x1"), "0x1", "CONSUMER_OURS"),
        ((ONE, TWO), replace(TAKEN, consumer="0x2"), "0x2", "CONSUMER_OURS"),
    ],
)
def test_without_the_whole_proof_no_slot_is_given_up(
    versions: tuple[Version, ...], facts: Facts, named: str, found: str
) -> None:
    assert payout.consumption(versions, facts, named) == found
