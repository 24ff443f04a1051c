"""The bytes of a payout: one transaction that spends all coins of its slot, pays all its payments in their order, and
gives the rest back to the wallet. Pure, in whole base units.

Every version of a slot has the same inputs and the same payments; only the change shrinks. So at most one of them can
ever be in a chain. The txid does not cover the signatures (BIP141): it is known before anything is signed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from btclib.fee import dust_threshold
from btclib.tx import OutPoint, Tx, TxIn, TxOut
from btclib_wallet.psbt import Psbt, PsbtIn

from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.blocks import RawTransaction
from domain.coin import Coin, units_of
from domain.errors import Refused
from domain.network import FeeRules
from domain.payout import Draft, Fee, Payment, Slot

SEQUENCE = 0xFFFFFFFD  # says that it may be replaced (BIP125); nodes that no longer ask for it do not mind
INPUT_BASE_BYTES = 41
INPUT_WITNESS_BYTES = 108  # two lengths and a count, a signature of at most 72 bytes, a key of 33 (BIP141)
INPUT_WEIGHT = 4 * INPUT_BASE_BYTES + INPUT_WITNESS_BYTES
INPUT_VBYTES = -(-INPUT_WEIGHT // 4)
LONG_TERM_PRICE = 10  # base units per vbyte that spending a coin will cost some day (Bitcoin Core: -consolidatefeerate)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a transaction does: `change` is 0 where there is none. `fee` is what it offers, at most one unit of weight
    above `paid`, which is exact.
    """

    outputs: tuple[tuple[int, bytes], ...]
    change: int
    fee: Fee
    paid: int


def plan(coins: Sequence[Coin], payments: Sequence[Payment], wallet: str, fee: Fee) -> Plan | None:
    """What `coins` come to when they pay `payments` at `fee`; None when they do not suffice. The weight is that of
    `fee` or the transaction's own, whichever is more. Planning again at the fee of a plan gives the same plan.

    Change that is dust, or costs more to spend than it is worth, is left to the fee, and the plan's fee says so.
    """
    outputs = tuple((int(payment.amount), script_of(payment.recipient)) for payment in payments)
    scripts, own = [script for _, script in outputs], script_of(wallet)
    left = units_of(coins) - sum(units for units, _ in outputs)
    weight = max(fee.weight, vbytes(len(coins), [*scripts, own]))
    change = left - weight * fee.price
    if change >= worth_keeping(own):
        return Plan(outputs, change, Fee(weight, fee.price, 0), left - change)
    said = _said(left, vbytes(len(coins), scripts), fee)
    return Plan(outputs, 0, said, left) if said else None


