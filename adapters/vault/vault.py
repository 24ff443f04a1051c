"""The signer. It reads the bytes it is asked to sign, works out for itself what they pay, and signs only what people
approved or what its own small limits let pass. It believes nothing else that it is told.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from adapters.catalogue import Catalogue
from adapters.vault import expiry, quorum
from adapters.vault import order as orders
from adapters.vault.families import FAMILIES
from adapters.vault.family import Family, Reading
from adapters.vault.keystore import SigningKey
from adapters.vault.order import Judged
from adapters.vault.quorum import Signatures
from adapters.vault.rules import AssetRules, NetworkRules, Rules
from adapters.vault.store import Page, Store
from domain.crash_points import CrashPoint, passing
from domain.errors import Refused
from domain.network import Network
from domain.payout import Fee, SigningOrder, Version
from domain.procedure import Endorsed, Kind

VERSIONS_MAX = 100  # a bump of 12.5 % goes from the floor of a price to three thousand times that in 69 steps
_log = logging.getLogger("strongroom.vault")


class SigningVault:
    """Implements `domain.ports.Vault`. One thread does all the work, so orders are judged one after the other."""

    def __init__(
        self,
        catalogue: Catalogue,
        keys: Mapping[str, SigningKey],
        rules: Rules,
        roster: Signatures,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalogue = catalogue
        self._keys = dict(keys)
        self._rules = rules
        self._roster = roster
        self._store = store
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="signer")

    def address(self, network: str) -> str:
        """The wallet this signer has the key of. Raises Refused SIGNER_NETWORK_UNKNOWN."""
        facts, family, key, _ = self._network(network)
        return family.address(key.account, facts)

    async def sign(self, order: SigningOrder) -> Version:
        """Signs one version of one slot; the same order gives the same bytes, for ever.

        Raises Refused SIGNER_* (final and remembered with its facts) and Unavailable SIGNER_STORE_UNAVAILABLE,
        ROSTER_UNREADABLE or SIGNER_ATTEMPT_ALIVE (nothing was signed, ask again).
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._sign, order)

    def close(self) -> None:
        """Waits for the order at hand, then closes the memory."""
        self._thread.shutdown(wait=True)
        self._store.close()

    def _sign(self, order: SigningOrder) -> Version:
        now = self._clock()
        passing(CrashPoint.ORDER_RECEIVED)
        try:
            version = self._judge_and_sign(order, now)
        except Refused as refusal:
            slot = str(order.slot.id)
            self._store.record_refusal(slot, refusal, now)
            _log.warning("signing refused", extra={"code": refusal.code, "slot_id": slot[:256]})
            raise
        passing(CrashPoint.SIGNATURE_KEPT)
        if version.number > 1:
            passing(CrashPoint.BUMP_SIGNED)
        return version

    def _judge_and_sign(self, order: SigningOrder, now: datetime) -> Version:
        orders.check_form(order)
        network, family, key, rules = self._network(order.slot.network)
        reading = family.read(order.draft.unsigned, network, self._catalogue.assets.values())
        address = family.address(key.account, network)
        orders.check_slot(order, reading, address)
        if order.void is not None:
            return self._judge_and_void(order, order.void, reading, now)
        judged = orders.check_payments(order, reading)
        for payment in order.slot.payments:
            why_not = family.refuse_recipient(payment.recipient, network, self._catalogue.assets.values())
            orders.check_recipient(why_not, payment, address)
        orders.check_fee(order, reading, network, rules.network_fee_cap)
        orders.check_price(order, network)
        self._note_rejections(judged, now)
        with self._store.page() as page:
            return self._next_version(page, order, reading, judged, now)

    def _judge_and_void(self, order: SigningOrder, asked: Endorsed, reading: Reading, now: datetime) -> Version:
        """A version that pays nobody, for people who endorsed it for this very slot. The slot pays no more afterwards;
        what was signed before may still win.

        Where bytes fix a sum, a void may pass the price cap: it is small and has to outbid the sum of all that it
        replaces. The caps of the sum hold it, and what it adds to the dearest version counts against the day's.
        """
        network, family, key, rules = self._network(order.slot.network)
        orders.check_void(order, reading, family.address(key.account, network))
        orders.check_fee(order, reading, network, rules.network_fee_cap)
        if reading.fee_units is None:
            orders.check_price(order, network)
        people = quorum.endorsers(asked, Kind.VOID, order.slot.id, self._roster)
        slot, fee = order.slot.id, order.draft.fee
        with self._store.page() as page:
            page.refuse_consumed(slot)
            page.void(slot, reading.payload, asked.procedure.hash(), people, now)
            page.take(slot, reading.inputs)
            if page.coins(slot) != frozenset(reading.inputs):
                raise Refused("SIGNER_INPUTS", "A void version spends all the coins of its slot.")
            versions = page.versions(slot)
            known = next((version for version in versions if version.fee == fee), None)
            if known is not None and not known.void:
                raise Refused("SIGNER_FEE_TAKEN", "A paying version of this slot has this very fee; offer another one.")
            if known is not None:
                return known
            _refuse_full(versions)
            if orders.above_price_cap(order, network):
                _spend_fee(page, order, rules, fee.most - _dearest(versions), now)
            return _signed(page, order, family, key, len(versions) + 1, now)

    def _next_version(
        self, page: Page, order: SigningOrder, reading: Reading, judged: tuple[Judged, ...], now: datetime
    ) -> Version:
        """The stored version of this fee, or a new one once everything else agrees; committed before it is returned."""
        slot, fee = order.slot.id, order.draft.fee
        network, family, key, rules = self._network(order.slot.network)
        intents = {j.item.intent.withdrawal_id: j.intent_hash for j in judged}
        page.refuse_consumed(slot)
        if page.voided(slot):
            return _again(page.versions(slot), reading, fee)
        self._give_up(page, order, reading, now)
        new = page.bind(slot, reading.payload, intents, now)
        page.take(slot, reading.inputs)
        versions = page.versions(slot)
        for version in versions:
            same = version.fee == fee and family.expires_at_ms(version.raw) == reading.expires_at_ms
            if same or version.txid == reading.txid:
                return version
        if reading.expires_at_ms is not None:
            if {version.txid for version in versions} - set(order.draft.after):
                return versions[-1]  # it may live, or have been paid: whoever asks must deliver it and look
            expiry.check_window(reading.expires_at_ms, network, now)
            expiry.check_dead([(v.txid, family.expires_at_ms(v.raw)) for v in versions], network, now)
        _refuse_full(versions)
        self._refuse_rejected(page, judged)
        cleared = {j.intent_hash: quorum.approved(j, self._asset_rules(j), self._roster) for j in judged}
        if new:
            for j in judged:
                self._enter(page, slot, j, cleared[j.intent_hash], now)
        if not page.approved(slot):
            _spend_fee(page, order, rules, fee.most - _dearest(versions), now)
        return _signed(page, order, family, key, len(versions) + 1, now, reading.expires_at_ms or 0)

    def _give_up(self, page: Page, order: SigningOrder, reading: Reading, now: datetime) -> None:
        """Closes for ever the slots that its payments took before and that people of our roster gave up: they say that
        a stranger's transaction, none of ours, consumed them. This signer asks no node; that is their word.
        """
        for item in order.items:
            before = page.slot_of(item.intent.withdrawal_id)
            asked = next((one for one in item.replans if one.procedure.subject == before), None)
            if before in (None, order.slot.id) or asked is None or page.consumed(before):
                continue
            orders.check_replan(asked, before, reading)
            people = quorum.endorsers(asked, Kind.REPLAN, before, self._roster)
            page.consume(before, asked.procedure.rests_on, asked.procedure.hash(), people, now)

    def _enter(self, page: Page, slot: str, judged: Judged, approved: bool, now: datetime) -> None:
        """Books one withdrawal onto its slot; without approvals it must fit into the rolling cap of its asset."""
        page.enter(slot, judged.item.intent.withdrawal_id, judged.intent_hash, approved)
        if approved:
            return
        asset, cap = judged.asset.id, self._asset_rules(judged).auto_day_units_max
        spent = page.spend(asset, judged.units, cap, slot, now)
        if spent is not None:
            raise Refused(
                "SIGNER_AUTO_DAY_CAP",
                f"What may leave without people is spent for the last 24 hours; this {asset} payment needs approvals.",
                spent=str(spent),
                cap=str(cap),
                intent_hash=judged.intent_hash,
                withdrawal_id=judged.item.intent.withdrawal_id,
            )

    def _note_rejections(self, judged: tuple[Judged, ...], now: datetime) -> None:
        for j in judged:
            rejecter = quorum.rejecter(j, self._roster)
            if rejecter is not None:
                self._store.record_rejection(j.intent_hash, rejecter, now)

    def _refuse_rejected(self, page: Page, judged: tuple[Judged, ...]) -> None:
        for j in judged:
            rejecter = page.rejected_by(j.intent_hash)
            if rejecter is not None:
                raise Refused(
                    "SIGNER_REJECTED",
                    "An approver rejected this intent; make a new withdrawal if it should be paid after all.",
                    approver=rejecter,
                    intent_hash=j.intent_hash,
                    withdrawal_id=j.item.intent.withdrawal_id,
                )

    def _network(self, id_: str) -> tuple[Network, Family, SigningKey, NetworkRules]:
        network, key, rules = self._catalogue.networks.get(id_), self._keys.get(id_), self._rules.networks.get(id_)
        if network is None or key is None or rules is None or network.family not in FAMILIES:
            raise Refused("SIGNER_NETWORK_UNKNOWN", "This signer has no key and rules for that network.", network=id_)
        return network, FAMILIES[network.family], key, rules

    def _asset_rules(self, judged: Judged) -> AssetRules:
        rules = self._rules.assets.get(judged.asset.id)
        if rules is None:
            raise Refused(
                "SIGNER_ASSET_WITHOUT_RULES",
                "The signer's rules have no row for this asset.",
                asset=judged.asset.id,
                withdrawal_id=judged.item.intent.withdrawal_id,
            )
        return rules


