"""The parts of the EVM adapter that only show with several nodes, or with nodes that answer oddly."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode

from adapters.wiring import open_chain
from domain.errors import Refused, Unavailable
from domain.money import Amount
from domain.payout import consumption, inclusion
from domain.ports import Chain
from tests.adapters.chains.scripted import CHAIN_ID, Said, ScriptedNode, serving
from tests.adapters.chains.worlds import ASSETS, COIN, GWEI, NETWORK, TOKEN, K, evm_world, new_slot
from tests.ops.chain import LocalChain

WALLET = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PAYMENTS = new_slot(WALLET, 7).payments
HISTORY = {"baseFeePerGas": [hex(9 * GWEI), hex(10 * GWEI)], "reward": [[hex(GWEI)], [hex(2 * GWEI)], [hex(3 * GWEI)]]}


def node(**answers: Any) -> ScriptedNode:
    usual = {"eth_feeHistory": HISTORY, "eth_estimateGas": hex(50_000), "eth_call": hex(10**12)}
    return ScriptedNode(**usual | answers)


@asynccontextmanager
async def chain_of(*nodes: ScriptedNode) -> AsyncIterator[Chain]:
    async with serving(*nodes) as urls, open_chain(replace(NETWORK, chain_id=CHAIN_ID), ASSETS, urls) as chain:
        yield chain


async def test_a_quote_is_one_round_trip_for_the_very_call() -> None:
    one = node()
    async with chain_of(one) as chain:
        fee = await chain.quote(PAYMENTS, WALLET)
    assert (fee.weight, fee.price, fee.tip) == (60_000, 22 * GWEI, 2 * GWEI)
    assert len(one.methods) == 1
    [[call, block]] = [params for calls in one.asked for method, params in calls if method == "eth_estimateGas"]
    assert block == "latest"
    assert call["from"] == WALLET
    assert call["to"] == str(TOKEN.contract).lower()
    assert call["data"].startswith("0xa9059cbb")


async def test_the_reason_of_a_revert_reaches_the_client() -> None:
    revert = Said(3, "execution reverted: paused", "0x08c379a0" + encode(["string"], ["paused"]).hex())
    async with chain_of(node(eth_estimateGas=revert)) as chain:
        with pytest.raises(Refused, match="PAYMENT_REVERTS") as refused:
            await chain.quote(PAYMENTS, WALLET)
    assert refused.value.facts["reason"] == "paused"


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"eth_estimateGas": Said(3, "execution reverted"), "eth_call": hex(1)}, "WALLET_SHORT"),
        ({"eth_estimateGas": Said(-32000, "insufficient funds for gas * price + value")}, "WALLET_SHORT"),
        ({"eth_estimateGas": Said(-32000, "header not found")}, "NODE_REFUSED"),
        ({"eth_call": "0x"}, "NODE_GARBLED"),
        ({"eth_feeHistory": {}}, "NODE_GARBLED"),
        ({"eth_feeHistory": {"baseFeePerGas": []}}, "NODE_GARBLED"),
        ({"eth_estimateGas": None}, "NODE_GARBLED"),
    ],
)
async def test_what_is_not_the_payment_s_fault_passes(answers: dict[str, Any], code: str) -> None:
    async with chain_of(node(**answers)) as chain:
        with pytest.raises(Unavailable, match=code):
            await chain.quote(PAYMENTS, WALLET)


@pytest.mark.parametrize("history", [{"baseFeePerGas": ["0x0"]}, {"baseFeePerGas": ["0x0"], "reward": None}])
async def test_without_a_market_the_floors_hold(history: dict[str, Any]) -> None:
    async with chain_of(node(eth_feeHistory=history)) as chain:
        fee = await chain.market(60_000)
    assert (fee.price, fee.tip) == (NETWORK.fees.price_floor, NETWORK.fees.tip_floor)


async def test_the_lowest_balance_counts_and_every_node_must_answer() -> None:
    rich, poor = node(eth_getBalance=hex(9), eth_call=hex(9)), node(eth_getBalance=hex(4), eth_call=hex(4))
    async with chain_of(rich, poor) as chain:
        assert await chain.balance(COIN, WALLET) == Amount(4, COIN)
        assert await chain.balance(TOKEN, WALLET) == Amount(4, TOKEN)
        poor.status = 503
        with pytest.raises(Unavailable):
            await chain.balance(COIN, WALLET)


async def test_the_highest_count_of_transactions_counts() -> None:
    low = node(eth_getTransactionCount=lambda _, at: hex({"latest": 5, "pending": 8}[at]))
    high = node(eth_getTransactionCount=lambda _, at: hex({"latest": 6, "pending": 7}[at]))
    async with chain_of(low, high) as chain:
        assert await chain.next_scarce(WALLET) == (6, 8)


async def test_a_network_is_opened_only_with_a_known_family_and_a_node() -> None:
    for network, urls in ((replace(NETWORK, family="tape"), ["http://127.0.0.1:1"]), (NETWORK, [])):
        with pytest.raises(Refused, match="CONFIG_INVALID"):
            async with open_chain(network, ASSETS, urls):
                pass


async def test_a_node_that_is_down_keeps_nobody_from_starting() -> None:
    async with open_chain(NETWORK, ASSETS, ["http://127.0.0.1:1"]) as chain:
        assert chain.check_address(WALLET, COIN) == WALLET
        with pytest.raises(Unavailable):
            await chain.head()


# ---------------------------------------------------------------- real nodes of which one is unlike the other
async def test_a_payment_whose_receipt_one_real_node_hides_is_proven_by_its_block(local_chain: LocalChain) -> None:
    async with evm_world(local_chain) as world, two_doors(local_chain) as chain:
        slot = world.slot((await chain.next_scarce(world.wallet))[0])
        version = world.sign(await chain.draft(slot, await chain.quote(slot.payments, world.wallet)), 1)
        await chain.broadcast(version)
        await world.mine(K)
        await world.hide_receipts(True)
        facts = await chain.observe(slot, [version])
    seen = inclusion(facts)
    assert facts.used
    assert facts.consumer is None
    assert seen is not None
    assert seen[1].delivered
    assert seen[1].block <= facts.final_block


async def test_a_stranger_that_all_real_nodes_show_is_named(local_chain: LocalChain) -> None:
    async with evm_world(local_chain) as world, two_doors(local_chain) as chain:
        slot = world.slot((await chain.next_scarce(world.wallet))[0])
        version = world.sign(await chain.draft(slot, await chain.quote(slot.payments, world.wallet)), 1)
        stranger = await world.stranger_spends(slot)
        await world.mine(K - 1)
        facts = await chain.observe(slot, [version])
    assert consumption([version], facts, stranger) == "PROVEN"


@asynccontextmanager
async def two_doors(local: LocalChain) -> AsyncIterator[Chain]:
    """The same blocks by two nodes: behind the proxy with its faults, and anvil itself."""
    async with open_chain(NETWORK, ASSETS, [local.url, f"http://127.0.0.1:{local.port - 1}"]) as chain:
        yield chain
