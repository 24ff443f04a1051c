"""Four attackers, each holding one part of the house whole. None of them makes the signer pay what people did not
approve, beyond the small amounts its own caps let pass.

Whatever they hold, in the end they can only do one thing to the signer: send it orders. So each of them is played by
what they are able to put into an order, and measured by what left the wallet: the bytes that came back are read by an
independent library and added up.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import rlp.codec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters import roster
from domain.errors import Refused
from domain.intent import Decision, Intent, Ruling
from domain.payout import Draft, Fee, Item, Payment, SigningOrder, Slot, Version, slot_id
from tests.adapters.vault.desk import (
    CLIENT,
    ETH,
    FEE,
    FEE_CAP,
    GWEI,
    LARGE,
    NETWORK,
    PEOPLE,
    THIEF,
    USDT,
    WALLET,
    Desk,
    intent,
    public_hex,
    sign_decision,
    unsigned,
)

AUTO_DAY = {USDT: 60_000 * 10**6, ETH: 30 * 10**18}
AUTO_ONE = {USDT: 1_000 * 10**6, ETH: 5 * 10**17}
FEES_DAY = 10 * 10**18
ATTEMPTS = 250


@dataclass
class Loot:
    """What a wallet would pay if every signed version of every slot were broadcast: one per slot, the dearest fee."""

    paid: dict[tuple[str, str, str], int] = field(default_factory=dict)  # (slot, asset, recipient) -> units
    fees: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    async def take(self, desk: Desk, orders: Iterable[SigningOrder]) -> "Loot":
        for order in orders:
            try:
                self.add(await desk.vault.sign(order))
            except Refused as refusal:
                self.refused[refusal.code] += 1
        return self

    def add(self, version: Version) -> None:
        tx = rlp.codec.decode(bytes.fromhex(version.raw[4:]))  # type: ignore[no-untyped-call]
        to, value, data = tx[5], int.from_bytes(tx[6], "big"), tx[7]
        asset, recipient, units = (USDT, data[16:36], int.from_bytes(data[36:], "big")) if data else (ETH, to, value)
        key = (version.slot_id, asset, "0x" + recipient.hex())
        assert self.paid.setdefault(key, units) == units, "two versions of one slot pay differently"
        most = int.from_bytes(tx[3], "big") * int.from_bytes(tx[4], "big")
        self.fees[version.slot_id] = max(most, self.fees.get(version.slot_id, 0))

    def total(self, asset: str, to: str) -> int:
        return sum(units for (_, what, who), units in self.paid.items() if what == asset and who == to.lower())


# ---------------------------------------------------------------- (a) the API
async def test_whoever_holds_the_api_gets_no_more_than_the_auto_caps(desk: Desk) -> None:
    """They speak for every principal: invent clients, requesters and withdrawals, and post decisions under approvers'
    names. They have no approver's private key.
    """
    own = Ed25519PrivateKey.generate()

    def orders() -> Iterator[SigningOrder]:
        for n in range(ATTEMPTS):
            asset = (USDT, ETH)[n % 2]
            large = n % 3 == 0
            amount = AUTO_ONE[asset] * 10 if large else AUTO_ONE[asset] - 1
            want = intent(n, str(amount), asset, THIEF, account=f"invented-{n}", requester=f"client:invented-{n}")
            forged = [sign_decision(own, name, want.hash()) for name in (*PEOPLE, "mallory")]
            yield craft(want, n, forged)

    loot = await Loot().take(desk, orders())
    for asset in (USDT, ETH):
        assert 0 < loot.total(asset, THIEF) <= AUTO_DAY[asset]
    assert set(loot.refused) == {"SIGNER_QUORUM", "SIGNER_AUTO_DAY_CAP"}


# ---------------------------------------------------------------- (b) Temporal
async def test_whoever_holds_temporal_cannot_make_decisions_mean_something_else(desk: Desk) -> None:
    """They read every history and send any order and signal: approvals of real withdrawals are theirs to replay, swap
    and reorder, and rejections are theirs to hold back.
    """
    honest = [intent(n, LARGE, account=f"client-{n}") for n in range(12)]
    seen = [desk.people.decide(name, i) for i in honest for name in ("anna", "boris")]
    no = desk.people.decide("chen", honest[0], Ruling.REJECT)
    shuffle = random.Random(7)

    def orders() -> Iterator[SigningOrder]:
        for n in range(ATTEMPTS):
            goal = dataclasses.replace(shuffle.choice(honest), recipient=THIEF)
            if n % 2:
                goal = dataclasses.replace(goal, withdrawal_id=f"wd_invented_{n}")
            replayed = shuffle.sample(seen, 8)
            relabelled = [dataclasses.replace(d, intent_hash=goal.hash()) for d in shuffle.sample(seen, 8)]
            renamed = [dataclasses.replace(d, approver=shuffle.choice(PEOPLE)) for d in shuffle.sample(seen, 8)]
            turned = [dataclasses.replace(no, ruling=Ruling.APPROVE, intent_hash=goal.hash())]
            yield craft(goal, n, [*replayed, *relabelled, *renamed, *turned])

    loot = await Loot().take(desk, orders())
    assert not loot.paid
    assert set(loot.refused) == {"SIGNER_QUORUM"}


async def test_whoever_holds_temporal_cannot_have_an_approved_payment_made_twice(desk: Desk) -> None:
    """The order of an approved withdrawal is theirs to replay: for another slot, beside another workflow, for ever."""
    approved = [intent(n, LARGE) for n in range(5)]

    def orders() -> Iterator[SigningOrder]:
        for nonce in range(ATTEMPTS):
            want = approved[nonce % 5]
            decisions = [desk.people.decide(name, want) for name in PEOPLE]
            fee = Fee(FEE.weight, (30 + nonce % 60) * GWEI, 2 * GWEI)
            yield craft(want, nonce, decisions, fee)
            yield craft(want, nonce % 5, decisions, fee)

    loot = await Loot().take(desk, orders())
    assert loot.total(USDT, CLIENT) == 5 * int(LARGE)
    assert set(loot.refused) == {"SIGNER_SECOND_SLOT"}


# ---------------------------------------------------------------- (c) the database
async def test_whoever_holds_the_database_cannot_change_what_was_approved(desk: Desk) -> None:
    """They rewrite any row between approval and payment: amount, recipient, asset, fee cap, requester, the decisions,
    and the books' own copy of the roster.
    """
    want = intent(1, LARGE)
    decisions = [desk.people.decide(name, want) for name in ("anna", "boris")]
    own = Ed25519PrivateKey.generate()
    rewritten: list[Intent] = [
        dataclasses.replace(want, **change)
        for change in (
            {"recipient": THIEF},
            {"amount": "900000000000"},
            {"asset": ETH, "amount": str(40 * 10**18)},
            {"fee_cap": str(10**18), "recipient": THIEF},
            {"requester": "operator:nobody", "recipient": THIEF},
            {"account": "thief", "recipient": THIEF},
        )
    ]
    theirs = desk.home / "books-roster.toml"
    roster.enrol(theirs, "mallory", public_hex(own), desk.clock.now.date())

    def orders() -> Iterator[SigningOrder]:
        for n, rows in enumerate(rewritten):
            forged = [sign_decision(own, name, rows.hash()) for name in (*PEOPLE, "mallory")]
            replayed = [dataclasses.replace(d, intent_hash=rows.hash()) for d in decisions]
            yield craft(rows, n, decisions)
            yield craft(rows, n, replayed)
            yield craft(rows, n, forged)
            # The intent as it was approved, with payment rows that say something else, and the other way round.
            yield dataclasses.replace(craft(rows, n, decisions), items=(Item(want, tuple(decisions)),))
            yield dataclasses.replace(craft(want, n, decisions), items=(Item(rows, tuple(decisions)),))

    loot = await Loot().take(desk, orders())
    assert not loot.paid
    assert set(loot.refused) == {"SIGNER_QUORUM", "SIGNER_INTENT_MISMATCH"}
    paid = await Loot().take(desk, [craft(want, 9, decisions)])
    assert paid.total(USDT, CLIENT) == int(LARGE), "the honest row is still paid afterwards"


async def test_whoever_holds_the_database_cannot_open_the_slot_of_a_paid_withdrawal_again(desk: Desk) -> None:
    """They delete the slot, its versions and the settled stage: to the books it was never paid."""
    want = intent(1, LARGE)
    decisions = [desk.people.decide(name, want) for name in ("anna", "boris")]
    loot = await Loot().take(desk, [craft(want, 0, decisions)])
    desk.restart()
    await loot.take(desk, [craft(want, nonce, decisions) for nonce in range(1, 20)])
    assert loot.total(USDT, CLIENT) == int(LARGE)
    assert loot.refused == {"SIGNER_SECOND_SLOT": 19}


# ---------------------------------------------------------------- (d) a worker other than the signer
async def test_whoever_holds_a_worker_gets_no_more_than_the_auto_caps(desk: Desk) -> None:
    """They send any order at all: every field is theirs, thousands of times, over restarts, fees included."""
    chance = random.Random(11)
    real = intent(9_999, LARGE)
    decisions = [desk.people.decide(name, real) for name in PEOPLE]
    loot = Loot()
    for round_ in range(4):
        await loot.take(desk, (anything(chance, real, decisions, n) for n in range(round_ * 300, round_ * 300 + 300)))
        desk.restart()
    for asset in (USDT, ETH):
        assert loot.total(asset, THIEF) <= AUTO_DAY[asset]
    assert sum(loot.fees.values()) <= FEES_DAY + int(FEE_CAP), "fees of the approved payment come on top"
    assert loot.total(USDT, CLIENT) <= int(LARGE)
    assert {who for _, _, who in loot.paid} <= {THIEF.lower(), CLIENT.lower()}
    assert len(loot.refused) > 5


def anything(chance: random.Random, real: Intent, decisions: Sequence[Decision], n: int) -> SigningOrder:
    """A random order of somebody who knows the protocol by heart."""
    asset = chance.choice((USDT, ETH))
    amount = chance.choice((1, AUTO_ONE[asset] - 1, AUTO_ONE[asset], AUTO_DAY[asset], 2**255))
    want = chance.choice(
        (
            intent(n, str(amount), asset, THIEF),
            dataclasses.replace(real, recipient=THIEF),
            dataclasses.replace(real, withdrawal_id=f"wd_{n}"),
            real,
        )
    )
    fee = Fee(
        chance.choice((21_000, 100_000, 10**7)), chance.choice((1, 30, 300)) * GWEI, chance.choice((1, 30)) * GWEI
    )
    order = craft(want, chance.randrange(n + 1), chance.sample(decisions, chance.randrange(4)), fee)
    if chance.random() < 0.3:
        other = intent(n, str(amount), asset, THIEF)
        bytes_ = Draft(order.slot.id, unsigned(other, int(order.slot.scarce), fee), fee)
        order = dataclasses.replace(order, draft=bytes_)
    return order


def craft(want: Intent, nonce: int, decisions: Sequence[Decision], fee: Fee = FEE) -> SigningOrder:
    """An order that hangs together for `want`, made without any help of the signer's own code."""
    id_ = slot_id(NETWORK, WALLET, str(nonce))
    payment = Payment(want.withdrawal_id, want.asset, want.amount, want.recipient)
    slot = Slot(id_, NETWORK, WALLET, str(nonce), (payment,), str(10**18), confirmations=1)
    return SigningOrder(slot, Draft(id_, unsigned(want, nonce, fee), fee), (Item(want, tuple(decisions)),))
