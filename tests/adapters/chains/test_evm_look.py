"""One look at a slot through nodes that disagree, lag, hide, prune or garble."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.chains.evm.look import Lookout
from adapters.chains.evm.receipts import TRANSFER_TOPIC
from adapters.chains.evm.rpc import open_nodes
from adapters.chains.nodes import Shared
from domain.errors import Unavailable
from domain.payout import Act, Facts, Fee, Inclusion, Sighting, Slot, Step, Version, consumption, decide
from tests.adapters.chains.scripted import CHAIN_ID, Said, ScriptedNode, serving
from tests.adapters.chains.worlds import ASSETS, COIN, NETWORK, TOKEN, K, new_slot

WALLET = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
TXID, OTHER = "0x" + "11" * 32, "0x" + "22" * 32
HEAD, BLOCK = 100, 97  # with K = 4 the block is exactly final
FINAL = HEAD - K + 1
NONCE = 7


SLOT = new_slot(WALLET, NONCE)
VERSION = Version(SLOT.id, 1, TXID, "0xraw", Fee(60_000, 30, 2), datetime(2026, 1, 1, tzinfo=UTC))


def block_hash(number: int, fork: str = "aa") -> str:
    return f"0x{fork}{number:062x}"


def receipt(block: int = BLOCK, **changes: Any) -> dict[str, Any]:
    return {
        "transactionHash": TXID,
        "status": "0x1",
        "blockNumber": hex(block),
        "blockHash": block_hash(block),
        "gasUsed": hex(40_000),
        "effectiveGasPrice": hex(25),
        "logs": [transfer()],
    } | changes


def transfer(units: int | None = None, **changes: Any) -> dict[str, Any]:
    payment = SLOT.payments[0]
    return {
        "address": str(TOKEN.contract).lower(),
        "topics": [TRANSFER_TOPIC, topic(WALLET), topic(payment.recipient)],
        "data": hex(int(payment.amount) if units is None else units),
    } | changes


def topic(address: str) -> str:
    return "0x" + address.lower().removeprefix("0x").rjust(64, "0")


def node(
    head: int = HEAD, used_from: int = BLOCK, told: Any = None, fork: str = "aa", user: str = TXID
) -> ScriptedNode:
    """A node at `head`, for which `user` uses the nonce in block `used_from`, and TXID has the receipt `told`."""

    def count(_: str, block: str) -> str:
        at = head if block == "latest" else int(block, 16)
        return hex(NONCE + (at >= used_from))

    def block(number: str, full: bool) -> dict[str, Any] | None:
        height = head - 10 if number == "finalized" else int(number, 16)
        inside = [{"hash": user, "from": WALLET.lower(), "nonce": hex(NONCE)}] if height == used_from else []
        listed = inside if full else [tx["hash"] for tx in inside]
        about = {"number": hex(height), "hash": block_hash(height, fork), "transactions": listed}
        return about if height <= head else None

    return ScriptedNode(
        eth_blockNumber=hex(head),
        eth_getTransactionCount=count,
        eth_getTransactionReceipt=lambda txid: told if txid == TXID else None,
        eth_getTransactionByHash=lambda txid: {"hash": txid} if txid == TXID and told else None,
        eth_getBlockByNumber=block,
    )


def good() -> ScriptedNode:
    return node(told=receipt())


@asynccontextmanager
async def lookout(*nodes: ScriptedNode, network: Any = NETWORK) -> AsyncIterator[Lookout]:
    async with serving(*nodes) as urls, open_nodes(urls, CHAIN_ID, 0.5) as opened:
        yield Lookout(opened, network, ASSETS)


async def look(*nodes: ScriptedNode, network: Any = NETWORK, slot: Slot = SLOT) -> Facts:
    async with lookout(*nodes, network=network) as out:
        return await out.look(slot, [VERSION])


def seen(facts: Facts) -> Inclusion | None:
    return facts.sightings[0].inclusion


def step(facts: Facts) -> Step:
    patience = timedelta(minutes=1)
    return decide(SLOT, [VERSION], facts, offer=None, next_fee=None, bump_after=patience, now=facts.at)


either_order = pytest.mark.parametrize("turn", [1, -1], ids=["liar last", "liar first"])


# ---------------------------------------------------------------- agreement
async def test_nodes_that_agree_prove_the_end() -> None:
    facts = await look(good(), good())
    assert (facts.head, facts.final_block, facts.used, facts.complete, facts.consumer) == (
        HEAD,
        FINAL,
        True,
        True,
        None,
    )
    assert facts.sightings == (Sighting(TXID, True, Inclusion(BLOCK, block_hash(BLOCK), True, True, str(40_000 * 25))),)


async def test_the_nonce_is_read_before_the_receipts_on_every_node() -> None:
    nodes = (good(), good())
    await look(*nodes)
    for one in nodes:
        flat = [method for methods in one.methods for method in methods]
        last_count = len(flat) - 1 - flat[::-1].index("eth_getTransactionCount")
        assert last_count < flat.index("eth_getTransactionReceipt")


async def test_the_slowest_node_sets_the_final_block() -> None:
    facts = await look(good(), node(head=HEAD - 1, told=receipt()))
    assert (facts.head, facts.final_block) == (HEAD - 1, FINAL - 1)
    assert not facts.used


async def test_one_node_that_has_the_nonce_free_is_enough_against() -> None:
    facts = await look(good(), node(used_from=FINAL + 1, told=receipt()))
    assert not facts.used
    assert facts.complete
    assert seen(facts) is not None


async def test_a_silent_node_forbids_every_conclusion_but_not_the_sight() -> None:
    down = good()
    down.status = 503
    facts = await look(good(), down)
    assert (facts.used, facts.complete) == (False, False)
    assert seen(facts) is not None


async def test_a_receipt_that_one_node_hides_is_proven_by_its_block() -> None:
    facts = await look(good(), node(told=None))
    assert facts.used
    assert seen(facts) is not None


async def test_nodes_on_two_forks_show_no_inclusion() -> None:
    facts = await look(good(), node(told=None, fork="bb"))
    assert seen(facts) is None
    assert facts.sightings[0].known


async def test_two_different_receipts_show_no_inclusion() -> None:
    facts = await look(good(), node(told=receipt(status="0x0", logs=[])))
    assert seen(facts) is None


async def test_a_receipt_from_an_orphaned_block_is_no_inclusion() -> None:
    facts = await look(node(told=receipt(blockHash=block_hash(BLOCK, "dead"))))
    assert seen(facts) is None
    assert facts.sightings[0].known


async def test_above_the_final_block_a_node_may_be_late() -> None:
    late = node(head=HEAD - 2, used_from=HEAD + 1)
    facts = await look(node(told=receipt(HEAD), used_from=HEAD), late)
    inclusion = seen(facts)
    assert inclusion is not None
    assert inclusion.block > facts.final_block


async def test_at_final_depth_no_node_may_be_without_the_block() -> None:
    without = good()
    header = without.answers["eth_getBlockByNumber"]
    without.answers["eth_getBlockByNumber"] = lambda at, full: None if at == hex(BLOCK) else header(at, full)
    facts = await look(good(), without)
    assert facts.used
    assert seen(facts) is None


@pytest.mark.parametrize(
    "garbled",
    [{"status": "0x1"}, receipt(blockNumber="seven"), receipt(gasUsed=None), "0x", 7, receipt(logs=[{}])],
)
async def test_a_garbled_receipt_is_silence(garbled: Any) -> None:
    facts = await look(good(), node(told=garbled))
    assert not facts.used
    assert not facts.complete


async def test_a_refused_item_is_silence() -> None:
    refusing = good()
    refusing.answers["eth_getTransactionReceipt"] = Said(-32000, "header not found")
    facts = await look(good(), refusing)
    assert not facts.used


async def test_when_all_are_silent_there_are_no_facts() -> None:
    down = good()
    down.cuts = True
    with pytest.raises(Unavailable):
        await look(down, down)


async def test_where_the_network_has_a_finalized_tag_it_is_honoured() -> None:
    tagged = replace(NETWORK, needs_finalized_tag=True)
    facts = await look(good(), good(), network=tagged)
    assert facts.final_block == HEAD - 10
    assert not facts.used


# ---------------------------------------------------------------- delivery
@pytest.mark.parametrize(
    ("logs", "delivered", "strayed"),
    [
        ([transfer()], True, False),
        ([], False, False),
        ([transfer(address="0x" + "fe" * 20)], False, False),
        ([transfer(units=1)], False, True),
        ([transfer(), transfer()], True, True),
        ([transfer(topics=[TRANSFER_TOPIC, topic(WALLET), topic("0x" + "fe" * 20)])], False, True),
        ([transfer(topics=[TRANSFER_TOPIC, topic("0x" + "fe" * 20), topic(SLOT.payments[0].recipient)])], False, False),
        ([transfer(topics=["0x" + "99" * 32, topic(WALLET), topic(SLOT.payments[0].recipient)])], False, False),
    ],
)
async def test_only_the_token_s_own_log_of_the_exact_move_is_delivery(
    logs: list[Any], delivered: bool, strayed: bool
) -> None:
    inclusion = seen(await look(node(told=receipt(logs=logs))))
    assert inclusion is not None
    assert (inclusion.succeeded, inclusion.delivered, inclusion.strayed) == (True, delivered, strayed)


async def test_a_failed_transaction_delivers_nothing_whatever_its_logs() -> None:
    inclusion = seen(await look(node(told=receipt(status="0x0"))))
    assert inclusion is not None
    assert (inclusion.succeeded, inclusion.delivered, inclusion.strayed) == (False, False, False)


async def test_a_coin_needs_no_log() -> None:
    slot = replace(SLOT, payments=(replace(SLOT.payments[0], asset=COIN.id),))
    inclusion = seen(await look(node(told=receipt(logs=[])), slot=slot))
    assert inclusion is not None
    assert inclusion.delivered


async def test_a_rollup_s_own_fee_is_part_of_the_cost() -> None:
    inclusion = seen(await look(node(told=receipt(l1Fee="0x64"))))
    assert inclusion is not None
    assert inclusion.fee_units == str(40_000 * 25 + 100)


# ---------------------------------------------------------------- who used the nonce
def full_block(height: int, tx: dict[str, Any] | None) -> Any:
    def block(number: str, full: bool) -> dict[str, Any]:
        at = int(number, 16)
        before = {"hash": "0x" + "33" * 32, "from": WALLET, "nonce": hex(NONCE - 1)}
        inside = [before, tx] if tx is not None and full and at == height else []
        return {"number": hex(at), "hash": block_hash(at), "transactions": inside}

    return block


@pytest.mark.parametrize("used_from", [97, 96, 93, 60, 1, 0])
@pytest.mark.parametrize("txid", [TXID, OTHER])
async def test_the_consumer_is_found_wherever_it_is(used_from: int, txid: str) -> None:
    one = node(used_from=used_from, told=None)
    tx = {"hash": txid, "from": WALLET.lower(), "nonce": hex(NONCE)}
    one.answers["eth_getBlockByNumber"] = full_block(used_from, tx)
    facts = await look(one)
    assert facts.used
    assert facts.consumer == txid


async def test_a_recent_consumer_is_found_without_asking_for_old_states() -> None:
    one = node(used_from=90, told=None)
    one.answers["eth_getBlockByNumber"] = full_block(90, {"hash": OTHER, "from": WALLET, "nonce": hex(NONCE)})
    await look(one)
    asked = [params for calls in one.asked for method, params in calls if method == "eth_getTransactionCount"]
    assert min(int(block, 16) for _, block in asked if block != "latest") >= 80


@pytest.mark.parametrize("tx", [None, {"hash": OTHER, "from": "0x" + "fe" * 20, "nonce": hex(NONCE)}])
async def test_without_the_very_transaction_nobody_is_accused(tx: dict[str, Any] | None) -> None:
    one = node(used_from=90, told=None)
    one.answers["eth_getBlockByNumber"] = full_block(90, tx)
    facts = await look(one)
    assert facts.used
    assert facts.consumer is None


async def test_pruned_states_prove_nothing() -> None:
    one = node(used_from=50, told=None)
    count = one.answers["eth_getTransactionCount"]

    def pruned(wallet: str, block: str) -> str:
        if block != "latest" and int(block, 16) < FINAL - 5:
            raise Said(-32000, "missing trie node")
        return str(count(wallet, block))

    one.answers["eth_getTransactionCount"] = pruned
    facts = await look(one)
    assert facts.used
    assert facts.consumer is None


# ---------------------------------------------------------------- one node lies
@either_order
async def test_one_node_with_another_block_and_a_made_up_consumer_makes_no_stranger_of_our_payment(turn: int) -> None:
    facts = await look(*(good(), node(fork="bb", user=OTHER))[::turn])
    assert facts.used
    assert facts.consumer is None
    assert consumption([VERSION], facts, OTHER) == "CONSUMPTION_UNPROVEN"
    assert step(facts).act is Act.WAIT


@either_order
@pytest.mark.parametrize("fork", ["aa", "bb"], ids=["in the true block", "in another block"])
async def test_while_our_receipt_is_hidden_one_node_alone_names_no_consumer(turn: int, fork: str) -> None:
    facts = await look(*(node(), node(fork=fork, user=OTHER))[::turn])
    assert facts.used
    assert facts.consumer is None
    assert step(facts).act is Act.WAIT


async def test_the_same_stranger_in_two_different_blocks_is_named_by_nobody() -> None:
    facts = await look(node(user=OTHER), node(fork="bb", user=OTHER))
    assert facts.used
    assert facts.consumer is None


async def test_a_receipt_of_ours_in_whatever_block_keeps_a_consumer_unnamed() -> None:
    stale = node(told=receipt(blockHash=block_hash(BLOCK, "dead")), user=OTHER)
    facts = await look(node(user=OTHER), stale)
    assert facts.used
    assert facts.consumer is None
    assert consumption([VERSION], facts, OTHER) == "CONSUMPTION_UNPROVEN"


@either_order
async def test_a_receipt_that_one_node_made_up_settles_nothing(turn: int) -> None:
    liar = node(told=receipt(), user=TXID)
    nodes = (node(user=OTHER), liar)[::turn]
    async with lookout(*nodes) as out:
        facts = await out.look(SLOT, [VERSION])
        assert facts.used
        assert (seen(facts), facts.consumer) == (None, None)
        assert step(facts).act is Act.WAIT

        liar.answers |= node(user=OTHER).answers
        truth = await out.look(SLOT, [VERSION])
    assert truth.consumer == OTHER
    assert consumption([VERSION], truth, OTHER) == "PROVEN"


@either_order
async def test_a_receipt_that_only_one_node_stands_by_is_final_once_the_other_tells_the_truth(turn: int) -> None:
    liar = node(user=OTHER)
    nodes = (good(), liar)[::turn]
    async with lookout(*nodes) as out:
        facts = await out.look(SLOT, [VERSION])
        assert facts.used
        assert facts.sightings[0].known
        assert step(facts).act is Act.WAIT

        liar.answers |= good().answers
        final = step(await out.look(SLOT, [VERSION])).final
    assert final is not None
    assert final.paid


@either_order
async def test_a_stranger_is_named_by_all_even_if_only_one_still_has_the_old_states(turn: int) -> None:
    pruned = node(user=OTHER, used_from=50)
    count = pruned.answers["eth_getTransactionCount"]
    pruned.answers["eth_getTransactionCount"] = lambda wallet, at: (
        count(wallet, at) if at in ("latest", hex(FINAL)) else Said(-32000, "missing trie node")
    )
    facts = await look(*(node(user=OTHER, used_from=50), pruned)[::turn])
    assert facts.consumer == OTHER


def forgetful(user: str = OTHER) -> ScriptedNode:
    """A node that keeps no state but those of its last blocks."""
    one = node(user=user, used_from=50)
    count = one.answers["eth_getTransactionCount"]
    one.answers["eth_getTransactionCount"] = lambda wallet, at: (
        count(wallet, at) if at in ("latest", hex(FINAL)) else Said(-32000, "missing trie node")
    )
    one.answers["eth_getTransactionByHash"] = lambda txid: (
        {"hash": txid, "blockNumber": hex(50)} if txid == user else None
    )
    return one


async def test_a_consumer_of_long_ago_is_proven_without_old_states_once_somebody_is_suspected() -> None:
    async with lookout(forgetful(), forgetful()) as out:
        assert (await out.look(SLOT, [VERSION])).consumer is None
        assert (await out.look(SLOT, [VERSION], OTHER)).consumer == OTHER


async def test_a_suspicion_is_no_proof() -> None:
    async with lookout(forgetful(), forgetful(user="0x" + "44" * 32)) as out:
        assert (await out.look(SLOT, [VERSION], OTHER)).consumer is None
    young = forgetful()
    young.answers["eth_getTransactionByHash"] = lambda txid: {"hash": txid, "blockNumber": hex(HEAD)}
    async with lookout(young, young) as out:
        assert (await out.look(SLOT, [VERSION], OTHER)).consumer is None, "its block is not final"
        assert (await out.look(SLOT, [VERSION], "0x" + "55" * 32)).consumer is None


# ---------------------------------------------------------------- cost
async def test_only_one_node_is_asked_where_the_consumer_is_and_each_what_is_there() -> None:
    nodes = (node(used_from=60, user=OTHER), node(used_from=60, user=OTHER))
    await look(*nodes)
    asked = [[call for calls in one.asked for call in calls] for one in nodes]
    assert [calls.count(("eth_getBlockByNumber", [hex(60), True])) for calls in asked] == [1, 1]
    counted = [[method for method, _ in calls].count("eth_getTransactionCount") for calls in asked]
    assert counted[0] > 2
    assert counted[1] == 2


async def test_a_pending_look_takes_two_round_trips_and_one_at_a_known_block_three() -> None:
    pending, included = node(used_from=HEAD + 1), good()
    await look(pending)
    assert len(pending.methods) == 2
    async with lookout(included) as out:
        await out.look(SLOT, [VERSION])
        first = len(included.methods)
        await out.look(SLOT, [VERSION])
    assert first == 4
    assert len(included.methods) - first == 3


async def test_slots_looked_at_together_share_what_is_the_same_for_all() -> None:
    one = good()
    async with lookout(one) as out:
        await out.look(SLOT, [VERSION])
        one.asked.clear()
        await asyncio.gather(*(out.look(SLOT, [VERSION]) for _ in range(16)))
    assert len(one.methods) <= 16 + 4


async def test_a_shared_read_is_never_older_than_the_question() -> None:
    value, gate = 0, asyncio.Event()

    async def read() -> int:
        now = value
        await gate.wait()
        return now

    shared = Shared(read)
    first = asyncio.create_task(shared())
    await asyncio.sleep(0)
    value = 1
    later = [asyncio.create_task(shared()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert await first == 0
    assert await asyncio.gather(*later) == [1, 1, 1]


async def test_a_shared_failure_is_everybody_s_and_passes() -> None:
    tries = 0

    async def read() -> int:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.01)
        if tries < 3:
            raise Unavailable("NODE_SILENT", "no")
        return tries

    shared = Shared(read)
    failed = await asyncio.gather(*(shared() for _ in range(8)), return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in failed)
    assert tries == 2
    assert await shared() == 3
