"""Bringing one slot to its end at one network: store, offer, look, offer again, until the facts say what comes next."""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.pulse import Pulse
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused, Unavailable, Uncertain
from domain.payout import (
    Act,
    Consumption,
    Delivery,
    Draft,
    Facts,
    Fee,
    Offer,
    Slot,
    Step,
    Version,
    all_dead,
    bump_due,
    consumption,
    decide,
    inclusion,
    look_pause_s,
    offered,
)
from domain.ports import Books, Chain
from domain.procedure import PROVEN

OUTAGE_PAUSE_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class DeliverOrder:
    """A signed version, to deliver with all older ones of its slot. `may_bump`: whether a higher fee may be tried.
    `hasten`: while the last version is this one (or older), a higher fee is tried at once, whatever patience is left.
    """

    slot: Slot
    version: Version
    may_bump: bool = True
    hasten: int = 0


@dataclass(frozen=True, slots=True)
class RedraftOrder:
    """A draft that went stale before it was signed."""

    slot: Slot
    stale: Draft


@dataclass(frozen=True, slots=True)
class VoidOrder:
    """A slot that people want ended without a payment. `last`: the version its story had signed last, which the books
    may not know yet.
    """

    slot: Slot
    last: Version | None = None


@dataclass(frozen=True, slots=True)
class VoidStep:
    """What voids a slot: the bytes to sign, or the version that does it already."""

    draft: Draft | None = None
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class ProofOrder:
    """A slot of a wallet that a stranger's transaction `txid` is said to have consumed."""

    network: str
    wallet: str
    slot_id: str
    txid: str


