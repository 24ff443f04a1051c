"""The front door of the local Bitcoin: it makes the blocks, and each fault is what a client really sees."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ops.devnet.bitcoin import treasury
from ops.devnet.bitcoin.blocks import BURIED_BLOCKS
from ops.devnet.bitcoin.node import RegtestNode
from ops.devnet.bitcoin.regtest import REST_BLOCKS, RICH_BLOCKS
from ops.devnet.bitcoin.rpc import NodeDown, RpcError, coins, sats
from tests.cluster import free_port
from tests.ops.bitcoin.front import ADDRESS, Front, until


@pytest.fixture(scope="module")
async def held_front(bitcoin_node: RegtestNode) -> AsyncIterator[Front]:
    front = await Front.start(bitcoin_node, free_port(), "--hold")
    yield front
    await front.stop()


@pytest.fixture
async def front(held_front: Front) -> Front:
    """No faults, no blocks by itself, nothing in the mempool."""
    await held_front.order(reset=True, hold_blocks=True, seed=1, mine=1)
    return held_front


async def test_a_client_needs_no_login_and_sees_what_the_node_says(front: Front) -> None:
    assert await front.rpc("getblockcount") == await front.node.height()
    with pytest.raises(RpcError) as caught:
        await front.rpc("getblockhash", 10**6)
    assert caught.value.code == -8


async def test_a_lost_reply_leaves_the_transaction_taken(front: Front) -> None:
    txid, raw = await front.payment(10_000)
    await front.order(lose_reply=1)
    assert await front.is_cut("sendrawtransaction", raw)
    assert txid in await front.node.rpc("getrawmempool")
    assert (await front.order(lose_reply=0))["struck"]["lose_reply"] == 1
    assert await front.rpc("sendrawtransaction", raw) == txid


async def test_a_swallowed_broadcast_is_answered_with_its_id_and_is_nowhere(front: Front) -> None:
    txid, raw = await front.payment(10_100)
    await front.order(blackhole=1)
    assert await front.rpc("sendrawtransaction", raw, coins(1_000_000)) == txid
    assert txid not in await front.node.rpc("getrawmempool")


async def test_errors_of_the_gateway_cuts_and_silence(front: Front) -> None:
    await front.order(http_error=1)
    with pytest.raises(NodeDown, match=r"answered (429|502|503)"):
        await front.rpc("getblockcount")
    await front.order(http_error=0, down=True)
    assert await front.is_cut("getblockcount")
    await front.order(down=False, silent=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(front.rpc("getblockcount"), 0.3)
    await front.order(silent=0, delay_ms=200)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(front.rpc("getblockcount"), 0.1)
    assert await front.rpc("getblockcount")


async def test_the_mempool_is_forgotten_and_the_chain_is_not(front: Front) -> None:
    kept = await front.node.fund([(ADDRESS, 10_200)])
    txid, raw = await front.payment(10_300)
    await front.rpc("sendrawtransaction", raw)
    tip = await front.node.tip()
    assert (await front.order(forget_mempool=True))["pool"] == 0
    assert await front.node.tip() == tip
    assert await front.confirmations(kept) == 1
    assert await front.rpc("sendrawtransaction", raw) == txid
    await front.order(mine=1)
    assert await front.confirmations(txid) == 1


async def test_a_fork_keeps_the_payments_or_loses_them(front: Front) -> None:
    txid, raw = await front.payment(10_400)
    await front.rpc("sendrawtransaction", raw)
    await front.order(mine=3)
    assert await front.confirmations(txid) == 3
    old = await front.node.tip()
    assert (await front.order(fork=3))["forks"] == 1
    assert await front.confirmations(txid) == 4
    assert (await front.rpc("getblockheader", old))["confirmations"] == -1
    await front.order(fork=4, fork_loses=True)
    assert await front.confirmations(txid) == 0
    assert txid in await front.rpc("getrawmempool")


async def test_a_fork_may_swap_versions_and_swap_them_back(front: Front) -> None:
    (first_id, first), (second_id, second) = await front.two_versions(10_500)
    await front.rpc("sendrawtransaction", first)
    await front.rpc("sendrawtransaction", second)
    await front.order(mine=3)
    assert (await front.confirmations(first_id), await front.confirmations(second_id)) == (0, 3)
    await front.order(fork=3, branch=[[first_id]])
    assert (await front.confirmations(first_id), await front.confirmations(second_id)) == (4, 0)
    await front.order(fork=4, branch=[[], [second_id]])
    assert (await front.confirmations(first_id), await front.confirmations(second_id)) == (0, 4)


async def test_a_fork_finds_the_versions_to_swap_by_itself(front: Front) -> None:
    stranger_id, stranger = await front.payment(10_560)
    await front.rpc("sendrawtransaction", stranger)
    (first_id, first), (second_id, second) = await front.two_versions(10_550)
    for raw in (first, second):
        await front.rpc("sendrawtransaction", raw)
    await front.order(mine=2)
    await front.order(fork=2, fork_swaps=True)
    assert [await front.confirmations(txid) for txid in (first_id, second_id, stranger_id)] == [3, 0, 3]
    await front.order(fork=3, fork_swaps=True)
    assert [await front.confirmations(txid) for txid in (first_id, second_id, stranger_id)] == [0, 4, 4]


async def test_a_miner_may_take_the_replaced_version(front: Front) -> None:
    (first_id, first), (second_id, second) = await front.two_versions(10_600)
    await front.rpc("sendrawtransaction", first)
    await front.rpc("sendrawtransaction", second)
    assert first_id not in await front.rpc("getrawmempool")
    await front.order(mine_exactly=[first_id])
    assert (await front.confirmations(first_id), await front.confirmations(second_id)) == (1, 0)
    assert second_id not in await front.rpc("getrawmempool")
    errors = (await front.order(409, mine_exactly=[second_id]))["errors"]
    assert "bad-txns-inputs-missingorspent" in errors[0]


async def test_fees_rise_as_ordered(front: Front) -> None:
    assert "errors" in await front.rpc("estimatesmartfee", 2)
    await front.order(fee_rate=25)
    assert await front.rpc("estimatesmartfee", 2) == {"feerate": coins(25_000), "blocks": 2}
    (_, cheap), (dear_id, dear) = await front.two_versions(10_700)
    await front.order(mempool_fee_rate=20)
    assert (await front.rpc("getmempoolinfo"))["mempoolminfee"] == coins(20_000)
    with pytest.raises(RpcError, match="mempool min fee not met") as caught:
        await front.rpc("sendrawtransaction", cheap)
    assert caught.value.code == -26
    assert await front.rpc("sendrawtransaction", dear) == dear_id


async def test_blocks_leave_out_what_pays_too_little(front: Front) -> None:
    (cheap_id, cheap), (dear_id, dear) = await front.two_versions(10_800)
    await front.rpc("sendrawtransaction", cheap)
    await front.order(block_fee_rate=20, mine=2)
    assert cheap_id in await front.rpc("getrawmempool")
    await front.rpc("sendrawtransaction", dear)
    await front.order(mine=1)
    assert await front.confirmations(dear_id) == 1


async def test_a_lagging_node_tells_the_past_of_one_piece(front: Front) -> None:
    txid = await front.node.fund([(ADDRESS, 10_900)], confirmations=2)
    child_id, child = await front.payment(11_000)
    await front.rpc("sendrawtransaction", child)
    await front.order(mine=1)
    height, tip = await front.node.height(), await front.node.tip()
    spent = (await front.node.rpc("getrawtransaction", child_id, 1))["vin"][0]
    await front.order(stale_head=1)
    assert await front.rpc("getblockcount") == height - 1
    told = await front.rpc("getblockchaininfo")
    assert told["bestblockhash"] == await front.rpc("getbestblockhash") == await front.rpc("getblockhash", height - 1)
    for method, params, code in (
        ("getblockhash", (height,), -8),
        ("getblockheader", (tip,), -5),
        ("getblock", (tip, 0), -5),
    ):
        with pytest.raises(RpcError) as caught:
            await front.rpc(method, *params)
        assert caught.value.code == code
    assert (await front.rpc("gettxout", txid, 0))["confirmations"] == 2
    assert "blockhash" not in await front.rpc("getrawtransaction", child_id, 1)
    assert child_id in await front.rpc("getrawmempool")
    assert await front.rpc("gettxout", child_id, 0, False) is None
    assert await front.rpc("gettxout", spent["txid"], spent["vout"]) is None
    then = await front.rpc("gettxout", spent["txid"], spent["vout"], False)
    assert then["bestblock"] == told["bestblockhash"]
    assert sats(then["value"]) > 11_000


async def test_questions_in_a_batch_and_in_the_old_version_are_answered(front: Front) -> None:
    await front.order(stale_head=1)
    asked = [
        {"id": 1, "method": "getblockcount", "params": []},
        {"id": 2, "jsonrpc": "2.0", "method": "getnetworkinfo"},
        {"id": 3, "method": "sendrawtransaction", "params": ["00"]},
    ]
    async with aiohttp.ClientSession() as session:
        async with session.post(front.rpc.url, json=asked) as answer:
            height, network, sent = await answer.json(content_type=None)
        async with session.post(front.rpc.url, json=asked[2]) as alone:
            assert alone.status == 500
    assert height == {"result": await front.node.height() - 1, "error": None, "id": 1}
    assert network["result"]["networkactive"] is True
    assert (sent["result"], sent["error"]["code"]) == (None, -22)


async def test_an_order_with_an_unknown_word_is_refused(front: Front) -> None:
    assert (await front.order(422, lose_replies=1))["errors"][0]["type"] == "extra_forbidden"


async def test_the_treasury_fills_a_wallet_once_with_many_coins(front: Front) -> None:
    wallet, units = await front.node.treasury_address(), 20 * 10**8 + 5
    [txid] = await treasury.fill(front.rpc.url, wallet, units)
    assert await treasury.fill(front.rpc.url, wallet, units) == []
    assert await treasury.balance(front.rpc.url, wallet) == units
    first, last = await front.rpc("gettxout", txid, 0), await front.rpc("gettxout", txid, 19)
    assert (sats(first["value"]), sats(last["value"]), last["confirmations"]) == (10**8, 10**8 + 5, 6)


async def test_blocks_come_by_themselves_and_survive_the_death_of_the_node(front: Front) -> None:
    """What a client saw in a block is still there when the node was killed right afterwards."""
    quick = await Front.start(front.node, free_port(), "--block-time", "0")
    txid, raw = await quick.payment(11_200)
    height = await front.node.height() + BURIED_BLOCKS
    await quick.rpc("sendrawtransaction", raw)
    assert await quick.confirmations(txid) >= 1

    async def is_buried() -> bool:
        return await quick.confirmations(txid) >= BURIED_BLOCKS and (await quick.order())["saved"] >= height

    async def is_back() -> bool:
        return not await quick.is_cut("getblockcount")

    await until(is_buried)
    await front.node.kill()
    await front.node.start()
    await until(is_back)
    assert await quick.rpc("getblockcount") >= height > RICH_BLOCKS + REST_BLOCKS
    await quick.stop()
