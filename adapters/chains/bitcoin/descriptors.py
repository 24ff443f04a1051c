"""Output descriptors (BIP 380): which scripts a wallet has. Every call into the descriptor library is made here.

A wallet has two branches, told in one text with <0;1> (BIP 389): 0 is what others pay to, 1 takes our change. Three
kinds are known: one key with P2WPKH (BIP 84), one key with P2TR (BIP 86), and the cold wallet's `wsh(sortedmulti)` (BIP
48, BIP 67).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from btclib.exceptions import BTClibException
from btclib.script.script_pub_key import ScriptPubKey
from btclib_wallet.descriptors import (
    Descriptor,
    MultiDescriptor,
    TrDescriptor,
    WpkhDescriptor,
    WshDescriptor,
    add_checksum,
    multipath_descriptors,
    parse,
)
from btclib_wallet.psbt import Psbt, PsbtIn

from adapters.chains.bitcoin.address import MAINNET, REGTEST
from domain.errors import Refused
from domain.network import Network

RECEIVE, CHANGE = 0, 1
COSIGNERS_MAX = 15
_NETWORKS = {
    MAINNET: "mainnet",
    REGTEST: "regtest",
    0xD77F4943: "testnet",
    0xDA8BF043: "testnet4",
    0x3BEE1EF6: "signet",
}
_ACCOUNT = re.compile(r"\[[0-9a-f]{8}(?:/[0-9]{1,10}[h']){1,8}\](?:xpub|tpub)[1-9A-HJ-NP-Za-km-z]{107}")


@dataclass(frozen=True, slots=True)
class Wallet:
    """The scripts of one descriptor. `text` is its canonical form with checksum, both branches in one."""

    text: str
    network: str
    branches: tuple[Descriptor, Descriptor]

    @property
    def needed(self) -> int:
        """How many signatures spend a coin."""
        multi = _multi(self.branches[RECEIVE])
        return int(multi.threshold) if multi else 1

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The keys' fingerprints, in the order of the text."""
        return tuple(re.findall(r"\[([0-9a-f]{8})/", self.text))

    def script(self, branch: int, index: int) -> bytes:
        return bytes(self.branches[branch].script_pub_key(index).script)

    def address(self, branch: int, index: int) -> str:
        return str(self.branches[branch].address(index))

    def shown(self, script: bytes) -> str:
        """How people read any script: its address on our network, or its bytes where it has none."""
        return ScriptPubKey(script, self.network).address or f"script {script.hex()}"

    def single_paths(self) -> tuple[str, str]:
        """The two branches as a text each, as nodes take them."""
        receive, change = multipath_descriptors(self.text, self.network)
        return receive, change

    def tell_input(self, psbt_in: PsbtIn, branch: int, index: int) -> None:
        """Writes into an input what its signers need: the script and where their keys come from."""
        self.branches[branch]._update(psbt_in, index, None)

    def tell_change(self, psbt: Psbt, at: int, index: int) -> Psbt:
        """The PSBT whose output `at` says that it comes back to us."""
        return self.branches[CHANGE].update_psbt_output(psbt, at, index)


def open_wallet(text: str, network: Network) -> Wallet:
    """The wallet of a descriptor with <0;1>. A checksum that is there must fit. Raises Refused DESCRIPTOR_INVALID."""
    name = network_name(network)
    try:
        plain = "".join(text.split())
        receive, change = (parse(one, name) for one in multipath_descriptors(plain, name))
    except (BTClibException, ValueError) as error:
        raise Refused("DESCRIPTOR_INVALID", f"This is no descriptor with the two branches <0;1>: {error}.") from None
    if not (_multi(receive) or isinstance(receive, WpkhDescriptor | TrDescriptor)):
        raise Refused("DESCRIPTOR_INVALID", "Wallets here are wpkh(KEY), tr(KEY) or wsh(sortedmulti(N,KEY,...)).")
    return Wallet(add_checksum(plain.partition("#")[0]), name, (receive, change))


def single(purpose: int, account: str, network: Network) -> Wallet:
    """The wallet of one key: `purpose` 84 for P2WPKH, 86 for P2TR."""
    kind = {84: "wpkh", 86: "tr"}[purpose]
    return open_wallet(f"{kind}({_checked(account)}/<0;1>/*)", network)


def multisig(needed: int, accounts: Sequence[str], network: Network) -> Wallet:
    """The wallet that `needed` of the accounts open together; in which order they are named makes no difference to its
    addresses. An account is "[fingerprint/48h/1h/0h/2h]tpub...". Raises Refused DESCRIPTOR_INVALID.
    """
    if not 1 <= needed <= len(accounts) <= COSIGNERS_MAX or len(set(accounts)) < len(accounts):
        raise Refused("DESCRIPTOR_INVALID", f"Name up to {COSIGNERS_MAX} different keys, and how many it takes.")
    keys = ",".join(f"{_checked(account)}/<0;1>/*" for account in accounts)
    return open_wallet(f"wsh(sortedmulti({needed},{keys}))", network)


def network_name(network: Network) -> str:
    """What libraries call the network. Raises Refused CONFIG_INVALID."""
    name = _NETWORKS.get(network.chain_id)
    if name is None:
        raise Refused("CONFIG_INVALID", f"{network.name} is no Bitcoin network that we know.")
    return name


def _multi(one: Descriptor) -> MultiDescriptor | None:
    inner = one.inner if isinstance(one, WshDescriptor) else None
    return inner if isinstance(inner, MultiDescriptor) and inner.sort else None


def _checked(account: str) -> str:
    if not _ACCOUNT.fullmatch(account):
        raise Refused("DESCRIPTOR_INVALID", "Write a key as [fingerprint/48h/0h/0h/2h]xpub..., as `cold new-key` does.")
    return account
