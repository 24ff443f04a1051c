"""Addresses over HTTP: checked before money is sent, kept in a book, and never mistaken for another."""

from typing import Any

import httpx
import pytest

from tests.api.house import RECIPIENT, WALLET, House, code_of

TRON = "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"
USDT_CONTRACT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
POISON = "0x529" + "a" * 34 + "ee7"  # the ends of RECIPIENT


async def check(house: House, address: str, who: str = "acme", **changes: Any) -> dict[str, Any]:
    body = {"network": "ethereum", "asset": "USDT", "address": address, **changes}
    answer = await house.post("/v1/addresses/validate", body, who)
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    assert verdict["valid"] is (verdict["code"] is None)
    return verdict


async def keep(house: House, address: str = RECIPIENT, label: str = "our desk", **changes: Any) -> httpx.Response:
    body = {"network": "ethereum", "address": address, "label": label, **changes}
    return await house.post("/v1/address-book", body)


async def test_a_right_address_comes_back_in_the_form_that_its_network_writes(house: House) -> None:
    verdict = await check(house, RECIPIENT.lower())
    assert (verdict["valid"], verdict["address"], verdict["detail"]) == (True, RECIPIENT, None)
    tron = await check(house, TRON, network="tron")
    assert (tron["valid"], tron["address"], tron["also_valid_on"]) == (True, TRON, [])


@pytest.mark.parametrize(
    ("network", "address", "code"),
    [
        ("ethereum", TRON, "ADDRESS_WRONG_NETWORK"),
        ("tron", RECIPIENT, "ADDRESS_WRONG_NETWORK"),
        ("ethereum", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "ADDRESS_WRONG_NETWORK"),
        ("ethereum", RECIPIENT.replace("E7", "e7"), "ADDRESS_CHECKSUM"),
        ("tron", TRON[:-1] + "9", "ADDRESS_CHECKSUM"),
        ("ethereum", "0x" + "0" * 40, "ADDRESS_ZERO"),
        ("ethereum", "0x" + "0" * 39 + "1", "ADDRESS_PRECOMPILE"),
        ("ethereum", WALLET, "ADDRESS_OURS"),
        ("ethereum", "vitalik.eth", "ADDRESS_MALFORMED"),
        ("ethereum", "0x12", "ADDRESS_MALFORMED"),
    ],
)
async def test_a_wrong_address_is_an_answer_with_the_code_a_withdrawal_would_get(
    house: House, network: str, address: str, code: str
) -> None:
    verdict = await check(house, address, network=network)
    assert (verdict["valid"], verdict["code"], verdict["address"]) == (False, code, None)
    assert address not in verdict["detail"]
    refused = await house.ask(network=network, recipient=address)
    assert (refused.status_code, code_of(refused)) == (422, code)


async def test_the_contract_of_a_token_of_any_network_is_no_recipient(house: House) -> None:
    contracts = [a.contract for a in house.catalogue.assets.values() if a.contract and a.contract.startswith("0x")]
    assert contracts
    assert {(await check(house, str(contract)))["code"] for contract in contracts} == {"ADDRESS_TOKEN_CONTRACT"}


async def test_a_memo_is_said_to_be_one_too_many(house: House) -> None:
    assert (await check(house, RECIPIENT, memo="12345"))["code"] == "MEMO_NOT_TAKEN"


async def test_checking_needs_a_known_asset_and_network_and_no_more(house: House) -> None:
    for changes, code in (({"network": "dogecoin"}, "NETWORK_UNKNOWN"), ({"asset": "DOGE"}, "ASSET_UNKNOWN")):
        body = {"network": "ethereum", "asset": "USDT", "address": RECIPIENT, **changes}
        assert code_of(await house.post("/v1/addresses/validate", body)) == code
    for who in ("olga", "ann", "ada", "max"):
        assert (await check(house, RECIPIENT, who))["valid"]


