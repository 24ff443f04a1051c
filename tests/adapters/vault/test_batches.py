"""Many withdrawals in one slot: each is judged as if it were alone, one that is bad refuses the whole and is named."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import Refused
from domain.intent import Intent, Ruling
from domain.payout import SigningOrder
from tests.adapters.vault.bitcoin_desk import COIN, LARGE, WALLET, Desk, client, paying, purse, spent_of
from tests.adapters.vault.desk import sign_decision
from tests.bitcoin_kernel import kernel_check

SIZE, BAD = 12, 7
BAD_ID = f"wd_{BAD:026d}"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.vault.close()


def batch(**bad: str) -> list[Intent]:
    """Twelve small payments, number seven with other fields."""
    return [paying(n, **(bad if n == BAD else {})) for n in range(1, SIZE + 1)]


async def refusal(desk: Desk, order: SigningOrder) -> Refused:
    with pytest.raises(Refused) as caught:
        await desk.vault.sign(order)
    return caught.value


async def test_a_hundred_are_judged_and_signed_at_once(desk: Desk) -> None:
    intents = [paying(n) for n in range(1, 101)]
    order = desk.order(intents, approvals={i.withdrawal_id: ("anna", "boris") for i in intents})
    begun = time.process_time()
    version = await desk.vault.sign(order)
    took_s = time.process_time() - begun
    assert took_s < 2, f"{took_s:.2f} s of CPU"
    assert kernel_check(bytes.fromhex(version.raw[2:]), spent_of(order)) == [True]


async def test_a_hundred_and_one_are_too_many(desk: Desk) -> None:
    order = desk.order([paying(n) for n in range(1, 102)])
    assert (await refusal(desk, order)).code == "SIGNER_ORDER_MALFORMED"


# ---------------------------------------------------------------- one bad item
@dataclass(frozen=True, slots=True)
class Case:
    """A batch in which exactly item seven breaks a rule, by its fields, its decisions, or what is done to the order."""

    code: str
    bad: dict[str, str]
    approvals: tuple[str, ...] = ()
    change: Callable[[Desk, SigningOrder], SigningOrder] = lambda _desk, order: order


def item(order: SigningOrder, **fields: str) -> SigningOrder:
    """The order whose seventh intent says something else than its payment and its bytes."""
    at = BAD - 1
    other = replace(order.items[at], intent=replace(order.items[at].intent, **fields))
    return replace(order, items=(*order.items[:at], other, *order.items[at + 1 :]))


def payment(order: SigningOrder, **fields: str) -> SigningOrder:
    """The order whose slot says something else of its seventh payment than the intent and the bytes."""
    at, payments = BAD - 1, order.slot.payments
    other = replace(payments[at], **fields)
    return replace(order, slot=replace(order.slot, payments=(*payments[:at], other, *payments[at + 1 :])))


def told(order: SigningOrder, *decisions: Any) -> SigningOrder:
    at = BAD - 1
    other = replace(order.items[at], decisions=decisions)
    return replace(order, items=(*order.items[:at], other, *order.items[at + 1 :]))


def forged(desk: Desk, order: SigningOrder) -> SigningOrder:
    of = order.items[BAD - 1].intent
    stranger = sign_decision(Ed25519PrivateKey.generate(), "boris", of.hash())
    return told(order, desk.people.decide("anna", of), stranger)


def another_s(desk: Desk, order: SigningOrder) -> SigningOrder:
    """Approvals that were given to the intent beside it."""
    beside = order.items[BAD].intent
    return told(order, *(desk.people.decide(who, beside) for who in ("anna", "boris")))


def rejected(desk: Desk, order: SigningOrder) -> SigningOrder:
    of = order.items[BAD - 1].intent
    yes = [desk.people.decide(who, of) for who in ("anna", "boris")]
    return told(order, *yes, desk.people.decide("chen", of, Ruling.REJECT))


ONE_BAD = {
    "nobody approved": Case("SIGNER_QUORUM", {"amount": LARGE}),
    "one voice of two": Case("SIGNER_QUORUM", {"amount": LARGE}, ("anna",)),
    "one voice, twice": Case("SIGNER_QUORUM", {"amount": LARGE}, ("anna", "anna")),
    "the requester's own": Case("SIGNER_QUORUM", {"amount": LARGE, "requester": "client:anna"}, ("anna", "boris")),
    "a forged voice": Case("SIGNER_QUORUM", {"amount": LARGE}, (), forged),
    "another's voices": Case("SIGNER_QUORUM", {"amount": LARGE}, (), another_s),
    "somebody said no": Case("SIGNER_REJECTED", {"amount": LARGE}, (), rejected),
    "an amount above what was seen": Case("SIGNER_INTENT_MISMATCH", {}, (), lambda _, o: item(o, amount="99999")),
    "a recipient nobody saw": Case("SIGNER_INTENT_MISMATCH", {}, (), lambda _, o: item(o, recipient=client(99))),
    "another network's": Case("SIGNER_INTENT_MISMATCH", {}, (), lambda _, o: item(o, network="ethereum")),
    "another asset's": Case("SIGNER_INTENT_MISMATCH", {}, (), lambda _, o: item(o, asset="ETH-ETHEREUM")),
    "an amount the slot has not": Case("SIGNER_PAYMENT_MISMATCH", {}, (), lambda _, o: payment(o, amount="99999")),
    "a recipient the slot has not": Case(
        "SIGNER_PAYMENT_MISMATCH", {}, (), lambda _, o: payment(o, recipient=client(9))
    ),
    "a fee above what was seen": Case("SIGNER_FEE_ABOVE_CAP", {"fee_cap": "100"}),
    "the wallet itself": Case("SIGNER_RECIPIENT_FORBIDDEN", {"recipient": WALLET}),
    "what needs no people, once too often": Case("SIGNER_AUTO_DAY_CAP", {"amount": "20000000"}),
}


@pytest.mark.parametrize("case", ONE_BAD.values(), ids=ONE_BAD)
async def test_one_bad_item_refuses_the_batch_and_is_named(tmp_path: Path, case: Case) -> None:
    desk = Desk(tmp_path, auto_day_max=20_000_000)
    try:
        found = desk.order(batch(**case.bad), approvals={BAD_ID: case.approvals})
        refused = await refusal(desk, case.change(desk, found))
        assert refused.code == case.code
        assert BAD_ID in (refused.facts.get("withdrawal_id"), refused.message.partition("intent ")[2][:29])
        # Nothing of it was taken: without the bad one the others are paid, from the same coins.
        rest = [i for i in batch() if i.withdrawal_id != BAD_ID]
        assert (await desk.vault.sign(desk.order(rest, [purse(1, 2 * COIN)]))).number == 1
    finally:
        desk.vault.close()


async def test_an_item_for_a_withdrawal_that_is_not_paid_is_refused(desk: Desk) -> None:
    order = item(desk.order(batch()), withdrawal_id=f"wd_{99:026d}")
    assert (await refusal(desk, order)).code == "SIGNER_ITEMS"


async def test_a_withdrawal_twice_in_a_batch_is_refused(desk: Desk) -> None:
    order = desk.order([*batch(), batch()[BAD - 1]])
    assert (await refusal(desk, order)).code == "SIGNER_ITEMS"


async def test_one_that_took_a_slot_before_refuses_the_batch_and_is_named(desk: Desk) -> None:
    await desk.vault.sign(desk.order([paying(BAD)], [purse(50)]))
    refused = await refusal(desk, desk.order(batch()))
    assert (refused.code, refused.facts["withdrawal_id"]) == ("SIGNER_SECOND_SLOT", BAD_ID)


async def test_a_rejection_seen_before_is_remembered_for_the_one_it_was_about(desk: Desk) -> None:
    with_no = rejected(desk, desk.order(batch(amount=LARGE)))
    await refusal(desk, with_no)
    desk.restart()
    later = desk.order(batch(amount=LARGE), approvals={BAD_ID: ("anna", "boris")})
    refused = await refusal(desk, later)
    assert (refused.code, refused.facts["withdrawal_id"]) == ("SIGNER_REJECTED", BAD_ID)


# ---------------------------------------------------------------- the rolling day
async def test_what_a_batch_pays_without_people_counts_item_by_item(tmp_path: Path) -> None:
    desk = Desk(tmp_path, auto_day_max=1_000_000)
    try:
        assert (await desk.vault.sign(desk.order([paying(n) for n in range(1, 10)], [purse(1)]))).number == 1
        refused = await refusal(desk, desk.order([paying(10), paying(11)], [purse(2)]))
        assert (refused.code, refused.facts["spent"]) == ("SIGNER_AUTO_DAY_CAP", "1000000")
        assert refused.facts["withdrawal_id"] == f"wd_{11:026d}"
        assert (await desk.vault.sign(desk.order([paying(10)], [purse(2)]))).number == 1
        desk.clock.pass_(hours=24, seconds=1)
        assert (await desk.vault.sign(desk.order([paying(11)], [purse(3)]))).number == 1
    finally:
        desk.vault.close()


async def test_what_people_approved_in_a_batch_is_not_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, auto_day_max=200_000)
    try:
        approved = {f"wd_{n:026d}": ("anna", "boris") for n in range(1, 11)}
        order = desk.order([paying(n) for n in range(1, 13)], approvals=approved)
        assert (await desk.vault.sign(order)).number == 1
    finally:
        desk.vault.close()


async def test_the_fee_of_a_batch_counts_once_and_a_bump_counts_its_difference(desk: Desk) -> None:
    intents, purses = batch(), [purse(1)]
    one = await desk.vault.sign(desk.order(intents, purses))
    two = await desk.vault.sign(desk.order(intents, purses, price=9))
    spent = desk.vault._store._db.execute("SELECT units FROM spend WHERE purse = 'fee/bitcoin' ORDER BY number")
    assert [int(units) for (units,) in spent] == [one.fee.most, two.fee.most - one.fee.most]


async def test_a_fee_within_most_caps_but_not_the_smallest_is_refused(desk: Desk) -> None:
    order = desk.order(batch())
    tight = str(order.draft.fee.most - 1)
    refused = await refusal(desk, desk.order(batch(fee_cap=tight)))
    assert (refused.code, refused.facts["cap"]) == ("SIGNER_FEE_ABOVE_CAP", tight)
