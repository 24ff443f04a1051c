"""Which addresses may be paid. Pure; what a client typed is never repeated in an error, it may be a secret."""

import re
import secrets
from collections.abc import Collection

from eth_utils.address import to_checksum_address

from adapters.chains.shapes import elsewhere
from adapters.chains.unpayable import refuse_contracts, refuse_nobody_s, refuse_ours
from domain.errors import Refused

_EVM = re.compile(r"0x[0-9a-fA-F]{40}")
_PRECOMPILES = frozenset(range(0x1, 0x12)) | {0x100}  # Osaka: 0x1..0x11, and P256VERIFY of EIP-7951


def check(text: str, *, network: str, token_contracts: Collection[str], ours: Collection[str]) -> str:
    """The EIP-55 form of a recipient. `token_contracts` and `ours` are lower-case addresses that may not be paid.

    Capitals must be right (EIP-55); all small letters carry no checksum and are taken. Raises Refused
    ADDRESS_MALFORMED, ADDRESS_WRONG_NETWORK, ADDRESS_CHECKSUM, ADDRESS_ZERO, ADDRESS_PRECOMPILE,
    ADDRESS_TOKEN_CONTRACT or ADDRESS_OURS.
    """
    if not _EVM.fullmatch(text):
        raise _malformed(text, network)
    address = str(to_checksum_address(text.lower()))
    if text not in (address, text.lower()):
        raise Refused(
            "ADDRESS_CHECKSUM",
            "The capital letters of this address do not fit it (EIP-55): copy it again, at least one digit is wrong.",
            network=network,
        )
    number = int(text, 16)
    refuse_nobody_s(number, system=number in _PRECOMPILES, network=network)
    refuse_contracts(text, token_contracts, network)
    refuse_ours(text, ours, network)
    return address


def unused() -> str:
    """An address that nobody has used, and never will: its key is not known."""
    return str(to_checksum_address("0x" + secrets.token_hex(20)))


def _malformed(text: str, network: str) -> Refused:
    if foreign := elsewhere(text, network, "an EVM network"):
        return foreign
    hint = " Names are not looked up." if text.endswith(".eth") else ""
    return Refused("ADDRESS_MALFORMED", f"Write the address as 0x and 40 hexadecimal digits.{hint}", network=network)
