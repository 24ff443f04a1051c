"""The pure core of "never pays twice": Payout -> Slot -> Version, and what the observed facts of all versions mean.

Every network gives one scarce thing that makes two versions of a payment exclude each other: the slot. On EVM
networks it is
(hot wallet, nonce): one transaction per nonce. A slot is planned once, its payments never change, each fee bump is
one more version
of the same slot, and no version is ever forgotten, because an old one may still win.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.intent import Decision, Intent


@dataclass(frozen=True, slots=True)
class Payment:
    """One line of a payout: `amount` base units (decimal digits) of `asset` to `recipient`, for one withdrawal."""

    withdrawal_id: str
    asset: str
    amount: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Slot:
    """The scarce thing of one payout. `scarce` is the nonce (EVM); `fee_cap` in native base units, over all versions
    together.

    `confirmations` is what makes its payments final, counted with the including block, fixed when the slot was planned.
    """

    id: str
    network: str
    wallet: str
    scarce: str
    payments: tuple[Payment, ...]
    fee_cap: str
    confirmations: int


def slot_id(network: str, wallet: str, scarce: str) -> str:
    return f"{network}/{wallet.lower()}/{scarce}"


def payout_workflow_id(slot: str) -> str:
    return f"payout/{slot}"


def hot_wallet_workflow_id(network: str, wallet: str) -> str:
    return f"hot_wallet/{network}/{wallet.lower()}"


@dataclass(frozen=True, slots=True)
class Fee:
    """What a version offers: at most `price` native base units for each of `weight` units (gas), of which `tip` to
    the producer.
    """

    weight: int
    price: int
    tip: int

    @property
    def most(self) -> int:
        """The most this version can cost, in native base units."""
        return self.weight * self.price


@dataclass(frozen=True, slots=True)
class Draft:
    """The exact unsigned bytes (hex with 0x) of one version of a slot and the fee they offer."""

    slot_id: str
    unsigned: str
    fee: Fee


@dataclass(frozen=True, slots=True)
class Version:
    """A signed version: `raw` bytes (hex with 0x) whose `txid` we computed ourselves. Stored before it is first sent,
    never deleted.
    """

    slot_id: str
    number: int
    txid: str
    raw: str
    fee: Fee
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """One payment as the signer must judge it: the intent people saw and their decisions over its hash."""

    intent: Intent
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class SigningOrder:
    """All that the signer is told. It believes none of it: it decodes `draft.unsigned` and recomputes everything
    else.
    """

    slot: Slot
    draft: Draft
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A version seen in a canonical block, read back by hash. `delivered`: the expected effect was seen (Transfer
    log, value moved).
    """

    block: int
    block_hash: str
    succeeded: bool
    delivered: bool
    fee_units: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the nodes said of one version: whether any of them knows it, and its inclusion if a canonical block holds
    it.
    """

    txid: str
    known: bool
    inclusion: Inclusion | None


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at a slot. `used`: every node says the slot is consumed at final depth; `consumer`: the txid that was
    proven to have
    consumed it (ours or a stranger's), None while unproven. `used` is read BEFORE the sightings, so a version that
    gets mined in
    between is never mistaken for a stranger. `final_block` is the highest block that counts as final for this slot."""

    head: int
    final_block: int
    used: bool
    consumer: str | None
    sightings: tuple[Sighting, ...]
    at: datetime


class Act(StrEnum):
    WAIT = "wait"
    OFFER = "offer"
    BUMP = "bump"
    FINAL = "final"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Final:
    """The proven end of a slot: `txid` of ours is final; `paid` says whether it did what it should."""

    txid: str
    block: int
    block_hash: str
    paid: bool
    fee_units: str


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next. OFFER: send the same bytes of version `offer` again. HALT carries the evidence in `reason`."""

    act: Act
    offer: int | None = None
    final: Final | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What `deliver` found: FINAL with its proof, BUMP with the next draft to sign, or HALT with the reason."""

    act: Act
    final: Final | None = None
    draft: Draft | None = None
    reason: str = ""
