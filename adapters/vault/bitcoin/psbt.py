"""A PSBT of version 0 (BIP 174), read so strictly that one set of bytes has one meaning and is the only way to say it.

Global: the unsigned transaction, nothing else. Each input: the transaction it spends from and the output it spends,
perhaps SIGHASH_ALL, nothing else. Outputs: nothing. Whatever is read is written again, and bytes that differ are
refused: another order of keys, a key written twice, longer lengths and data left over all end there.
"""

from dataclasses import dataclass

from adapters.vault.bitcoin import wire
from adapters.vault.bitcoin.wire import NotCanonical, Output, Reader, Transaction
from domain.errors import Refused

_MAGIC = b"psbt\xff"
_GLOBAL_TRANSACTION = b"\x00"
_PREVIOUS, _SPENT, _SIGHASH = b"\x00", b"\x01", b"\x03"
_INPUT_KEYS = {_PREVIOUS, _SPENT, _SIGHASH}
_END = b"\x00"
UNITS_MAX = 21_000_000 * 10**8

Map = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Psbt:
    """The unsigned transaction and, for each of its inputs in their order, the output that it spends: taken from the
    previous transaction itself, whose hash the input names. A witness's amount alone would be somebody's word.
    """

    tx: Transaction
    spent: tuple[Output, ...]


def read(data: bytes) -> Psbt:
    """The PSBT in `data`.

    Raises Refused SIGNER_PSBT (not canonical, or more than a plain payment says), SIGNER_SIGHASH,
    SIGNER_PREVIOUS_MISSING or SIGNER_PREVIOUS_MISMATCH.
    """
    try:
        tx, inputs = _maps(data)
        spent = [_spent(tx, at, fields) for at, fields in enumerate(inputs)]
        if _encode(tx, inputs) != data:
            raise NotCanonical("they are not what their own fields encode to")
    except NotCanonical as error:
        raise Refused("SIGNER_PSBT", f"The bytes are not a canonical PSBT of a plain payment: {error}.") from None
    return Psbt(tx, tuple(spent))


def _maps(data: bytes) -> tuple[Transaction, list[Map]]:
    reader = Reader(data)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise NotCanonical("they do not begin as one")
    head = _map(reader)
    if set(head) != {_GLOBAL_TRANSACTION}:
        raise NotCanonical("the global map holds the unsigned transaction and nothing else")
    tx, witnesses = wire.transaction(head[_GLOBAL_TRANSACTION])
    if witnesses or any(spent.script for spent in tx.inputs):
        raise NotCanonical("the transaction carries signatures already")
    inputs = [_map(reader) for _ in tx.inputs]
    if any(_map(reader) for _ in tx.outputs):
        raise NotCanonical("nothing is said about outputs")
    reader.end()
    return tx, inputs


def _map(reader: Reader) -> Map:
    fields: Map = {}
    while key := reader.chunk():
        if key in fields:
            raise NotCanonical("a key is written twice")
        fields[key] = reader.chunk()
    return fields


def _spent(tx: Transaction, at: int, fields: Map) -> Output:
    """The output that input `at` spends, proven by the transaction that made it."""
    name = tx.inputs[at].name
    if unknown := set(fields) - _INPUT_KEYS:
        raise NotCanonical(f"input {at} has a field of type {min(unknown).hex()}")
    if fields.get(_SIGHASH, _all()) != _all():
        raise Refused("SIGNER_SIGHASH", "Payments are signed as a whole: SIGHASH_ALL and no other.", outpoint=name)
    if _PREVIOUS not in fields or _SPENT not in fields:
        raise Refused(
            "SIGNER_PREVIOUS_MISSING",
            "Each input comes with the transaction it spends from (non_witness_utxo) and with witness_utxo.",
            outpoint=name,
        )
    previous, _ = wire.transaction(fields[_PREVIOUS])
    if previous.hash != tx.inputs[at].txid or tx.inputs[at].index >= len(previous.outputs):
        raise Refused(
            "SIGNER_PREVIOUS_MISMATCH", "The transaction given with an input is not the one it names.", outpoint=name
        )
    spent = previous.outputs[tx.inputs[at].index]
    if fields[_SPENT] != spent.encode():
        raise Refused(
            "SIGNER_PREVIOUS_MISMATCH",
            "Amount or script given with an input are not those of the output it spends.",
            outpoint=name,
        )
    if not 0 < spent.units <= UNITS_MAX:
        raise NotCanonical("an amount is more than there is")
    return spent


def _all() -> bytes:
    return wire.SIGHASH_ALL.to_bytes(4, "little")


def _encode(tx: Transaction, inputs: list[Map]) -> bytes:
    """The one way to write it: the keys of each map in rising order."""
    head = _pairs({_GLOBAL_TRANSACTION: tx.encode()})
    return _MAGIC + head + b"".join(map(_pairs, inputs)) + _END * len(tx.outputs)


def _pairs(fields: Map) -> bytes:
    return b"".join(wire.chunk(key) + wire.chunk(fields[key]) for key in sorted(fields)) + _END
