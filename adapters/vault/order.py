"""Does a signing order hang together? Bytes, slot, payments and intents must all say the same, one to one.

Pure: everything comes in as arguments, a Refused comes out. Nothing here trusts a field because of who sent it.
"""

import re
from dataclasses import astuple, dataclass

from adapters.vault.family import Reading
from domain.asset import Asset
from domain.errors import Refused
from domain.intent import Intent
from domain.network import Network
from domain.payout import Fee, Item, Payment, SigningOrder, slot_id
from domain.procedure import Endorsed

PAYMENTS_MAX = 100
INPUTS_MAX = 100
WEIGHT_TIMES_MAX = 2
DECISIONS_MAX = 32
REPLANS_MAX = 32
TEXT_CHARS_MAX = 256
_UNITS = re.compile(r"[1-9][0-9]{0,77}")
_TXID = re.compile(r"(?:0x)?[0-9a-f]{64}")
_UNITS_OR_ZERO = re.compile(r"0|[1-9][0-9]{0,77}")


@dataclass(frozen=True, slots=True)
class Judged:
    """One payment after the bytes were read: the intent people saw, its hash as we computed it, and its amount."""

    item: Item
    intent_hash: str
    asset: Asset
    units: int


def check_form(order: SigningOrder) -> None:
    """Bounds of everything that is looped over, hashed or turned into a number. Raises Refused
    SIGNER_ORDER_MALFORMED.
    """
    if not 1 <= len(order.items) <= PAYMENTS_MAX or len(order.slot.payments) != len(order.items):
        raise _malformed(f"send one item for each payment, 1 to {PAYMENTS_MAX} of them")
    slot = order.slot
    if len(slot.inputs) > INPUTS_MAX:
        raise _malformed(f"a slot spends at most {INPUTS_MAX} coins")
    texts = [slot.id, slot.network, slot.wallet, slot.scarce, slot.fee_cap, order.draft.slot_id]
    texts += [text for coin in slot.inputs for text in astuple(coin)]
    numbers = [slot.fee_cap]
    for item in order.items:
        if len(item.decisions) > DECISIONS_MAX:
            raise _malformed(f"send at most {DECISIONS_MAX} decisions for a payment")
        if len(item.replans) > REPLANS_MAX:
            raise _malformed(f"send at most {REPLANS_MAX} replans for a payment")
        texts += astuple(item.intent)
        numbers.append(item.intent.fee_cap)
        for decision in item.decisions:
            texts += [decision.approver, decision.ruling, decision.intent_hash, decision.signature]
    for payment in order.slot.payments:
        texts += astuple(payment)
    procedures = [asked for item in order.items for asked in item.replans] + ([order.void] if order.void else [])
    for endorsed in procedures:
        if len(endorsed.endorsements) > DECISIONS_MAX:
            raise _malformed(f"send at most {DECISIONS_MAX} endorsements")
        asked = endorsed.procedure
        texts += [asked.kind, asked.subject, asked.asked_at]
        texts += [text for endorsement in endorsed.endorsements for text in astuple(endorsement)]
    if not all(_is_text(text) for text in texts):
        raise _malformed(f"every field is printable text of at most {TEXT_CHARS_MAX} characters")
    if not all(_UNITS_OR_ZERO.fullmatch(number) for number in numbers):
        raise _malformed("a fee cap is plain decimal digits")
    if not all(_UNITS.fullmatch(payment.amount) for payment in order.slot.payments):
        raise _malformed("an amount is plain decimal digits, above zero")


def check_slot(order: SigningOrder, reading: Reading, address: str) -> None:
    """The slot is ours and is the one in the bytes, with the same coins. Raises Refused SIGNER_WALLET_FOREIGN,
    SIGNER_SLOT_ID, SIGNER_NONCE, SIGNER_INPUTS or SIGNER_FEE_MISMATCH.
    """
    slot, draft = order.slot, order.draft
    if slot.wallet.lower() != address.lower() or reading.wallet not in ("", address):
        raise Refused("SIGNER_WALLET_FOREIGN", "The slot's wallet is not the one this signer has the key of.")
    if not slot.id == draft.slot_id == slot_id(slot.network, address, slot.scarce):
        raise Refused("SIGNER_SLOT_ID", "The slot's id must be derived from its network, wallet and number.")
    if reading.scarce != slot.scarce:
        raise Refused(
            "SIGNER_NONCE", "The bytes take another slot than the order names.", named=slot.scarce, found=reading.scarce
        )
    if reading.inputs != slot.inputs:
        raise Refused("SIGNER_INPUTS", "The bytes spend other coins than the slot's, or in another order.")
    if not _offers(draft.fee, reading):
        raise Refused("SIGNER_FEE_MISMATCH", "The fee in the bytes is not the fee the order names.")


def check_payments(order: SigningOrder, reading: Reading) -> tuple[Judged, ...]:
    """What the bytes pay is what the slot says and what the intents say, one to one.

    Raises Refused SIGNER_ITEMS, SIGNER_PAYMENT_MISMATCH or SIGNER_INTENT_MISMATCH, naming the field.
    """
    payments = order.slot.payments
    by_id = {item.intent.withdrawal_id: item for item in order.items}
    if len({p.withdrawal_id for p in payments}) != len(payments) or {p.withdrawal_id for p in payments} != set(by_id):
        raise Refused("SIGNER_ITEMS", "Payments and intents must name the same withdrawals, each once.")
    if len(reading.paid) != len(payments):
        raise Refused("SIGNER_PAYMENT_MISMATCH", f"The bytes make {len(reading.paid)} payment(s).", field="count")
    judged = []
    for payment, found in zip(payments, reading.paid, strict=True):
        item = by_id[payment.withdrawal_id]
        facts = {"asset": found.asset.id, "amount": str(found.units), "recipient": found.recipient}
        _compare_payment(payment, facts)
        _compare_intent(item.intent, order.slot.network, facts)
        judged.append(Judged(item, item.intent.hash(), found.asset, found.units))
    return tuple(judged)


