"""The people, keys and opening balances of the local installation; not for production, and harmless to repeat.

Clients alice and bob, three approvers (ann, ben, cat), an operator and an auditor. Their API keys stand in
`<state>/keys/api.json`, the approvers' private keys in `<state>/approvers/`: on one machine for the convenience of a
demonstration, where a real approver would keep theirs to themselves.
"""

import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters import codec, roster
from adapters.catalogue import load, read_rows
from adapters.settings import Settings
from domain.ledger import chart
from domain.money import Amount

CLIENTS = ("alice", "bob")
APPROVERS = ("ann", "ben", "cat")
STAFF = {"operator": "operator", "auditor": "auditor"}

LOCAL_SCRYPT_N = 2**14  # a start in a fraction of a second; production keystores take the full strength


@dataclass(frozen=True, slots=True)
class Household:
    """Where the local installation keeps what its people hold."""

    state: Path

    @property
    def api_keys(self) -> Path:
        return self.state / "keys" / "api.json"

    def approver_key(self, name: str) -> Path:
        return self.state / "approvers" / f"{name}.key"

    def keys(self) -> dict[str, str]:
        """API keys by principal; empty before the first start."""
        try:
            found: dict[str, str] = json.loads(self.api_keys.read_text())
        except FileNotFoundError:
            return {}
        return found


async def make_keys(settings: Settings) -> None:
    """The payload key, and the hot wallets' keystores with their passphrase and the signer's memory."""
    from adapters.vault import keystore_file, passphrase_file
    from adapters.vault.keystore import new_secret
    from ops.cli.wallet import make

    codec.create(settings.codec_keys, datetime.now(UTC).date())
    home = settings.signer_home
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not passphrase_file(home).exists():
        _write_secret(passphrase_file(home), secrets.token_urlsafe(32))
    for network in settings.served:
        if not keystore_file(home, network).exists():
            passphrase = passphrase_file(home).read_text().strip()
            make(home, keystore_file(home, network), new_secret(), passphrase, LOCAL_SCRYPT_N)


async def enrol_approvers(settings: Settings) -> None:
    """Three people with their own keys, enrolled with the books and, separately, with the signer."""
    from adapters.vault import roster_file
    from ops.cli.approver import make_key, read_key

    for name in APPROVERS:
        path = Household(settings.state_dir).approver_key(name)
        person = read_key(path) if path.exists() else make_key(name, path)
        for copy in (settings.roster, roster_file(settings.signer_home)):
            roster.enrol(copy, name, person.public_key, datetime.now(UTC).date())


async def open_accounts(settings: Settings) -> None:
    """Accounts, hot wallets with coins on their chains, and the opening balances that say the same in the books."""
    from adapters.vault import wallet_address
    from adapters.wiring import open_store

    catalogue = load(settings.profile, settings.catalogue_dir)
    async with open_store(settings) as store:
        for client in CLIENTS:
            await store.books.ensure_account(client)
        house = await store.views.house()
        for network, rows in _coffers(settings).items():
            wallet = wallet_address(settings.signer_home, catalogue.networks[network])
            await store.books.ensure_wallet(network, wallet, 0)
            if any(int(house.get(chart.opening(id_).code, "0")) for id_ in rows):
                continue  # opened before: what the wallet holds by now is the books' business
            assets = catalogue.assets
            coffers = [Amount.parse(row["coffer"], assets[id_]) for id_, row in rows.items()]
            await FILLS[catalogue.networks[network].family](settings.node_urls(network)[0], wallet, coffers)
            lines = [(chart.hot_wallet(network, wallet, coffer.asset.id), coffer.units) for coffer in coffers]
            for id_, row in rows.items():
                for client, text in row.get("opening", {}).items():
                    lines.append((chart.available(client, id_), Amount.parse(text, assets[id_]).units))
            await store.books.post_opening(f"household/{network}", lines)


def _coffers(settings: Settings) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The rows of assets.toml that say what a local wallet begins with: by network, then by asset."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {network: {} for network in settings.served}
    for id_, row in read_rows(settings.catalogue_dir / "assets.toml", settings.profile).items():
        if "coffer" in row and row["network"] in found:
            found[row["network"]][id_] = row
    return found


async def _fill_evm(node: str, wallet: str, coffers: Sequence[Amount]) -> None:
    from ops.devnet import treasury

    for coffer in coffers:
        if coffer.asset.contract is None:
            await treasury.fill(node, wallet, wei=coffer.units)
        else:
            await treasury.fill(node, wallet, usdt_units=coffer.units)


async def _fill_tron(node: str, wallet: str, coffers: Sequence[Amount]) -> None:
    from ops.devnet.tron import treasury

    native = sum(coffer.units for coffer in coffers if coffer.asset.contract is None)
    token = sum(coffer.units for coffer in coffers if coffer.asset.contract is not None)
    await treasury.fill(node, wallet, sun=native, usdt_units=token)


async def _fill_bitcoin(node: str, wallet: str, coffers: Sequence[Amount]) -> None:
    from ops.devnet.bitcoin import treasury

    for coffer in coffers:
        await treasury.fill(node, wallet, coffer.units)


# How a family's rich account puts coins under a wallet's key; it is the local node that is asked.
FILLS: Mapping[str, Callable[[str, str, Sequence[Amount]], Awaitable[None]]] = {
    "bitcoin": _fill_bitcoin,
    "evm": _fill_evm,
    "tron": _fill_tron,
}


async def hand_out_keys(settings: Settings) -> None:
    """An API key for everybody who has none yet."""
    from adapters.wiring import open_store

    household = Household(settings.state_dir)
    wanted = {**dict.fromkeys(CLIENTS, "client"), **dict.fromkeys(APPROVERS, "approver"), **STAFF}
    held = household.keys()
    async with open_store(settings) as store:
        for name, role in wanted.items():
            if name in held and await store.keys.find(held[name].split("_")[1]) is not None:
                continue
            _, held[name] = await store.keys.create(role, name, name if role == "client" else None)
            _write_secret(household.api_keys, json.dumps(held, indent=2))


def _write_secret(path: Path, text: str) -> None:
    """A file that only its owner may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
