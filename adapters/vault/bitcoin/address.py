"""Scripts and the addresses people write for them: Base58Check, bech32 (BIP 173) and bech32m (BIP 350).

Only what a wallet can spend has an address here: P2PKH, P2SH, P2WPKH, P2WSH and P2TR.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coincurve import PublicKey

from adapters.vault.bitcoin.wire import hash160
from domain.errors import Refused
from domain.network import Network

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32, _BECH32M = 1, 0x2BC830A3
_TAPROOT = 1
_PROGRAM_BYTES = {(0, 20), (0, 32), (_TAPROOT, 32)}  # (version, length) of the witness programs that have an owner


@dataclass(frozen=True, slots=True)
class Alphabet:
    """How one network's addresses begin: the readable part of bech32, the first byte of P2PKH and of P2SH."""

    readable: str
    key_hash: int
    script_hash: int


# By chain id: the last four bytes of the first block's hash.
_ALPHABETS: Mapping[int, Alphabet] = {
    0x0A8CE26F: Alphabet("bc", 0x00, 0x05),  # the main network
    0x466E2206: Alphabet("bcrt", 0x6F, 0xC4),  # regtest
    0xD77F4943: Alphabet("tb", 0x6F, 0xC4),  # testnet 3
    0xDA8BF043: Alphabet("tb", 0x6F, 0xC4),  # testnet 4
    0x3BEE1EF6: Alphabet("tb", 0x6F, 0xC4),  # signet
}


def alphabet(network: Network) -> Alphabet:
    """Raises Refused CONFIG_INVALID for a chain whose addresses nobody told us."""
    found = _ALPHABETS.get(network.chain_id)
    if found is None:
        raise Refused("CONFIG_INVALID", f"No addresses are known for chain id {network.chain_id} of {network.id}.")
    return found


def of_key(public_key: bytes) -> bytes:
    """The P2WPKH script of a compressed public key."""
    return b"\x00\x14" + hash160(public_key)


def address_of(script: bytes, letters: Alphabet) -> str | None:
    """The address of a script; None where people have no way to write it."""
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return _base58(bytes([letters.key_hash]) + script[3:23])
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return _base58(bytes([letters.script_hash]) + script[2:22])
    version, program = _program(script)
    if (version, len(program)) in _PROGRAM_BYTES:
        return _bech32(letters.readable, version, program)
    return None


def script_of(address: str, letters: Alphabet) -> bytes | None:
    """The script that an address in its canonical form stands for; None where it stands for none of this network."""
    script = _of_base58(address, letters) or _of_bech32(address, letters)
    # Written again it must be the same text: that leaves no second spelling of a script.
    return script if script is not None and address_of(script, letters) == address else None


def unspendable(script: bytes) -> str:
    """Why nobody can ever spend what is paid to a script; empty where somebody may."""
    version, program = _program(script)
    if version == _TAPROOT and not _is_point(program):
        return "its key is no point of the curve, so nobody can ever spend it"
    if not any(program or (script[3:23] if len(script) == 25 else script[2:22])):
        return "it is the zero hash, so nobody can ever spend it"
    return ""


def dust(script: bytes) -> int:
    """The least, in satoshi, that nodes relay as an output of `script`: what it costs to make and spend it at 3 for
    each vbyte (Bitcoin Core, `GetDustThreshold`).
    """
    spending = 148 if _program(script)[0] is None else 67
    return 3 * (8 + 1 + len(script) + spending)


def _program(script: bytes) -> tuple[int | None, bytes]:
    """(version, program) of a witness script; (None, b"") for any other (BIP 141)."""
    if 4 <= len(script) <= 42 and script[1] == len(script) - 2 and (script[0] == 0 or 0x51 <= script[0] <= 0x60):
        return (script[0] - 0x50 if script[0] else 0), script[2:]
    return None, b""


def _is_point(x: bytes) -> bool:
    try:
        PublicKey(b"\x02" + x)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- Base58Check
def _base58(body: bytes) -> str:
    number, out = int.from_bytes(body + _check(body), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = _BASE58[digit] + out
    return "1" * (len(body) - len(body.lstrip(b"\0"))) + out


def _of_base58(text: str, letters: Alphabet) -> bytes | None:
    number = 0
    for character in text[:36]:
        digit = _BASE58.find(character)
        if digit < 0:
            return None
        number = number * 58 + digit
    if number >= 1 << 200:
        return None
    body, check = number.to_bytes(25, "big")[:21], number.to_bytes(25, "big")[21:]
    if _check(body) != check:
        return None
    if body[0] == letters.key_hash:
        return b"\x76\xa9\x14" + body[1:] + b"\x88\xac"
    return b"\xa9\x14" + body[1:] + b"\x87" if body[0] == letters.script_hash else None


def _check(body: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]


# ---------------------------------------------------------------- bech32 and bech32m
def _bech32(readable: str, version: int | None, program: bytes) -> str:
    values = [version or 0, *_regroup(program, 8, 5)]
    check = _polymod(_spread(readable) + values + [0] * 6) ^ (_BECH32M if version else _BECH32)
    values += [check >> 5 * (5 - at) & 31 for at in range(6)]
    return readable + "1" + "".join(_CHARSET[value] for value in values)


def _of_bech32(text: str, letters: Alphabet) -> bytes | None:
    """What the text may stand for; the caller writes it again, which settles checksum, padding and case."""
    readable, _, rest = text[:90].rpartition("1")
    values = [_CHARSET.find(character) for character in rest]
    if readable != letters.readable or len(values) < 8 or min(values) < 0 or values[0] > 16:
        return None
    program = bytes(_regroup(values[1:-6], 5, 8))
    return bytes([values[0] + 0x50 if values[0] else 0, len(program)]) + program


def _regroup(values: Sequence[int], width: int, into: int) -> list[int]:
    """Bits cut anew: filled up with zeros when they get narrower, the filling dropped when they get wider."""
    number, bits, out = 0, 0, []
    for value in values:
        number, bits = number << width | value, bits + width
        while bits >= into:
            bits -= into
            out.append(number >> bits & (1 << into) - 1)
    if bits and into < width:
        out.append(number << into - bits & (1 << into) - 1)
    return out


def _spread(readable: str) -> list[int]:
    return [ord(c) >> 5 for c in readable] + [0] + [ord(c) & 31 for c in readable]


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for at, term in enumerate(_GENERATOR):
            check ^= term if top >> at & 1 else 0
    return check
