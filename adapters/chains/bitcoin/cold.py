"""Payments out of the cold wallet: planned here, signed by people on machines of their own, put together here again.

The plan is a PSBT (BIP 174) in a file. What comes back from signers is read for signatures alone: each is verified
over the plan and copied into it, so nothing else that a signer's machine, or whoever carried the file, changed has any
effect.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from btclib.exceptions import BTClibException
from btclib.fee import FeeRate
from btclib.script.script_pub_key import ScriptPubKey
from btclib.tx import Tx, TxOut
from btclib_wallet.bip32 import BIP32KeyOrigin
from btclib_wallet.psbt import Psbt, PsbtIn, ecdsa_sig_hash, extract_tx, finalize
from btclib_wallet.tx_builder import build_psbt
from coincurve import PublicKey

from adapters.chains.bitcoin import tx as txs
from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.descriptors import CHANGE, RECEIVE, Wallet
from domain.errors import Refused
from domain.network import FeeRules

INPUTS_MAX = 100
FILE_BYTES_MAX = 64 * 2**20
_SIGHASH_ALL = 1
_INDEX_MAX = 2**31


@dataclass(frozen=True, slots=True)
class ColdCoin:
    """A coin of the cold wallet: the transaction that made it, which output, and which of our scripts it lies under."""

    previous: bytes
    vout: int
    branch: int
    index: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a PSBT does, in base units, as a person must see it. `signed`: whose valid signatures every input has."""

    txid: str
    coins: int
    units_in: int
    payments: tuple[tuple[str, int], ...]
    change: tuple[str, int] | None
    fee: int
    vsize: int
    signed: tuple[str, ...]
    needed: int


# ---------------------------------------------------------------- plan
def plan(
    wallet: Wallet,
    coins: Sequence[ColdCoin],
    payments: Sequence[tuple[str, int]],
    price: int,
    change_index: int,
) -> Psbt:
    """A PSBT that pays (address, units) each, at `price` for a vbyte, from the largest of `coins`; what is left comes
    back to the wallet's change branch at `change_index`. Raises Refused COLD_WALLET_SHORT, COLD_PLAN_INVALID.
    """
    for to, units in payments:
        if units < txs.dust(script_of(to)):
            raise Refused("COLD_PLAN_INVALID", "No node relays a payment as small as this.", to=to, units=str(units))
    inputs = sorted((_input(wallet, coin) for coin in coins), key=_units, reverse=True)
    outputs = [TxOut(units, ScriptPubKey(script_of(to), wallet.network)) for to, units in payments]
    wanted, back = sum(out.value for out in outputs), wallet.script(CHANGE, change_index)
    for count in range(1, min(len(inputs), INPUTS_MAX) + 1):
        if sum(map(_units, inputs[:count])) <= wanted:
            continue
        try:
            funded = build_psbt(inputs[:count], outputs, FeeRate.from_sats_per_vbyte(str(price)), back)
        except BTClibException:
            continue  # not for its fee as well: one coin more
        at = funded.change_index
        return funded.psbt if at is None else wallet.tell_change(funded.psbt, at, change_index)
    raise Refused(
        "COLD_WALLET_SHORT",
        f"The {INPUTS_MAX} largest coins of the cold wallet do not pay for this and its fee.",
        held=str(sum(map(_units, inputs))),
        wanted=str(wanted),
    )


def _input(wallet: Wallet, coin: ColdCoin) -> PsbtIn:
    previous = Tx.parse(coin.previous)
    spent = previous.vout[coin.vout] if coin.vout < len(previous.vout) else None
    if spent is None or spent.script_pub_key.script != wallet.script(coin.branch, coin.index):
        raise Refused("COLD_COIN_FOREIGN", "A coin is not the wallet's own.", coin=f"{previous.id.hex()}:{coin.vout}")
    found = PsbtIn(
        non_witness_utxo=previous,
        witness_utxo=spent,
        previous_tx_id=previous.id,
        output_index=coin.vout,
        sequence=txs.SEQUENCE,
    )
    wallet.tell_input(found, coin.branch, coin.index)
    return found


