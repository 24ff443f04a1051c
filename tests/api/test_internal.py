"""Withdrawals to deposit addresses of ours: transfers within the ledger, free, and discreet about whose they are."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.api.house import COIN, RECIPIENT, USDT, House, code_of

OTHERS, MINE = "0x" + "a1" * 20, "0x" + "b2" * 20
AT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def given(house: House) -> None:
    """Both clients have a deposit address; the API writes addresses in their canonical form."""
    for account, address in (("other", OTHERS), ("acme", MINE)):
        canonical = (await check(house, address))["address"]
        await house.store.deposit_addresses.assign(account, "ethereum", canonical, AT)


async def check(house: House, address: str, who: str = "acme", **changes: Any) -> dict[str, Any]:
    body = {"network": "ethereum", "asset": "USDT", "address": address, **changes}
    answer = await house.post("/v1/addresses/validate", body, who)
    verdict: dict[str, Any] = answer.json()
    return verdict


async def balance(house: House, account: str) -> Mapping[str, str]:
    items = (await house.get(f"/v1/accounts/{account}/balances", "ada")).json()["items"]
    found: Mapping[str, str] = next(item for item in items if (item["asset"], item["network"]) == ("USDT", "ethereum"))
    return found


async def settled(house: House, id_: str) -> dict[str, Any]:
    await house.store.books.judge(id_, datetime.now(UTC))
    answer: dict[str, Any] = (await house.get(f"/v1/withdrawals/{id_}")).json()
    return answer


async def test_checking_an_address_says_whether_its_coins_would_leave_the_house(house: House) -> None:
    kinds = {address: (await check(house, address))["kind"] for address in (RECIPIENT, OTHERS, OTHERS.upper()[2:])}
    assert kinds == {RECIPIENT: "external", OTHERS: "internal", OTHERS.upper()[2:]: None}
    assert (await check(house, "0x12"))["kind"] is None
    elsewhere = await check(house, OTHERS, network="polygon")
    assert (elsewhere["valid"], elsewhere["kind"]) == (True, "external"), "it was given out on another network"


async def test_a_transfer_is_free_immediate_and_names_the_recipients_account_nowhere(house: House) -> None:
    before = await balance(house, "other")
    accepted = await house.ask(amount="20", recipient=OTHERS)
    assert accepted.status_code == 202, accepted.text
    assert (accepted.json()["fee"], accepted.json()["total"]) == ("0", "20")
    view = await settled(house, accepted.json()["id"])
    assert (view["stage"], view["reason"], view["txid"], view["network_fee"]) == ("SETTLED", "INTERNAL", None, None)
    assert (view["fee"], view["total"], view["next_action"]) == ("0", "20", None)
    timeline = (await house.get(f"/v1/withdrawals/{view['id']}/timeline")).json()
    assert [row["stage"] for row in timeline["items"]] == ["REQUESTED", "QUEUED", "SETTLED"]
    for told in (accepted.json(), view, timeline, await check(house, OTHERS)):
        assert "other" not in str(told)
    after = await balance(house, "other")
    assert Decimal(after["available"]) - Decimal(before["available"]) == 20


async def test_ones_own_deposit_address_is_refused_and_nothing_is_held(house: House) -> None:
    verdict = await check(house, MINE)
    assert (verdict["valid"], verdict["code"], verdict["kind"]) == (False, "TRANSFER_TO_SELF", "internal")
    refused = await house.ask(recipient=MINE, client_ref="to-myself")
    assert (refused.status_code, code_of(refused)) == (422, "TRANSFER_TO_SELF")
    assert (await house.get("/v1/withdrawals/by-ref/to-myself")).status_code == 404
    quote = {"network": "ethereum", "asset": "USDT", "amount": "20", "recipient": MINE}
    assert code_of(await house.post("/v1/withdrawals/quote", quote)) == "TRANSFER_TO_SELF"
    assert (await check(house, MINE, "olga"))["valid"], "without an account nobody is oneself"
    assert (await check(house, MINE, "olga", account="acme"))["code"] == "TRANSFER_TO_SELF"


async def test_a_quote_for_an_account_here_is_of_nothing_and_good_for_nobody_else(house: House) -> None:
    body = {"network": "ethereum", "asset": "USDT", "amount": "20", "recipient": OTHERS}
    quote = (await house.post("/v1/withdrawals/quote", body)).json()
    assert (quote["fee"], quote["total"], quote["network_cost"]) == ("0", "20", None)
    assert (quote["network_fee_cap"], quote["eta_seconds"]) == ("0", 0)
    outside = await house.ask(amount="20", quote_id=quote["quote_id"])
    assert (outside.status_code, code_of(outside)) == (422, "QUOTE_MISMATCH")
    inside = await house.ask(amount="20", recipient=OTHERS, quote_id=quote["quote_id"])
    assert (inside.status_code, inside.json()["fee"]) == (202, "0")


async def test_a_quote_made_before_the_recipient_was_known_takes_nothing_from_a_transfer(house: House) -> None:
    now = datetime.now(UTC)
    made = await house.store.books.make_quote("acme", USDT, str(20 * COIN), str(COIN), now, now + timedelta(seconds=60))
    body = house.body(amount="20", recipient=OTHERS, quote_id=made.id)
    for _ in range(2):
        accepted = await house.ask(body, key="free-anyway")
        assert (accepted.status_code, accepted.json()["fee"]) == (202, "0"), accepted.text
    outside = await house.ask(amount="20", quote_id=made.id)
    assert (outside.status_code, outside.json()["fee"]) == (202, "1"), "the promise is still there for a withdrawal"


async def test_the_minimum_holds_for_transfers_too(house: House) -> None:
    assert code_of(await house.ask(amount="0.01", recipient=OTHERS)) == "AMOUNT_BELOW_MINIMUM"


async def test_an_address_given_out_after_the_door_returns_the_fee_and_a_repeat_hears_of_it(house: House) -> None:
    address = "0x" + "c3" * 20
    body = house.body(amount="20", recipient=address)
    accepted = await house.ask(body, key="late")
    assert accepted.json()["fee"] == "1.5"
    canonical = accepted.json()["recipient"]
    await house.store.deposit_addresses.assign("other", "ethereum", canonical, AT)
    view = await settled(house, accepted.json()["id"])
    assert (view["stage"], view["fee"], view["total"]) == ("SETTLED", "0", "20")
    timeline = (await house.get(f"/v1/withdrawals/{view['id']}/timeline")).json()["items"]
    assert timeline[-1]["detail"] == {"fee_returned": "1500000"}
    again = await house.ask(body, key="late")
    assert (again.status_code, again.headers["Idempotent-Replayed"], again.json()["fee"]) == (202, "true", "0")


async def test_an_accepted_withdrawal_stands_though_its_recipient_became_the_senders_own(house: House) -> None:
    address = "0x" + "d4" * 20
    body = house.body(amount="20", recipient=address)
    before = await balance(house, "acme")
    accepted = await house.ask(body, key="mine-later")
    await house.store.deposit_addresses.assign("acme", "ethereum", accepted.json()["recipient"], AT)
    assert (await house.ask(body, key="mine-later")).status_code == 202
    assert (await settled(house, accepted.json()["id"]))["stage"] == "SETTLED"
    assert (await balance(house, "acme"))["available"] == before["available"]
