"""Which TRON addresses may be paid, and their three forms. Pure; what a client typed is never repeated in an error.

An address is 21 bytes: 0x41 and the last 20 of keccak256(public key). People write it in Base58Check ("T..."), nodes
write it in hex ("41..."), contracts know only the last 20 bytes.
"""

import hashlib
import re
import secrets
from collections.abc import Collection

from adapters.chains.shapes import elsewhere
from adapters.chains.unpayable import refuse_contracts, refuse_nobody_s, refuse_ours, wrong_checksum
from domain.errors import Refused

PREFIX = b"\x41"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_TRON = re.compile(rf"T{_BASE58}{{33}}")
_HEX_FORM = re.compile(r"(0x)?41[0-9a-fA-F]{40}")
_SYSTEM_BELOW = 0x20000  # nobody has a key for the zero address and the precompiled contracts (0x1..0x9, 0x1000001..)
_PRECOMPILES = range(0x1000000, 0x1000020)


def check(text: str, *, network: str, token_contracts: Collection[str], ours: Collection[str]) -> str:
    """The recipient in Base58Check, its only form. `token_contracts` and `ours` may not be paid; they
    come in small letters, in which no two addresses that exist are alike.

    Raises Refused ADDRESS_MALFORMED, ADDRESS_HEX_FORM, ADDRESS_WRONG_NETWORK, ADDRESS_CHECKSUM, ADDRESS_ZERO,
    ADDRESS_PRECOMPILE, ADDRESS_TOKEN_CONTRACT or ADDRESS_OURS.
    """
    if not _TRON.fullmatch(text):
        raise _malformed(text, network)
    try:
        number = int.from_bytes(bytes_of(text)[1:], "big")
    except ValueError:
        raise wrong_checksum(network) from None
    refuse_nobody_s(number, system=number < _SYSTEM_BELOW or number in _PRECOMPILES, network=network)
    refuse_contracts(text, token_contracts, network)
    refuse_ours(text, ours, network)
    return text


def bytes_of(text: str) -> bytes:
    """The 21 bytes of a Base58Check address. Raises ValueError when it is none of TRON's."""
    number = 0
    for character in text:
        number = number * 58 + _ALPHABET.index(character)
    data = number.to_bytes(25, "big") if number < 2**200 else b""
    body, check_ = data[:-4], data[-4:]
    if len(body) != 21 or body[:1] != PREFIX or _check(body) != check_:
        raise ValueError("not a TRON address")
    return body


def unused() -> str:
    """An address that nobody has used, and never will: its key is not known."""
    return text_of(PREFIX + secrets.token_bytes(20))


def text_of(address: bytes) -> str:
    """Base58Check of 21 bytes that begin with 0x41."""
    if len(address) != 21 or address[:1] != PREFIX:
        raise ValueError("a TRON address has 21 bytes, the first 0x41")
    number, out = int.from_bytes(address + _check(address), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = _ALPHABET[digit] + out
    return out


def _check(body: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]


def _malformed(text: str, network: str) -> Refused:
    if _HEX_FORM.fullmatch(text):
        return Refused(
            "ADDRESS_HEX_FORM",
            "This is the hexadecimal form of an address, which has no checksum; write the form that begins with T.",
            network=network,
        )
    if foreign := elsewhere(text, network, "TRON"):
        return foreign
    return Refused(
        "ADDRESS_MALFORMED", "Write the address as T and 33 letters and digits (Base58Check).", network=network
    )
