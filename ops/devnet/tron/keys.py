"""Addresses and signatures of TRON: 21 bytes, the prefix 0x41 and the last 20 of keccak-256 of the public key."""

from hashlib import sha256

import base58
from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak

PREFIX = b"\x41"
ADDRESS_BYTES = 21
SIGNATURE_BYTES = 65


class BadSignature(ValueError):
    """No key can have made this signature."""


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def address_of_key(key: bytes) -> bytes:
    """The account that a private key controls unless its permissions say otherwise."""
    return _address_of(PrivateKey(key).public_key)


def sign(key: bytes, digest: bytes) -> bytes:
    """r, s and the recovery id (0 or 1), as java-tron and all wallets write it."""
    return PrivateKey(key).sign_recoverable(digest, hasher=None)


def signer_of(digest: bytes, signature: bytes) -> bytes:
    """The address whose key signed `digest`; a recovery id of 27 or 28 means 0 or 1. Raises BadSignature."""
    if len(signature) < SIGNATURE_BYTES:
        raise BadSignature(f"Signature size is {len(signature)}")
    recovery = signature[64] - 27 if signature[64] >= 27 else signature[64]
    try:
        public = PublicKey.from_signature_and_message(signature[:64] + bytes([recovery]), digest, hasher=None)
    except (ValueError, OverflowError) as error:
        raise BadSignature(str(error)) from error
    return _address_of(public)


def contract_address(txid: bytes, owner: bytes) -> bytes:
    """Where a deployment puts its contract: it follows from the transaction, where Ethereum counts nonces."""
    return PREFIX + keccak256(txid + owner)[-20:]


def is_address(value: bytes) -> bool:
    return len(value) == ADDRESS_BYTES and value[:1] == PREFIX


def base58_of(address: bytes) -> str:
    return base58.b58encode_check(address).decode()


def address_of(text: str) -> bytes:
    """Base58check (`T...`) or hex (`41...`) to bytes; the length is not judged. Raises ValueError."""
    if text.startswith("T"):
        return base58.b58decode_check(text)
    return bytes.fromhex(text.removeprefix("0x"))


def digest_of(raw: bytes) -> bytes:
    """What is signed, and what a transaction is called by: SHA-256 of raw_data."""
    return sha256(raw).digest()


def _address_of(public: PublicKey) -> bytes:
    return PREFIX + keccak256(public.format(compressed=False)[1:])[-20:]
