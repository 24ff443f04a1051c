"""Bitcoin as the rules see it: implements `domain.ports.Chain` over nodes' JSON-RPC and our own reading of the blocks.

A hot wallet is one address of one key (P2WPKH); its coins and its change all lie there. Only coins as deep as a final
payment are spent: a shallower one might vanish, or be another version's change, and its slot could never end.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from adapters.chains.bitcoin import address as addresses
from adapters.chains.bitcoin import market as markets
from adapters.chains.bitcoin import replies, tx
from adapters.chains.bitcoin.blocks import read_transaction
from adapters.chains.bitcoin.choose import choose
from adapters.chains.bitcoin.follow import Follower
from adapters.chains.bitcoin.look import Lookout
from adapters.chains.bitcoin.rpc import Call, Nodes, garbled, open_nodes, sats
from adapters.chains.bitcoin.seed import unspent_units
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, why_silent
from domain.asset import Asset
from domain.coin import COINBASE_DEPTH, Coin
from domain.errors import Refused, Unavailable
from domain.fee import PAID, CostLine, NetworkCost
from domain.money import Amount
from domain.network import Network
from domain.outgoing import Outgoing
from domain.payout import Draft, Facts, Fee, Payment, Slot, Version
from domain.ports import Chain, Coins

BROADCAST_GRACE_S = 0.5  # once one node has it, the others may take this much longer; they get it by gossip anyway
CHOICES_MAX = 6  # how often a coin that a node no longer has is left out and others are chosen
PREVIOUS_KEPT_MAX = 512


class BitcoinChain:
    """One Bitcoin network. `own_addresses` are ours and may not be paid; `coins` is what we know of our wallets."""

    def __init__(
        self, network: Network, assets: Mapping[str, Asset], nodes: Nodes, own_addresses: Collection[str], coins: Coins
    ) -> None:
        self._network = network
        self._assets = assets
        self._nodes = nodes
        self._coins = coins
        self._ours = frozenset(own.lower() for own in own_addresses)
        self._follow = Follower(nodes, coins, network)
        self._lookout = Lookout(nodes, coins, self._follow)
        self._step = markets.STEP_MIN
        self._previous: dict[str, bytes] = {}
        self._scanning = asyncio.Lock()

    @property
    def network(self) -> Network:
        return self._network

    def check_address(self, text: str, asset: Asset) -> str:
        return addresses.check(text, network=asset.network, chain_id=self._network.chain_id, ours=self._ours)

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        """The weight is that of a transaction of the very coins that would be taken now."""
        tx.payable(payments)
        price = (await self._priced()).price
        coins = await self._chosen(payments, wallet, price)
        what = tx.plan(coins, payments, wallet, Fee(0, price, 0))
        assert what is not None  # that is how they were chosen
        if max(what.paid, what.fee.most) > tx.most(payments, self._network.fees, self._network.fees.network_fee_cap):
            raise self._above_cap(price)
        return Fee(what.fee.weight, price, 0)

    async def inspect(self, recipient: str, asset: Asset) -> None:
        """An address says all there is to know: no network decides what happens to what it got."""

    async def explain(self, amount: Amount, recipient: str | None, wallet: str) -> NetworkCost:
        """The payment by itself; in a batch it costs a fraction. Somebody unknown has an address as short as ours."""
        fee = await self.quote([Payment("", amount.asset.id, str(amount.units), recipient or wallet)], wallet)
        return NetworkCost(fee.most, (CostLine("vbytes", fee.weight, PAID, fee.most),))

    async def fund(self, payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        return await self._chosen(payments, wallet, fee.price)

    async def market(self, weight: int) -> Fee:
        price = (await self._priced()).price
        if weight * price > self._network.fees.network_fee_cap:
            raise self._above_cap(price)
        return Fee(weight, price, 0)

    async def draft(self, slot: Slot, fee: Fee) -> Draft:
        """A PSBT. Its weight is raised to the transaction's own, and its price where change is left to the fee."""
        what = tx.planned(slot, fee, self._network.fees)
        previous = await self._previous_of(slot.inputs)
        try:
            return await asyncio.to_thread(tx.draft, slot, what, previous)
        except ValueError as why:
            raise Refused("SLOT_SHAPE", f"The slot cannot be drafted: {why}.", slot=slot.id) from None

    def bump(self, slot: Slot, last: Fee, market: Fee) -> Fee | None:
        evicted = self._lookout.evicted(slot.id)
        return markets.bump(slot, last, market.price, self._step, evicted, self._network.fees)

    async def void(self, slot: Slot, last: Fee | None) -> Draft:
        """All the slot's coins come back to the wallet as one."""
        market, evicted = await self._priced(), self._lookout.evicted(slot.id)
        what = markets.void(slot, last, market, evicted, self._network.fees)
        if what is None:
            raise Refused("FEE_ABOVE_CAP", "Nothing within its cap replaces this slot's versions.", slot=slot.id)
        return await asyncio.to_thread(tx.draft, slot, what, await self._previous_of(slot.inputs))

    async def broadcast(self, version: Version) -> None:
        """The nodes' own guard against a fee by mistake is always set: twice our cap, for change left to the fee; for
        what pays nobody twice what it says, which is more where it outbids a large batch.
        """
        cap = self._network.fees.price_cap
        price = max(cap, version.fee.price) if version.void else cap
        most = min(Decimal(2 * price * 1000) / 10**8, Decimal(1))
        call = Call("sendrawtransaction", (version.raw.removeprefix("0x"), f"{most:.8f}"))
        replies.judge(await self._nodes.tell(call, BROADCAST_GRACE_S), version.txid)

    async def observe(self, slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        return await self._lookout.look(slot, versions)

    async def next_scarce(self, wallet: str) -> tuple[int, int]:
        """The network counts nothing; a node must answer all the same."""
        await self.head()
        return 0, 0

    async def outgoing(self, wallet: str, after: int | None) -> Outgoing:
        """Who spent coins of the wallet, from blocks that we read whole."""
        final = (await self._follow()).final_block(self._network.confirmations)
        if after is None or final <= after:
            return Outgoing(after, final if after is None else after)
        return Outgoing(after, final, tuple(await self._coins.spenders(wallet, after, final)))

    async def balance(self, asset: Asset, address: str) -> Amount:
        """From the nodes' own sets of unspent outputs, which takes them minutes on the main chain."""
        async with self._scanning:  # a node reads its set for one at a time
            return Amount(min([await unspent_units(node, address) for node in self._nodes.each]), asset)

    async def head(self) -> int:
        [height] = await self._nodes.ask(Call("getblockcount"))
        if not isinstance(height, int):
            raise garbled()
        return height

    # ------------------------------------------------------------ what it costs
    async def _priced(self) -> markets.Market:
        """The dearest of what the nodes say, not below the floor. Raises Refused FEE_ABOVE_CAP."""
        said = await self._nodes.ask_all(*markets.CALLS)
        found = [read for answers in said if (read := _market(answers))]
        if not found:
            raise why_silent(said)
        market = markets.dearest(found)
        self._step = market.step
        rules = self._network.fees
        if market.price > rules.price_cap:
            raise self._above_cap(market.price)
        return markets.Market(max(market.price, rules.price_floor), market.step)

    def _above_cap(self, price: int) -> Refused:
        return Refused(
            "FEE_ABOVE_CAP",
            "The network costs more now than its caps allow; the payment waits until it is cheaper.",
            network=self._network.id,
            price=price,
        )

    # ------------------------------------------------------------ which coins
    async def _chosen(self, payments: Sequence[Payment], wallet: str, price: int) -> tuple[Coin, ...]:
        """Coins that pay `payments` at `price`, each of them there and unspent by every node's word, pools included."""
        stands = await self._follow()
        free = list(await self._coins.free(wallet, stands.final_block(self._network.confirmations)))
        for _ in range(CHOICES_MAX):
            chosen = await asyncio.to_thread(
                choose, free, payments, wallet, price, self._network.inputs_max, self._network.fees
            )
            doubtful = await self._doubtful(chosen) if chosen else set[str]()
            if chosen and not doubtful:
                return chosen
            if not chosen:
                break
            free = [coin for coin in free if coin.outpoint not in doubtful]
        coin = self._assets[self._network.native_asset]
        raise Unavailable(
            "WALLET_SHORT", f"The hot wallet lacks {coin.code}; the payment waits for its refill.", asset=coin.id
        )

    async def _doubtful(self, coins: Sequence[Coin]) -> set[str]:
        """The outpoints that a node does not have, or has otherwise than we do."""
        calls = [Call("gettxout", (*tx.outpoint(coin.outpoint), True)) for coin in coins]
        said = await self._nodes.ask_every(*calls)
        return {
            coin.outpoint
            for answers in said
            for coin, answer in zip(coins, answers, strict=True)
            if not _spendable(answer, coin, self._network.confirmations)
        }

    async def _previous_of(self, coins: Sequence[Coin]) -> dict[str, bytes]:
        """By txid, the transactions that made these coins, from the blocks we know them in: no node needs an index.
        They are checked by their hash, and never change.
        """
        txids = {tx.outpoint(coin.outpoint)[0] for coin in coins}
        missing = [c for c in coins if tx.outpoint(c.outpoint)[0] not in self._previous]
        if missing:
            found = await self._fetched([coin.outpoint for coin in missing])
            if len(self._previous) + len(found) > PREVIOUS_KEPT_MAX:
                kept = {txid: self._previous[txid] for txid in txids if txid in self._previous}
                self._previous = kept
            self._previous |= found
        return {txid: self._previous[txid] for txid in txids}

    async def _fetched(self, outpoints: Sequence[str]) -> dict[str, bytes]:
        fates = await self._coins.fates(outpoints)
        if any(fate.created is None for fate in fates):
            await self._follow()
            fates = await self._coins.fates(outpoints)
        heights: dict[str, int] = {}
        for fate in fates:
            if fate.created is None:
                raise Unavailable("COIN_GONE", "A coin of this slot is in no block now: wait.", coin=fate.outpoint)
            heights[tx.outpoint(fate.outpoint)[0]] = fate.created.height
        names = await self._nodes.ask(*(Call("getblockhash", (height,)) for height in heights.values()))
        rows = zip(heights, names, strict=True)
        raws = await self._nodes.ask(*(Call("getrawtransaction", (txid, False, name)) for txid, name in rows))
        try:
            found = {txid: bytes.fromhex(raw) for txid, raw in zip(heights, raws, strict=True)}
            if any(read_transaction(raw).txid != txid for txid, raw in found.items()):
                raise ValueError("it answers about something else")
        except (TypeError, ValueError):
            raise garbled() from None
        return found


@asynccontextmanager
async def open_bitcoin(
    network: Network,
    assets: Mapping[str, Asset],
    node_urls: Sequence[str],
    own_addresses: Collection[str],
    coins: Coins | None,
) -> AsyncIterator[Chain]:
    """A Bitcoin network through the nodes at `node_urls` (http://user:password@host:port). Each must begin with the
    network's first block, of whose hash `chain_id` is the end. Raises Refused CONFIG_INVALID without a place for coins,
    or for a chain whose addresses we do not know.
    """
    if coins is None or not addresses.known_chain(network.chain_id):
        raise Refused("CONFIG_INVALID", f"Network {network.id} needs a known chain_id and a store for its coins.")
    async with open_nodes(node_urls, network) as nodes:
        yield BitcoinChain(network, assets, nodes, own_addresses, coins)


def _market(answers: list[Answer] | NodeSilent) -> markets.Market | None:
    if isinstance(answers, NodeSilent):
        return None
    try:
        return markets.read(answers)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _spendable(answer: Any, coin: Coin, confirmations: int) -> bool:
    """Whether a node's gettxout shows the very coin, deep enough. Raises NodeSilent when it is no answer."""
    if answer is None:
        return False
    try:
        if isinstance(answer, NodeSaysNo):
            raise ValueError(answer.message)
        depth = max(confirmations, COINBASE_DEPTH) if answer["coinbase"] else confirmations
        return sats(answer["value"]) == int(coin.units) and int(answer["confirmations"]) >= depth
    except (KeyError, TypeError, ValueError):
        raise garbled() from None