def _units(one: PsbtIn) -> int:
    assert one.witness_utxo is not None
    return int(one.witness_utxo.value)


# ---------------------------------------------------------------- files
def read(text: str) -> Psbt:
    """A PSBT from the base64 text of a .psbt file. Raises Refused COLD_FILE_UNREADABLE."""
    try:
        return Psbt.parse(base64.b64decode("".join(text.split()), validate=True))
    except (BTClibException, ValueError, binascii.Error) as error:
        raise Refused("COLD_FILE_UNREADABLE", f"This is no PSBT in base64: {error}.") from None


def write(psbt: Psbt) -> str:
    return f"{base64.b64encode(psbt.serialize()).decode()}\n"


# ---------------------------------------------------------------- look
def inspect(psbt: Psbt, wallet: Wallet, rules: FeeRules) -> Summary:
    """What `psbt` does, worked out from its bytes and our descriptor alone: amounts are those of the transactions that
    made the coins, and only an output that we derive ourselves is change.

    Raises Refused COLD_COIN_FOREIGN, COLD_PREVIOUS_MISSING, COLD_SIGHASH or COLD_FEE_ABOVE_CAP.
    """
    units_in = sum(_proven(psbt, at, wallet) for at in range(len(psbt.inputs)))
    changes = [at for at in range(len(psbt.outputs)) if _is_ours(psbt, at, wallet)]
    lines = [(wallet.shown(out.script_pub_key.script), int(out.value)) for out in psbt.tx.vout]
    vsize = psbt.vsize_estimate()
    fee = units_in - sum(units for _, units in lines)
    if not 0 < fee <= vsize * rules.price_cap:
        raise Refused(
            "COLD_FEE_ABOVE_CAP",
            f"The fee would be {fee} base units for {vsize} vbytes; plan it anew, at {rules.price_cap} each at most.",
            fee=str(fee),
        )
    if len(changes) > 1:
        raise Refused("COLD_PLAN_INVALID", "More than one output comes back to us; plan it anew.")
    return Summary(
        txid=psbt.tx.id.hex(),
        coins=len(psbt.inputs),
        units_in=units_in,
        payments=tuple(line for at, line in enumerate(lines) if at not in changes),
        change=lines[changes[0]] if changes else None,
        fee=fee,
        vsize=vsize,
        signed=signers(psbt, wallet),
        needed=wallet.needed,
    )


def _proven(psbt: Psbt, at: int, wallet: Wallet) -> int:
    """What input `at` is worth, by the transaction that made it; whose keys open it, by our descriptor."""
    spent, one = psbt.tx.vin[at].prev_out, psbt.inputs[at]
    name = f"{spent.tx_id.hex()}:{spent.vout}"
    previous = one.non_witness_utxo
    if previous is None or previous.id != spent.tx_id or spent.vout >= len(previous.vout):
        raise Refused("COLD_PREVIOUS_MISSING", "An input comes without the transaction that made its coin.", coin=name)
    if one.sig_hash_type not in (None, _SIGHASH_ALL):
        raise Refused("COLD_SIGHASH", "An input asks for a signature that leaves something open.", coin=name)
    out, place, ours = previous.vout[spent.vout], _place(one.hd_key_paths), PsbtIn()
    if place is not None:
        wallet.tell_input(ours, *place)
    told = (one.witness_script, one.hd_key_paths)
    if (
        place is None
        or wallet.script(*place) != out.script_pub_key.script
        or told
        != (
            ours.witness_script,
            ours.hd_key_paths,
        )
    ):
        raise Refused("COLD_COIN_FOREIGN", "An input spends a coin that is not the wallet's own.", coin=name)
    return int(out.value)


def _is_ours(psbt: Psbt, at: int, wallet: Wallet) -> bool:
    place = _place(psbt.outputs[at].hd_key_paths)
    return place is not None and wallet.script(*place) == psbt.tx.vout[at].script_pub_key.script


