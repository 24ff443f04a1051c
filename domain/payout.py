"""The pure core of "never pays twice": Payout -> Slot -> Version, and what the observed facts of all versions mean.

Every network gives one scarce thing that makes two versions of a payment exclude each other: the slot. On EVM
networks it is (hot wallet, nonce): one transaction per nonce. A slot is planned once, its payments never change, each
fee bump is one more version of the same slot, and no version is ever forgotten, because an old one may still win.

Where nothing on the chain excludes two versions (TRON), time has to: each version ends at an expiration of its own, and
the next one is signed only when every earlier one is proven dead (`dead`, and docs/decisions/0003).

How a payout is delivered, in prose; every line may be cut off anywhere and be begun again:

    versions = stored versions of the slot              # read anew before each look: another process may have signed
    facts = await chain.observe(slot, versions)
    next_fee = None
    if bump_due(versions, facts, offer, bump_after, now):
        next_fee = chain.bump(slot, versions[-1].fee, await chain.market(versions[-1].fee.weight))
    step = decide(slot, versions, facts, offer=offer, next_fee=next_fee, bump_after=bump_after, now=now)
    OFFER: broadcast the stored bytes of version `step.offer`, then offer = offered(offer, step.offer, now, ...)
    BUMP:  sign chain.draft(slot, step.fee), store it, go on      WAIT: sleep look_pause_s(...), go on
    FINAL: settle with `step.final`                               HALT: halt the wallet with `step.reason`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.coin import Coin
from domain.intent import Decision, Intent
from domain.procedure import PROVEN, Endorsed


@dataclass(frozen=True, slots=True)
class Payment:
    """One line of a payout: `amount` base units (decimal digits) of `asset` to `recipient`, for one withdrawal."""

    withdrawal_id: str
    asset: str
    amount: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Slot:
    """The scarce thing of one payout. `scarce` is the nonce (EVM), or our own running number where the network counts
    nothing (TRON); `fee_cap` in native base units, for every version.

    `confirmations` is what makes its payments final, counted with the including block, fixed when the slot was planned.
    `inputs`: where a wallet is many coins, those that every version spends, all of them; the first is the anchor, and
    its outpoint is `scarce`. Empty where a wallet is one account.
    """

    id: str
    network: str
    wallet: str
    scarce: str
    payments: tuple[Payment, ...]
    fee_cap: str
    confirmations: int
    inputs: tuple[Coin, ...] = ()


def slot_id(network: str, wallet: str, scarce: str) -> str:
    return f"{network}/{wallet.lower()}/{scarce}"


def payout_workflow_id(slot: str) -> str:
    return f"payout/{slot}"


def hot_wallet_workflow_id(network: str, wallet: str) -> str:
    return f"hot_wallet/{network}/{wallet.lower()}"


@dataclass(frozen=True, slots=True)
class Fee:
    """What a version offers: at most `price` native base units for each of `weight` units of gas, of which `tip` to
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
    """The exact unsigned bytes (hex with 0x) of one version of a slot and the fee they offer. `after`: the txids of the
    earlier versions it takes the place of, every one of them proven dead; empty where the slot itself excludes them.
    """

    slot_id: str
    unsigned: str
    fee: Fee
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """A signed version: `raw` bytes (hex with 0x) whose `txid` we computed ourselves. Stored before it is first sent,
    never deleted. `void`: it pays nobody, and takes the slot all the same.
    """

    slot_id: str
    number: int
    txid: str
    raw: str
    fee: Fee
    signed_at: datetime
    void: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One payment as the signer must judge it: the intent people saw and their decisions over its hash. `replans`: the
    endorsed procedures by which it may take another slot, one for each slot of it that a stranger consumed.
    """

    intent: Intent
    decisions: tuple[Decision, ...]
    replans: tuple[Endorsed, ...] = ()


@dataclass(frozen=True, slots=True)
class SigningOrder:
    """All that the signer is told. It believes none of it: it decodes `draft.unsigned` and recomputes everything
    else. `void`: the endorsed procedure that asks for a version which pays nobody.
    """

    slot: Slot
    draft: Draft
    items: tuple[Item, ...]
    void: Endorsed | None = None


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A version seen in a canonical block, read back by hash. `delivered`: exactly the expected effect was seen
    (Transfer log, value moved). `strayed`: money left the wallet, but not as expected (a fee on transfer, another
    amount); that is neither paid nor unpaid, and people must look.
    """

    block: int
    block_hash: str
    succeeded: bool
    delivered: bool
    fee_units: str
    strayed: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the nodes said of one version: whether any of them knows it, and its inclusion if a canonical block holds
    it.

    Only for versions that end by time: `expires_at_ms` is the expiration in its bytes (no block whose parent is of
    that time or later can hold it), and `absent_through_ms` the time of the last block of a run of final blocks, each
    linked to the one before, that was read whole from the version's own reference block on without finding it, and
    BEFORE every node was asked for its inclusion; None without such a run.
    """

    txid: str
    known: bool
    inclusion: Inclusion | None
    expires_at_ms: int | None = None
    absent_through_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at a slot. `used`: every node says the slot is consumed at final depth; `consumer`: the txid that was
    proven to have consumed it (ours or a stranger's), None while unproven. `used` is read BEFORE the sightings, so a
    version that gets mined in between is never mistaken for a stranger. `final_block` is the highest block that counts
    as final for this slot, by the slowest node. `complete`: every node answered; without it, "not used" says nothing.
    """

    head: int
    final_block: int
    used: bool
    consumer: str | None
    sightings: tuple[Sighting, ...]
    at: datetime
    complete: bool = True


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
class Consumption:
    """The chain's answer whether a stranger's transaction `txid` consumed `slot`: `code` is PROVEN or why not (see
    `consumption`), as of final block `block`. `counted`: how many transactions of the key are final where the network
    counts them, 0 where that says nothing new.
    """

    slot: Slot
    txid: str
    code: str
    block: int
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next. OFFER: send the same bytes of version number `offer` again. BUMP: sign a new version at `fee`,
    in the place of versions `after` where those are proven dead. FINAL carries its proof. `reason` says why in a
    sentence; for HALT it is the evidence.
    """

    act: Act
    offer: int | None = None
    fee: Fee | None = None
    final: Final | None = None
    reason: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What `deliver` found: FINAL with its proof, BUMP with the next draft to sign, or HALT with the reason."""

    act: Act
    final: Final | None = None
    draft: Draft | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a deliverer remembers of offering version `number`: when it began, when it last did so, and whether a node
    then called it underpriced. Losing this memory is harmless: the bytes go out once more and a bump comes later.
    """

    number: int
    since: datetime
    last: datetime
    underpriced: bool = False


def offered(before: Offer | None, number: int, now: datetime, *, underpriced: bool = False) -> Offer:
    """The memory after version `number` was offered at `now`; `underpriced` when broadcast raised that code."""
    since = before.since if before is not None and before.number == number else now
    return Offer(number, since, now, underpriced)


def decide(
    slot: Slot,
    versions: Sequence[Version],
    facts: Facts,
    *,
    offer: Offer | None,
    next_fee: Fee | None,
    bump_after: timedelta,
    now: datetime,
    settled: Final | None = None,
) -> Step:
    """What the facts of ALL versions ask for next. Pure; a look may be late, repeated or cut short without harm.

    `versions`: every stored version of the slot, oldest first. `next_fee`: the fee a bump or a version in the place of
    dead ones would take, None when none is due or a cap forbids it. `settled`: an earlier proven end of this slot, if
    there is one.

    FINAL only when every node says that the slot is used at final depth and a version of ours is canonical there; a
    stranger proven there halts; used without proof waits. A silence, a timeout or a missing receipt never moves money.
    """
    ours = {version.txid: version.number for version in versions}
    included = [(s.txid, s.inclusion) for s in facts.sightings if s.inclusion is not None and s.txid in ours]
    deep = [(txid, inclusion) for txid, inclusion in included if inclusion.block <= facts.final_block]

    if evidence := _contradiction(slot, facts, deep, settled):
        return Step(Act.HALT, reason=evidence)
    if facts.used and deep:
        return _conclude(slot, facts, *deep[0])
    if facts.used:
        return _unproven(slot, versions, facts)
    if included:
        _, inclusion = included[0]
        depth = max(0, facts.head - inclusion.block + 1)
        return Step(Act.WAIT, reason=f"in block {inclusion.block}: {depth} of {slot.confirmations} confirmations")
    if not versions:
        return Step(Act.WAIT, reason="no version is signed yet")
    return _press_on(slot, versions, facts, offer, next_fee, bump_after, now)


def bump_due(
    versions: Sequence[Version], facts: Facts, offer: Offer | None, bump_after: timedelta, now: datetime
) -> bool:
    """Whether the last version was on offer for long enough without any version being included. A version that a node
    called underpriced gets a quarter of the patience.
    """
    if not versions or facts.used or any(s.inclusion for s in facts.sightings):
        return False
    if ends_by_time(facts):
        return False  # a higher price replaces nothing there
    if offer is None or offer.number != versions[-1].number:
        return False
    return now - offer.since >= (bump_after / 4 if offer.underpriced else bump_after)


def ends_by_time(facts: Facts) -> bool:
    """Whether time, and not the slot itself, excludes the versions of this slot."""
    return any(s.expires_at_ms is not None for s in facts.sightings)


def dead(sighting: Sighting) -> bool:
    """Whether a version can never be included any more: final blocks, read without a gap from its reference block on,
    have reached its expiration, it is in none of them, and no node that was asked afterwards shows it in a block. A
    clock, an error, a refusal, or a head without it prove nothing.
    """
    return (
        sighting.inclusion is None
        and sighting.expires_at_ms is not None
        and sighting.absent_through_ms is not None
        and sighting.absent_through_ms >= sighting.expires_at_ms
    )


def all_dead(versions: Sequence[Version], facts: Facts) -> bool:
    """Whether every version signed so far is proven dead, by a look that every node answered: then, and only then, may
    one more be signed where nothing but time excludes two.
    """
    seen = {sighting.txid: sighting for sighting in facts.sightings}
    return (
        facts.complete
        and not facts.used
        and bool(versions)
        and all(v.txid in seen and dead(seen[v.txid]) for v in versions)
    )


def inclusion(facts: Facts) -> tuple[str, Inclusion] | None:
    """The version (txid) that a canonical block holds now, and where; None while no node shows one."""
    return next(((s.txid, s.inclusion) for s in facts.sightings if s.inclusion is not None), None)


def stranger(versions: Sequence[Version], facts: Facts) -> str | None:
    """The transaction, none of ours, that is proven to have consumed the slot at final depth; None without such a
    proof.
    """
    ours = {version.txid for version in versions}
    return facts.consumer if facts.used and facts.consumer not in ours else None


def consumption(versions: Sequence[Version], facts: Facts, named: str) -> str:
    """PROVEN when transaction `named`, none of ours, consumed the slot at final depth and no version is in any block:
    it is what `decide` halts on, and no version can be included any more. Else CONSUMER_OURS, CONSUMER_OTHER or
    CONSUMPTION_UNPROVEN.

    `versions` must have been read AFTER `facts`: one that was signed meanwhile must never be taken for a stranger's.
    """
    if inclusion(facts) is not None or facts.consumer in {version.txid for version in versions}:
        return "CONSUMER_OURS"
    found = stranger(versions, facts)
    if found is None or not facts.complete or ends_by_time(facts):
        return "CONSUMPTION_UNPROVEN"
    return PROVEN if found == named else "CONSUMER_OTHER"


def foreign_use(next_of_ours: int, latest: int, pending: int) -> str | None:
    """Why the wallet must halt: the nodes count more transactions of the key than we ever planned slots for. None when
    they do not. `next_of_ours` is the scarce number that the next slot would take; never fast-forward it instead.
    """
    if max(latest, pending) <= next_of_ours:
        return None
    return (
        f"the network counts {latest} transactions of this key (pending: {pending}) but our next slot is "
        f"{next_of_ours}: the key is used elsewhere"
    )


LOOK_PAUSE_MIN_S = 0.02
LOOK_PAUSE_MAX_S = 15.0


def look_pause_s(block_time_ms: int, quiet_looks: int) -> float:
    """Seconds to rest before the next look after `quiet_looks` looks in a row that said nothing new: quick at first,
    doubling up to a quarter of the block time, and never longer than LOOK_PAUSE_MAX_S.
    """
    most = min(max(block_time_ms / 4000, LOOK_PAUSE_MIN_S), LOOK_PAUSE_MAX_S)
    return float(min(most, LOOK_PAUSE_MIN_S * 2 ** min(max(quiet_looks, 0), 16)))


def _contradiction(
    slot: Slot, facts: Facts, deep: Sequence[tuple[str, Inclusion]], settled: Final | None
) -> str | None:
    """Evidence that finality itself was broken, or None. Only what was seen counts; what is merely missing does not."""
    if len({txid for txid, _ in deep}) > 1:
        return f"slot {slot.id}: two versions are both reported final: {' and '.join(txid for txid, _ in deep)}"
    if settled is None or facts.final_block < settled.block:
        return None
    if deep and (deep[0][0], deep[0][1].block_hash) != (settled.txid, settled.block_hash):
        return (
            f"slot {slot.id}: {settled.txid} was final in block {settled.block_hash}, "
            f"now {deep[0][0]} is final in block {deep[0][1].block_hash}"
        )
    gone = not ends_by_time(facts) or any(dead(s) for s in facts.sightings if s.txid == settled.txid)
    if facts.complete and not facts.used and gone:
        return f"slot {slot.id}: {settled.txid} was final in block {settled.block}, now it is unused at that depth"
    return None


def _conclude(slot: Slot, facts: Facts, txid: str, seen: Inclusion) -> Step:
    if rivals := _may_still_win(facts, txid):
        return Step(Act.WAIT, reason=f"{txid} is final; not yet proven dead: {', '.join(rivals)}")
    if seen.strayed:
        return Step(
            Act.HALT, reason=f"slot {slot.id}: {txid} is final, but money left the wallet otherwise than was ordered"
        )
    paid = seen.succeeded and seen.delivered
    final = Final(txid, seen.block, seen.block_hash, paid, seen.fee_units)
    why = "paid" if paid else "failed on chain: nothing was paid" if not seen.succeeded else "nothing was delivered"
    return Step(Act.FINAL, final=final, reason=f"final in block {seen.block}: {why}")


def _may_still_win(facts: Facts, winner: str) -> list[str]:
    """The versions beside `winner` that only time can exclude and has not."""
    return [s.txid for s in facts.sightings if s.txid != winner and s.expires_at_ms is not None and not dead(s)]


def _unproven(slot: Slot, versions: Sequence[Version], facts: Facts) -> Step:
    if foreign := stranger(versions, facts):
        return Step(
            Act.HALT, reason=f"slot {slot.id} was consumed at final depth by {foreign}, which is none of our versions"
        )
    proven = "one of ours, whose receipt is withheld" if facts.consumer else "nobody proven yet"
    return Step(Act.WAIT, reason=f"the slot is used at final depth by {proven}: ask again")


def _press_on(
    slot: Slot,
    versions: Sequence[Version],
    facts: Facts,
    offer: Offer | None,
    next_fee: Fee | None,
    bump_after: timedelta,
    now: datetime,
) -> Step:
    """Nothing is included: offer more, offer again, or wait for the network."""
    if ends_by_time(facts):
        return _press_on_by_time(slot, versions, facts, offer, next_fee, bump_after, now)
    last = versions[-1]
    why = f"version {last.number} is not included"
    if bump_due(versions, facts, offer, bump_after, now):
        if next_fee is not None and next_fee.most <= int(slot.fee_cap):
            return Step(Act.BUMP, fee=next_fee, reason=f"{why} at a price of {last.fee.price}")
        why += "; no higher fee is possible now within the caps"
    if offer is None or offer.number != last.number:
        return Step(Act.OFFER, offer=last.number, reason=f"version {last.number} was not offered yet")
    if not any(s.known for s in facts.sightings if s.txid == last.txid):
        return Step(Act.OFFER, offer=last.number, reason=f"{why}; no node knows it")
    if now - offer.last >= bump_after / 2:
        return Step(Act.OFFER, offer=last.number, reason=f"{why}; offered again, because nodes forget")
    return Step(Act.WAIT, reason=why)


def _press_on_by_time(
    slot: Slot,
    versions: Sequence[Version],
    facts: Facts,
    offer: Offer | None,
    next_fee: Fee | None,
    bump_after: timedelta,
    now: datetime,
) -> Step:
    """Nothing is included and only time excludes: the same bytes again and again, until they are proven dead."""
    last = versions[-1]
    if all_dead(versions, facts):
        if next_fee is not None and next_fee.most <= int(slot.fee_cap):
            txids = tuple(version.txid for version in versions)
            return Step(Act.BUMP, fee=next_fee, after=txids, reason=f"all {len(txids)} version(s) are proven dead")
        return Step(Act.WAIT, reason=f"all {len(versions)} version(s) are dead; no new one is possible within the caps")
    if offer is None or offer.number != last.number:
        return Step(Act.OFFER, offer=last.number, reason=f"version {last.number} was not offered yet")
    why = f"version {last.number} is not included and not proven dead"
    if now - offer.last >= bump_after / 2:
        return Step(Act.OFFER, offer=last.number, reason=f"{why}; offered again, because nodes forget")
    return Step(Act.WAIT, reason=why)