def _signed(
    page: Page, order: SigningOrder, family: Family, key: SigningKey, number: int, now: datetime, expires_at_ms: int = 0
) -> Version:
    """The judged bytes signed and kept."""
    signed = family.sign(order.draft.unsigned, key)
    passing(CrashPoint.SIGNED)
    void = order.void is not None
    version = Version(order.slot.id, number, signed.txid, signed.raw, order.draft.fee, now, void)
    page.keep(version, expires_at_ms)
    return version


def _again(versions: Sequence[Version], reading: Reading, fee: Fee) -> Version:
    """What was signed for a voided slot before, at this fee; nothing that pays is added to it."""
    for version in versions:
        if version.fee == fee or version.txid == reading.txid:
            return version
    raise Refused("SIGNER_SLOT_VOIDED", "People voided this slot; nothing more is paid from it.")


def _refuse_full(versions: Sequence[Version]) -> None:
    if len(versions) >= VERSIONS_MAX:
        raise Refused("SIGNER_VERSIONS_FULL", f"A slot has at most {VERSIONS_MAX} versions; offer one of them.")


def _dearest(versions: Sequence[Version]) -> int:
    """The most that any of them may cost."""
    return max((version.fee.most for version in versions), default=0)


def _spend_fee(page: Page, order: SigningOrder, rules: NetworkRules, units: int, now: datetime) -> None:
    """Fees are money too: what unapproved versions offer the network together is capped as well, and what voids above
    the price cap add.
    """
    if units <= 0:  # only one version of a slot is ever included: the dearest is what counts
        return
    spent = page.spend(f"fee/{order.slot.network}", units, rules.fee_day_max, order.slot.id, now)
    if spent is not None:
        raise Refused(
            "SIGNER_FEE_DAY_CAP",
            "What may be offered to the network in 24 hours without approvals is spent; wait, or let people approve.",
            spent=str(spent),
            cap=str(rules.fee_day_max),
        )
