"""A node that names a solid block of no chain: nothing is drafted on its word, and what was can be proven dead."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from adapters.chains.tron.adapter import open_tron
from adapters.chains.tron.results import _id_of
from adapters.chains.tron.tx import window
from domain.errors import Unavailable
from domain.payout import Slot, Version, all_dead, inclusion
from domain.ports import Chain
from tests.adapters.chains.tron_world import COIN, TOKEN, LocalTron, TronWorld
from tests.adapters.chains.worlds import K

FIRST_PORT = 19880
DOWN = "http://127.0.0.1:19879"
NEWEST, NUMBERED = "/walletsolidity/getnowblock", "/walletsolidity/getblockbynum"


class Liar:
    """A true node, but for one solid block: `block` is what it has at that height, and while it `stays` its newest. Of
    the transaction `without` it knows nothing.
    """

    def __init__(self, local: LocalTron, block: dict[str, Any]) -> None:
        self.url = ""
        self.stays = True
        self.without = ""
        self._local = local
        self._block = block

    async def serve(self, request: web.Request) -> web.Response:
        words = await request.json()
        height = self._block["block_header"]["raw_data"]["number"]
        if self.without and words.get("value") == self.without:
            return web.json_response({})
        newest = request.path == NEWEST and self.stays
        if newest or (request.path == NUMBERED and words["num"] == height):
            return web.json_response(self._block)
        full, _, solid = self._local.url.partition("|")
        base = solid if request.path.startswith("/walletsolidity/") else full
        async with aiohttp.ClientSession() as session, session.post(base + request.path, json=words) as answer:
            return web.json_response(await answer.json(content_type=None))


@asynccontextmanager
async def lying(local: LocalTron, block: dict[str, Any]) -> AsyncIterator[Liar]:
    liar = Liar(local, block)
    app = web.Application()
    app.router.add_post("/{path:.*}", liar.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        liar.url = "http://{}:{}".format(*runner.addresses[0][:2])
        yield liar
    finally:
        await runner.cleanup()


def asking(world: TronWorld, local: LocalTron, *urls: str) -> AbstractAsyncContextManager[Chain]:
    assets = {asset.id: asset for asset in (COIN, TOKEN)}
    return open_tron(world.chain.network, assets, urls, [], None, local.now)


def solid_block(local: LocalTron, below: int) -> dict[str, Any]:
    newest = local.ask("walletsolidity/getnowblock")["block_header"]["raw_data"]["number"]
    block: dict[str, Any] = local.ask("walletsolidity/getblockbynum", num=newest - below)
    return block


def foreign(block: dict[str, Any]) -> dict[str, Any]:
    """Another block of the same height and time, under its own right id."""
    header = {**block["block_header"]["raw_data"], "parentHash": "ab" * 32}
    return {"blockID": _id_of(header), "block_header": {**block["block_header"], "raw_data": header}}


async def signed_on_foreign_ground(world: TronWorld, local: LocalTron, slot: Slot) -> tuple[Version, dict[str, Any]]:
    """What comes of asking nobody but a liar; and the block that it names."""
    block = foreign(solid_block(local, below=1))
    async with lying(local, block) as liar, asking(world, local, liar.url) as chain:
        return world.sign(await chain.draft(slot, world.fee), 1), block


# ---------------------------------------------------------------- drafts
async def test_a_lower_solid_block_that_only_one_node_knows_is_named_by_no_draft(
    world: TronWorld, local: LocalTron
) -> None:
    async with lying(local, foreign(solid_block(local, below=1))) as liar:
        for urls in ([local.url, liar.url], [liar.url, local.url]):
            async with asking(world, local, *urls) as chain:
                with pytest.raises(Unavailable, match="NODES_DIFFER"):
                    await chain.draft(world.slot(1), world.fee)
    async with asking(world, local, local.url, f"{local.full}/b") as honest:
        assert await honest.draft(world.slot(1), world.fee)


async def test_a_lower_solid_block_that_all_know_is_named(world: TronWorld, local: LocalTron) -> None:
    block = solid_block(local, below=1)
    async with lying(local, block) as behind, asking(world, local, local.url, behind.url) as chain:
        drawn = world.sign(await chain.draft(world.slot(1), world.fee), 1)
    number = block["block_header"]["raw_data"]["number"]
    assert window(drawn.raw).names(number, block["blockID"])


async def test_while_one_of_the_nodes_is_silent_nothing_is_drafted(world: TronWorld, local: LocalTron) -> None:
    async with asking(world, local, local.url, DOWN) as chain:
        with pytest.raises(Unavailable, match="NODE_SILENT"):
            await chain.draft(world.slot(1), world.fee)


async def test_a_node_hours_behind_gives_no_reference_that_the_network_would_have_forgotten(
    world: TronWorld, local: LocalTron
) -> None:
    block = solid_block(local, below=1)
    local.control(skip_slots=1300, mine=1)
    await world.mine(2 * K)
    async with lying(local, block) as behind, asking(world, local, local.url, behind.url) as chain:
        with pytest.raises(Unavailable, match="NODE_CLOCK"):
            await chain.draft(world.slot(1), world.fee)


# ---------------------------------------------------------------- what is signed already
async def test_bytes_that_name_a_block_of_no_chain_are_dead_once_solid_time_has_passed_their_expiration(
    world: TronWorld, local: LocalTron
) -> None:
    slot = world.slot(1)
    version, block = await signed_on_foreign_ground(world, local, slot)
    async with asking(world, local, local.url, f"{local.full}/b") as chain:
        await world.mine(K)
        assert not all_dead([version], await chain.observe(slot, [version])), "it has not expired"
        await world.pass_time()
        async with lying(local, block) as liar, asking(world, local, local.url, liar.url) as doubtful:
            assert not all_dead([version], await doubtful.observe(slot, [version])), "solid time lags behind"
            await world.mine(K)
            liar.stays = False
            assert not all_dead([version], await doubtful.observe(slot, [version])), "a node still has that block"
        assert all_dead([version], await chain.observe(slot, [version]))


async def test_bytes_that_name_a_true_block_are_not_excluded_by_what_nodes_forgot(
    world: TronWorld, local: LocalTron
) -> None:
    slot = world.slot(1)
    await world.swallow(True)
    version = world.sign(await world.chain.draft(slot, world.fee), 1)
    await world.chain.broadcast(version)
    await world.pass_time()
    await world.mine(3 * K)
    await world.forget(2 * K)
    async with asking(world, local, local.url) as chain:
        assert not all_dead([version], await chain.observe(slot, [version]))
    await world.forget(None)
    assert all_dead([version], await world.chain.observe(slot, [version]))


# ---------------------------------------------------------------- what is paid
@pytest.mark.parametrize("turn", [1, -1])
async def test_a_payment_that_one_node_alone_shows_in_the_solid_blocks_of_all_settles_nothing(
    world: TronWorld, local: LocalTron, turn: int
) -> None:
    slot = world.slot(1)
    version = world.sign(await world.chain.draft(slot, world.fee), 1)
    await world.chain.broadcast(version)
    await world.mine(2 * K)
    async with lying(local, solid_block(local, below=1)) as other:
        other.stays, other.without = False, version.txid
        async with asking(world, local, *[local.url, other.url][::turn]) as chain:
            facts = await chain.observe(slot, [version])
            assert (facts.used, facts.consumer, inclusion(facts)) == (False, None, None)
            assert not all_dead([version], facts)
            other.without = ""
            facts = await chain.observe(slot, [version])
            assert facts.used
            assert inclusion(facts) is not None
