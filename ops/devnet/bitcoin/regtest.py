"""What one can do to a regtest chain that nobody can do to the real one: blocks at will, other pasts, coins for all.

The rich account is a wallet of the node's own, `treasury`. The subsidy halves every 150 blocks, so its coins are mined
first, before anything else happens on the chain; all later blocks pay nobody.
"""

import asyncio
import secrets
import struct
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

from ops.devnet.bitcoin.rpc import Rpc, RpcError

TREASURY = "treasury"
RICH_BLOCKS = 40  # 50 coins each
# A miner may spend after 100 blocks; with a margin, lest a reorganisation makes a payment of the treasury's too young.
REST_BLOCKS = 100 + 30
NOBODY = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
FUND_OUTPUTS_MAX = 500
FEE_SATS_PER_VBYTE = 2
REPLACEABLE = 0xFFFFFFFD  # BIP125
WALLET_NOT_FOUND, WALLET_LOADED = -18, -35

Outputs = Sequence[tuple[str, int]]  # addresses, repeated at will, and satoshi


class Regtest:
    """Power over one node's chain."""

    def __init__(self, rpc: Rpc, treasury: Rpc) -> None:
        self.rpc = rpc
        self._treasury = treasury
        self._filling = asyncio.Lock()

    async def height(self) -> int:
        return int(await self.rpc("getblockcount"))

    async def tip(self) -> str:
        return str(await self.rpc("getbestblockhash"))

    # ------------------------------------------------------------ blocks
    async def mine(self, count: int = 1, address: str | None = None) -> list[str]:
        """Mines `count` blocks with what the mempool holds, for nobody unless told; returns their hashes."""
        found: list[str] = await self.rpc("generatetoaddress", count, address or NOBODY)
        return found

    async def mine_exactly(self, transactions: Sequence[str] = (), address: str | None = None) -> str:
        """Mines one block with exactly these: txids of the mempool, or raw hex, which may contradict the mempool."""
        return str((await self.rpc("generateblock", address or NOBODY, list(transactions)))["hash"])

    async def invalidate(self, block: str) -> None:
        """The node takes `block` and all after it for invalid; their transactions return to the mempool."""
        await self.rpc("invalidateblock", block)

    async def reconsider(self, block: str) -> None:
        """Takes `invalidate` back; the branch with the most work then wins."""
        await self.rpc("reconsiderblock", block)

    async def reorganise(self, depth: int, branch: Sequence[Sequence[str]] = ()) -> list[str]:
        """Replaces the last `depth` blocks by a branch one block longer; returns the hashes of the new blocks.

        Block n of the branch holds exactly the transactions `branch[n]`; those not named are empty. What was in the old
        blocks returns to the mempool unless the branch contradicts it.
        """
        base = str(await self.rpc("getblockhash", await self.height() - depth))
        aside = await self._return_to(base)
        unlike = f"raw(6a10{secrets.token_hex(16)})"  # else an empty block of the same second might be one set aside
        try:
            contents = [*branch, *[()] * (depth + 1 - len(branch))]
            return [await self.mine_exactly(transactions, unlike) for transactions in contents]
        finally:
            for block in reversed(aside):
                await self.reconsider(block)  # the new branch is longer, so it stays

    async def _return_to(self, base: str) -> list[str]:
        """Makes `base` the tip; returns the blocks that were invalidated for it. Older branches may come up first."""
        aside: list[str] = []
        while await self.tip() != base:
            fork = await self.rpc("getblockheader", base)
            while fork["confirmations"] < 0:  # in no chain that counts now
                fork = await self.rpc("getblockheader", fork["previousblockhash"])
            aside.append(str(await self.rpc("getblockhash", fork["height"] + 1)))
            await self.invalidate(aside[-1])
        return aside

    async def flush(self) -> None:
        """Has the node write the chain to disk now; by itself it waits for an hour, and its death would undo blocks."""
        await self.rpc("gettxoutsetinfo", "none")

    # ------------------------------------------------------------ coins
    async def treasury_address(self) -> str:
        """Where the treasury earns; its wallet is opened or made when it is first needed."""
        try:
            return str(await self._treasury("getnewaddress"))
        except RpcError as error:
            if error.code != WALLET_NOT_FOUND:
                raise
        await self._open_treasury()
        return str(await self._treasury("getnewaddress"))

    async def enrich(self) -> None:
        """Mines the treasury's first coins when the chain is new."""
        if (lacking := RICH_BLOCKS - await self.height()) > 0:
            await self.mine(lacking, await self.treasury_address())
        if (lacking := RICH_BLOCKS + REST_BLOCKS - await self.height()) > 0:
            await self.mine(lacking)

    async def fund(self, outputs: Outputs, confirmations: int = 1) -> str:
        """Pays these from the treasury in one transaction, buried under `confirmations` blocks; returns its txid.

        Output n of the transaction is `outputs[n]`. Raises ValueError for more than FUND_OUTPUTS_MAX outputs.
        """
        async with self._filling:
            await self.enrich()
            raw = await self.pay(outputs)
            txid = str(await self.rpc("sendrawtransaction", raw))
        if confirmations:
            await self.mine(confirmations)
        return txid

    async def pay(
        self, outputs: Outputs, spending: Sequence[tuple[str, int]] = (), sats_per_vbyte: int = FEE_SATS_PER_VBYTE
    ) -> str:
        """The raw transaction of `fund`, signed and not sent; its coins are locked against the next one.

        `spending`: coins of the treasury (txid, output) that it must spend, so that two can be made to exclude each
        other.
        """
        if len(outputs) > FUND_OUTPUTS_MAX:
            raise ValueError(f"{len(outputs)} outputs in one transaction; at most {FUND_OUTPUTS_MAX}")
        address = await self.treasury_address()
        scripts = {to: await self._script(to) for to, _ in outputs}
        rows = [(units, scripts[to]) for to, units in outputs]
        options = {
            "changePosition": len(rows),
            "changeAddress": address,
            "fee_rate": sats_per_vbyte,
            "lockUnspents": True,
        }
        funded = await self._treasury("fundrawtransaction", _unsigned(spending, rows), options, False)
        signed = await self._treasury("signrawtransactionwithwallet", funded["hex"])
        return str(signed["hex"])

    async def unlock(self) -> None:
        """Frees the coins of transactions that were made and not sent."""
        await self._treasury("lockunspent", True)

    async def _script(self, address: str) -> bytes:
        told: dict[str, Any] = await self.rpc("validateaddress", address)
        if not told["isvalid"]:
            raise ValueError(f"{address} is no address of regtest: {told.get('error')}")
        return bytes.fromhex(told["scriptPubKey"])

    async def _open_treasury(self) -> None:
        try:
            await self.rpc("loadwallet", TREASURY, True)
        except RpcError as error:
            if error.code == WALLET_LOADED:
                return
            if error.code != WALLET_NOT_FOUND:
                raise
            await self.rpc("createwallet", TREASURY, False, False, "", False, True, True)  # opened again at each start


