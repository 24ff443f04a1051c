"""What the vault needs to know of a chain family; everything else it does is the same for all of them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from adapters.vault.decode import Paid
from adapters.vault.keystore import Account, SigningKey
from domain.asset import Asset
from domain.coin import Coin
from domain.network import Network
from domain.payout import Fee


@dataclass(frozen=True, slots=True)
class Reading:
    """What unsigned bytes say. `payload` identifies everything but the fee and the time: it may never change within a
    slot. `wallet`: whose transaction the bytes say they are, where they say so. `expires_at_ms`: when they end by
    themselves, None where the slot itself excludes two versions.

    `inputs`: the coins they spend, in their order, where a wallet is many coins. `fee_units`: what they cost exactly,
    where the bytes fix a sum alone; `fee` is then our own measure of it. `txid`: where it is known before signing.
    """

    scarce: str
    payload: str
    fee: Fee
    paid: tuple[Paid, ...]
    wallet: str = ""
    expires_at_ms: int | None = None
    inputs: tuple[Coin, ...] = ()
    fee_units: int | None = None
    txid: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """Signed bytes (hex with 0x) and their transaction id as the network writes it."""

    raw: str
    txid: str


class Family(Protocol):
    """What the vault needs to know of a chain family; everything else it does is the same for all of them."""

    def address(self, account: Account, network: Network) -> str:
        """How the network writes the address of a key. Raises Refused KEYSTORE_UNREADABLE when it takes the public key
        and the keystore does not name it.
        """
        ...

    def read(self, unsigned: str, network: Network, assets: Collection[Asset]) -> Reading:
        """Decodes strictly. Raises Refused SIGNER_* for anything but a plain payment."""
        ...

    def expires_at_ms(self, raw: str) -> int | None:
        """When signed bytes of ours end by themselves; None where they never do."""
        ...

    def sign(self, unsigned: str, key: SigningKey) -> Signed:
        """Signs, then reads the result back and recovers its sender before anybody sees it."""
        ...

    def refuse_recipient(self, recipient: str, network: Network, assets: Collection[Asset]) -> str:
        """Why coins must never be sent there; empty when they may."""
        ...
