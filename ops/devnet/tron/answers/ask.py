"""One request, read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.devnet.tron.faults import Dice, NodeName
from ops.devnet.tron.keys import address_of, base58_of
from ops.devnet.tron.network import Network
from ops.devnet.tron.view import View


@dataclass(frozen=True, slots=True)
class Ask:
    """What was asked of which node. Reading a word that does not fit raises ValueError, KeyError or TypeError."""

    words: Mapping[str, Any]
    node: NodeName
    network: Network
    view: View
    dice: Dice

    @property
    def visible(self) -> bool:
        """Whether addresses and texts are written for people."""
        return str(self.words.get("visible", "")).lower() == "true"

    def address(self, name: str) -> bytes:
        text = str(self.words[name])
        return address_of(text) if self.visible else bytes.fromhex(text)

    def show(self, address: bytes) -> str:
        return base58_of(address) if self.visible else address.hex()

    def say(self, message: str) -> str:
        """A message as java-tron writes it: as hex unless visible."""
        return message if self.visible else message.encode().hex()

    def number(self, name: str, default: int = 0) -> int:
        return int(self.words.get(name) or default)

    def id(self, name: str = "value") -> bytes:
        return bytes.fromhex(str(self.words.get(name, "")))


Answer = Callable[[Ask], Any]


def present(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without zeros and empty things."""
    return {key: value for key, value in row.items() if value}