async def split(one: Regtest, other: Regtest) -> None:
    """Parts two nodes: from here on each lives on a chain of its own."""
    for node in (one, other):
        await node.rpc("setnetworkactive", False)
    await _until(lambda: _peers(one, other), 0)


async def join(one: Regtest, other: Regtest, other_address: str) -> None:
    """Brings two nodes together; returns when they agree on the tip. `other_address`: host:port of its peer port."""
    for node in (one, other):
        await node.rpc("setnetworkactive", True)
    if await _peers(one, other) == 0:
        await one.rpc("addnode", other_address, "onetry")
    await _until(lambda: _tips(one, other), 1)


JOIN_WAIT_S = 30.0
LOOK_S = 0.02


async def _until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Looks until `count` is `wanted`. Raises TimeoutError."""
    until = monotonic() + JOIN_WAIT_S
    while await count() != wanted:
        if monotonic() > until:
            raise TimeoutError("the two nodes did not come together or apart")
        await asyncio.sleep(LOOK_S)


async def _peers(one: Regtest, other: Regtest) -> int:
    return int(await one.rpc("getconnectioncount")) + int(await other.rpc("getconnectioncount"))


async def _tips(one: Regtest, other: Regtest) -> int:
    return len({await one.tip(), await other.tip()})


def _unsigned(spending: Sequence[tuple[str, int]], outputs: Sequence[tuple[int, bytes]]) -> str:
    """A transaction in the form of before segwit, for the wallet to put more inputs to and sign."""
    inputs = b"".join(bytes.fromhex(txid)[::-1] + struct.pack("<IBI", n, 0, REPLACEABLE) for txid, n in spending)
    body = b"".join(struct.pack("<Q", units) + _sized(script) for units, script in outputs)
    head = struct.pack("<I", 2) + _size(len(spending)) + inputs
    return (head + _size(len(outputs)) + body + struct.pack("<I", 0)).hex()


def _sized(data: bytes) -> bytes:
    return _size(len(data)) + data


def _size(number: int) -> bytes:
    return bytes([number]) if number < 253 else b"\xfd" + struct.pack("<H", number)
