"""What an asset is: a coin or token on one network, counted in whole base units."""

import re
from dataclasses import dataclass

_ID = re.compile(r"^[A-Z0-9]{2,12}-[A-Z0-9]{2,16}$")
DECIMALS_MAX = 18


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset on one network. `USDT-ETHEREUM` and `USDT-TRON` are two assets with one code.

    `contract` is None for the network's native coin. `decimals` says how many base units make one (10 ** decimals).
    """

    id: str
    code: str
    network: str
    decimals: int
    contract: str | None = None

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise ValueError(f"asset id {self.id!r} is not CODE-NETWORK in capitals")
        if not 0 <= self.decimals <= DECIMALS_MAX:
            raise ValueError(f"asset {self.id}: decimals must be 0..{DECIMALS_MAX}, not {self.decimals}")

    @property
    def native(self) -> bool:
        return self.contract is None
