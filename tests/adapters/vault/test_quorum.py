"""Whose word counts: the signer asks its own roster and its own tiers, about this very intent."""

import dataclasses
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters import roster
from adapters.catalogue import load
from adapters.vault.rules import load_rules
from domain.errors import Refused, Unavailable
from domain.intent import Decision, Intent, Ruling
from domain.payout import Fee, SigningOrder
from tests.adapters.vault.desk import CLIENT, FEE, GWEI, LARGE, Desk, intent, sign_decision

PAID = intent(amount=LARGE)
HUGE = intent(amount="150000000000")  # 150 000 USDT: three people


async def test_one_approval_is_not_two(desk: Desk) -> None:
    assert await outcome(desk, PAID, ["anna"]) == "SIGNER_QUORUM"
    assert await outcome(desk, PAID, ["anna", "boris"]) == "signed"


async def test_the_amount_sets_the_number_of_people(desk: Desk) -> None:
    assert await outcome(desk, HUGE, ["anna", "boris"]) == "SIGNER_QUORUM"
    assert await outcome(desk, HUGE, ["anna", "boris", "chen"]) == "signed"


async def test_the_same_person_twice_is_one_person(desk: Desk) -> None:
    assert await outcome(desk, PAID, ["anna", "anna"]) == "SIGNER_QUORUM"


@pytest.mark.parametrize("requester", ["anna", "operator:anna", "ANNA", "operator:Anna"])
async def test_the_requester_is_not_one_of_the_two(desk: Desk, requester: str) -> None:
    asked = intent(amount=LARGE, requester=requester)
    assert await outcome(desk, asked, ["anna", "boris"]) == "SIGNER_QUORUM"
    assert await outcome(desk, asked, ["anna", "boris", "chen"]) == "signed"


async def test_a_stranger_does_not_count(desk: Desk) -> None:
    stranger = sign_decision(Ed25519PrivateKey.generate(), "mallory", PAID.hash())
    assert await outcome(desk, PAID, ["anna"], [stranger]) == "SIGNER_QUORUM"


async def test_a_stranger_under_an_approvers_name_does_not_count(desk: Desk) -> None:
    forged = sign_decision(Ed25519PrivateKey.generate(), "boris", PAID.hash())
    assert await outcome(desk, PAID, ["anna"], [forged]) == "SIGNER_QUORUM"


async def test_one_persons_signature_under_anothers_name_does_not_count(desk: Desk) -> None:
    anna = desk.people.decide("anna", PAID)
    assert await outcome(desk, PAID, ["anna"], [dataclasses.replace(anna, approver="boris")]) == "SIGNER_QUORUM"


