"""What the nodes of a network insist on, where networks of one family differ: data, from `[devnet.<network>.node]`.

anvil enforces none of this. Gas for the bytes on the chain below is told and demanded as on the real network; it is not
charged beyond what the call itself takes, so that what a receipt says is what left the balance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TRANSACTION_BYTES = 120  # prices, addresses and signature around the data, generously


@dataclass(frozen=True, slots=True)
class Rules:
    """Prices are wei per gas. `l1_gas_per_byte`: gas that each byte of a transaction costs on the chain below."""

    tip_min: int = 1
    price_min: int = 0
    l1_gas_per_byte: int = 0

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Rules":
        """The rules of a row; what it does not say is as on Ethereum. Raises ValueError."""
        return cls(**{name: int(row[name]) for name in cls.__dataclass_fields__ if name in row})

    def l1_gas(self, raw_bytes: int) -> int:
        """Gas that so many bytes of transaction need before a single step is executed."""
        return raw_bytes * self.l1_gas_per_byte

    def l1_gas_of_call(self, call: Mapping[str, Any]) -> int:
        """The same for a call that nobody has signed yet."""
        data = str(call.get("input") or call.get("data") or "0x")
        return self.l1_gas(TRANSACTION_BYTES + len(data) // 2 - 1)
