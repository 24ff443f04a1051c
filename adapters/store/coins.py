"""The `Coins` port on PostgreSQL. What blocks did is kept for ever as facts; the row of a coin says what those that
count now come to.

Whoever applies blocks holds the row of the network's tip, so two processes with the same blocks never both apply them.
A coin given by `seed` was created in a block nobody here has read: its hash is empty unless the height is known.
"""

from collections.abc import Iterable, Mapping, Sequence

from adapters.store.database import Connection, Database
from adapters.store.wallets import wallet_id
from domain.coin import COINBASE_DEPTH, BlockMark, Coin, CoinBlock, Fate
from domain.errors import Refused
from domain.ports import Coins

_TIP = "SELECT height, hash FROM coin_tip WHERE network = $1"
_LOCK_TIP = f"{_TIP} FOR NO KEY UPDATE"
_FIRST_TIP = "INSERT INTO coin_tip (network, height, hash) VALUES ($1, $2, $3) ON CONFLICT (network) DO NOTHING"
_MOVE_TIP = "UPDATE coin_tip SET height = $2, hash = $3 WHERE network = $1"
_WALLETS = """SELECT w.address, s.wallet_id IS NOT NULL AS seeded FROM wallet w
    LEFT JOIN coin_wallet s ON s.wallet_id = w.id WHERE w.network = $1 ORDER BY w.address"""
_MARKS = """SELECT height, hash FROM coin_block WHERE network = $1 AND height > $2 AND orphaned_at IS NULL
    ORDER BY height DESC"""
_IS_CANONICAL = """SELECT true FROM coin_block WHERE network = $1 AND height = $2 AND hash = $3
    AND orphaned_at IS NULL"""
_SEED_WALLET = """
INSERT INTO coin_wallet (wallet_id, network, height, hash) SELECT id, network, $2, $3 FROM wallet WHERE id = $1
ON CONFLICT (wallet_id) DO NOTHING RETURNING true
"""
_SEED_COINS = """
INSERT INTO coin AS c (network, outpoint, wallet_id, units, coinbase, created_height, created_hash)
SELECT $1, u.outpoint, $2, u.units::numeric, false, u.height, coalesce(b.hash, '')
FROM unnest($3::text[], $4::text[], $5::bigint[]) AS u (outpoint, units, height)
LEFT JOIN coin_block b ON b.network = $1 AND b.height = u.height AND b.orphaned_at IS NULL
ON CONFLICT (network, outpoint) DO UPDATE
    SET created_height = excluded.created_height, created_hash = excluded.created_hash WHERE c.created_height IS NULL
"""
_UNDO = (
    """UPDATE coin_block SET orphaned_at = now() WHERE network = $1 AND height > $2 AND orphaned_at IS NULL""",
    """UPDATE coin SET spent_txid = NULL, spent_height = NULL, spent_hash = NULL
    WHERE network = $1 AND spent_height > $2""",
    """UPDATE coin SET created_height = NULL, created_hash = NULL WHERE network = $1 AND created_height > $2""",
    # What else such a wallet had when it was seeded, a block that is gone now may have spent.
    """DELETE FROM coin_wallet WHERE network = $1 AND height > $2""",
)
_ADD_BLOCKS = """
INSERT INTO coin_block (network, hash, height, parent)
SELECT $1, u.hash, u.height, u.parent FROM unnest($2::text[], $3::bigint[], $4::text[]) AS u (hash, height, parent)
ON CONFLICT (network, hash) DO UPDATE SET orphaned_at = NULL
"""
_ADD_FACTS = """
INSERT INTO coin_fact (network, block, what, outpoint, txid)
SELECT $1, u.block, $2, u.outpoint, u.txid FROM unnest($3::text[], $4::text[], $5::text[]) AS u (block, outpoint, txid)
ON CONFLICT (network, block, what, outpoint) DO NOTHING
"""
_CREATE = """
INSERT INTO coin (network, outpoint, wallet_id, units, coinbase, created_height, created_hash)
SELECT $1, u.outpoint, w.id, u.units::numeric, u.coinbase, u.height, u.hash
FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::text[])
    AS u (outpoint, wallet, units, coinbase, height, hash) JOIN wallet w ON w.id = u.wallet
ON CONFLICT (network, outpoint) DO UPDATE SET coinbase = excluded.coinbase,
    created_height = excluded.created_height, created_hash = excluded.created_hash
"""
_SPEND = """
UPDATE coin c SET spent_txid = u.txid, spent_height = u.height, spent_hash = u.hash
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[]) AS u (outpoint, txid, height, hash)
WHERE c.network = $1 AND c.outpoint = u.outpoint
"""
_UNTAKEN = """c.spent_height IS NULL AND NOT EXISTS (
    SELECT FROM slot_input i WHERE i.network = c.network AND i.outpoint = c.outpoint)"""
