"""The pure address rule of each family of networks; nothing is asked of a node."""

from collections.abc import Callable, Mapping

from adapters.chains.evm import address as evm_address
from adapters.chains.tron import address as tron_address

# Each takes the text, and by name: `network`, `token_contracts` and `ours` (what may not be paid, in small letters).
RULES: Mapping[str, Callable[..., str]] = {"evm": evm_address.check, "tron": tron_address.check}