def check_void(order: SigningOrder, reading: Reading, address: str) -> None:
    """The bytes pay nobody: no coin leaves but the fee. Raises Refused SIGNER_VOID_PAYS, or SIGNER_VOID_BY_TIME where
    no transaction takes another's place.
    """
    if reading.expires_at_ms is not None:
        raise Refused("SIGNER_VOID_BY_TIME", "Nothing voids a version here but its expiration.")
    if any(paid.units or paid.recipient != address for paid in reading.paid):
        raise Refused("SIGNER_VOID_PAYS", "The bytes that should pay nobody pay somebody.")


def check_replan(asked: Endorsed, slot: str, reading: Reading) -> None:
    """The procedure names the transaction that consumed the slot. Raises Refused SIGNER_PROCEDURE_OTHER, or
    SIGNER_REPLAN_BY_TIME where no stranger's transaction can take a slot.
    """
    if reading.expires_at_ms is not None:
        raise Refused("SIGNER_REPLAN_BY_TIME", "No stranger takes a slot here: only time ends a version.", slot_id=slot)
    if not _TXID.fullmatch(asked.procedure.rests_on):
        raise Refused("SIGNER_PROCEDURE_OTHER", "The endorsed procedure names no transaction.", slot_id=slot)


def check_recipient(why_not: str, payment: Payment, wallet: str) -> None:
    """Coins go to people. Raises Refused SIGNER_RECIPIENT_FORBIDDEN."""
    recipient = payment.recipient
    if recipient.lower() == wallet.lower():
        why_not = "it is the wallet itself"
    if why_not:
        raise Refused(
            "SIGNER_RECIPIENT_FORBIDDEN",
            f"Nothing is paid to this recipient: {why_not}.",
            to=recipient,
            withdrawal_id=payment.withdrawal_id,
        )


def check_fee(order: SigningOrder, reading: Reading, network: Network, own_cap: int) -> None:
    """The most this version can cost is within every cap: the signer's, the slot's, what people saw in each intent (the
    fee is the slot's as a whole, so the smallest counts), and the network's share of what is paid.

    Raises Refused SIGNER_FEE_ABOVE_CAP.
    """
    caps = {f"intent {item.intent.withdrawal_id}": int(item.intent.fee_cap) for item in order.items}
    caps |= {"the signer's rules": own_cap, "the slot": int(order.slot.fee_cap)}
    if network.fees.share_cap_percent and order.void is None:
        native = sum(paid.units for paid in reading.paid if paid.asset.id == network.native_asset)
        caps["the share of what is paid"] = native * network.fees.share_cap_percent // 100
    source, cap = min(caps.items(), key=lambda pair: pair[1])
    most = order.draft.fee.most if reading.fee_units is None else reading.fee_units
    if most > cap:
        raise Refused(
            "SIGNER_FEE_ABOVE_CAP",
            f"The transaction may cost more than {source} allows; offer less.",
            most=str(most),
            cap=str(cap),
        )


def check_price(order: SigningOrder, network: Network) -> None:
    """No unit of weight costs more than the network's cap. Raises Refused SIGNER_PRICE_ABOVE_CAP."""
    if above_price_cap(order, network):
        raise Refused(
            "SIGNER_PRICE_ABOVE_CAP",
            f"No version on {network.name} offers more than {network.fees.price_cap} for a unit.",
            price=str(order.draft.fee.price),
            cap=str(network.fees.price_cap),
        )


def above_price_cap(order: SigningOrder, network: Network) -> bool:
    return order.draft.fee.price > network.fees.price_cap


def _offers(said: Fee, reading: Reading) -> bool:
    """Whether the fee an order names is the one in its bytes. Where they fix a sum alone, it has to cover the sum, with
    a weight that is about theirs: what was planned before the coins were chosen may be somewhat heavier.
    """
    if reading.fee_units is None:
        return said == reading.fee
    fits = 0 < said.weight <= WEIGHT_TIMES_MAX * reading.fee.weight
    return fits and said.tip == 0 and said.price > 0 and said.most >= reading.fee_units


def _compare_payment(payment: Payment, facts: dict[str, str]) -> None:
    for name, found in facts.items():
        if getattr(payment, name) != found:
            raise Refused(
                "SIGNER_PAYMENT_MISMATCH",
                f"The {name} in the bytes is not the slot's.",
                field=name,
                said=str(getattr(payment, name)),
                found=found,
                withdrawal_id=payment.withdrawal_id,
            )


def _compare_intent(intent: Intent, network: str, facts: dict[str, str]) -> None:
    for name, found in {**facts, "network": network}.items():
        if getattr(intent, name) != found:
            raise Refused(
                "SIGNER_INTENT_MISMATCH",
                f"The {name} in the bytes is not what the intent says.",
                field=name,
                said=str(getattr(intent, name)),
                found=found,
                withdrawal_id=intent.withdrawal_id,
            )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX and value.isprintable()


def _malformed(why: str) -> Refused:
    return Refused("SIGNER_ORDER_MALFORMED", f"The order is not well formed: {why}.")
