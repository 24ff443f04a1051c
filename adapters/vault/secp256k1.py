"""secp256k1 as the networks use it: nonces by RFC 6979 and low s everywhere; Keccak-256 digests and EIP-55 addresses on
the EVM networks, signatures in DER with low r on Bitcoin.
"""

from coincurve import PrivateKey, PublicKey
from coincurve._libsecp256k1 import ffi
from eth_hash.auto import keccak

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_UNCOMPRESSED_PREFIX = 1


def to_checksum(address: bytes) -> str:
    """The address in the mixed case of EIP-55."""
    plain = address.hex()
    digest = keccak(plain.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(plain, digest, strict=False))


def address_of(key: PublicKey) -> str:
    return to_checksum(keccak(key.format(compressed=False)[_UNCOMPRESSED_PREFIX:])[-20:])


def sign_digest(key: PrivateKey, digest: bytes) -> tuple[int, int, int]:
    """(y parity, r, s) over a 32-byte digest: the same key and digest always give the same three numbers."""
    signature = key.sign_recoverable(digest, hasher=None)
    return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def sign_der(key: PrivateKey, digest: bytes) -> bytes:
    """A signature in DER of at most 70 bytes: r and s both low, found as Bitcoin Core does (RFC 6979 with a counter for
    extra entropy), so the same key and digest always give the same bytes, and other wallets' bytes too.
    """
    counter = 0
    while True:
        extra = ffi.new("unsigned char[32]", counter.to_bytes(32, "little")) if counter else ffi.NULL
        signature = bytes(key.sign(digest, hasher=None, custom_nonce=(ffi.NULL, extra)))
        if signature[3] <= 32:  # the length of r: a high one takes a zero byte in front
            return signature
        counter += 1


def verify_der(public_key: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether it is the key's signature over the digest, in strict DER with low s."""
    try:
        return bool(PublicKey(public_key).verify(signature, digest, hasher=None))
    except ValueError:
        return False


def recover(digest: bytes, parity: int, r: int, s: int) -> str | None:
    """Whose signature it is, or None when it is nobody's or not in low-s form."""
    if not (parity in (0, 1) and 0 < s <= _HALF_ORDER and 0 < r < 2**256):
        return None
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        return address_of(PublicKey.from_signature_and_message(compact, digest, hasher=None))
    except ValueError:
        return None


def hash_of(data: bytes) -> bytes:
    """Keccak-256, 32 bytes."""
    return keccak(data)
