"""Which recipients a network can pay, and which of them somebody may have put in the way."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from adapters.catalogue import Catalogue
from domain.asset import Asset
from domain.errors import Refused, Unavailable
from domain.network import Network
from domain.ports import AddressBook, AddressEntry, Recipient, Recipients, Views

log = logging.getLogger(__name__)

OWN_ADDRESSES_S = 10.0
Rule = Callable[[str, Network, Collection[str], Collection[str]], str]


def check_other(owner: str | None, account: str | None) -> None:
    """Raises Refused TRANSFER_TO_SELF when the recipient is the sender."""
    if owner is not None and owner == account:
        raise Refused("TRANSFER_TO_SELF", "This is a deposit address of this very account: nothing would move.")


def check_lookalike(alike: AddressEntry | None) -> None:
    """Raises Refused ADDRESS_LOOKALIKE when a person would take the address for this entry of the account's book."""
    if alike is not None:
        raise Refused(
            "ADDRESS_LOOKALIKE",
            f"This address begins and ends like “{alike.label}” of the address book and is another: somebody may "
            "have put it into your history to be copied. Compare every character; if it is right, add it to the "
            "address book.",
            entry=alike.id,
            label=alike.label,
        )


class Addresses:
    """The rules of every network's family over the catalogue, our own wallets (read from the store, paid to nobody),
    the accounts' address books, and what is known of a recipient.
    """

    def __init__(
        self,
        shelf: Catalogue,
        views: Views,
        book: AddressBook,
        recipients: Recipients,
        rules: Mapping[str, Rule],
    ) -> None:
        self.book = book
        self._recipients = recipients
        self._shelf = shelf
        self._views = views
        self._rules = rules
        self._contracts = frozenset(a.contract.lower() for a in shelf.assets.values() if a.contract)
        self._ours: frozenset[str] = frozenset()
        self._wallets: Mapping[str, str] = {}

    def check(self, text: str, asset: Asset) -> str:
        """The canonical form. Raises Refused ADDRESS_*; a right address of another network is told to be one."""
        try:
            return self._check(text, asset.network)
        except Refused as refusal:
            if refusal.code != "ADDRESS_MALFORMED" or not (networks := self.networks_of(text)):
                raise
            names = ", ".join(self._shelf.networks[network].name for network in networks)
            raise Refused(
                "ADDRESS_WRONG_NETWORK",
                f"This is an address of {names}; choose that network, or write one of {asset.network}.",
                network=asset.network,
                looks_like=names,
            ) from None

    def networks_of(self, text: str) -> Sequence[str]:
        """The ids of the networks on which `text` could be paid."""
        return [network for network in self._shelf.networks if self._payable(text, network)]

    def hot_wallet(self, network: str) -> str | None:
        return self._wallets.get(network)

    async def known(self, network: str, address: str, account: str | None) -> Recipient:
        """What is known of `address` when `account` would pay it: one with an owner is paid within the ledger."""
        return await self._recipients.known(network, address, account)

    def _payable(self, text: str, network: str) -> bool:
        with contextlib.suppress(Refused):
            return bool(self._check(text, network))
        return False

    def _check(self, text: str, network: str) -> str:
        row = self._shelf.networks[network]
        return self._rules[row.family](text, row, self._contracts, self._ours)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Keeps our own addresses up to date. The signer refuses them again by itself."""
        await self._read()
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(OWN_ADDRESSES_S)
            await self._read()

    async def _read(self) -> None:
        try:
            wallets = await self._views.wallets()
        except Unavailable as error:
            log.warning("our own addresses stay as they were: %s", error)
            return
        self._ours = frozenset(wallet.address.lower() for wallet in wallets)
        self._wallets = {wallet.network: wallet.address for wallet in wallets}
