"""A vault without keys or policy: it keeps the promises every vault keeps towards workflows, and nothing more.

It signs with the toy signature of the fake chain, remembers slot -> payment and withdrawal -> slot, numbers versions,
and gives the same bytes for the same order. It does not read the bytes and asks nobody: judging is the real signer's
work.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from domain.errors import Refused, StrongroomError
from domain.payout import Payment, SigningOrder, Version, slot_id
from domain.procedure import Endorsed

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
_TOY_SIGNATURE = "5163"  # what the fake chain's nodes take for a signature


class FakeVault:
    """Implements `domain.ports.Vault` in memory. `failures` are raised first, one for each call; `orders` are what it
    was asked.
    """

    def __init__(self, address: str = ADDRESS, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._address = address
        self._clock = clock
        self._payments: dict[str, tuple[Payment, ...]] = {}
        self._slots: dict[str, str] = {}
        self._voided: set[str] = set()
        self._consumed: set[str] = set()
        self._versions: dict[str, list[Version]] = {}
        self.failures: list[StrongroomError] = []
        self.orders: list[SigningOrder] = []

    def address(self, network: str) -> str:
        return self._address

    async def sign(self, order: SigningOrder) -> Version:
        self.orders.append(order)
        if self.failures:
            raise self.failures.pop(0)
        slot, draft = order.slot, order.draft
        if not slot.id == draft.slot_id == slot_id(slot.network, self._address, slot.scarce):
            raise Refused("SIGNER_SLOT_ID", "The slot's id must be derived from its network, wallet and number.")
        if draft.fee.most > int(slot.fee_cap):
            raise Refused("SIGNER_FEE_ABOVE_CAP", "The transaction may cost more than the slot allows; offer less.")
        versions = self._versions.setdefault(slot.id, [])
        known = next((v for v in versions if v.fee == draft.fee), None)
        if slot.id in self._consumed:
            raise Refused("SIGNER_SLOT_CONSUMED", "People gave this slot up; nothing more is signed for it.")
        if order.void is not None:
            self._void(order.void, slot.id, known)
        elif slot.id not in self._voided:
            self._bind(order)
        elif known is None:
            raise Refused("SIGNER_SLOT_VOIDED", "People voided this slot; nothing more is paid from it.")
        if known is not None:
            return known
        raw = draft.unsigned + _TOY_SIGNATURE
        txid = "0x" + hashlib.sha256(raw.encode()).hexdigest()
        void = order.void is not None
        versions.append(Version(slot.id, len(versions) + 1, txid, raw, draft.fee, self._clock(), void))
        return versions[-1]

    def _void(self, endorsed: Endorsed, slot: str, known: Version | None) -> None:
        """Two names are enough here; whose signatures they are, the real signer judges. `known`: what has this fee."""
        asked, people = endorsed.procedure, {word.approver for word in endorsed.endorsements}
        if (asked.kind, asked.subject) != ("VOID", slot) or len(people) < 2:
            raise Refused("SIGNER_ENDORSEMENTS", "Two different people must endorse this very procedure.")
        if known is not None and not known.void:
            raise Refused("SIGNER_FEE_TAKEN", "A paying version of this slot has this very fee; offer another one.")
        self._voided.add(slot)

    def _bind(self, order: SigningOrder) -> None:
        slot = order.slot
        if self._payments.get(slot.id, slot.payments) != slot.payments:
            raise Refused("SIGNER_SLOT_TAKEN", "This slot was signed for another payment and never pays a second one.")
        given_up = {
            endorsed.procedure.subject for item in order.items for endorsed in item.replans if _by_two(endorsed)
        }
        before = {self._slots.get(p.withdrawal_id, slot.id) for p in slot.payments} - {slot.id}
        if before - given_up:
            raise Refused(
                "SIGNER_SECOND_SLOT", "This withdrawal already took a slot; it is never paid from a second one."
            )
        self._consumed |= before
        self._payments[slot.id] = slot.payments
        self._slots.update({p.withdrawal_id: slot.id for p in slot.payments})


def _by_two(endorsed: Endorsed) -> bool:
    """Two names are enough here, as for a void."""
    people = {word.approver for word in endorsed.endorsements}
    return endorsed.procedure.kind == "REPLAN" and len(people) >= 2
