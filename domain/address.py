"""When two addresses look alike to a person, who compares the ends and never the middle.

That is how address poisoning works: somebody makes an address whose ends are those of one that the victim pays, sends
a trifle from it, and waits until it is copied from a history.
"""

import base64
import hashlib
import re

ENDS_CHARS = 3
# What all addresses of a network have in common, and nobody looks at.
_COMMON = re.compile(r"^(0x|(bc|tb|bcrt)1.|[a-z0-9])", re.IGNORECASE)


def ends(address: str) -> str:
    """What people compare: the first and last ENDS_CHARS behind what all addresses share, in small letters."""
    own = _COMMON.sub("", address).lower()
    return f"{own[:ENDS_CHARS]}..{own[-ENDS_CHARS:]}"


def looks_like(candidate: str, known: str) -> bool:
    """Whether `candidate` is another address than `known` that a person would take for it."""
    return candidate.lower() != known.lower() and ends(candidate) == ends(known)


def entry_id(account: str, network: str, address: str) -> str:
    """The one id of an address in an account's book, derived: adding it again names the same entry."""
    digest = hashlib.sha256(f"strongroom/address/v1\n{account}\n{network}\n{address}".encode()).digest()
    return "ad_" + base64.b32encode(digest).decode().lower()[:26]
