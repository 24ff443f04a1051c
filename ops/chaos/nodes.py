"""How each family of networks is hurt, and where its node tells the truth: the only rows here that know a family.

A network is hurt through the doors that its local node has for that. Everything that must arrive (a refill, a look at
the end) goes past the faults: to anvil behind its proxy, to TRON's second node.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from adapters.settings import Settings
from domain.errors import Refused
from domain.network import Network
from ops.chaos.schedule import Harm
from ops.chaos.witness import BitcoinWitness, EvmWitness, TronWitness, Witness
from ops.devnet import treasury
from ops.devnet.bitcoin.node import NodeFolder
from ops.devnet.ports import HOST
from ops.devnet.tron import treasury as tron_treasury

BLOCKS_WAIT_S, LOOK_S, CATCH_UP_MAX_S = 30.0, 0.1, 10.0
PRICE_MAX = 100 * 10**9  # wei: what the local treasury pays is a little more


class Terror(Protocol):
    """One network and what can be done to it. Nothing here raises because the node was hurt already."""

    @property
    def witness(self) -> Witness: ...

    async def harm(self, harms: Mapping[str, Any]) -> None:
        """These harms and no others; none calms the node."""
        ...

    async def reorg(self, depth: int) -> bool:
        """The last `depth` blocks are replaced by others; False when the network cannot do that now."""
        ...

    async def raise_fees(self, times: int) -> None:
        """The network asks so many times what it asks usually; 1 ends it."""
        ...

    async def empty(self, wallet: str) -> int:
        """The token's issuer takes all of it from the wallet; the base units taken, for good."""
        ...

    async def refill(self, wallet: str, units: int) -> None:
        """Exactly so many base units of the token more, for good."""
        ...

    async def struck(self) -> Mapping[str, int]:
        """How often the node's faults struck so far."""
        ...


@dataclass
class _Terror:
    """What the rows have in common: one thing is done to a network at a time."""

    network: Network
    session: aiohttp.ClientSession
    control: str
    witness: Witness
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def _order(self, **words: Any) -> bool:
        """Whether the node obeyed; it may be on its way back."""
        try:
            async with self.session.post(f"{self.control}/_ctl", json=words) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def struck(self) -> Mapping[str, int]:
        async with self.session.get(f"{self.control}/_ctl") as answer:
            told: Mapping[str, int] = (await answer.json())["struck"]
            return told

    async def _deep(self) -> None:
        """Returns when what is in a block now can no longer be replaced. Call it with the lock held."""
        wanted = await self.witness.head() + self.network.confirmations
        for _ in range(round(BLOCKS_WAIT_S / LOOK_S)):
            if await self.witness.head() >= wanted:
                return
            await asyncio.sleep(LOOK_S)
        raise TimeoutError(f"{self.network.id} made no blocks for {BLOCKS_WAIT_S} s")


