"""Which nodes are believed, and what is never told about them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chains.bitcoin.address import MAINNET
from adapters.chains.bitcoin.rpc import Call, Nodes, open_nodes, sats
from adapters.chains.nodes import NodeSaysNo
from adapters.wiring import open_chain
from domain.errors import Refused, Unavailable
from domain.network import Network
from tests.adapters.chains.bitcoin_world import ASSETS, NETWORK
from tests.adapters.chains.scripted import Said, ScriptedNode, serving

REGTEST_FIRST = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
MAINNET_FIRST = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
CORE = {"subversion": "/Satoshi:29.1.0/"}
KNOTS = {"subversion": "/Satoshi:29.5.0/Knots:20261001/"}
MAIN = replace(NETWORK, chain_id=MAINNET)


def node(first: str = REGTEST_FIRST, about: dict[str, str] | None = None, **answers: Any) -> ScriptedNode:
    words = {"getblockhash": lambda height: first if height == 0 else f"{height:064x}", "getnetworkinfo": about or CORE}
    return ScriptedNode(**{**words, "getblockcount": 7, **answers})


@asynccontextmanager
async def asking(scripted: ScriptedNode, network: Network = NETWORK, login: str = "") -> AsyncIterator[Nodes]:
    async with serving(scripted):
        url = scripted.url.replace("http://", f"http://{login}")
        async with open_nodes([url], network) as nodes:
            yield nodes


async def test_a_node_that_begins_with_our_first_block_is_believed() -> None:
    async with asking(node(about=KNOTS)) as nodes:
        assert await nodes.ask(Call("getblockcount")) == [7]


@pytest.mark.parametrize(
    ("scripted", "network"),
    [
        (node(MAINNET_FIRST), NETWORK),
        (node(), MAIN),
        (node(MAINNET_FIRST, KNOTS), MAIN),
        (node(MAINNET_FIRST, {"version": "1"}), MAIN),
        (node(), replace(NETWORK, checkpoint=f"170:{'ab' * 32}")),
    ],
    ids=["main chain", "regtest", "a kind that left the main chain", "a kind it does not name", "no checkpoint"],
)
async def test_a_node_of_another_chain_is_never_asked_anything(scripted: ScriptedNode, network: Network) -> None:
    async with asking(scripted, network) as nodes:
        with pytest.raises(Unavailable, match="NODE_WRONG_CHAIN"):
            await nodes.ask(Call("getblockcount"))
    assert not any(method == "getblockcount" for calls in scripted.asked for method, _ in calls)


async def test_the_operator_s_checkpoint_is_looked_for() -> None:
    async with asking(node(), replace(NETWORK, checkpoint=f"170:{170:064x}")) as nodes:
        assert await nodes.ask(Call("getblockcount")) == [7]


async def test_a_node_that_was_away_has_to_show_itself_again() -> None:
    scripted = node()
    async with asking(scripted) as nodes:
        assert await nodes.ask(Call("getblockcount")) == [7]
        scripted.status = 503
        with pytest.raises(Unavailable):
            await nodes.ask(Call("getblockcount"))
        scripted.status = 200
        scripted.answers["getblockhash"] = MAINNET_FIRST
        with pytest.raises(Unavailable, match="NODE_WRONG_CHAIN"):
            await nodes.ask(Call("getblockcount"))


async def test_user_and_password_are_sent_and_never_shown() -> None:
    scripted = node()
    async with asking(scripted, login="alice:s3cr%2Ft@") as nodes:
        await nodes.ask(Call("getblockcount"))
        scripted.status = 401
        with pytest.raises(Unavailable, match="NODE_LOCKED") as error:
            await nodes.ask(Call("getblockcount"))
    shown = f"{error.value} {error.value.facts}"
    assert "s3cr" not in shown
    assert "alice" not in shown


async def test_a_refusal_is_an_answer_and_a_node_that_warms_up_is_silent() -> None:
    scripted = node(getblockcount=Said(-5, "no"))
    async with asking(scripted) as nodes:
        [answer] = await nodes.ask(Call("getblockcount"))
        assert isinstance(answer, NodeSaysNo)
        assert (answer.number, answer.message) == (-5, "no")
        scripted.answers["getblockcount"] = Said(-28, "Loading block index...")
        with pytest.raises(Unavailable, match="NODE_BUSY"):
            await nodes.ask(Call("getblockcount"))


async def test_a_network_without_a_place_for_coins_or_of_an_unknown_chain_does_not_open() -> None:
    for network in (NETWORK, replace(NETWORK, chain_id=1)):
        with pytest.raises(Refused, match="CONFIG_INVALID"):
            async with open_chain(network, ASSETS, ["http://127.0.0.1:1"]):
                pass


@given(st.integers(0, 21 * 10**14))
def test_amounts_are_exact(units: int) -> None:
    assert sats(Decimal(units).scaleb(-8)) == units


@pytest.mark.parametrize("wrong", [0.1, "1", None, True, Decimal("0.000000001"), Decimal(-1)])
def test_what_is_no_amount_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="not"):
        sats(wrong)
