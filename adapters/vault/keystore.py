"""Keys at rest and in memory: keystore v3 files (scrypt), and a key object that can sign but never shows itself.

A file is decrypted once, when the signer starts (a second and about 256 MB at full strength). Format: Web3 Secret
Storage v3, with the compressed public key beside its `address`: from the latter alone not every network's is told.
"""

import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from coincurve import PrivateKey, PublicKey

from adapters.vault import secp256k1
from domain.errors import Refused

SCRYPT_N = 2**18
SCRYPT_N_KNOWN_KEY = 2**12  # enough for a key everybody knows: the local networks' first wallet
PASSPHRASE_CHARS_MIN = 12
_PUBLIC_KEY = "public_key"
_READABLE_BY_ALL = stat.S_IROTH | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Account:
    """A key's public side: address in EIP-55 form and compressed public key (empty where a file names none)."""

    address: str
    public_key: bytes


class SigningKey:
    """A private key that can only sign: it prints as its address and refuses to be copied out of the process."""

    __slots__ = ("__key", "address")

    def __init__(self, secret: bytes) -> None:
        self.__key = PrivateKey(secret)
        self.address = secp256k1.address_of(self.public)

    @property
    def public(self) -> PublicKey:
        return self.__key.public_key

    @property
    def account(self) -> Account:
        return Account(self.address, self.public.format())

    def sign_digest(self, digest: bytes) -> tuple[int, int, int]:
        """(y parity, r, s), the same for the same digest always."""
        return secp256k1.sign_digest(self.__key, digest)

    def sign_der(self, digest: bytes) -> bytes:
        """The signature in DER with low r and s, the same for the same digest always."""
        return secp256k1.sign_der(self.__key, digest)

    def __repr__(self) -> str:
        return f"<signing key of {self.address}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key stays in its process")


def open_keystore(path: Path, passphrase: str) -> SigningKey:
    """The key in a keystore v3 file. Raises Refused KEYSTORE_UNREADABLE, KEYSTORE_EXPOSED, PASSPHRASE_WRONG or
    KEYSTORE_MISMATCH (its public part belongs to another key); no secret is in any of them.
    """
    content = read_content(path)
    key = _decrypt(content, passphrase)
    # Raised here, in a frame that holds no plaintext, so that a traceback with locals has nothing to show but this.
    del passphrase
    if key is None:
        raise Refused("PASSPHRASE_WRONG", f"The passphrase does not open {path.name}; check the passphrase file.")
    if "address" in content and _account(content, path) not in (key.account, Account(key.address, b"")):
        raise Refused(
            "KEYSTORE_MISMATCH", f"{path.name} names another key's address than the one it holds; restore the file."
        )
    return key


def read_passphrase(path: Path) -> str:
    """The passphrase in a file, without the line end. Raises Refused PASSPHRASE_UNREADABLE or PASSPHRASE_EXPOSED."""
    try:
        if path.stat().st_mode & _READABLE_BY_ALL:
            raise Refused("PASSPHRASE_EXPOSED", f"Everybody can read {path.name}; chmod 600 it and change it.")
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise Refused("PASSPHRASE_UNREADABLE", f"Cannot read {path}: {error.strerror}.") from None
    if not text:
        raise Refused("PASSPHRASE_UNREADABLE", f"{path} is empty; write the passphrase on its first line.")
    return text


def new_secret() -> bytes:
    """32 bytes from the system's generator that are a valid private key."""
    return PrivateKey().secret


def write_keystore(path: Path, secret: bytes, passphrase: str, scrypt_n: int = SCRYPT_N) -> SigningKey:
    """Encrypts `secret` into a new file, 0600. Raises Refused KEYSTORE_EXISTS or PASSPHRASE_SHORT; never overwrites
    a key.
    """
    key = SigningKey(secret)
    public = {"address": key.address[2:].lower(), _PUBLIC_KEY: key.account.public_key.hex()}
    write_encrypted(path, secret, passphrase, scrypt_n, public)
    return key


def write_encrypted(path: Path, secret: bytes, passphrase: str, scrypt_n: int, public: Mapping[str, str]) -> None:
    """A new file in the form of a keystore v3, 0600, with `public` written beside the encrypted secret. Raises Refused
    KEYSTORE_EXISTS or PASSPHRASE_SHORT.
    """
    if len(passphrase) < PASSPHRASE_CHARS_MIN:
        raise Refused("PASSPHRASE_SHORT", f"Use a passphrase of at least {PASSPHRASE_CHARS_MIN} characters.")
    content = _keyfiles().create_keyfile_json(secret, passphrase.encode(), kdf="scrypt", iterations=scrypt_n)
    del content["address"]  # the library's own idea of what the secret is
    content |= public
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("KEYSTORE_EXISTS", f"{path} holds a key already; keys are never overwritten.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def account_in(path: Path) -> Account:
    """Whose key a keystore file says it holds, without opening it. Raises Refused KEYSTORE_UNREADABLE or
    KEYSTORE_EXPOSED.
    """
    return _account(read_content(path), path)


def _account(content: Mapping[str, Any], path: Path) -> Account:
    text = str(content.get("address", ""))
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
        public_key = bytes.fromhex(str(content.get(_PUBLIC_KEY, "")))
        if len(address) != 20 or len(public_key) not in (0, 33):
            raise ValueError("a public part of another length")
        return Account(secp256k1.to_checksum(address), public_key)
    except ValueError:
        raise Refused("KEYSTORE_UNREADABLE", f"{path.name} names no address; it is not a keystore v3 file.") from None


def read_content(path: Path) -> Mapping[str, Any]:
    """What a key file says, still encrypted. Raises Refused KEYSTORE_UNREADABLE or KEYSTORE_EXPOSED."""
    try:
        if path.stat().st_mode & _READABLE_BY_ALL:
            raise Refused("KEYSTORE_EXPOSED", f"Everybody can read {path.name}; chmod 600 it and move its coins.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused("KEYSTORE_UNREADABLE", f"Cannot read {path}: {error.strerror}.") from None
    except ValueError:
        raise Refused("KEYSTORE_UNREADABLE", f"{path.name} is not a keystore v3 file.") from None
    if not isinstance(content, dict):
        raise Refused("KEYSTORE_UNREADABLE", f"{path.name} is not a keystore v3 file.")
    return content


def _keyfiles() -> ModuleType:
    """The keystore library, loaded when it is needed. It sets the process's recursion limit to 100 000, with which
    deeply nested JSON crashes the interpreter; the limit is put back.
    """
    limit = sys.getrecursionlimit()
    from eth_keyfile import keyfile

    sys.setrecursionlimit(limit)
    return keyfile


def read_encrypted(content: Mapping[str, Any], passphrase: str) -> bytes | None:
    """The secret, or None for a wrong passphrase or a damaged file: whatever the library says about it stays here."""
    try:
        return bytes(_keyfiles().decode_keyfile_json(dict(content), passphrase.encode()))
    except (ValueError, KeyError, TypeError, NotImplementedError):
        return None


def _decrypt(content: Mapping[str, Any], passphrase: str) -> SigningKey | None:
    secret = read_encrypted(content, passphrase)
    try:
        return SigningKey(secret) if secret is not None else None
    except ValueError:
        return None
