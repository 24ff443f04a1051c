"""What the doors ask of nodes, and that a node in trouble keeps nobody waiting."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

import api.networks
from adapters.catalogue import load
from tests.api.house import COIN, ETH, RECIPIENT, USDT, WALLET, House, code_of, open_house
from tests.fakes.chain import TOKEN_GAS, FakeChain, ModelChain

CODE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.fixture
def chain() -> FakeChain:
    catalogue = load("devnet")
    model = ModelChain(catalogue.networks["ethereum"], catalogue.assets, code={CODE})
    model.fund(USDT, WALLET, 10**6 * COIN)
    model.fund(ETH, WALLET, 10**21)
    return FakeChain(model, [WALLET])


@pytest_asyncio.fixture(loop_scope="session")
async def house(database_url: str, chain: FakeChain) -> AsyncIterator[House]:
    async with open_house(database_url, chain=chain) as open_:
        yield open_


async def quoted(house: House, **changes: Any) -> Any:
    body = {"network": "ethereum", "asset": "USDT", "amount": "20", **changes}
    return await house.post("/v1/withdrawals/quote", body)


async def test_a_quote_shows_what_the_network_takes_and_what_covers_it(house: House) -> None:
    cost = (await quoted(house)).json()["network_cost"]
    assert cost == {
        "most": "0.00018",
        "asset": "ETH-ETHEREUM",
        "sources": [{"name": "gas", "units": str(TOKEN_GAS), "covered_by": "paid", "cost": "0.0001"}],
    }
    assert (await quoted(house, recipient=RECIPIENT)).json()["network_cost"] == cost


async def test_a_quote_without_a_node_is_a_quote_all_the_same(house: House, chain: FakeChain) -> None:
    chain.faults.down = 10**6
    answer = await quoted(house)
    assert (answer.status_code, answer.json()["fee"], answer.json()["network_cost"]) == (201, "1.5", None)


async def test_what_nobody_can_pay_now_has_no_cost_and_a_promised_fee(house: House, chain: FakeChain) -> None:
    for amount, broken in (("2000000", set[str]()), ("20", {USDT})):
        chain.model.broken = broken
        answer = await quoted(house, amount=amount)
        assert (answer.status_code, answer.json()["network_cost"]) == (201, None)
    chain.model.broken = set()
    assert (await quoted(house)).json()["network_cost"] is not None, "a node that said no is asked again"


async def test_a_recipient_that_cannot_be_paid_is_refused_at_the_door(house: House) -> None:
    for answer in (await house.ask(recipient=CODE, client_ref="to-code"), await quoted(house, recipient=CODE)):
        assert (answer.status_code, code_of(answer)) == (422, "ADDRESS_CONTRACT")
    assert code_of(await quoted(house, recipient="nonsense")) == "ADDRESS_MALFORMED"
    assert (await house.get("/v1/withdrawals/by-ref/to-code")).status_code == 404


async def test_what_was_accepted_while_no_node_answered_stays_accepted(house: House, chain: FakeChain) -> None:
    body = house.body(recipient=CODE, client_ref=f"blind-{datetime.now(UTC).timestamp()}")
    chain.faults.down = 1
    first = await house.ask(body, key="blind")
    again = await house.ask(body, key="blind")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]


async def test_a_slow_node_is_waited_for_once_and_then_left_alone(
    house: House, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def sleep(*_: Any) -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    chain.inspect = sleep  # type: ignore[method-assign, assignment]
    monkeypatch.setattr(api.networks, "ASK_S", 0.2)
    monkeypatch.setattr(api.networks, "REST_S", 3600.0)
    for _ in range(10):
        assert (await house.ask(amount="1")).status_code == 202
    assert asked == 1
