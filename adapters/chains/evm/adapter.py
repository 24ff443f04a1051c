"""An EVM network as the rules see it: implements `domain.ports.Chain` over JSON-RPC nodes."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.chains.evm import address, replies, tx
from adapters.chains.evm.look import Lookout
from adapters.chains.evm.receipts import number
from adapters.chains.evm.rpc import Call, Nodes, open_nodes
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent
from adapters.chains.receptions import Reception
from domain import fee as fees
from domain.asset import Asset
from domain.coin import Coin
from domain.errors import Refused, StrongroomError, Unavailable
from domain.money import Amount
from domain.network import Network
from domain.outgoing import Outgoing
from domain.payout import Draft, Facts, Fee, Payment, Slot, Version
from domain.ports import Chain, Coins

FEE_HISTORY_BLOCKS = 5
FEE_PERCENTILE = 50
BROADCAST_GRACE_S = 0.25  # once one node has it, the others may take this much longer; they get it by gossip anyway


class EvmChain:
    """One EVM network. `own_addresses` are ours and may not be paid; `assets` are all that we know, by id."""

    def __init__(
        self, network: Network, assets: Mapping[str, Asset], nodes: Nodes, own_addresses: Collection[str]
    ) -> None:
        self._network = network
        self._assets = assets
        self._nodes = nodes
        self._lookout = Lookout(nodes, network, assets)
        self._ours = frozenset(own.lower() for own in own_addresses)
        self._contracts = frozenset(asset.contract.lower() for asset in assets.values() if asset.contract)

    @property
    def network(self) -> Network:
        return self._network

    def check_address(self, text: str, asset: Asset) -> str:
        return address.check(text, network=asset.network, token_contracts=self._contracts, ours=self._ours)

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        """The gas is estimated for this very call, from the wallet, with a margin: code at the recipient may cost
        more than a plain transfer. All in one round trip.
        """
        weight, history = await self._estimated(payments, wallet)
        return self._chosen(history, self._with_margin(weight))

    async def inspect(self, recipient: str, asset: Asset) -> None:
        """Code can be paid here; what would be lost is found by `quote`, which simulates the payment."""

    async def explain(self, amount: Amount, recipient: str | None, wallet: str) -> fees.NetworkCost:
        """Gas as it is estimated, at the price of the next block; what is allowed on top comes back."""
        to = recipient or address.unused()
        payments = (Payment("", amount.asset.id, str(amount.units), to),)
        weight, history = await self._estimated(payments, wallet)
        market = _market(history)
        most = self._chosen(history, self._with_margin(weight)).most
        price = max(market.base + max(market.tip, self._network.fees.tip_floor), self._network.fees.price_floor)
        return fees.NetworkCost(most, (fees.CostLine("gas", weight, fees.PAID, weight * price),))

    async def fund(self, payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        return ()  # the wallet is one account

    async def market(self, weight: int) -> Fee:
        [history] = await self._nodes.ask(_fee_history())
        return self._chosen(history, weight)

    async def draft(self, slot: Slot, fee: Fee) -> Draft:
        return tx.draft(slot, fee, self._network.chain_id, self._assets)

    def bump(self, slot: Slot, last: Fee, market: Fee) -> Fee | None:
        return fees.bump(last, market, self._network.fees, int(slot.fee_cap))

    async def void(self, slot: Slot, last: Fee | None) -> Draft:
        """No coins from the wallet to itself, under the same nonce."""
        what = tx.nothing(slot.wallet)
        history, estimate = await self._nodes.ask(_fee_history(), _estimate(what, slot.wallet))
        fee: Fee | None = self._chosen(history, self._with_margin(_quantity(estimate)))
        if fee is not None and last is not None:
            rules = replace(self._network.fees, gas_bump_percent=0)
            fee = fees.bump(replace(last, weight=fee.weight), fee, rules, int(slot.fee_cap))
        if fee is None or fee.most > int(slot.fee_cap):
            raise Refused("FEE_ABOVE_CAP", "Nothing within its cap replaces this slot's versions.", slot=slot.id)
        return tx.drafted(slot, fee, self._network.chain_id, what)

    async def broadcast(self, version: Version) -> None:
        answers = await self._nodes.tell(Call("eth_sendRawTransaction", (version.raw,)), BROADCAST_GRACE_S)
        replies.judge(answers, version.txid)

    async def observe(self, slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        return await self._lookout.look(slot, versions, suspect)

    async def next_scarce(self, wallet: str) -> tuple[int, int]:
        counts = await self._nodes.ask_every(
            Call("eth_getTransactionCount", (wallet, "latest")), Call("eth_getTransactionCount", (wallet, "pending"))
        )
        return max(_quantity(latest) for latest, _ in counts), max(_quantity(pending) for _, pending in counts)

    async def outgoing(self, wallet: str, after: int | None) -> Outgoing:
        """The nonce counts them all: `next_scarce` shows a foreign use."""
        return Outgoing(after, None)

    async def balance(self, asset: Asset, address: str) -> Amount:
        said = await self._nodes.ask_every(_balance_call(asset, address))
        return Amount(min(_quantity(answer) for [answer] in said), asset)

    async def head(self) -> int:
        [head] = await self._nodes.ask(Call("eth_blockNumber"))
        return _quantity(head)

    async def _estimated(self, payments: Sequence[Payment], wallet: str) -> tuple[int, Answer]:
        """(gas of this very call, the market's history). Raises as `quote` does."""
        what = tx.payload(tuple(payments), self._assets)
        asset = self._assets[payments[0].asset]
        history, has, estimate = await self._nodes.ask(
            _fee_history(), _balance_call(asset, wallet), _estimate(what, wallet)
        )
        # A short wallet is our own matter and passes; it must not look like a payment that can never work.
        if _quantity(has) < int(payments[0].amount) or replies.received(estimate) is Reception.WALLET_SHORT:
            raise Unavailable(
                "WALLET_SHORT", f"The hot wallet lacks {asset.code}; the payment waits for its refill.", asset=asset.id
            )
        if isinstance(estimate, NodeSaysNo):
            raise _cannot_pay(estimate, asset)
        return _quantity(estimate), history

    def _with_margin(self, estimate: int) -> int:
        return fees.with_margin(estimate, self._network.fees.gas_margin_percent)

    def _chosen(self, history: Answer, weight: int) -> Fee:
        rules = self._network.fees
        market = _market(history)
        chosen = fees.choose(market, weight, rules, rules.network_fee_cap)
        if chosen is None:
            raise Refused(
                "FEE_ABOVE_CAP",
                "The network costs more now than its caps allow; the payment waits until it is cheaper.",
                network=self._network.id,
                base=str(market.base),
                tip=str(market.tip),
                weight=weight,
            )
        return chosen


@asynccontextmanager
async def open_evm(
    network: Network,
    assets: Mapping[str, Asset],
    node_urls: Sequence[str],
    own_addresses: Collection[str],
    coins: Coins | None,
) -> AsyncIterator[Chain]:
    """An EVM network through the nodes at `node_urls`; each must name the network's chain id before it is believed."""
    async with open_nodes(node_urls, network.chain_id) as nodes:
        yield EvmChain(network, assets, nodes, own_addresses)


def _cannot_pay(refusal: NodeSaysNo, asset: Asset) -> StrongroomError:
    """Why the simulation failed: final when the call itself fails, else only this node's opinion of now."""
    if not replies.reverted(refusal):
        return Unavailable("NODE_REFUSED", f"A node would not simulate the payment: {refusal.message}")
    reason = replies.revert_reason(refusal)
    return Refused(
        "PAYMENT_REVERTS", f"The network would reject this payment: {reason}.", asset=asset.id, reason=reason
    )


def _fee_history() -> Call:
    return Call("eth_feeHistory", (hex(FEE_HISTORY_BLOCKS), "latest", [FEE_PERCENTILE]))


def _estimate(what: tx.Payload, wallet: str) -> Call:
    """As of the last block, whatever the client's default is: by the pending state a second token transfer to a new
    holder looks cheap because the first one, which may yet be replaced, opened the holder's slot.
    """
    return Call("eth_estimateGas", (what.rpc(wallet), "latest"))


def _balance_call(asset: Asset, address: str) -> Call:
    if asset.contract is None:
        return Call("eth_getBalance", (address, "latest"))
    return Call("eth_call", ({"to": asset.contract, "data": tx.balance_query(address)}, "latest"))


def _market(history: Answer) -> fees.Market:
    try:
        base = number(history["baseFeePerGas"][-1])
        return fees.read_market(base, [number(reward) for [reward] in history.get("reward") or []])
    except (KeyError, TypeError, ValueError, IndexError):
        raise _garbled(history) from None


def _quantity(answer: Answer) -> int:
    """An answer as a number. Raises NodeSilent for a node's refusal or anything that is no number."""
    try:
        return number(answer)
    except (TypeError, ValueError):
        raise _garbled(answer) from None


def _garbled(answer: Answer) -> NodeSilent:
    words = f": {answer.message}" if isinstance(answer, NodeSaysNo) else ""
    return NodeSilent("NODE_GARBLED", f"A node gave no usable answer to a read{words}.")