async def test_an_address_with_the_ends_of_one_in_the_book_is_refused_and_counted(house: House) -> None:
    kept = await keep(house)
    assert kept.status_code == 201, kept.text
    entry = kept.json()
    assert (entry["address"], entry["label"], entry["account"]) == (RECIPIENT, "our desk", "acme")
    assert (await check(house, RECIPIENT))["valid"]

    verdict = await check(house, POISON)
    assert (verdict["code"], verdict["lookalike_of"]) == (
        "ADDRESS_LOOKALIKE",
        {"id": entry["id"], "label": "our desk"},
    )
    refused = await house.ask(recipient=POISON, client_ref="poisoned")
    assert (refused.status_code, code_of(refused)) == (422, "ADDRESS_LOOKALIKE")
    assert (await house.get("/v1/withdrawals/by-ref/poisoned")).status_code == 404, "nothing is held for it"
    metrics = (await house.get("/metrics", "ada")).text
    assert 'strongroom_refused_recipients_total{code="ADDRESS_LOOKALIKE"} 1.0' in metrics

    assert (await check(house, POISON, "olga", account="other"))["valid"], "another account's book does not speak"
    answer = await keep(house, POISON)
    assert code_of(answer) == "ADDRESS_LOOKALIKE"
    assert (await keep(house, POISON, "compared twice", although_alike=True)).status_code == 201
    assert (await house.ask(recipient=POISON)).status_code == 202, "a person who compared every character may"


async def test_a_repeat_of_an_accepted_withdrawal_stands_whatever_came_into_the_book_since(house: House) -> None:
    first = "0xabc" + "1" * 34 + "def"
    body = house.body(recipient=first)
    assert (await house.ask(body, key="stands")).status_code == 202
    assert (await keep(house, "0xabc" + "2" * 34 + "def", "newer")).status_code == 201
    again = await house.ask(body, key="stands")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")


async def test_an_entry_is_named_anew_taken_back_and_never_forgotten(house: House) -> None:
    address = "0x" + "77" * 20
    entry = (await keep(house, address, "first name")).json()
    renamed = (await keep(house, address, "second name")).json()
    assert (renamed["id"], renamed["label"], renamed["added_at"]) == (entry["id"], "second name", entry["added_at"])
    book = (await house.get("/v1/address-book")).json()["items"]
    assert [item["label"] for item in book if item["address"] == address] == ["second name"]
    for _ in range(2):
        gone = await house.post(f"/v1/address-book/{entry['id']}/retire")
        assert (gone.status_code, gone.json()["retired_at"] is None) == (200, False)
    book = (await house.get("/v1/address-book")).json()["items"]
    assert address not in [item["address"] for item in book]
    rows = await house.store.database.fetch(
        "events", "SELECT what, label, actor FROM address_event WHERE entry_id = $1 ORDER BY id", entry["id"]
    )
    assert [(row["what"], row["label"], row["actor"]) for row in rows] == [
        ("ADDED", "first name", "acme-bot"),
        ("ADDED", "second name", "acme-bot"),
        ("RETIRED", "second name", "acme-bot"),
    ]


async def test_a_book_is_its_accounts_own(house: House) -> None:
    entry = (await keep(house, "0x" + "88" * 20)).json()
    for id_ in (entry["id"], "ad_" + "a" * 26, "nonsense"):
        answer = await house.post(f"/v1/address-book/{id_}/retire", who="other")
        assert (answer.status_code, code_of(answer)) == (404, "ADDRESS_UNKNOWN")
    assert (await house.get("/v1/address-book", "other")).json()["items"] == []
    assert code_of(await house.get("/v1/address-book", "olga")) == "ACCOUNT_REQUIRED"
    assert (await house.get("/v1/address-book?account=acme", "ada")).status_code == 200
    for who in ("ann", "ada", "max"):
        denied = await house.post("/v1/address-book", {"network": "ethereum", "address": RECIPIENT, "label": "x"}, who)
        assert (denied.status_code, code_of(denied)) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"address": "0x12"}, "ADDRESS_MALFORMED"),
        ({"label": ""}, "VALIDATION"),
        ({"label": "x" * 65}, "VALIDATION"),
        ({"network": "dogecoin"}, "NETWORK_UNKNOWN"),
        ({"colour": "red"}, "VALIDATION"),
        ({"account": "other"}, "ACCOUNT_NOT_YOURS"),
    ],
)
async def test_what_is_no_entry_never_gets_into_a_book(house: House, change: dict[str, Any], code: str) -> None:
    body = {"network": "ethereum", "address": "0x" + "99" * 20, "label": "never", **change}
    assert code_of(await house.post("/v1/address-book", body)) == code
    items = (await house.get("/v1/address-book")).json()["items"]
    assert "never" not in [item["label"] for item in items]
