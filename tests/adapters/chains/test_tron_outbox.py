"""What a TRON key has sent, read from nodes that leave out, invent or fall silent; and the headers that bind them."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from adapters.chains.nodes import Answer, Nodes
from adapters.chains.tron.nodes import Call, Node
from adapters.chains.tron.outbox import Outbox
from adapters.chains.tron.results import read_scanned
from domain.errors import Unavailable
from domain.outgoing import Outgoing
from tests.adapters.chains.tron_world import LocalTron, TronWorld
from tests.adapters.chains.worlds import K

FIRST_PORT = 19760
Lie = Callable[[Any], Any]
# Headers of the main and of a test network, as their nodes told them.
HEADERS = [
    (
        "00000000051014e80dbf5923643f955ca7b09253e84c13b59f19e347fb9ea95e",
        {
            "timestamp": 1785490773000,
            "txTrieRoot": "5360b488069bf1f3643c8d0504052aea2e5f7a71a51901cf69ebe57e950336fa",
            "parentHash": "00000000051014e793a715af1fa52f8e4dfd1bed8aea07f41e11c9e831ef5022",
            "number": 84940008,
            "witness_address": "4114f2c09d3de3fe82a71960da65d4935a30b24e1f",
            "version": 36,
        },
    ),
    (
        "0000000003fe262d52bfa4b2814f816fd2e57af5b98a33d60d8630a03a908e0e",
        {
            "number": 66987565,
            "txTrieRoot": "faf8fe3858339ead25cc892461c82a59b84dca4a51c45b026676bf3f45a352a2",
            "witness_address": "41b2f713d57dbcec679d93a8849fa0cd0e4db594ba",
            "parentHash": "0000000003fe262c85cd6b02033f4c3e5c1efa35de256a17bd906dc61fb1aeed",
            "version": 34,
            "timestamp": 1777445121000,
        },
    ),
    (
        "0000000000000a611841e6cd79f99249d7e974e41c0f5b016eb3c64e43fcb01c",
        {
            "number": 2657,
            "txTrieRoot": "00" * 32,
            "witness_address": "411661f25387370c9cd3a9a5d97e60ca90f4844e7e",
            "parentHash": "0000000000000a6023d563b1a2e1e0eb49cb40226eb553e6dc006e723395d588",
            "timestamp": 1529899509000,
        },
    ),
]


class Liar(Node):
    """A node that changes the blocks it lists."""

    lie: Lie = staticmethod(lambda row: row)

    async def _post(self, call: Call) -> Answer:
        answer = await super()._post(call)
        if call.path.endswith("getblockbylimitnext"):
            answer = {**answer, "block": [self.lie(row) for row in answer.get("block", ())]}
        return answer


@pytest_asyncio.fixture
async def liar(local: LocalTron) -> AsyncIterator[Liar]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Liar(local.url, local.chain_id, session)


@pytest_asyncio.fixture
async def honest(local: LocalTron) -> AsyncIterator[Node]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Node(local.url, local.chain_id, session)


async def spent(world: TronWorld) -> tuple[int, str]:
    """(the block to read from, a stranger's transaction that is final after it)."""
    after = (await world.chain.outgoing(world.wallet, None)).through
    assert after is not None
    txid = await world.stranger_spends(world.slot(1))
    await world.mine(K)
    return after, txid


def bare(row: Any) -> Any:
    return {name: part for name, part in row.items() if name != "transactions"}


def younger(row: Any) -> Any:
    header = row["block_header"]["raw_data"]
    told = {**header, "timestamp": header["timestamp"] + 600_000}
    return {**row, "block_header": {**row["block_header"], "raw_data": told}}


@pytest.mark.parametrize(("id_", "header"), HEADERS)
def test_a_real_block_s_id_is_the_hash_of_its_header(id_: str, header: dict[str, Any]) -> None:
    row = {"blockID": id_, "block_header": {"raw_data": header}}
    assert read_scanned(row).at_ms == header["timestamp"]
    for name, value in header.items():
        other = value + 1 if isinstance(value, int) else ("00" if value[:2] != "00" else "ff") + value[2:]
        with pytest.raises(ValueError, match="a block's id"):
            read_scanned({"blockID": id_, "block_header": {"raw_data": {**header, name: other}}})


async def test_what_one_node_leaves_out_another_tells(world: TronWorld, liar: Liar, honest: Node) -> None:
    after, txid = await spent(world)
    liar.lie = bare
    for pair in ((liar, honest), (honest, liar)):
        assert (await Outbox(Nodes(pair)).read(world.wallet, after)).txids == (txid,)
    assert (await Outbox(Nodes([liar])).read(world.wallet, after)).txids == (), "a lone liar is a stated premise"


@pytest.mark.parametrize("lie", [younger, lambda row: {**row, "blockID": row["blockID"][:-1] + "0"}, lambda row: {}])
async def test_blocks_that_do_not_hang_together_are_not_read(world: TronWorld, liar: Liar, lie: Lie) -> None:
    after, _ = await spent(world)
    liar.lie = lie
    assert await Outbox(Nodes([liar])).read(world.wallet, after) == Outgoing(after, after)


async def test_a_time_that_a_node_makes_up_proves_nothing_dead(world: TronWorld, liar: Liar) -> None:
    slot = world.slot(1)
    await world.swallow(True)
    version = world.sign(await world.chain.draft(slot, world.fee), 1)
    await world.mine(K)
    liar.lie = younger
    world.chain._lookout._history._nodes = Nodes([liar])  # type: ignore[attr-defined]
    await world.pass_time()
    await world.mine(K)
    [sighting] = (await world.chain.observe(slot, [version])).sightings
    assert sighting.absent_through_ms is None


async def test_while_a_node_is_silent_nothing_is_taken_for_read(
    world: TronWorld, honest: Node, local: LocalTron
) -> None:
    after, txid = await spent(world)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
        gone = Node("http://127.0.0.1:19739", local.chain_id, session)
        assert await Outbox(Nodes([honest, gone])).read(world.wallet, after) == Outgoing(after, after)
        with pytest.raises(Unavailable):
            await Outbox(Nodes([gone])).read(world.wallet, after)
    assert (await Outbox(Nodes([honest])).read(world.wallet, after)).txids == (txid,)


async def test_a_node_that_forgot_the_past_is_no_witness_of_it(world: TronWorld, honest: Node) -> None:
    after, _ = await spent(world)
    await world.mine(2 * K)
    await world.forget(K)
    assert await Outbox(Nodes([honest])).read(world.wallet, after) == Outgoing(after, after)
