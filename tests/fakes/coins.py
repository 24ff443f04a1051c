"""Coins kept in memory: `domain.ports.Coins` as a small true projection of blocks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from domain.coin import COINBASE_DEPTH, BlockMark, Coin, CoinBlock, Fate
from domain.errors import Refused, Unavailable


@dataclass(frozen=True)
class Birth:
    wallet: str
    coin: Coin
    mark: BlockMark
    coinbase: bool


@dataclass(frozen=True)
class Death:
    txid: str
    mark: BlockMark


class FakeCoins:
    """`wallets` are ours and have no beginning yet. `orphans`: blocks that were undone, oldest first. `taken`: coins
    that slots have.
    """

    def __init__(self, wallets: Collection[str] = ()) -> None:
        self._wallets = dict.fromkeys(wallets, False)
        self._seeded_at: dict[str, int] = {}
        self._marks: list[BlockMark] = []
        self._births: dict[str, Birth] = {}
        self._deaths: dict[str, Death] = {}
        self.orphans: list[BlockMark] = []
        self.taken: set[str] = set()
        self.down = False

    def unspent(self, wallet: str) -> dict[str, int]:
        """All that the wallet has at the tip, taken or not: outpoint -> base units."""
        return {
            name: int(birth.coin.units)
            for name, birth in self._births.items()
            if birth.wallet == wallet and name not in self._deaths
        }

    def open_wallet(self, address: str) -> None:
        self._wallets.setdefault(address, False)

    # ------------------------------------------------------------ the port
    async def tip(self) -> BlockMark | None:
        self._reach()
        return self._marks[-1] if self._marks else None

    async def wallets(self) -> Mapping[str, bool]:
        self._reach()
        return dict(self._wallets)

    async def marks(self, above: int) -> Sequence[BlockMark]:
        self._reach()
        return [mark for mark in reversed(self._marks) if mark.height > above]

    async def seed(self, mark: BlockMark, coins: Mapping[str, Sequence[tuple[Coin, int]]]) -> None:
        self._reach()
        if self._marks and self._marks[-1] != mark:
            raise Refused("COINS_MOVED_ON", "The coins are at another block by now.")
        self._marks = self._marks or [mark]
        for wallet, rows in coins.items():
            if not self._wallets[wallet]:
                self._wallets[wallet], self._seeded_at[wallet] = True, mark.height
                known = {mark.height: mark for mark in self._marks}
                for coin, height in rows:
                    birth = Birth(wallet, coin, known.get(height, BlockMark(height, "")), False)
                    self._births.setdefault(coin.outpoint, birth)

    async def apply(self, keep: BlockMark, blocks: Sequence[CoinBlock]) -> None:
        self._reach()
        if keep not in self._marks or self._marks[-1] in [block.mark for block in blocks]:
            raise Refused("COINS_MOVED_ON", "Somebody else was quicker: read the tip again.")
        for before, block in zip([keep, *(block.mark for block in blocks)], blocks, strict=False):
            if (block.parent, block.mark.height) != (before.hash, before.height + 1):
                raise ValueError(f"block {block.mark.height} does not link to the one before it")
        self._undo(keep)
        for block in blocks:
            self._marks.append(block.mark)
            for row in block.created:
                self._births[row.coin.outpoint] = Birth(row.wallet, row.coin, block.mark, row.coinbase)
            for spend in block.spent:
                assert spend.outpoint in self._births, f"{spend.outpoint} is no coin of ours"
                self._deaths[spend.outpoint] = Death(spend.txid, block.mark)

    async def free(self, wallet: str, through: int) -> Sequence[Coin]:
        self._reach()
        return [
            birth.coin
            for name, birth in sorted(self._births.items())
            if birth.wallet == wallet
            and birth.mark.height <= through
            and name not in self._deaths
            and name not in self.taken
            and (not birth.coinbase or self._marks[-1].height - birth.mark.height + 1 >= COINBASE_DEPTH)
        ]

    async def fates(self, outpoints: Sequence[str]) -> Sequence[Fate]:
        self._reach()
        return [self._fate(name) for name in outpoints]

    async def spenders(self, wallet: str, after: int, through: int) -> Sequence[str]:
        self._reach()
        found = {
            death.txid: None
            for name, death in self._deaths.items()
            if self._births[name].wallet == wallet and after < death.mark.height <= through
        }
        return list(found)

    def _fate(self, name: str) -> Fate:
        birth, death = self._births.get(name), self._deaths.get(name)
        return Fate(name, birth.mark if birth else None, death.txid if death else None, death.mark if death else None)

    def _undo(self, keep: BlockMark) -> None:
        """A wallet that was seeded above `keep` has to be seeded again: what it spent before is not known here."""
        self._wallets.update({name: False for name, height in self._seeded_at.items() if height > keep.height})
        self.orphans += [mark for mark in self._marks if mark.height > keep.height]
        self._marks = [mark for mark in self._marks if mark.height <= keep.height]
        self._births = {name: birth for name, birth in self._births.items() if birth.mark.height <= keep.height}
        self._deaths = {name: death for name, death in self._deaths.items() if death.mark.height <= keep.height}

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("STORE_DOWN", "The store does not answer.")
