"""TRON as the rules see it: implements `domain.ports.Chain` over java-tron's HTTP API."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from opentelemetry import trace

from adapters.chains.nodes import Answer, NodeSilent
from adapters.chains.tron import address as addresses
from adapters.chains.tron import costs as prices
from adapters.chains.tron import results, tx
from adapters.chains.tron.address import bytes_of
from adapters.chains.tron.costs import Costs, Parameters
from adapters.chains.tron.history import agreed
from adapters.chains.tron.look import Lookout
from adapters.chains.tron.nodes import CALL_TIMEOUT_S, Call, Nodes, open_nodes
from adapters.chains.tron.outbox import Outbox
from domain.asset import Asset
from domain.coin import Coin
from domain.errors import Refused, Unavailable
from domain.fee import NetworkCost
from domain.money import Amount
from domain.network import Network
from domain.outgoing import Outgoing
from domain.payout import Draft, Facts, Fee, Payment, Slot, Version
from domain.ports import Chain, Coins

CLOCKS_APART_MAX_S = 60  # between a node's head and us; the signer bears no more either
REFERENCE_AGE_MAX_S = 3600  # bytes may name one of the last 65,536 blocks; a node this far behind is no measure
T = TypeVar("T")
_log = logging.getLogger("strongroom.chains.tron")


class TronChain:
    """One TRON network. `own_addresses` are ours and may not be paid; `assets` are all that we know, by id."""

    def __init__(
        self,
        network: Network,
        assets: Mapping[str, Asset],
        nodes: Nodes,
        own_addresses: Collection[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._network = network
        self._assets = assets
        self._nodes = nodes
        self._clock = clock
        self._lookout = Lookout(nodes, assets)
        self._outbox = Outbox(nodes)
        self._ours = frozenset(own.lower() for own in own_addresses)
        self._contracts = frozenset(asset.contract.lower() for asset in assets.values() if asset.contract)

    @property
    def network(self) -> Network:
        return self._network

    def check_address(self, text: str, asset: Asset) -> str:
        return addresses.check(text, network=asset.network, token_contracts=self._contracts, ours=self._ours)

    async def quote(self, payments: Sequence[Payment], wallet: str) -> Fee:
        cost, chain = await self._itemised(payments, wallet)
        return prices.chosen(cost, chain, self._network)

    async def inspect(self, recipient: str, asset: Asset) -> None:
        known = {"address": bytes_of(recipient).hex()}
        answers = await self._nodes.ask(
            Call("wallet/getaccount", known), Call("wallet/getcontract", {"value": known["address"]})
        )
        _refuse_code(_read(answers[0], _account), answers[1], asset)

    async def explain(self, amount: Amount, recipient: str | None, wallet: str) -> NetworkCost:
        to = recipient or addresses.unused()
        cost, chain = await self._itemised((Payment("", amount.asset.id, str(amount.units), to),), wallet)
        return NetworkCost(prices.chosen(cost, chain, self._network).most, prices.lines(cost))

    async def costs(self, payments: Sequence[Payment], wallet: str) -> Costs:
        """A quote's items with their sources: energy and bytes from stake, from the free daily bytes, or burned."""
        cost, _ = await self._itemised(payments, wallet)
        return cost

    async def fund(self, payments: Sequence[Payment], wallet: str, fee: Fee) -> tuple[Coin, ...]:
        return ()  # the wallet is one account

    async def market(self, weight: int) -> Fee:
        [answer] = await self._nodes.ask(Call("wallet/getchainparameters"))
        prices.check_price(_read(answer, prices.read_parameters), self._network)
        return Fee(weight, 1, 0)

    async def draft(self, slot: Slot, fee: Fee) -> Draft:
        """The reference is the lowest solid block any node names, once every node has it: bytes that name another one
        could neither be paid nor be proven dead. The expiration counts from the time of the youngest head, not from our
        clock, which only says whose head is no measure of it. Raises Unavailable NODE_CLOCK when nobody's is or a node
        is hours behind, NODES_DIFFER when a node does not have the reference, or why a node is silent.
        """
        said = await self._nodes.ask_every(Call("wallet/getnowblock"), Call("walletsolidity/getnowblock"))
        tips = [_read(answers, _two_blocks) for answers in said]
        solid = min((solid for _, solid in tips), key=lambda block: block.number)
        in_time = [head.at_ms for head, _ in tips if self._in_time(head)]
        if not in_time or max(in_time) - solid.at_ms > REFERENCE_AGE_MAX_S * 1000:
            raise _clocks_apart(self._network)
        if len(tips) > 1 and not await agreed(self._nodes, solid):
            raise Unavailable(
                "NODES_DIFFER",
                "The nodes do not all have the solid block that a payment would name: compare their blocks.",
                network=self._network.id,
                height=solid.number,
                named=solid.id,
            )
        expires_at_ms = max(in_time) + self._network.window_s * 1000
        reference = tx.Reference(solid.number, solid.id)
        return tx.draft(slot, fee, self._network, self._assets, reference, expires_at_ms)

    def bump(self, slot: Slot, last: Fee, market: Fee) -> Fee | None:
        return None

    async def void(self, slot: Slot, last: Fee | None) -> Draft:
        """No transaction here takes another's place: a version ends by its time alone."""
        raise Refused("ONLY_TIME_DECIDES", "Nothing voids a version here but its expiration.", slot=slot.id)

    async def broadcast(self, version: Version) -> None:
        call = Call("wallet/broadcasthex", {"transaction": version.raw.removeprefix("0x")})
        answers = await self._nodes.tell(call, CALL_TIMEOUT_S)  # a refusal comes as an answer too: hear all of them
        if others := results.strangers(answers, version.txid):
            _log.error("a node answered about another transaction", extra={"txid": version.txid, "named": others[0]})
        results.judge(answers, version.txid)

    async def observe(self, slot: Slot, versions: Sequence[Version], suspect: str = "") -> Facts:
        return await self._lookout.look(slot, versions)

    async def next_scarce(self, wallet: str) -> tuple[int, int]:
        """The network counts nothing: `outgoing` shows a foreign use. The node must answer all the same."""
        await self._nodes.ask(Call("wallet/getnowblock"))
        return 0, 0

    async def outgoing(self, wallet: str, after: int | None) -> Outgoing:
        return await self._outbox.read(wallet, after)

    async def balance(self, asset: Asset, address: str) -> Amount:
        said = await self._nodes.ask_every(_balance_call(asset, address))
        return Amount(min(_balance(asset, answer) for [answer] in said), asset)

    async def head(self) -> int:
        [answer] = await self._nodes.ask(Call("wallet/getnowblock"))
        return _read(answer, results.read_block).number

    # ------------------------------------------------------------ what a payment costs
    async def _itemised(self, payments: Sequence[Payment], wallet: str) -> tuple[Costs, Parameters]:
        """Simulated for this very call, from the wallet, all by one node."""
        what = tx.payload(tuple(payments), wallet, self._assets)
        asset = self._assets[payments[0].asset]
        answers = await self._nodes.ask(
            Call("wallet/getchainparameters"),
            Call("wallet/getaccountresource", {"address": what.owner.hex()}),
            Call("wallet/getaccount", {"address": what.owner.hex()}),
            Call("wallet/getaccount", {"address": what.recipient.hex()}),
            Call("wallet/getcontract", {"value": what.recipient.hex()}),
            Call("wallet/getnowblock"),
            *((_balance_call(asset, wallet), _transfer_call(what)) if what.contract else ()),
        )
        if not self._in_time(_read(answers[5], results.read_block)):
            raise _clocks_apart(self._network)
        chain = _read(answers[0], prices.read_parameters)
        prices.check_price(chain, self._network)
        owner, recipient = _read(answers[2], _account), _read(answers[3], _account)
        _refuse_code(recipient, answers[4], asset)
        if what.contract and _balance(asset, answers[6]) < what.amount:
            raise _short(asset)
        energy = _read(answers[7], _energy_of(asset)) if what.contract else 0
        has = _read(answers[1], prices.read_resources)
        cost = prices.costs(energy, tx.size(what), not what.contract and not recipient, has, chain)
        _show(cost)
        burned = cost.bytes_burn + cost.activation_burn + max(0, cost.fee_limit - has.energy * chain.energy_price)
        if int(owner.get("balance", 0)) < burned + (0 if what.contract else what.amount):
            raise _short(self._assets[self._network.native_asset])
        return cost, chain

    def _in_time(self, head: results.Block) -> bool:
        """Whether a head is of about now. One that is not says nothing of today's prices, nor of when bytes expire."""
        apart_ms = abs(head.at_ms - int(self._clock().timestamp() * 1000))
        return apart_ms <= min(CLOCKS_APART_MAX_S, self._network.window_s // 2) * 1000


@asynccontextmanager
async def open_tron(
    network: Network,
    assets: Mapping[str, Asset],
    node_urls: Sequence[str],
    own_addresses: Collection[str],
    coins: Coins | None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[Chain]:
    """A TRON network through the nodes at `node_urls` (`full|solidity`, or one URL for both); each must name the
    network's chain id, the end of its first block's hash, before it is believed.
    """
    async with open_nodes(node_urls, network.chain_id) as nodes:
        yield TronChain(network, assets, nodes, own_addresses, clock)


def _clocks_apart(network: Network) -> Unavailable:
    return Unavailable(
        "NODE_CLOCK", "The nodes' newest block is not of now: compare the clocks, theirs and ours.", network=network.id
    )


def _refuse_code(account: Mapping[str, Any], contract: Answer, asset: Asset) -> None:
    """Raises Refused ADDRESS_CONTRACT when the node's words on an address say that it is one."""
    if contract or account.get("type") == "Contract":
        raise Refused("ADDRESS_CONTRACT", "The recipient is a contract; write the address of a wallet.", asset=asset.id)


def _short(asset: Asset) -> Unavailable:
    return Unavailable(
        "WALLET_SHORT", f"The hot wallet lacks {asset.code}; the payment waits for its refill.", asset=asset.id
    )


def _show(cost: Costs) -> None:
    """Where energy and bytes come from, on the trace of the quote."""
    trace.get_current_span().set_attributes(
        {
            "tron.energy": cost.energy,
            "tron.energy_from_stake": cost.energy_from_stake,
            "tron.bytes": cost.bytes,
            "tron.bytes_from": cost.bytes_from,
            "tron.burn_sun": cost.burn,
        }
    )


def _balance_call(asset: Asset, address: str) -> Call:
    if asset.contract is None:
        return Call("wallet/getaccount", {"address": bytes_of(address).hex()})
    words = {"owner_address": bytes_of(address).hex(), "contract_address": bytes_of(asset.contract).hex()}
    return Call("wallet/triggerconstantcontract", {**words, "data": tx.balance_query(address)})


def _transfer_call(what: tx.Payload) -> Call:
    assert what.contract is not None
    words = {"owner_address": what.owner.hex(), "contract_address": what.contract.hex()}
    return Call("wallet/triggerconstantcontract", {**words, "data": what.data.hex()})


def _balance(asset: Asset, answer: Answer) -> int:
    if asset.contract is None:
        return int(_read(answer, _account).get("balance", 0))
    return _read(answer, lambda row: int(row["constant_result"][0], 16))


def _account(answer: Any) -> Mapping[str, Any]:
    """wallet/getaccount; empty for an address nobody activated."""
    if not isinstance(answer, dict) or (answer and "address" not in answer):
        raise ValueError("no account")
    return answer


def _energy_of(asset: Asset) -> Callable[[Any], int]:
    """Reads the simulated transfer's energy, penalty included. Raises Refused PAYMENT_REVERTS when it fails."""

    def read(answer: Any) -> int:
        if reason := results.call_failure(answer):
            raise Refused(
                "PAYMENT_REVERTS", f"The network would reject this payment: {reason}.", asset=asset.id, reason=reason
            )
        return int(answer["energy_used"])

    return read


def _two_blocks(answers: Any) -> tuple[results.Block, results.Block]:
    """The head, and the solid block, whose time nobody can tell wrongly under its id."""
    return results.read_block(answers[0]), results.read_scanned(answers[1])


def _read(answer: Answer, reader: Callable[[Any], T]) -> T:
    """What `reader` finds in an answer. Raises NodeSilent NODE_GARBLED when there is nothing to find."""
    try:
        return reader(answer)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise NodeSilent("NODE_GARBLED", "A node gave no usable answer to a read.") from None
