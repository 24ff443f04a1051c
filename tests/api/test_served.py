"""An installation that pays on some networks says so, and takes no order for another that nobody would carry out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio

from tests.api.house import House, code_of, open_house

ABROAD = "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"
ORDER: dict[str, Any] = {"network": "tron", "asset": "USDT", "amount": "20"}


@pytest_asyncio.fixture(loop_scope="session")
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url, served=("ethereum",)) as open_:
        yield open_


async def test_what_is_paid_nowhere_here_is_refused_before_anything_is_held(house: House) -> None:
    before = (await house.get("/v1/accounts/acme/balances")).json()
    refused = await house.ask(**ORDER, recipient=ABROAD, client_ref="abroad")
    assert (refused.status_code, code_of(refused)) == (422, "ASSET_NOT_WITHDRAWABLE")
    assert "GET /v1/networks" in refused.json()["detail"]
    assert code_of(await house.post("/v1/withdrawals/quote", ORDER)) == "ASSET_NOT_WITHDRAWABLE"
    verdict = (
        await house.post("/v1/addresses/validate", {"network": "tron", "asset": "USDT", "address": ABROAD})
    ).json()
    assert (verdict["valid"], verdict["code"], verdict["address"]) == (False, "ASSET_NOT_WITHDRAWABLE", ABROAD)
    assert (await house.get("/v1/withdrawals/by-ref/abroad")).status_code == 404
    assert (await house.get("/v1/accounts/acme/balances")).json() == before
    assert (await house.ask()).status_code == 202


async def test_the_lists_say_where_withdrawals_are_enabled(house: House) -> None:
    networks = (await house.get("/v1/networks")).json()["items"]
    assert {row["id"] for row in networks if row["withdraw_enabled"]} == {"ethereum"}
    assert len(networks) > 1
    assets = (await house.get("/v1/assets")).json()["items"]
    assert {row["network"] for row in assets if row["withdraw_enabled"]} == {"ethereum"}


async def test_an_account_here_is_paid_on_any_network_because_nothing_leaves(house: House) -> None:
    await house.store.deposit_addresses.assign("other", "tron", ABROAD, datetime.now(UTC))
    await house.fund(10**9, asset="USDT-TRON")
    assert (await house.ask(**ORDER, recipient=ABROAD)).status_code == 202