def _place(paths: Mapping[bytes, BIP32KeyOrigin]) -> tuple[int, int] | None:
    """(branch, index) that key paths claim; the claim counts only once the script was derived from it."""
    ends = {tuple(origin.der_path[-2:]) for origin in paths.values()}
    branch, index = ends.pop() if len(ends) == 1 else (-1, -1)
    return (branch, index) if branch in (RECEIVE, CHANGE) and 0 <= index < _INDEX_MAX else None


# ---------------------------------------------------------------- signatures
def signers(psbt: Psbt, wallet: Wallet) -> tuple[str, ...]:
    """The fingerprints whose valid signatures are on every input, in the wallet's order. Raises Refused
    COLD_SIGNATURE_FOREIGN or COLD_SIGNATURE_INVALID.
    """
    by_input = [{_signer(psbt, at, key, sig) for key, sig in one.partial_sigs.items()} for at, one in _rows(psbt)]
    return tuple(name for name in wallet.fingerprints if all(name in names for names in by_input))


def combine(planned: Psbt, parts: Sequence[Psbt], wallet: Wallet) -> Psbt:
    """The plan with every valid signature of `parts`. Raises Refused COLD_OTHER_TRANSACTION (a part signs something
    else), COLD_SIGNATURE_FOREIGN or COLD_SIGNATURE_INVALID.
    """
    combined = deepcopy(planned)
    for part in parts:
        if part.tx.id != planned.tx.id or len(part.inputs) != len(planned.inputs):
            raise Refused(
                "COLD_OTHER_TRANSACTION",
                "A file signs another transaction than the plan: compare who is paid what, and trust neither.",
                planned=planned.tx.id.hex(),
                signed=part.tx.id.hex(),
            )
        for at, one in enumerate(part.inputs):
            for key, signature in one.partial_sigs.items():
                _signer(planned, at, key, signature)
                combined.inputs[at].partial_sigs[key] = signature
    signers(combined, wallet)
    return combined


def finish(combined: Psbt, wallet: Wallet) -> bytes:
    """The bytes to broadcast: final witnesses of as many signatures as it takes, every script run. Raises Refused
    COLD_SIGNATURES_MISSING.
    """
    have = signers(combined, wallet)
    if len(have) < wallet.needed:
        raise Refused(
            "COLD_SIGNATURES_MISSING",
            f"{len(have)} of {wallet.needed} signatures are there; have another cosigner sign the same plan.",
            signed=", ".join(have),
        )
    chosen = deepcopy(combined)
    for at, one in _rows(chosen):
        names = {key: _signer(combined, at, key, sig) for key, sig in one.partial_sigs.items()}
        one.partial_sigs = {k: sig for k, sig in one.partial_sigs.items() if names[k] in have[: wallet.needed]}
    try:
        return bytes(extract_tx(finalize(chosen), max_fee_rate=None).serialize(include_witness=True))
    except BTClibException as error:
        raise Refused("COLD_SIGNATURE_INVALID", f"The scripts do not accept these signatures: {error}.") from None


def _rows(psbt: Psbt) -> list[tuple[int, PsbtIn]]:
    return list(enumerate(psbt.inputs))


def _signer(psbt: Psbt, at: int, key: bytes, signature: bytes) -> str:
    """Whose signature over input `at` it is: the fingerprint of one of the keys that `inspect` found to be ours."""
    one = psbt.inputs[at]
    origin = one.hd_key_paths.get(key)
    if origin is None:
        raise Refused(
            "COLD_SIGNATURE_FOREIGN", "A signature is by a key that is none of the wallet's.", key=bytes(key).hex()
        )
    digest = ecdsa_sig_hash(psbt, at, hash_type=_SIGHASH_ALL)
    if signature[-1:] != bytes([_SIGHASH_ALL]) or not _verifies(key, signature[:-1], digest):
        raise Refused(
            "COLD_SIGNATURE_INVALID",
            "A signature does not verify over the plan; have that cosigner sign it again.",
            signer=origin.master_fingerprint.hex(),
        )
    return str(origin.master_fingerprint.hex())


def _verifies(key: bytes, signature: bytes, digest: bytes) -> bool:
    try:
        return bool(PublicKey(key).verify(signature, digest, hasher=None))
    except ValueError:
        return False
