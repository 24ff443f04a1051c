"""The signer: opens the keys, believes nothing, signs what people approved. Only the signer's process imports it.

Its private directory (0700) holds `keystores/<network>.json`, `passphrase` (unless it is given otherwise),
`roster.toml` (its own copy) and `memory.sqlite3`.
"""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.catalogue import FOLDER, Catalogue, load
from adapters.roster import Roster
from adapters.vault.families import FAMILIES
from adapters.vault.keystore import SigningKey, account_in, open_keystore, read_passphrase
from adapters.vault.rules import load_rules
from adapters.vault.store import Store
from adapters.vault.vault import SigningVault
from domain.errors import Refused
from domain.network import Network

PASSPHRASE_FILE = "STRONGROOM_SIGNER_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable


def keystore_file(home: Path, network: str) -> Path:
    return home / "keystores" / f"{network}.json"


def roster_file(home: Path) -> Path:
    return home / "roster.toml"


def memory_file(home: Path) -> Path:
    return home / "memory.sqlite3"


def passphrase_file(home: Path) -> Path:
    """STRONGROOM_SIGNER_PASSPHRASE_FILE, or `passphrase` in the signer's directory."""
    return Path(os.environ.get(PASSPHRASE_FILE) or home / "passphrase")


def wallet_address(home: Path, network: Network) -> str:
    """The address of a network's hot wallet as the network writes it, without opening its key. Raises Refused
    KEYSTORE_UNREADABLE or KEYSTORE_EXPOSED.
    """
    return FAMILIES[network.family].address(account_in(keystore_file(home, network.id)), network)


@asynccontextmanager
async def open_vault(
    home: Path,
    profile: str = "production",
    *,
    passphrase: Callable[[], str] | None = None,
    folder: Path = FOLDER,
) -> AsyncIterator[SigningVault]:
    """The signer over its private directory, every keystore there decrypted once.

    `passphrase` is asked once for each keystore; without it the passphrase file is read. `folder` holds networks.toml,
    assets.toml and the signer's own signer.toml. Raises Refused for a missing memory (SIGNER_STORE_MISSING: it is made
    by `strongroom wallet new` or `import`, never by itself), a wrong passphrase, exposed files or wrong rules.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not write the keys to disk
    ask = passphrase or (lambda: read_passphrase(passphrase_file(home)))
    catalogue = load(profile, folder)
    vault = SigningVault(
        catalogue=catalogue,
        keys=await asyncio.to_thread(_open_keys, home, catalogue, ask),
        rules=load_rules(folder / "signer.toml", profile, catalogue),
        roster=Roster(_own(roster_file(home))),
        store=Store.open(memory_file(home)),
    )
    try:
        yield vault
    finally:
        await asyncio.to_thread(vault.close)


def _open_keys(home: Path, catalogue: Catalogue, ask: Callable[[], str]) -> dict[str, SigningKey]:
    paths = {network: keystore_file(home, network) for network in catalogue.networks}
    keys = {network: open_keystore(path, ask()) for network, path in paths.items() if path.exists()}
    if not keys:
        raise Refused(
            "KEYSTORE_MISSING", f"No keystore in {home / 'keystores'}; make one with `strongroom wallet new`."
        )
    return keys


def _own(path: Path) -> Path:
    """A file the signer trusts. Raises Refused SIGNER_ROSTER_EXPOSED when somebody else may write it."""
    if path.exists() and path.stat().st_mode & 0o022:
        raise Refused("SIGNER_ROSTER_EXPOSED", f"Only the signer's owner may write {path}; chmod 600 it.")
    return path