_FREE = f"""
SELECT c.outpoint, c.units::text FROM coin c JOIN coin_tip t USING (network)
WHERE c.wallet_id = $1 AND c.created_height <= $2 AND {_UNTAKEN}
  AND (NOT c.coinbase OR t.height - c.created_height + 1 >= $3)
ORDER BY c.created_height, c.outpoint
"""  # noqa: S608 - columns of ours
_SPENDABLE = f"""
SELECT c.outpoint, c.units::text FROM coin c
WHERE c.network = $1 AND c.outpoint = ANY($2) AND c.wallet_id = $3 AND c.created_height IS NOT NULL AND {_UNTAKEN}
"""  # noqa: S608 - columns of ours
_FATES = """SELECT outpoint, created_height, created_hash, spent_txid, spent_height, spent_hash FROM coin
    WHERE network = $1 AND outpoint = ANY($2)"""
_SPENDERS = """SELECT spent_txid FROM coin WHERE network = $1 AND wallet_id = $2 AND spent_height > $3
    AND spent_height <= $4 GROUP BY spent_txid ORDER BY min(spent_height), spent_txid"""


class PostgresCoins:
    """The coins of one network's wallets."""

    def __init__(self, database: Database, network: str) -> None:
        self._database = database
        self._network = network

    async def tip(self) -> BlockMark | None:
        """The last block applied; None before `seed`."""
        row = await self._database.fetchrow("coin_tip", _TIP, self._network)
        return BlockMark(row["height"], row["hash"]) if row else None

    async def wallets(self) -> Mapping[str, bool]:
        """Our wallets on this network by address, and whether each was seeded. One whose seed a reorganisation undid
        has to be seeded again.
        """
        rows = await self._database.fetch("coin_wallets", _WALLETS, self._network)
        return {row["address"]: row["seeded"] for row in rows}

    async def marks(self, above: int) -> Sequence[BlockMark]:
        """The canonical blocks known above height `above`, newest first."""
        rows = await self._database.fetch("coin_marks", _MARKS, self._network, above)
        return [BlockMark(row["height"], row["hash"]) for row in rows]

    async def seed(self, mark: BlockMark, coins: Mapping[str, Sequence[tuple[Coin, int]]]) -> None:
        """The beginning of each wallet; see the port."""
        async with self._database.transaction("seed_coins") as connection:
            await connection.execute(_FIRST_TIP, self._network, mark.height, mark.hash)
            if await self._locked_tip(connection) != mark:
                raise _moved_on()
            await connection.execute(_ADD_BLOCKS, self._network, [mark.hash], [mark.height], [""])
            for address, found in sorted(coins.items()):
                id_ = wallet_id(self._network, address)
                if await connection.fetchval(_SEED_WALLET, id_, mark.height, mark.hash):
                    await connection.execute(
                        _SEED_COINS,
                        *(self._network, id_, [coin.outpoint for coin, _ in found]),
                        *([coin.units for coin, _ in found], [height for _, height in found]),
                    )

    async def apply(self, keep: BlockMark, blocks: Sequence[CoinBlock]) -> None:
        """Undoes what is above `keep` and applies `blocks`, together; see the port. Raises Refused COINS_UNLINKED for
        blocks that do not link.
        """
        _check_links(keep, blocks)
        async with self._database.transaction("apply_coins") as connection:
            tip = await self._locked_tip(connection)
            if tip is None or tip in [block.mark for block in blocks]:
                raise _moved_on()
            if not await connection.fetchval(_IS_CANONICAL, self._network, keep.height, keep.hash):
                raise _moved_on()
            for undo in _UNDO if tip != keep else ():
                await connection.execute(undo, self._network, keep.height)
            if blocks:
                await self._add(connection, blocks)
            now = blocks[-1].mark if blocks else keep
            await connection.execute(_MOVE_TIP, self._network, now.height, now.hash)

    async def free(self, wallet: str, through: int) -> Sequence[Coin]:
        """Coins created at or below height `through`, not spent, taken by no slot; coinbase coins only when 100 deep.
        The oldest first.
        """
        id_ = wallet_id(self._network, wallet)
        rows = await self._database.fetch("free_coins", _FREE, id_, through, COINBASE_DEPTH)
        return [Coin(row["outpoint"], row["units"]) for row in rows]

    async def fates(self, outpoints: Sequence[str]) -> Sequence[Fate]:
        """What is known of each outpoint, in their order; an unknown one has a fate of Nones."""
        rows = await self._database.fetch("coin_fates", _FATES, self._network, list(outpoints))
        known = {
            row["outpoint"]: Fate(
                row["outpoint"],
                _mark(row["created_height"], row["created_hash"]),
                row["spent_txid"],
                _mark(row["spent_height"], row["spent_hash"]),
            )
            for row in rows
        }
        return [known.get(outpoint, Fate(outpoint, None, None, None)) for outpoint in outpoints]

    async def spenders(self, wallet: str, after: int, through: int) -> Sequence[str]:
        """The txids that spent coins of `wallet` in canonical blocks of heights in (after, through], each once."""
        id_ = wallet_id(self._network, wallet)
        rows = await self._database.fetch("coin_spenders", _SPENDERS, self._network, id_, after, through)
        return [row["spent_txid"] for row in rows]

    # ------------------------------------------------------------ below the methods
    async def _locked_tip(self, connection: Connection) -> BlockMark | None:
        row = await connection.fetchrow(_LOCK_TIP, self._network)
        return BlockMark(row["height"], row["hash"]) if row else None

    async def _add(self, connection: Connection, blocks: Sequence[CoinBlock]) -> None:
        """What was made first: a later block, or the same one, may have spent it already."""
        marks = [block.mark for block in blocks]
        created = [(made, block.mark) for block in blocks for made in block.created]
        spent = [(spend, block.mark) for block in blocks for spend in block.spent]
        network, made_at, made = self._network, [mark for _, mark in created], [made for made, _ in created]
        spent_at, spends = [mark for _, mark in spent], [spend for spend, _ in spent]
        await connection.execute(_ADD_BLOCKS, network, _hashes(marks), _heights(marks), [b.parent for b in blocks])
        outpoints = [one.coin.outpoint for one in made]
        txids = [outpoint.partition(":")[0] for outpoint in outpoints]
        await connection.execute(_ADD_FACTS, network, "CREATED", _hashes(made_at), outpoints, txids)
        await connection.execute(
            _CREATE,
            *(network, outpoints, [wallet_id(network, one.wallet) for one in made], [one.coin.units for one in made]),
            *([one.coinbase for one in made], _heights(made_at), _hashes(made_at)),
        )
        outpoints, txids = [spend.outpoint for spend in spends], [spend.txid for spend in spends]
        await connection.execute(_ADD_FACTS, network, "SPENT", _hashes(spent_at), outpoints, txids)
        await connection.execute(_SPEND, network, outpoints, txids, _heights(spent_at), _hashes(spent_at))


