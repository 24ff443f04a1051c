"""`strongroom cold ...`: the cold wallet of several people. Nobody's key ever meets another's.

Each cosigner makes a key on a machine of their own. The plan of a payment travels between them as a .psbt file; each
reads it in plain words, signs it and hands their copy back. docs/runbooks/cold-wallet.md tells it step by step.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from adapters.catalogue import load
from adapters.settings import Settings
from domain.asset import Asset
from domain.errors import Refused
from domain.money import Amount
from domain.network import Network
from ops.cli.approver import answered
from ops.cli.exits import Exit
from ops.cli.rest import Failed, Output, show

if TYPE_CHECKING:
    from adapters.chains.bitcoin.cold import Summary
    from adapters.chains.bitcoin.descriptors import Wallet
    from adapters.chains.bitcoin.rpc import Nodes

app = typer.Typer(no_args_is_help=True, help="Pay out of the cold wallet: plan, sign apart, combine, broadcast.")
T = TypeVar("T")

NetworkName = Annotated[str, typer.Option("--network", help="The network of the cold wallet.")]
KeyFile = Annotated[Path, typer.Option("--key-file", help="The cosigner's private key file.")]
Passphrase = Annotated[Path, typer.Option("--passphrase-file", help="Passphrase of the key file.")]
DescriptorFile = Annotated[Path, typer.Option("--descriptor", help="File with the wallet's descriptor.")]
OutFile = Annotated[Path, typer.Option("--out", help="The file to write; it must not be there yet.")]
Psbt = Annotated[Path, typer.Argument(help="A .psbt file.")]
Node = Annotated[str | None, typer.Option("--node", help="A node's address; this installation's unless given.")]
Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]


@dataclass(frozen=True, slots=True)
class Place:
    """The network a command is about, and its coin."""

    network: Network
    coin: Asset
    settings: Settings

    @property
    def mainnet(self) -> bool:
        from adapters.chains.bitcoin.address import MAINNET

        return self.network.chain_id == MAINNET

    def amount(self, units: int) -> str:
        return f"{Amount(units, self.coin)}"


# ---------------------------------------------------------------- keys and descriptors
@app.command(name="new-key")
def new_key(
    key_file: KeyFile, passphrase_file: Passphrase, network: NetworkName = "bitcoin", output: Out = Output.TABLE
) -> None:
    """Make a cosigner's key on the cosigner's own machine. Give others the public key; back the file up."""

    def work() -> None:
        from adapters.vault import keystore
        from adapters.vault.cold_key import write_key

        words = keystore.read_passphrase(passphrase_file)
        key = write_key(key_file, words, _place(network).mainnet, keystore.SCRYPT_N)
        rows = {"key": key.account, "fingerprint": key.fingerprint, "key_file": str(key_file)}
        show(rows, output) if output is Output.JSON else print(key.account)

    answered(work)


@app.command()
def descriptor(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Each cosigner's public key, from `new-key`.")],
    out: OutFile,
    needed: Annotated[int, typer.Option(help="How many of them it takes.")] = 2,
    network: NetworkName = "bitcoin",
    output: Out = Output.TABLE,
) -> None:
    """Make the wallet of several keys. Each cosigner does this alone; the first address must be the same for all."""

    def work() -> None:
        from adapters.chains.bitcoin.descriptors import RECEIVE, multisig

        wallet = multisig(needed, keys, _place(network).network)
        _write(out, wallet.text + "\n")
        rows = {"descriptor": wallet.text, "needed": f"{needed} of {len(keys)}", "address": wallet.address(RECEIVE, 0)}
        show(rows, output)

    answered(work)


@app.command()
def address(
    descriptor_file: DescriptorFile,
    index: Annotated[int, typer.Option(help="Which of its addresses.")] = 0,
    network: NetworkName = "bitcoin",
    output: Out = Output.TABLE,
) -> None:
    """An address of the cold wallet, to be paid to."""

    def work() -> None:
        from adapters.chains.bitcoin.descriptors import RECEIVE

        found = _wallet(descriptor_file, _place(network)).address(RECEIVE, index)
        show({"address": found, "index": index}, output) if output is Output.JSON else print(found)

    answered(work)


# ---------------------------------------------------------------- a payment
@app.command()
def plan(
    descriptor_file: DescriptorFile,
    pay: Annotated[list[str], typer.Option("--pay", metavar="ADDRESS=AMOUNT", help="Whom, and how many whole coins.")],
    price: Annotated[int, typer.Option(help="Fee in base units for a virtual byte.")],
    out: OutFile,
    node: Node = None,
    network: NetworkName = "bitcoin",
    output: Out = Output.TABLE,
) -> None:
    """Plan a payment from the coins a node shows; nothing is signed and nothing is sent."""

    def work() -> None:
        from adapters.chains.bitcoin import cold
        from adapters.chains.bitcoin.cold_coins import coins

        place = _place(network)
        wallet = _wallet(descriptor_file, place)
        payments = [_payment(text, place) for text in pay]
        found, index = _with_node(place, node, lambda nodes: coins(nodes, wallet, place.network.confirmations))
        planned = cold.plan(wallet, found, payments, price, index)
        summary = cold.inspect(planned, wallet, place.network.fees)
        _write(out, cold.write(planned))
        _tell(summary, place, output)

    answered(work)


@app.command(name="show")
def show_(
    psbt: Psbt, descriptor_file: DescriptorFile, network: NetworkName = "bitcoin", output: Out = Output.TABLE
) -> None:
    """Say in plain words what a .psbt file does and who signed it, by its bytes and your own descriptor alone."""

    def work() -> None:
        from adapters.chains.bitcoin import cold

        place = _place(network)
        wallet = _wallet(descriptor_file, place)
        _tell(cold.inspect(cold.read(_text(psbt)), wallet, place.network.fees), place, output)

    answered(work)


@app.command()
def sign(
    psbt: Psbt,
    descriptor_file: DescriptorFile,
    key_file: KeyFile,
    passphrase_file: Passphrase,
    out: OutFile,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    network: NetworkName = "bitcoin",
) -> None:
    """Read what a plan does, then sign it with one key. Needs no network: do it on a machine that has none."""

    def work() -> None:
        from adapters.chains.bitcoin import cold
        from adapters.vault.cold_key import open_key
        from adapters.vault.keystore import read_passphrase

        place = _place(network)
        wallet, planned = _wallet(descriptor_file, place), cold.read(_text(psbt))
        print(_in_words(cold.inspect(planned, wallet, place.network.fees), place), file=sys.stderr)
        if not yes:
            _ask("Sign this?")
        key = open_key(key_file, read_passphrase(passphrase_file), place.mainnet)
        if key.fingerprint not in wallet.fingerprints:
            raise Refused("COLD_KEY_FOREIGN", "This key is none of this wallet's; take the right key file.")
        signed = cold.combine(planned, [key.sign(planned)], wallet)
        _write(out, cold.write(signed))
        print(f"signed by {key.fingerprint}: bring {out} to whoever combines", file=sys.stderr)

    answered(work)


@app.command()
def combine(
    planned: Annotated[Path, typer.Argument(help="The plan you made or were first shown.")],
    parts: Annotated[list[Path], typer.Argument(help="What the cosigners signed.")],
    descriptor_file: DescriptorFile,
    out: OutFile,
    network: NetworkName = "bitcoin",
    output: Out = Output.TABLE,
) -> None:
    """Verify every signature over the plan and put them together, once there are enough."""

    def work() -> None:
        from adapters.chains.bitcoin import cold

        place = _place(network)
        wallet, whole = _wallet(descriptor_file, place), cold.read(_text(planned))
        cold.inspect(whole, wallet, place.network.fees)
        combined = cold.combine(whole, [cold.read(_text(part)) for part in parts], wallet)
        cold.finish(combined, wallet)
        _write(out, cold.write(combined))
        _tell(cold.inspect(combined, wallet, place.network.fees), place, output)

    answered(work)


@app.command()
def broadcast(
    psbt: Psbt,
    descriptor_file: DescriptorFile,
    node: Node = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    network: NetworkName = "bitcoin",
    output: Out = Output.TABLE,
) -> None:
    """Send what was combined. Doing it again is harmless: it is the same transaction."""

    def work() -> None:
        from adapters.chains.bitcoin import cold
        from adapters.chains.bitcoin.cold_coins import send

        place = _place(network)
        wallet, combined = _wallet(descriptor_file, place), cold.read(_text(psbt))
        summary = cold.inspect(combined, wallet, place.network.fees)
        raw = cold.finish(combined, wallet)
        print(_in_words(summary, place), file=sys.stderr)
        if not yes:
            _ask("Send this?")
        _with_node(place, node, lambda nodes: send(nodes, raw, summary.txid, place.network))
        show({"txid": summary.txid}, output) if output is Output.JSON else print(summary.txid)

    answered(work)


# ---------------------------------------------------------------- words
def _in_words(summary: "Summary", place: Place) -> str:
    lines = [f"  {'pay':<9} {place.amount(units)} to {to}" for to, units in summary.payments]
    if summary.change:
        lines.append(f"  {'back':<9} {place.amount(summary.change[1])} to the cold wallet itself, {summary.change[0]}")
    lines += [
        f"  {'from':<9} {summary.coins} coin(s) of the cold wallet, {place.amount(summary.units_in)}",
        f"  {'fee':<9} {place.amount(summary.fee)}, {summary.fee // summary.vsize} a vbyte",
        f"  {'on':<9} {place.network.name} ({place.network.id})",
        f"  {'signed':<9} {len(summary.signed)} of {summary.needed} needed: {', '.join(summary.signed) or 'nobody'}",
        f"  {'txid':<9} {summary.txid}",
    ]
    return "\n".join(lines)


def _tell(summary: "Summary", place: Place, output: Output) -> None:
    if output is not Output.JSON:
        print(_in_words(summary, place))
        return
    rows: dict[str, Any] = {
        "txid": summary.txid,
        "payments": [{"address": to, "units": str(units)} for to, units in summary.payments],
        "change": {"address": summary.change[0], "units": str(summary.change[1])} if summary.change else None,
        "fee": str(summary.fee),
        "vsize": summary.vsize,
        "signed": list(summary.signed),
        "needed": summary.needed,
    }
    show(rows, output)


def _ask(question: str) -> None:
    """Goes on only after a yes."""
    print(f"\n{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failed(Exit.REFUSED, "NOT_SIGNED", "nothing was done")


# ---------------------------------------------------------------- edges
def _place(network: str) -> Place:
    settings = Settings()
    catalogue = load(settings.profile, settings.catalogue_dir)
    facts = catalogue.networks.get(network)
    if facts is None or facts.inputs_max == 0:
        raise Refused("NETWORK_UNKNOWN", f"{network!r} is no network with a cold wallet; see networks.toml.")
    return Place(facts, catalogue.native(network), settings)


def _wallet(path: Path, place: Place) -> "Wallet":
    from adapters.chains.bitcoin.descriptors import open_wallet

    return open_wallet(_text(path), place.network)


def _payment(text: str, place: Place) -> tuple[str, int]:
    from adapters.chains.bitcoin import address as addresses

    to, equals, amount = text.partition("=")
    if not equals:
        raise Refused("COLD_PLAN_INVALID", "Write --pay ADDRESS=AMOUNT, as --pay bc1q...=0.5.")
    checked = addresses.check(to, network=place.network.id, chain_id=place.network.chain_id, ours=())
    return checked, Amount.parse(amount, place.coin).units


def _with_node(place: Place, node: str | None, work: "Callable[[Nodes], Awaitable[T]]") -> T:
    from adapters.chains.bitcoin.rpc import open_nodes

    urls: Sequence[str] = (node,) if node else place.settings.node_urls(place.network.id)[:1]

    async def inside() -> T:
        async with open_nodes(urls, place.network) as nodes:
            return await work(nodes)

    return asyncio.run(inside())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise Refused("COLD_FILE_UNREADABLE", f"Cannot read {path}: {error}.") from None


def _write(path: Path, text: str) -> None:
    """A new file; one that is there may be somebody's signature."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Refused("COLD_FILE_EXISTS", f"Cannot write {path}: {error.strerror}; name another file.") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