@pytest.mark.parametrize(
    "change",
    [
        {"withdrawal_id": "wd_other"},
        {"account": "other"},
        {"amount": "5000000001"},
        {"recipient": CLIENT.lower()},
        {"fee_cap": "1"},
        {"requester": "client:other"},
        {"policy_version": "2026-11-22"},
        {"network": "tron"},
        {"asset": "ETH-ETHEREUM"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_any_change_of_the_intent_voids_the_approvals(desk: Desk, change: dict[str, str]) -> None:
    other = dataclasses.replace(PAID, **change)
    replayed = [desk.people.decide(name, other) for name in ("anna", "boris")]
    assert await outcome(desk, PAID, [], replayed) == "SIGNER_QUORUM"
    renamed = [dataclasses.replace(decision, intent_hash=PAID.hash()) for decision in replayed]
    assert await outcome(desk, PAID, [], renamed) == "SIGNER_QUORUM"


async def test_a_rejection_read_as_an_approval_does_not_count(desk: Desk) -> None:
    turned = dataclasses.replace(desk.people.decide("boris", PAID, Ruling.REJECT), ruling=Ruling.APPROVE)
    assert await outcome(desk, PAID, ["anna"], [turned]) == "SIGNER_QUORUM"


async def test_one_rejection_outweighs_any_number_of_approvals(desk: Desk) -> None:
    no = desk.people.decide("chen", PAID, Ruling.REJECT)
    assert await outcome(desk, PAID, ["anna", "boris"], [no]) == "SIGNER_REJECTED"


async def test_a_rejection_once_seen_cannot_be_left_out_later(desk: Desk) -> None:
    no = desk.people.decide("chen", PAID, Ruling.REJECT)
    assert await outcome(desk, PAID, ["anna", "boris"], [no]) == "SIGNER_REJECTED"
    desk.restart()
    assert await outcome(desk, PAID, ["anna", "boris"]) == "SIGNER_REJECTED"


async def test_a_rejection_counts_for_small_payments_too(desk: Desk) -> None:
    no = desk.people.decide("chen", intent(), Ruling.REJECT)
    assert await outcome(desk, intent(), [], [no]) == "SIGNER_REJECTED"


async def test_a_strangers_rejection_stops_nothing(desk: Desk) -> None:
    no = sign_decision(Ed25519PrivateKey.generate(), "mallory", PAID.hash(), Ruling.REJECT)
    assert await outcome(desk, PAID, ["anna", "boris"], [no]) == "signed"


async def test_a_revoked_approver_counts_no_more(desk: Desk) -> None:
    before = desk.people.decide("boris", PAID)
    roster.revoke(desk.people.roster_file, "boris", date(2026, 11, 22))
    assert await outcome(desk, PAID, ["anna"], [before]) == "SIGNER_QUORUM"
    no = desk.people.decide("boris", PAID, Ruling.REJECT)
    assert await outcome(desk, PAID, ["anna", "chen"], [no]) == "signed"


async def test_a_bump_asks_for_the_quorum_again(desk: Desk) -> None:
    """Between two versions an approver's key may have turned out to be stolen."""
    assert await outcome(desk, PAID, ["anna", "boris"]) == "signed"
    roster.revoke(desk.people.roster_file, "boris", date(2026, 11, 22))
    dearer = desk.order(PAID, fee=Fee(FEE.weight, 45 * GWEI, 3 * GWEI), approvers=["anna", "boris"])
    with pytest.raises(Refused, match="SIGNER_QUORUM"):
        await desk.vault.sign(dearer)


async def test_a_newcomer_counts_without_a_restart(desk: Desk) -> None:
    desk.people.enrol("dora")
    assert await outcome(desk, PAID, ["anna", "dora"]) == "signed"


async def test_an_unreadable_roster_refuses_nobody_for_good(desk: Desk) -> None:
    content = desk.people.roster_file.read_text()
    desk.people.roster_file.write_text("[approvers")
    with pytest.raises(Unavailable, match="ROSTER_UNREADABLE"):
        await desk.vault.sign(desk.order(PAID, approvers=["anna", "boris"]))
    desk.people.roster_file.write_text(content)
    assert await outcome(desk, PAID, ["anna", "boris"]) == "signed"


async def test_a_lost_roster_makes_everybody_a_stranger(desk: Desk) -> None:
    order = desk.order(PAID, approvers=["anna", "boris"])
    desk.people.roster_file.unlink()
    with pytest.raises(Refused, match="SIGNER_QUORUM"):
        await desk.vault.sign(order)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("tiers = []", "at least one"),
        ('tiers = [{ from = "0", approvals = 0 }]', "at least one"),
        ('tiers = [{ from = "1", approvals = 2 }, { from = "5", approvals = 1 }]', "rising"),
        ('tiers = [{ from = "1.5x", approvals = 2 }]', "AMOUNT_MALFORMED"),
    ],
)
def test_rules_that_let_too_much_pass_are_refused_whole(tmp_path: Path, written: str, why: str) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(f'version = "1"\n[networks]\n[assets.USDT-ETHEREUM]\nauto_day_max = "1"\n{written}\n')
    with pytest.raises(Refused, match=why):
        load_rules(path, "devnet", load("devnet"))


async def outcome(desk: Desk, of: Intent, approvers: Sequence[str], others: Sequence[Decision] = ()) -> str:
    """The code the order is refused with, or "signed"."""
    try:
        await desk.vault.sign(adding(desk.order(of, approvers=approvers), others))
    except Refused as refusal:
        return refusal.code
    return "signed"


def adding(order: SigningOrder, others: Sequence[Decision]) -> SigningOrder:
    item = order.items[0]
    return dataclasses.replace(order, items=(dataclasses.replace(item, decisions=(*item.decisions, *others)),))