def _said(left: int, weight: int, fee: Fee) -> Fee | None:
    """The fee that says "all that is left": never a lower price than that of `fee`, and less than one unit of weight
    above what is paid. None when that is not left. A fee that says just this stays as it is.
    """
    if left > 0 and weight <= fee.weight == -(-left // fee.price):
        return fee
    price = left // weight
    return Fee(-(-left // price), price, 0) if price >= max(fee.price, 1) else None


def vbytes(inputs: int, scripts: Sequence[bytes]) -> int:
    """The size of a transaction that spends `inputs` coins of a wallet like ours to `scripts`, once it is signed: with
    the longest signatures, so never too small.
    """
    base = 8 + _compact_bytes(inputs) + INPUT_BASE_BYTES * inputs + _compact_bytes(len(scripts))
    base += sum(8 + _compact_bytes(len(script)) + len(script) for script in scripts)
    return -(-(4 * base + 2 + INPUT_WITNESS_BYTES * inputs) // 4)


def worth_keeping(script: bytes) -> int:
    """The least that is worth an output of ours."""
    return max(dust(script), INPUT_VBYTES * LONG_TERM_PRICE)


def dust(script: bytes) -> int:
    """An output of less is not relayed by any node (Bitcoin Core's `GetDustThreshold` at 3 base units per vbyte)."""
    return dust_threshold(script)


def payable(payments: Sequence[Payment]) -> None:
    """Raises Refused PAYMENT_DUST for a payment that no node would relay; `withdrawal` names it."""
    for payment in payments:
        least = dust(script_of(payment.recipient))
        if int(payment.amount) < least:
            raise Refused(
                "PAYMENT_DUST",
                f"The network carries no payment of less than {least} base units to this address.",
                withdrawal=payment.withdrawal_id,
                least=least,
            )


def most(payments: Sequence[Payment], rules: FeeRules, fee_cap: int) -> int:
    """The most that a transaction of these payments may pay: its own cap, and the share of what it pays out."""
    share = sum(int(payment.amount) for payment in payments) * rules.share_cap_percent // 100
    return min(fee_cap, share) if rules.share_cap_percent else fee_cap


def planned(slot: Slot, fee: Fee, rules: FeeRules) -> Plan:
    """What every version of `slot` at `fee` does. Raises Refused SLOT_SHAPE for a slot that is no slot of ours, and
    FEE_ABOVE_CAP when it would pay more than a cap allows or its coins hold.
    """
    if not slot.inputs or slot.inputs[0].outpoint != slot.scarce or not slot.payments:
        raise Refused("SLOT_SHAPE", "A slot here names the coins it spends, its anchor first, and whom it pays.")
    what = plan(slot.inputs, slot.payments, slot.wallet, fee)
    if what is None or max(what.paid, what.fee.most) > most(slot.payments, rules, int(slot.fee_cap)):
        raise Refused("FEE_ABOVE_CAP", "The fee passes the cap of its slot, or what its coins hold.", slot=slot.id)
    return what


def draft(slot: Slot, what: Plan, previous: Mapping[str, bytes]) -> Draft:
    """The PSBT (BIP174, version 0) of `slot` as planned. `previous`: by txid, the whole transaction that made each
    coin, which the caller has compared with its txid; it vouches for the amounts. Raises ValueError when a coin is not
    in it.
    """
    own = script_of(slot.wallet)
    maps = []
    for coin in slot.inputs:
        txid, vout = outpoint(coin.outpoint)
        parent = Tx.parse(previous[txid])
        spent = parent.vout[vout] if vout < len(parent.vout) else None
        if spent is None or spent.value != int(coin.units) or spent.script_pub_key.script != own:
            raise ValueError(f"{coin.outpoint} is not the coin that the slot names")
        maps.append(PsbtIn(non_witness_utxo=parent, witness_utxo=spent))
    outputs = [*what.outputs, *([(what.change, own)] if what.change else [])]
    unsigned = Tx(
        version=2,
        lock_time=0,
        vin=[TxIn(prev_out(coin), b"", SEQUENCE) for coin in slot.inputs],
        vout=[TxOut(units, script) for units, script in outputs],
    )
    psbt = Psbt.from_tx(unsigned, maps)
    return Draft(slot.id, f"0x{psbt.serialize().hex()}", what.fee)


def judge_delivery(slot: Slot, found: RawTransaction) -> tuple[bool, bool, int]:
    """(delivered, strayed, base units of fee) of a transaction that spends the slot's coins: delivered when it pays
    exactly what was ordered, beside change to the wallet itself; strayed when it pays anything else. One that gives all
    coins back to the wallet is neither: it voids the slot.
    """
    own, rest = script_of(slot.wallet), list(found.pays)
    missing = 0
    for payment in slot.payments:
        line = (int(payment.amount), script_of(payment.recipient))
        if line in rest:
            rest.remove(line)
        else:
            missing += 1
    foreign = [line for line in rest if line[1] != own]
    same_coins = set(found.spends) == {coin.outpoint for coin in slot.inputs}
    delivered = not missing and not foreign and same_coins
    void = missing == len(slot.payments) and not foreign and same_coins
    return delivered, not delivered and not void, max(0, units_of(slot.inputs) - sum(units for units, _ in found.pays))


def outpoint(text: str) -> tuple[str, int]:
    """The txid and the index of "txid:vout"."""
    txid, _, vout = text.partition(":")
    return txid, int(vout)


def prev_out(coin: Coin) -> OutPoint:
    """The coin as the library names it."""
    txid, vout = outpoint(coin.outpoint)
    return OutPoint(bytes.fromhex(txid), vout)


def _compact_bytes(number: int) -> int:
    """How long a CompactSize is."""
    return 1 if number < 253 else 3 if number < 2**16 else 5