async def spendable(connection: Connection, network: str, wallet: str, asked: Sequence[Coin]) -> tuple[Coin, ...]:
    """Those of `asked`, in their order and each once, that are coins of the wallet, created and not spent in canonical
    blocks, taken by no slot ever. A block that spends one just now is found by the slot's next look.
    """
    outpoints = list(dict.fromkeys(coin.outpoint for coin in asked))
    rows = await connection.fetch(_SPENDABLE, network, outpoints, wallet_id(network, wallet)) if outpoints else ()
    units = {row["outpoint"]: row["units"] for row in rows}
    return tuple(Coin(outpoint, units[outpoint]) for outpoint in outpoints if outpoint in units)


def _check_links(keep: BlockMark, blocks: Sequence[CoinBlock]) -> None:
    parent = keep
    for block in blocks:
        if (block.parent, block.mark.height) != (parent.hash, parent.height + 1):
            raise Refused("COINS_UNLINKED", "A block does not follow the one before it.", height=block.mark.height)
        parent = block.mark


def _moved_on() -> Refused:
    return Refused("COINS_MOVED_ON", "The coins are at another block by now; read the tip again.")


def _mark(height: int | None, hash_: str | None) -> BlockMark | None:
    return None if height is None or hash_ is None else BlockMark(height, hash_)


def _heights(marks: Iterable[BlockMark]) -> list[int]:
    return [mark.height for mark in marks]


def _hashes(marks: Iterable[BlockMark]) -> list[str]:
    return [mark.hash for mark in marks]


def _is_coins(coins: PostgresCoins) -> Coins:
    """Read by the type checker alone: what we have is what the port asks for."""
    return coins
