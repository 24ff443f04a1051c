"""`strongroom wallet ...`: the keys of hot wallets, on the signer's machine, and resuming a wallet that is halted. No
command ever shows or exports a key.
"""

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.catalogue import load
from adapters.settings import Settings
from adapters.vault import keystore, keystore_file, memory_file, passphrase_file
from adapters.vault.families import FAMILIES
from adapters.vault.store import Store
from domain.errors import Refused
from domain.ports import WalletView
from domain.procedure import Kind
from ops.cli import procedures
from ops.cli.approver import answered
from ops.cli.rest import Output, show

app = typer.Typer(no_args_is_help=True, help="Make hot wallets' keys on the signer's machine; resume a halted wallet.")

# The first account of every anvil and hardhat: its key is printed in their manuals. Never for real coins.
KNOWN_SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")

Home = Annotated[
    Path | None, typer.Option("--home", help="The signer's private directory; this installation's unless given.")
]
Network = Annotated[str, typer.Option(help="The network the wallet pays on.")]
Keystore = Annotated[
    Path | None, typer.Option("--keystore", help="Keystore v3 file; <home>/keystores/<network>.json unless given.")
]
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Passphrase of the keystore; <home>/passphrase unless given.")
]
Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]


@app.command()
def new(
    network: Network = "ethereum",
    keystore_path: Keystore = None,
    home: Home = None,
    passphrase: Passphrase = None,
    output: Out = Output.TABLE,
) -> None:
    """Make a new key. Back the file up: with it and the passphrase the coins can be moved, without it they are lost."""

    def work() -> None:
        place = home or Settings().signer_home
        path = keystore_path or keystore_file(place, network)
        words = keystore.read_passphrase(passphrase or passphrase_file(place))
        key = make(place, path, keystore.new_secret(), words, keystore.SCRYPT_N)
        _tell(network, path, key.account, output)

    answered(work)


@app.command(name="import")
def import_(
    network: Network = "ethereum",
    keystore_path: Keystore = None,
    home: Home = None,
    profile: Annotated[str | None, typer.Option(envvar="STRONGROOM_PROFILE")] = None,
    output: Out = Output.TABLE,
) -> None:
    """Take the local chain's first, publicly known key. Only in the devnet profile; doing it again changes nothing."""

    def work() -> None:
        settings = Settings()
        if (profile or settings.profile) != "devnet":
            raise Refused("WALLET_DEVNET_ONLY", "Everybody knows this key; use `strongroom wallet new`.")
        place = home or settings.signer_home
        path = keystore_path or keystore_file(place, network)
        import_known(place, path)
        _tell(network, path, keystore.account_in(path), output)

    answered(work)


@app.command()
def address(
    network: Network = "ethereum", keystore_path: Keystore = None, home: Home = None, output: Out = Output.TABLE
) -> None:
    """The address of a wallet, without opening its key."""

    def work() -> None:
        path = keystore_path or keystore_file(home or Settings().signer_home, network)
        _tell(network, path, keystore.account_in(path), output)

    answered(work)


@app.command()
def resume(
    network: Annotated[str, typer.Argument(help="Whose hot wallet is halted.")],
    reason: procedures.Reason = "",
    endorsements: procedures.Endorsements = None,
) -> None:
    """Let a halted hot wallet go on: with --reason print what two people endorse, with their --endorsement do it."""

    def work() -> None:
        async def views(store: Any, client: Any) -> WalletView:
            return procedures.wallet_on(await store.views.wallets(), network)

        view = procedures.with_parts(views)
        subject = f"{network}/{view.address.lower()}"
        if endorsements:
            endorsed = procedures.gathered(Kind.RESUME, subject, endorsements)
            procedures.carry_out(network, view.address, endorsed)
        elif view.halted is None:
            raise Refused("NOT_HALTED", f"The hot wallet on {network} is not halted.")
        else:
            procedures.propose(Kind.RESUME, subject, reason, view.halted)

    answered(work)


def make(home: Path, path: Path, secret: bytes, passphrase: str, scrypt_n: int) -> keystore.SigningKey:
    """A keystore, and the signer's memory when this is its first key. A memory that should be there and is not is never
    replaced. Raises Refused KEYSTORE_EXISTS, PASSPHRASE_SHORT or SIGNER_STORE_*.
    """
    first = not any((home / "keystores").glob("*.json")) if (home / "keystores").exists() else True
    Store.open(memory_file(home), create=first).close()
    return keystore.write_keystore(path, secret, passphrase, scrypt_n)


def import_known(home: Path, path: Path) -> None:
    """The devnet's wallet, with a random passphrase beside it. A repeat changes nothing."""
    if path.exists():
        return
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = passphrase_file(home)
    if not words.exists():
        words.touch(0o600)
        words.write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    passphrase = keystore.read_passphrase(words)
    make(home, path, KNOWN_SECRET, passphrase, keystore.SCRYPT_N_KNOWN_KEY)


def _tell(network: str, path: Path, account: keystore.Account, output: Output) -> None:
    settings = Settings()
    facts = load(settings.profile, settings.catalogue_dir).networks.get(network)
    if facts is None:
        raise Refused("NETWORK_UNKNOWN", f"No network {network!r} in {settings.catalogue_dir / 'networks.toml'}.")
    wallet = FAMILIES[facts.family].address(account, facts)
    if output is Output.JSON:
        show({"network": network, "address": wallet, "keystore": str(path)}, output)
    else:
        print(wallet)