class ChainActivities:
    """One network's nodes, and the books that must know first."""

    def __init__(self, chain: Chain, books: Books, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._chain = chain
        self._books = books
        self._clock = clock

    @activity.defn
    async def deliver(self, order: DeliverOrder) -> Delivery:
        """FINAL with its proof, BUMP with the next bytes to sign, or HALT with the evidence. Nothing else ends it: a
        node that is down, slow or forgetful only makes it look again. Any number of attempts may run it at once.
        """
        watch = _Watch(self._chain, self._books, order, self._clock)
        outages = 0
        async with Pulse() as pulse:
            while True:
                try:
                    delivery = await watch.look()
                except (Unavailable, Uncertain) as outage:
                    outages += 1
                    pulse.say(slot=order.slot.id, waits_for=str(outage), outages=outages)
                    await pulse.rest(min(0.2 * 2 ** min(outages, 8), OUTAGE_PAUSE_MAX_S))
                    continue
                if delivery is not None:
                    return delivery
                outages = 0
                pulse.say(slot=order.slot.id, says=watch.says, looks=watch.looks)
                await pulse.rest(look_pause_s(self._chain.network.block_time_ms, watch.quiet))

    @activity.defn
    async def redraft(self, order: RedraftOrder) -> Draft:
        """The same payment in fresh bytes, in the place of the same dead versions. Safe whatever was signed meanwhile:
        the signer gives the last version again unless it is named as dead.
        """
        async with Pulse():
            fresh = await self._chain.draft(order.slot, order.stale.fee)
        return replace(fresh, after=order.stale.after)

    @activity.defn
    async def draft_void(self, order: VoidOrder) -> VoidStep:
        """How the slot is voided: at a fee that replaces its dearest version. One that is signed and not stored is
        stored first, for no version is forgotten. Raises Refused FEE_ABOVE_CAP, ONLY_TIME_DECIDES, SLOT_CONSUMED,
        SLOT_CLOSED.
        """
        async with Pulse():
            versions = await self._books.versions(order.slot.id)
            if order.last is not None and order.last.txid not in {version.txid for version in versions}:
                versions = await self._books.begin_delivery(order.last, self._clock())
            if versions and versions[-1].void:
                return VoidStep(version=versions[-1])
            dearest = max((version.fee for version in versions), key=lambda fee: fee.most, default=None)
            return VoidStep(draft=await self._chain.void(order.slot, dearest))

    @activity.defn
    async def prove_consumed(self, order: ProofOrder) -> Consumption | None:
        """What the nodes say of it now; None when the books hold no such open slot."""
        async with Pulse():
            opened = await self._books.open_slots(order.network, order.wallet)
            found = next((one for one in opened if one.slot.id == order.slot_id), None)
            if found is None:
                return None
            slot = found.slot
            facts = await self._chain.observe(slot, found.versions, order.txid)
            code = consumption(await self._books.versions(slot.id), facts, order.txid)
            proof = Consumption(slot, order.txid, code, facts.final_block)
            return await self._counted(proof, {one.slot.scarce for one in opened}) if code == PROVEN else proof

    async def _counted(self, proof: Consumption, opened: Set[str]) -> Consumption:
        """With what the network counts of the key, where it counts. A number beyond our slots that a stranger used too
        is passed by only when that is final: a gap below our next slot would stop all that follow.
        """
        latest, _ = await self._chain.next_scarce(proof.slot.wallet)
        if not latest or str(latest - 1) in opened - {proof.slot.scarce}:
            return proof
        last = await self._chain.observe(replace(proof.slot, scarce=str(latest - 1)), ())
        return replace(proof, counted=latest) if last.used else replace(proof, code="CONSUMPTION_UNPROVEN")


class _Watch:
    """One attempt at a slot: what was already done in it, and what the last look said."""

    def __init__(self, chain: Chain, books: Books, order: DeliverOrder, clock: Callable[[], datetime]) -> None:
        self._chain = chain
        self._books = books
        self._order = order
        self._clock = clock
        self._versions: tuple[Version, ...] = ()
        self._offer: Offer | None = None
        self._gist: object = None
        self._step = Step(Act.WAIT)
        self._doubt = ""
        self._suspect = ""
        self._void: Draft | None = None
        self.looks = 0
        self.quiet = 0

    @property
    def says(self) -> str:
        """One sentence for an operator."""
        return self._step.reason + (f" ({self._doubt})" if self._doubt else "")

    async def look(self) -> Delivery | None:
        """One look at the slot and what it asks for; None while there is nothing to report."""
        if not self._versions:
            await self._begin()
        slot = self._order.slot
        facts = await self._observed(slot)
        passing(CrashPoint.OBSERVED)
        next_fee = await self._next_fee(facts)
        self._step = decide(
            slot,
            self._versions,
            facts,
            offer=self._offer,
            next_fee=next_fee,
            bump_after=self._patience if next_fee is None else self._bump_after,
            now=self._clock(),
        )
        if self._step.act is Act.HALT and await self._learnt_more():
            return None
        await self._keep(facts)
        return await self._act(self._step)

    async def _observed(self, slot: Slot) -> Facts:
        """One look; where the slot was used and nobody is named, another at whom an earlier one named: nodes forget old
        states, and what was once proven must not be lost with them.
        """
        facts = await self._chain.observe(slot, self._versions, self._suspect)
        if facts.used and facts.consumer is None and inclusion(facts) is None and not self._suspect:
            self._suspect = await self._books.suspect(slot.id) or ""
            if self._suspect:
                facts = await self._chain.observe(slot, self._versions, self._suspect)
        self._suspect = facts.consumer or self._suspect
        return facts

    async def _begin(self) -> None:
        """The bytes are committed and the stage moved before the first node hears of them."""
        passing(CrashPoint.DELIVERY_BEGUN)
        self._versions = tuple(await self._books.begin_delivery(self._order.version, self._clock()))
        passing(CrashPoint.VERSION_STORED)
        if len(self._versions) > 1:
            passing(CrashPoint.BUMP_STORED)
        await self._send(self._versions[-1])

    async def _learnt_more(self) -> bool:
        """Reads the stored versions; whether there are new ones. One that another attempt stored meanwhile must never
        be taken for a stranger's.
        """
        before = self._versions
        self._versions = tuple(await self._books.versions(self._order.slot.id))
        return self._versions != before

    async def _act(self, step: Step) -> Delivery | None:
        match step.act:
            case Act.FINAL | Act.HALT:
                if step.act is Act.FINAL:
                    passing(CrashPoint.FINAL_DECIDED)
                return Delivery(step.act, final=step.final, reason=step.reason)
            case Act.BUMP if step.fee is not None:
                passing(CrashPoint.BUMP_DECIDED)
                draft = self._void or await self._chain.draft(self._order.slot, step.fee)
                passing(CrashPoint.BUMP_DRAFTED)
                return Delivery(step.act, draft=replace(draft, after=step.after), reason=step.reason)
            case Act.OFFER:
                await self._send(next(v for v in self._versions if v.number == step.offer))
        return None

    async def _send(self, version: Version) -> None:
        """Offers the stored bytes. Whatever the answer, only the next look says what became of them."""
        underpriced, self._doubt = False, ""
        passing(CrashPoint.SENDING)
        try:
            await self._chain.broadcast(version)
        except (Uncertain, Refused) as answer:
            underpriced, self._doubt = answer.code == "BROADCAST_UNDERPRICED", str(answer)
        passing(CrashPoint.SENT)
        doubt = f" ({self._doubt})" if self._doubt else ""
        activity.logger.info("offered version %d as %s%s", version.number, version.txid, doubt)
        self._offer = offered(self._offer, version.number, self._clock(), underpriced=underpriced)

    async def _keep(self, facts: Facts) -> None:
        """Writes down a look that says something new. The last one is settled with its proof, in one write."""
        self.looks += 1
        gist = (facts.used, facts.consumer, facts.sightings)
        self.quiet = self.quiet + 1 if gist == self._gist else 0
        if gist != self._gist and self._step.act is not Act.FINAL:
            await self._books.record_facts(self._order.slot, facts)
            passing(CrashPoint.FACTS_RECORDED)
            self._gist = gist

    async def _next_fee(self, facts: Facts) -> Fee | None:
        """The fee of the next version, asked of the network only when a bump is due or every version is dead."""
        if not self._order.may_bump:
            return None
        if all_dead(self._versions, facts):
            return await self._requoted()
        if not bump_due(self._versions, facts, self._offer, self._bump_after, self._clock()):
            return None
        last = self._versions[-1].fee
        try:
            if self._versions[-1].void:
                self._void = await self._chain.void(self._order.slot, last)
                return self._void.fee
            return self._chain.bump(self._order.slot, last, await self._chain.market(last.weight))
        except Refused:
            return None  # the market is above our cap: the versions that are out may still win

    async def _requoted(self) -> Fee | None:
        """What the payment costs today. One that would fail now is signed at its last fee all the same: its failure on
        chain is an end with proof, and giving up has none.
        """
        slot = self._order.slot
        try:
            return await self._chain.quote(slot.payments, slot.wallet)
        except Refused as why:
            return None if why.code == "FEE_ABOVE_CAP" else self._versions[-1].fee

    @property
    def _bump_after(self) -> timedelta:
        """None of the patience is left when people asked for a bump of the last version."""
        hastened = self._versions[-1].number <= self._order.hasten
        return timedelta() if hastened else self._patience

    @property
    def _patience(self) -> timedelta:
        return timedelta(seconds=self._chain.network.fees.bump_after_s)
