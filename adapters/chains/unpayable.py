"""Addresses that are well formed and may not be paid all the same, and what the client is told."""

from collections.abc import Collection

from domain.errors import Refused


def refuse_nobody_s(number: int, *, system: bool, network: str) -> None:
    """`number` is the address as a number; `system` says whether the network keeps it for itself. Raises Refused
    ADDRESS_ZERO or ADDRESS_PRECOMPILE.
    """
    if number == 0:
        raise Refused("ADDRESS_ZERO", "Nobody owns the zero address; money sent there is lost.", network=network)
    if system:
        raise Refused(
            "ADDRESS_PRECOMPILE",
            "This address belongs to the network itself; money sent there is lost.",
            network=network,
        )


def refuse_contracts(text: str, token_contracts: Collection[str], network: str) -> None:
    """`token_contracts` in small letters. Raises Refused ADDRESS_TOKEN_CONTRACT."""
    if text.lower() in token_contracts:
        raise Refused(
            "ADDRESS_TOKEN_CONTRACT",
            "This is the contract of a token, not a wallet; write the recipient's own address.",
            network=network,
        )


def refuse_ours(text: str, ours: Collection[str], network: str) -> None:
    """`ours` in small letters. Raises Refused ADDRESS_OURS."""
    if text.lower() in ours:
        raise Refused("ADDRESS_OURS", "This address is ours; transfer between accounts instead.", network=network)


def wrong_checksum(network: str) -> Refused:
    return Refused(
        "ADDRESS_CHECKSUM",
        "The checksum of this address does not fit it: copy it again, at least one character is wrong.",
        network=network,
    )
