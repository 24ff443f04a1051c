"""One cosigner's key of the cold wallet: a seed in an encrypted file of its own, opened for one signature at a time.

The file has the form of a keystore v3; its secret is a BIP 32 seed, and `account` beside it is the public key that
others need for the wallet's descriptor (BIP 48: m/48h/coin/0h/2h). It never stands beside a hot wallet's key.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from btclib.exceptions import BTClibException
from btclib_wallet import bip32
from btclib_wallet.psbt import Psbt
from btclib_wallet.psbt_signer import SoftwareSigner, request_signatures

from adapters.vault import keystore
from domain.errors import Refused

_ACCOUNT = "account"
_FORM = "strongroom/cold/v1"
_MAIN, _TEST = bytes.fromhex("0488ade4"), bytes.fromhex("04358394")  # BIP 32: how xprv and tprv begin


def account_path(mainnet: bool) -> str:
    return f"m/48h/{0 if mainnet else 1}h/0h/2h"


class ColdKey:
    """A seed in hand; prints as its fingerprint."""

    def __init__(self, seed: bytes, mainnet: bool) -> None:
        self.__root = bip32.rootxprv_from_seed(seed, _MAIN if mainnet else _TEST)
        self.fingerprint = bip32.fingerprint(self.__root).hex()
        path = account_path(mainnet)
        public = bip32.xpub_from_xprv(bip32.derive(self.__root, path))
        self.account = f"[{self.fingerprint}{path.removeprefix('m')}]{public}"

    def sign(self, psbt: Psbt) -> Psbt:
        """The PSBT with this key's signatures, and nothing else changed. Raises Refused COLD_KEY_FOREIGN when the key
        is none of the wallet's.
        """
        try:
            signed = request_signatures(SoftwareSigner(self.__root), psbt)
        except BTClibException:
            signed = psbt
        if signed == psbt:
            raise Refused("COLD_KEY_FOREIGN", "This key is none of this wallet's; take the right key file.")
        return signed

    def __repr__(self) -> str:
        return f"<cold key {self.fingerprint}>"


def write_key(path: Path, passphrase: str, mainnet: bool, scrypt_n: int) -> ColdKey:
    """A new seed in a new file, 0600. Raises Refused KEYSTORE_EXISTS or PASSPHRASE_SHORT."""
    seed = os.urandom(32)
    key = ColdKey(seed, mainnet)
    keystore.write_encrypted(path, seed, passphrase, scrypt_n, {"form": _FORM, _ACCOUNT: key.account})
    return key


def open_key(path: Path, passphrase: str, mainnet: bool) -> ColdKey:
    """Raises Refused KEYSTORE_UNREADABLE, KEYSTORE_EXPOSED, KEYSTORE_MISMATCH or PASSPHRASE_WRONG."""
    content = _read(path)
    seed = keystore.read_encrypted(content, passphrase)
    del passphrase
    if seed is None:
        raise Refused("PASSPHRASE_WRONG", f"The passphrase does not open {path.name}; check the passphrase file.")
    key = ColdKey(seed, mainnet)
    del seed
    if key.account != content.get(_ACCOUNT):
        raise Refused("KEYSTORE_MISMATCH", f"{path.name} is for another network, or names another key; restore it.")
    return key


def account_in(path: Path) -> str:
    """The public key a file says it holds, for the wallet's descriptor, without opening it."""
    return str(_read(path)[_ACCOUNT])


def _read(path: Path) -> Mapping[str, Any]:
    content = keystore.read_content(path)
    if content.get("form") != _FORM or not isinstance(content.get(_ACCOUNT), str):
        raise Refused("KEYSTORE_UNREADABLE", f"{path.name} is no key file of `strongroom cold new-key`.")
    return content
