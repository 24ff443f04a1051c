"""Keys at rest and in memory: keystore v3 files (scrypt), and a key object that can sign but never shows itself.

A file is decrypted once, when the signer starts (a second and about 256 MB at full strength). Format: Web3 Secret
Storage v3.
"""

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from coincurve import PrivateKey, PublicKey

from adapters.vault import secp256k1
from domain.errors import Refused

SCRYPT_N = 2**18
SCRYPT_N_KNOWN_KEY = 2**12  # enough for a key everybody knows: the local networks' first wallet
PASSPHRASE_CHARS_MIN = 12
_READABLE_BY_ALL = stat.S_IROTH | stat.S_IWOTH


class SigningKey:
    """A private key that can only sign: it prints as its address and refuses to be copied out of the process."""

    __slots__ = ("__key", "address")

    def __init__(self, secret: bytes) -> None:
        self.__key = PrivateKey(secret)
        self.address = secp256k1.address_of(self.public)

    @property
    def public(self) -> PublicKey:
        return self.__key.public_key

    def sign_digest(self, digest: bytes) -> tuple[int, int, int]:
        """(y parity, r, s), the same for the same digest always."""
        return secp256k1.sign_digest(self.__key, digest)

    def __repr__(self) -> str:
        return f"<signing key of {self.address}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key stays in its process")


def open_keystore(path: Path, passphrase: str) -> SigningKey:
    """The key in a keystore v3 file. Raises Refused KEYSTORE_UNREADABLE, KEYSTORE_EXPOSED or PASSPHRASE_WRONG; no
    secret is in any of them.
    """
    key = _decrypt(_read(path), passphrase)
    # Raised here, in a frame that holds no plaintext, so that a traceback with locals has nothing to show but this.
    del passphrase
    if key is None:
        raise Refused("PASSPHRASE_WRONG", f"The passphrase does not open {path.name}; check the passphrase file.")
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
    if len(passphrase) < PASSPHRASE_CHARS_MIN:
        raise Refused("PASSPHRASE_SHORT", f"Use a passphrase of at least {PASSPHRASE_CHARS_MIN} characters.")
    content = _keyfiles().create_keyfile_json(secret, passphrase.encode(), kdf="scrypt", iterations=scrypt_n)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("KEYSTORE_EXISTS", f"{path} holds a key already; keys are never overwritten.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    return SigningKey(secret)


def address_in(path: Path) -> str:
    """The address a keystore file says it holds, in EIP-55 form, without opening it."""
    text = str(_read(path).get("address", ""))
    try:
        return secp256k1.to_checksum(bytes.fromhex(text.removeprefix("0x")))
    except ValueError:
        raise Refused("KEYSTORE_UNREADABLE", f"{path.name} names no address; it is not a keystore v3 file.") from None


def _read(path: Path) -> Mapping[str, Any]:
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


def _decrypt(content: Mapping[str, Any], passphrase: str) -> SigningKey | None:
    """The key, or None for a wrong passphrase or a damaged file: whatever the library says about it stays here."""
    try:
        return SigningKey(_keyfiles().decode_keyfile_json(dict(content), passphrase.encode()))
    except (ValueError, KeyError, TypeError, NotImplementedError):
        return None
