"""What every part of the books works with."""

from adapters.catalogue import Catalogue
from adapters.store.database import Database
from adapters.store.ledger import Ledger
from domain.asset import Asset
from domain.errors import Unavailable
from domain.network import Network
from domain.ports import Roster


class Desk:
    """The database, the ledger on it, the catalogue in force and the roster of approvers."""

    def __init__(self, database: Database, catalogue: Catalogue, roster: Roster, *, lanes: int = 1) -> None:
        self._database = database
        self._catalogue = catalogue
        self._roster = roster
        self.ledger = Ledger(database, lanes=lanes)

    def _asset(self, asset: str) -> Asset:
        """The asset of a row. One that left the catalogue waits for the operator to put it back."""
        if asset not in self._catalogue.assets:
            raise Unavailable(
                "ASSET_NOT_CONFIGURED", "An asset with open business left ops/assets.toml; put it back.", asset=asset
            )
        return self._catalogue.assets[asset]

    def _network(self, network: str) -> Network:
        """The network of a row; as with assets."""
        if network not in self._catalogue.networks:
            raise Unavailable(
                "NETWORK_NOT_CONFIGURED", "This network is not in ops/networks.toml; put it back.", network=network
            )
        return self._catalogue.networks[network]
