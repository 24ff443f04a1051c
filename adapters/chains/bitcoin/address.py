"""Which Bitcoin addresses may be paid, and the scripts behind them. Pure; what a client typed is never repeated in an
error.

Bech32 (BIP173) for witness version 0, bech32m (BIP350) from version 1 on, Base58Check for the older forms. Test chains
share their forms and cannot be told apart.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from btclib import base58, bech32
from btclib.b32 import witness_from_address
from btclib.exceptions import BTClibValueError
from btclib.script.script_pub_key import ScriptPubKey

from adapters.chains.shapes import elsewhere
from adapters.chains.unpayable import refuse_ours, wrong_checksum
from domain.errors import Refused

# A chain is named by the last four bytes of its first block's hash.
MAINNET = 0x0A8CE26F
REGTEST = 0x466E2206
_TESTNETS = (0xD77F4943, 0xDA8BF043)  # 3 and 4: there a block that is late may be an easy one
_TEST_CHAINS = (*_TESTNETS, 0x3BEE1EF6)  # signet

_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_BECH32 = re.compile(r"(bc|tb|bcrt)1[0-9a-z]{6,87}", re.IGNORECASE | re.ASCII)
_BASE58CHECK = re.compile(rf"[123mn]{_BASE58}{{25,34}}")
_FIELD = 2**256 - 2**32 - 977  # the field of secp256k1


@dataclass(frozen=True, slots=True)
class _Forms:
    """How addresses of one kind of chain begin: bech32's first part, and the first bytes of Base58Check."""

    hrp: str
    key_hash: int
    script_hash: int
    name: str


_MAIN = _Forms("bc", 0x00, 0x05, "the main Bitcoin network")
_TEST = _Forms("tb", 0x6F, 0xC4, "a Bitcoin test network")
_LOCAL = _Forms("bcrt", 0x6F, 0xC4, "a local Bitcoin network")
_FORMS = {MAINNET: _MAIN, REGTEST: _LOCAL} | dict.fromkeys(_TEST_CHAINS, _TEST)


def known_chain(chain_id: int) -> bool:
    return chain_id in _FORMS


def knows_easy_blocks(chain_id: int) -> bool:
    """Whether a block's target may be easier than the one before's at any height."""
    return chain_id in _TESTNETS


def check(text: str, *, network: str, chain_id: int, ours: Collection[str]) -> str:
    """The recipient in its canonical form (bech32 in small letters). `ours`, in small letters, may not be paid.

    Raises Refused ADDRESS_MALFORMED, ADDRESS_WRONG_NETWORK, ADDRESS_MIXED_CASE, ADDRESS_CHECKSUM,
    ADDRESS_WITNESS_UNKNOWN, ADDRESS_UNSPENDABLE, ADDRESS_ZERO or ADDRESS_OURS.
    """
    forms = _FORMS[chain_id]
    if _BECH32.fullmatch(text):
        address, program = _witness(text, forms, network)
    elif _BASE58CHECK.fullmatch(text):
        address, program = text, _hash(text, forms, network)
    else:
        raise _malformed(text, forms, network)
    if not any(program):
        raise Refused("ADDRESS_ZERO", "Nobody owns this address; money sent there is lost.", network=network)
    refuse_ours(address, ours, network)
    return address


def script_of(address: str) -> bytes:
    """The output script that pays an address which `check` let through."""
    return ScriptPubKey.from_address(address).script


def _witness(text: str, forms: _Forms, network: str) -> tuple[str, bytes]:
    address = text.lower()
    if text not in (address, text.upper()):
        raise Refused(
            "ADDRESS_MIXED_CASE",
            "Write this address in small letters throughout, or in capitals throughout (BIP173).",
            network=network,
        )
    hrp = address.partition("1")[0]
    if hrp != forms.hrp:
        raise _wrong_chain(next(known.name for known in (_MAIN, _TEST, _LOCAL) if known.hrp == hrp), network)
    try:
        version, program, _ = witness_from_address(address)
    except BTClibValueError:
        if not _sums_up(address):
            raise wrong_checksum(network) from None
        raise _unknown_program(network) from None
    if version > 1 or (version == 1 and len(program) != 32):
        raise _unknown_program(network)
    if version == 1 and not _on_the_curve(program):
        raise Refused(
            "ADDRESS_UNSPENDABLE", "No key fits this address (BIP341); money sent there is lost.", network=network
        )
    return address, program


def _sums_up(address: str) -> bool:
    """Whether the checksum is right, of the kind that the witness version in the address calls for (BIP350)."""
    try:
        bech32.decode(address)
    except BTClibValueError:
        return False
    return True


def _on_the_curve(x_only: bytes) -> bool:
    x = int.from_bytes(x_only, "big")
    return x < _FIELD and pow(x**3 + 7, (_FIELD - 1) // 2, _FIELD) == 1


def _hash(text: str, forms: _Forms, network: str) -> bytes:
    try:
        data = base58.decode(text)
    except BTClibValueError:
        raise wrong_checksum(network) from None
    if len(data) != 21:
        raise _malformed(text, forms, network)
    for known in (_MAIN, _TEST):
        if data[0] in (known.key_hash, known.script_hash) and data[0] not in (forms.key_hash, forms.script_hash):
            raise _wrong_chain(known.name, network)
    if data[0] not in (forms.key_hash, forms.script_hash):
        raise _malformed(text, forms, network)
    return data[1:]


def _unknown_program(network: str) -> Refused:
    return Refused(
        "ADDRESS_WITNESS_UNKNOWN",
        "This address is of a kind that has no rules yet: anybody could take money sent there.",
        network=network,
    )


def _wrong_chain(name: str, network: str) -> Refused:
    return Refused(
        "ADDRESS_WRONG_NETWORK",
        f"This is an address of {name}; choose that network, or write one of {network}.",
        network=network,
        looks_like=name,
    )


def _malformed(text: str, forms: _Forms, network: str) -> Refused:
    if foreign := elsewhere(text, network, "Bitcoin"):
        return foreign
    hint = " Leave out what comes before and after the address itself." if text.lower().startswith("bitcoin:") else ""
    return Refused(
        "ADDRESS_MALFORMED", f"Write the address as {forms.hrp}1... (bech32) or in Base58Check.{hint}", network=network
    )
