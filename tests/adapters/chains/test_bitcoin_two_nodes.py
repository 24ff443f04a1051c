"""What two nodes say that do not agree: behind a partition, or while one of them is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from adapters.chains.bitcoin.adapter import BitcoinChain
from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.rpc import open_nodes
from domain.coin import Coin
from domain.errors import Unavailable
from domain.payout import Act, Fee, decide
from ops.devnet.bitcoin.node import TwoNodes
from tests.adapters.chains.bitcoin_world import (
    ASSETS,
    COIN_SATS,
    NETWORK,
    Key,
    concluded,
    payment,
    raw,
    seen,
    sign_bitcoin,
    slot_of,
)
from tests.adapters.chains.worlds import K
from tests.fakes.coins import FakeCoins


@asynccontextmanager
async def two_chained(nodes: TwoNodes) -> AsyncIterator[tuple[BitcoinChain, FakeCoins, Key, list[Coin]]]:
    """A chain that asks both nodes, with a wallet of two coins."""
    key = Key.new()
    txid = await nodes.one.fund([(key.address, COIN_SATS)] * 2, confirmations=2 * K)
    await nodes.join()
    coins = FakeCoins([key.address])
    async with open_nodes([nodes.one.login_url, nodes.other.login_url], NETWORK) as rpc:
        yield (
            BitcoinChain(NETWORK, ASSETS, rpc, [key.address], coins),
            coins,
            key,
            [Coin(f"{txid}:{at}", str(COIN_SATS)) for at in range(2)],
        )


async def test_a_double_spend_behind_a_partition_is_never_called_paid(two_nodes: TwoNodes) -> None:
    async with two_chained(two_nodes) as (chain, coins, key, purse):
        slot = slot_of(key.address, purse[:1], [payment()])
        elsewhere = slot_of(key.address, purse[:1], [payment()])
        await chain.fund(slot.payments, key.address, Fee(0, 10, 0))
        ours = sign_bitcoin(await chain.draft(slot, Fee(0, 10, 0)), 1, key)
        strangers = sign_bitcoin(await chain.draft(elsewhere, Fee(0, 10, 0)), 1, key)

        await two_nodes.split()
        await two_nodes.one.mine_exactly([raw(ours)])
        await two_nodes.other.mine_exactly([raw(strangers)])
        for _ in range(K):
            await two_nodes.other.mine(1)
        for _ in range(K - 1):
            await two_nodes.one.mine(1)
        parted = await chain.observe(slot, [ours])
        assert not parted.used, "deep on each side, and the two do not agree"
        assert seen(parted, ours) is None
        assert concluded(slot, [ours], parted) is None

        await two_nodes.join()
        facts = await chain.observe(slot, [ours])
        assert facts.used
        assert facts.consumer == strangers.txid
        assert seen(facts, ours) is None
        step = decide(slot, [ours], facts, offer=None, next_fee=None, bump_after=timedelta(1), now=datetime.now(UTC))
        assert step.act is Act.HALT
        unspent = await two_nodes.one.rpc("scantxoutset", "start", [f"raw({script_of(key.address).hex()})"])
        assert coins.unspent(key.address) == {
            f"{row['txid']}:{row['vout']}": int(row["amount"] * COIN_SATS) for row in unspent["unspents"]
        }


async def test_a_version_on_one_side_of_a_partition_is_not_included_yet(two_nodes: TwoNodes) -> None:
    async with two_chained(two_nodes) as (chain, _, key, purse):
        slot = slot_of(key.address, purse[:1], [payment()])
        await chain.fund(slot.payments, key.address, Fee(0, 10, 0))
        version = sign_bitcoin(await chain.draft(slot, Fee(0, 10, 0)), 1, key)
        await two_nodes.split()
        await two_nodes.one.mine_exactly([raw(version)])
        await two_nodes.one.mine(1)
        await two_nodes.other.mine(1)
        parted = await chain.observe(slot, [version])
        assert parted.complete
        assert seen(parted, version) is None, "it is in the longer chain, and a node has another block there"

        await two_nodes.join()
        assert seen(await chain.observe(slot, [version]), version) is not None
        await two_nodes.one.mine(K)
        await two_nodes.join()
        assert concluded(slot, [version], await chain.observe(slot, [version])) is not None


async def test_without_one_of_the_nodes_nothing_is_final(two_nodes: TwoNodes) -> None:
    async with two_chained(two_nodes) as (chain, _, key, purse):
        slot = slot_of(key.address, purse[:1], [payment()])
        await chain.fund(slot.payments, key.address, Fee(0, 10, 0))
        version = sign_bitcoin(await chain.draft(slot, Fee(0, 10, 0)), 1, key)
        await chain.broadcast(version)
        await two_nodes.one.mine(K)
        await two_nodes.join()
        await two_nodes.other.stop()
        try:
            facts = await chain.observe(slot, [version])
            assert not facts.complete
            assert not facts.used
            with pytest.raises(Unavailable):
                await chain.fund(slot.payments, key.address, Fee(0, 10, 0))
        finally:
            await two_nodes.other.start()
            await two_nodes.join()
        assert concluded(slot, [version], await chain.observe(slot, [version])) is not None


async def test_what_only_one_of_two_answering_nodes_has_waits_and_what_the_other_cannot_say_does_not(
    two_nodes: TwoNodes,
) -> None:
    async with two_chained(two_nodes) as (chain, coins, key, purse):
        slot = slot_of(key.address, purse[:1], [payment()])
        await chain.observe(slot, [])
        shared = await coins.tip()
        assert shared is not None
        await two_nodes.split()
        await two_nodes.one.mine(K + 2)
        await two_nodes.other.mine(K + 1, Key.new().address)
        assert (await chain.observe(slot, [])).head == shared.height
        assert await coins.tip() == shared
        read = await chain.outgoing(key.address, 0)
        assert read.through == shared.height - K + 1, "a key's use is called read only in blocks that were read"

        await two_nodes.join()
        await two_nodes.one.mine(1)
        await two_nodes.other.stop()
        try:
            assert (await chain.observe(slot, [])).head == shared.height + K + 3
        finally:
            await two_nodes.other.start()
            await two_nodes.join()


async def test_the_dearest_node_decides_the_price(two_nodes: TwoNodes) -> None:
    """One node's pool takes nothing below 25 base units per vbyte."""
    await two_nodes.other.stop()
    await two_nodes.other.start("-minrelaytxfee=0.00025")
    try:
        await two_nodes.join()
        async with open_nodes([two_nodes.one.login_url, two_nodes.other.login_url], NETWORK) as rpc:
            chain = BitcoinChain(NETWORK, ASSETS, rpc, [], FakeCoins([]))
            assert (await chain.market(141)).price == 25
    finally:
        await two_nodes.other.stop()
        await two_nodes.other.start()
        await two_nodes.join()
