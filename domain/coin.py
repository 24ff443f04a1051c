"""Coins of a wallet that is many outputs instead of one account, and what blocks did to them."""

from collections.abc import Sequence
from dataclasses import dataclass

COINBASE_DEPTH = 100  # confirmations before mined money may be spent: a consensus rule of Bitcoin


@dataclass(frozen=True, slots=True)
class Coin:
    """An output that a wallet's key can spend: `outpoint` as "txid:vout", `units` in whole base units (digits)."""

    outpoint: str
    units: str


@dataclass(frozen=True, slots=True)
class BlockMark:
    """One block's place in the chain."""

    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class Created:
    """A coin that appeared in a block for the wallet `wallet`. `coinbase`: mined money, spendable 100 blocks later."""

    wallet: str
    coin: Coin
    coinbase: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """A coin of ours that the transaction `txid` consumed."""

    outpoint: str
    txid: str


@dataclass(frozen=True, slots=True)
class CoinBlock:
    """All that one block, read whole, did to coins of ours; most blocks do nothing. `parent` is the hash it names."""

    mark: BlockMark
    parent: str
    created: tuple[Created, ...] = ()
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class Fate:
    """What the canonical blocks read so far say of one outpoint: where it was created and who spent it where; None
    where no block that counts now says so.
    """

    outpoint: str
    created: BlockMark | None
    spender: str | None
    spent: BlockMark | None


def units_of(coins: Sequence[Coin]) -> int:
    """What the coins are worth together, in base units."""
    return sum(int(coin.units) for coin in coins)
