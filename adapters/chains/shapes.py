"""What people paste by mistake, told by the shape of the text. The network is only named, never believed: nobody looks
at a checksum here.
"""

import re

from domain.errors import Refused

_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_BECH32 = "[02-9ac-hj-np-z]"

# In the order in which they are tried; where two networks share a shape the likelier one stands first.
SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an EVM network", re.compile(r"0x[0-9a-fA-F]{40}")),
    ("TRON", re.compile(rf"T{_BASE58}{{33}}|(0x)?41[0-9a-fA-F]{{40}}")),
    ("an old TRON test network", re.compile(rf"27{_BASE58}{{33}}")),
    ("Bitcoin", re.compile(rf"(bc|tb|bcrt)1{_BECH32}{{8,87}}", re.IGNORECASE)),
    ("Litecoin", re.compile(rf"(ltc|tltc|rltc)1{_BECH32}{{8,87}}", re.IGNORECASE)),
    ("Bitcoin Cash", re.compile(rf"((bitcoincash|bchtest):)?[qp]{_BECH32}{{41}}", re.IGNORECASE)),
    ("Cardano", re.compile(rf"(addr|addr_test|stake)1{_BECH32}{{30,110}}")),
    ("a Cosmos network", re.compile(rf"(cosmos|osmo|celestia|inj|sei|kava|terra)1{_BECH32}{{38,58}}")),
    ("TON", re.compile(r"[EUk0]Q[A-Za-z0-9_-]{46}")),
    ("Stellar", re.compile(r"G[A-Z2-7]{55}")),
    ("Bitcoin", re.compile(rf"[123mn]{_BASE58}{{25,34}}")),
    ("Litecoin", re.compile(rf"[LM]{_BASE58}{{26,33}}")),
    ("Dogecoin", re.compile(rf"D{_BASE58}{{33}}")),
    ("the XRP Ledger", re.compile(rf"r{_BASE58}{{24,34}}")),
    ("Polkadot", re.compile(rf"1{_BASE58}{{46,47}}")),
    ("Solana", re.compile(rf"{_BASE58}{{43,44}}")),
)


def elsewhere(text: str, network: str, ours: str) -> Refused | None:
    """The refusal of what looks like an address of another network than `ours` (a name of SHAPES); None if nothing
    does.
    """
    for name, shape in SHAPES:
        if name != ours and shape.fullmatch(text):
            return Refused(
                "ADDRESS_WRONG_NETWORK",
                f"This looks like an address of {name}; choose that network, or write one of {network}.",
                network=network,
                looks_like=name,
            )
    return None