@dataclass
class EvmTerror(_Terror):
    """anvil behind the node proxy."""

    node: str = ""

    async def harm(self, harms: Mapping[str, Any]) -> None:
        orders = {_EVM_HARMS[Harm(name)]: amount for name, amount in harms.items()}
        await self._order(reset=True, **orders)

    async def reorg(self, depth: int) -> bool:
        async with self.lock:
            return await self._order(reorg=depth)

    async def raise_fees(self, times: int) -> None:
        if times > 1:  # a block without much in it takes an eighth off by itself
            cap = self.network.fees.price_cap
            await self.witness.ask("anvil_setNextBlockBaseFeePerGas", hex(min(times * cap // 60, cap // 3, PRICE_MAX)))

    async def empty(self, wallet: str) -> int:
        async with self.lock:
            await self._issue("addBlackList(address)", wallet)
            receipt = await self._issue("destroyBlackFunds(address)", wallet)
            await self._issue("removeBlackList(address)", wallet)
            await self._deep()
            return int(receipt["logs"][-1]["data"][-64:], 16)

    async def refill(self, wallet: str, units: int) -> None:
        async with self.lock:
            await self._issue("transfer(address,uint256)", wallet, units)
            await self._deep()

    async def _issue(self, signature: str, *arguments: Any) -> Any:
        """The receipt of a call by the token's owner."""
        await self._order(hold_blocks=False)
        txid = await treasury.issuer(self.node, signature, *arguments)
        return await self.witness.ask("eth_getTransactionReceipt", txid)

    witness: EvmWitness


@dataclass
class TronTerror(_Terror):
    """The TRON node emulator: node a is hurt and hurts, node b tells the truth."""

    node: str = ""
    usual: int = 0

    async def harm(self, harms: Mapping[str, Any]) -> None:
        """What a node had lost comes back to it once it is well: nothing that was sent is ever gone for sure."""
        orders = {_TRON_HARMS[Harm(name)]: _tron_amount(name, amount) for name, amount in harms.items()}
        await self._order(reset=True, release=not harms, **orders)

    async def reorg(self, depth: int) -> bool:
        async with self.lock:
            for at in range(depth, 0, -1):  # blocks that are solid are never replaced
                if await self._order(fork=at):
                    await self._catch_up()
                    return True
            return False

    async def _catch_up(self) -> None:
        """A fork's blocks come a slot after each other at once, which takes the chain's clock ahead of everybody's; on
        the real network slots are moments. It rests until the clocks agree again.
        """
        await self._order(halted=True)
        async with self.session.get(f"{self.control}/_ctl") as answer:
            ahead_s = (await answer.json())["head_time_ms"] / 1000 - time.time()
        await asyncio.sleep(max(0.0, min(ahead_s, CATCH_UP_MAX_S)))
        await self._order(halted=False, time_skew_s=0)

    async def raise_fees(self, times: int) -> None:
        self.usual = self.usual or await self._energy_fee()
        await self._order(parameters={"getEnergyFee": self.usual * min(times, 5)})

    async def empty(self, wallet: str) -> int:
        async with self.lock:
            await tron_treasury.issuer(self.node, "addBlackList(address)", wallet)
            txid = await tron_treasury.issuer(self.node, "destroyBlackFunds(address)", wallet)
            await tron_treasury.issuer(self.node, "removeBlackList(address)", wallet)
            await self._deep()
            info = await self.witness.ask("wallet/gettransactioninfobyid", value=txid)
            return int(info["log"][-1]["data"][-64:], 16)

    async def refill(self, wallet: str, units: int) -> None:
        async with self.lock:
            await tron_treasury.issuer(self.node, "transfer(address,uint256)", wallet, units)
            await self._deep()

    async def _energy_fee(self) -> int:
        rows = (await self.witness.ask("wallet/getchainparameters"))["chainParameter"]
        return next(int(row["value"]) for row in rows if row["key"] == "getEnergyFee")

    witness: TronWitness


@dataclass
class BitcoinTerror(_Terror):
    """bitcoind behind its front door. Nobody can take coins out of a wallet here, so none is emptied."""

    rates: Mapping[str, int] = field(default_factory=dict)
    forks: int = 0

    async def harm(self, harms: Mapping[str, Any]) -> None:
        orders: dict[str, Any] = {}
        for name, amount in harms.items():
            field_, value = _BITCOIN_HARMS[Harm(name)](amount)
            orders[field_] = max(orders.get(field_, value), value)
        await self._order(reset=True, **self.rates, **orders)

    async def reorg(self, depth: int) -> bool:
        """In turn: the same transactions in other blocks; none of them; other versions of them than those that won."""
        async with self.lock:
            ways: tuple[dict[str, bool], ...] = ({}, {"fork_loses": True}, {"fork_swaps": True})
            way, self.forks = ways[self.forks % len(ways)], self.forks + 1
            return await self._order(fork=depth, **way) or await self._order(fork=depth)

    async def raise_fees(self, times: int) -> None:
        """Blocks take nothing that pays much less than what the node says one must."""
        rate = min(times * self.network.fees.price_cap // 40, self.network.fees.price_cap)
        self.rates = {"fee_rate": rate, "block_fee_rate": max(1, rate // 2)} if times > 1 else {}
        usual: dict[str, int | None] = {"fee_rate": None, "block_fee_rate": None}
        await self._order(**(self.rates or usual))

    async def empty(self, wallet: str) -> int:
        raise Refused("CHAOS_NO_ISSUER", f"Nobody can take coins from {wallet}.")

    async def refill(self, wallet: str, units: int) -> None:
        raise Refused("CHAOS_NO_ISSUER", f"Nothing was taken from {wallet}.")

    witness: BitcoinWitness


_BITCOIN_HARMS: Mapping[Harm, Callable[[Any], tuple[str, Any]]] = {
    Harm.LOSE_REPLY: lambda often: ("lose_reply", often),
    Harm.SWALLOW: lambda often: ("blackhole", often),
    Harm.ERRORS: lambda often: ("http_error", often),
    Harm.HIDE_RECEIPTS: lambda _: ("stale_head", 1),  # what the last block holds is still told to wait
    Harm.LAG: lambda blocks: ("stale_head", blocks),
    Harm.FORGET: lambda _: ("forget_mempool", True),
    Harm.HOLD: lambda _: ("hold_blocks", True),
    Harm.SLOW: lambda ms: ("delay_ms", ms),
    Harm.DOWN: lambda _: ("down", True),
}
_EVM_HARMS: Mapping[Harm, str] = {
    Harm.LOSE_REPLY: "lose_reply",
    Harm.SWALLOW: "blackhole",
    Harm.ERRORS: "http_error",
    Harm.HIDE_RECEIPTS: "null_receipt",
    Harm.LAG: "stale_head",
    Harm.FORGET: "forget",
    Harm.HOLD: "hold_blocks",
    Harm.SLOW: "delay_ms",
    Harm.DOWN: "down",
}
_TRON_HARMS: Mapping[Harm, str] = {
    Harm.LOSE_REPLY: "lose_reply",
    Harm.SWALLOW: "drop",
    Harm.ERRORS: "http_error",
    Harm.HIDE_RECEIPTS: "missing_info",
    Harm.LAG: "stale_head",
    Harm.FORGET: "lite",
    Harm.HOLD: "hold_blocks",
    Harm.SLOW: "delay_ms",
    Harm.DOWN: "down",
}


def _tron_amount(name: str, amount: Any) -> Any:
    """Two of them are counted in blocks there."""
    return {Harm.FORGET: 2, Harm.HOLD: 8}.get(Harm(name), amount)


def _evm(settings: Settings, network: Network, session: aiohttp.ClientSession) -> Terror:
    door, behind = settings.local_ports(network.id)
    node = f"http://{HOST}:{behind}"
    return EvmTerror(network, session, f"http://{HOST}:{door}", EvmWitness(session, node), node=node)


def _tron(settings: Settings, network: Network, session: aiohttp.ClientSession) -> Terror:
    node = settings.node_urls(network.id)[0]
    return TronTerror(network, session, node, TronWitness(session, f"{node}/b"), node=f"{node}/b")


def _bitcoin(settings: Settings, network: Network, session: aiohttp.ClientSession) -> Terror:
    door, behind, _ = settings.local_ports(network.id)
    user, password = NodeFolder(settings.state_dir / network.id).login
    witness = BitcoinWitness(session, f"http://{user}:{password}@{HOST}:{behind}")
    return BitcoinTerror(network, session, f"http://{HOST}:{door}", witness)


FAMILIES: Mapping[str, Callable[[Settings, Network, aiohttp.ClientSession], Terror]] = {
    "bitcoin": _bitcoin,
    "evm": _evm,
    "tron": _tron,
}


def terror(settings: Settings, network: Network, session: aiohttp.ClientSession) -> Terror:
    """How `network` is hurt. Raises Refused CHAOS_FAMILY for a family that has no row here yet."""
    if network.family not in FAMILIES:
        raise Refused("CHAOS_FAMILY", f"Nobody has written down how a network of family {network.family} is hurt.")
    return FAMILIES[network.family](settings, network, session)
