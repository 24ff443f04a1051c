"""A node that lags behind: what its answers were some blocks ago, made from what they are now.

The transactions of the blocks it has not seen yet lie in its mempool. Calls about blocks, transactions and outputs are
told so; `scantxoutset` and the wallet's calls are not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ops.devnet.bitcoin.rpc import Rpc, RpcError

INVALID_ADDRESS_OR_KEY, INVALID_PARAMETER = -5, -8
Params = list[Any]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the node has not seen yet."""

    height: int  # of its own head
    tip: str
    blocks: frozenset[str]
    transactions: dict[str, dict[str, Any]]

    @property
    def spent(self) -> set[tuple[str, int]]:
        rows = (row for tx in self.transactions.values() for row in tx["vin"])
        return {(row["txid"], row["vout"]) for row in rows if "txid" in row}


class View:
    """Answers as of `lag` blocks ago."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._told: dict[str, Callable[[Hidden, Params, int], Awaitable[Any]]] = {
            "getblockcount": self._count,
            "getbestblockhash": self._tip,
            "getblockchaininfo": self._info,
            "getblockhash": self._hash,
            "getblockheader": partial(self._block, "getblockheader"),
            "getblock": partial(self._block, "getblock"),
            "getrawtransaction": self._transaction,
            "gettxout": self._output,
            "getrawmempool": self._mempool,
        }

    def changes(self, method: str) -> bool:
        """Whether a lagging node answers `method` otherwise."""
        return method in self._told

    async def answer(self, method: str, params: Params, lag: int) -> Any:
        """Raises NodeDown or RpcError."""
        return await self._told[method](await self._hidden(lag), params, lag)

    async def _hidden(self, lag: int) -> Hidden:
        top = int(await self._rpc("getblockcount"))
        height = max(0, top - lag)
        blocks = [
            await self._rpc("getblock", await self._rpc("getblockhash", n), 2) for n in range(height + 1, top + 1)
        ]
        transactions = {tx["txid"]: tx for block in blocks for tx in block["tx"][1:]}
        tip = str(await self._rpc("getblockhash", height))
        return Hidden(height, tip, frozenset(block["hash"] for block in blocks), transactions)

    async def _count(self, hidden: Hidden, _: Params, __: int) -> int:
        return hidden.height

    async def _tip(self, hidden: Hidden, _: Params, __: int) -> str:
        return hidden.tip

    async def _info(self, hidden: Hidden, _: Params, __: int) -> Any:
        info = await self._rpc("getblockchaininfo")
        tip = await self._rpc("getblockheader", hidden.tip)
        told = {"blocks": hidden.height, "headers": hidden.height, "bestblockhash": hidden.tip}
        return info | told | {name: tip[name] for name in ("chainwork", "time", "mediantime")}

    async def _hash(self, hidden: Hidden, params: Params, _: int) -> Any:
        if params[0] > hidden.height:
            raise RpcError(INVALID_PARAMETER, "Block height out of range")
        return await self._rpc("getblockhash", *params)

    async def _block(self, method: str, hidden: Hidden, params: Params, lag: int) -> Any:
        if params[0] in hidden.blocks:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Block not found")
        block = await self._rpc(method, *params)
        if not isinstance(block, dict):
            return block
        if block.get("nextblockhash") in hidden.blocks:
            del block["nextblockhash"]
        return block | {"confirmations": _less(block["confirmations"], lag)}

    async def _transaction(self, hidden: Hidden, params: Params, lag: int) -> Any:
        if params[2:] and params[2] in hidden.blocks:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Block hash not found")
        tx = await self._rpc("getrawtransaction", *params)
        if not isinstance(tx, dict) or "blockhash" not in tx:
            return tx
        if tx["blockhash"] in hidden.blocks:
            return {k: v for k, v in tx.items() if k not in ("blockhash", "confirmations", "time", "blocktime")}
        return tx | {"confirmations": _less(tx["confirmations"], lag)}

    async def _output(self, hidden: Hidden, params: Params, lag: int) -> Any:
        txid, n = params[0], int(params[1])
        with_mempool = len(params) < 3 or bool(params[2])
        if txid in hidden.transactions and not with_mempool:
            return None
        if (txid, n) in hidden.spent and not with_mempool:
            return await self._unspent_then(hidden, txid, n)
        coin = await self._rpc("gettxout", *params)
        if coin is None:
            return None
        return coin | {"bestblock": hidden.tip, "confirmations": max(0, _less(coin["confirmations"], lag))}

    async def _unspent_then(self, hidden: Hidden, txid: str, n: int) -> Any:
        """An output whose spending the node has not seen yet."""
        tx = await self._rpc("getrawtransaction", txid, 1)
        made = await self._rpc("getblockheader", tx["blockhash"])
        row = tx["vout"][n]
        return {
            "bestblock": hidden.tip,
            "confirmations": hidden.height - made["height"] + 1,
            "value": row["value"],
            "scriptPubKey": row["scriptPubKey"],
            "coinbase": "coinbase" in tx["vin"][0],
        }

    async def _mempool(self, hidden: Hidden, params: Params, _: int) -> Any:
        found = await self._rpc("getrawmempool", *params)
        return [*found, *hidden.transactions] if isinstance(found, list) else found


def _less(confirmations: int, lag: int) -> int:
    return confirmations - lag if confirmations > 0 else confirmations
