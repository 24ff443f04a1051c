"""A withdrawal is asked for once, however often it is sent, and its money is held in the same breath."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.withdrawal import withdrawal_id
from tests.api.house import RECIPIENT, House, code_of


async def balances(house: House, account: str = "acme") -> dict[str, dict[str, str]]:
    """What the account has of each asset on Ethereum, by its code."""
    answer = await house.get(f"/v1/accounts/{account}/balances", account)
    return {row["asset"]: row for row in answer.json()["items"] if row["network"] == "ethereum"}


async def test_a_withdrawal_is_accepted_with_its_place_and_its_money_held(house: House) -> None:
    before = (await balances(house))["USDT"]
    answer = await house.ask(client_ref="first", amount="12.5")
    assert answer.status_code == 202
    row = answer.json()
    assert row["id"] == withdrawal_id("acme", "first")
    assert answer.headers["location"] == f"/v1/withdrawals/{row['id']}"
    assert (row["stage"], row["amount"], row["fee"], row["total"]) == ("REQUESTED", "12.5", "1.5", "14")
    assert "idempotent-replayed" not in answer.headers
    after = (await balances(house))["USDT"]
    assert float(before["available"]) - float(after["available"]) == 14
    assert float(after["held"]) - float(before["held"]) == 14
    assert house.stories.submitted[-1].id == row["id"]
    assert house.stories.submitted[-1].summary == "12.5 USDT on Ethereum for acme"


async def test_the_same_key_and_body_replay_the_first_answer(house: House) -> None:
    body = house.body()
    first = await house.ask(body, key="replayed")
    held, handed = (await balances(house))["USDT"]["held"], len(house.stories.submitted)
    again = await house.ask(dict(reversed(body.items())), key="replayed")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert (await balances(house))["USDT"]["held"] == held
    assert len(house.stories.submitted) == handed, "a replay starts nothing"


async def test_the_same_key_with_another_body_is_refused(house: House) -> None:
    await house.ask(key="reused")
    assert code_of(await house.ask(key="reused")) == "IDEMPOTENCY_KEY_REUSED"


async def test_of_the_same_call_sent_twice_at_once_one_acts_and_the_other_is_told_to_wait(house: House) -> None:
    body = house.body()
    answers = await asyncio.gather(*(house.ask(body, key="at-once") for _ in range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(202) >= 1
    assert set(statuses) <= {202, 409}
    assert all(code_of(a) == "IDEMPOTENCY_IN_PROGRESS" for a in answers if a.status_code == 409)
    assert len({a.json()["id"] for a in answers if a.status_code == 202}) == 1
    assert 409 in statuses, "the second call came while the first was at work"


async def test_a_client_ref_names_one_withdrawal_for_ever(house: House) -> None:
    body = house.body(client_ref="for-ever")
    first = await house.ask(body, key="ref-1")
    again = await house.ask(body, key="ref-2")
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert code_of(await house.ask({**body, "amount": "11"}, key="ref-3")) == "CLIENT_REF_TAKEN"
    assert (await house.ask({**body, "client_ref": "for-ever"}, who="other", key="ref-1")).status_code == 202, (
        "another account's references and keys are its own"
    )


async def test_two_accounts_never_share_idempotency_keys_though_their_owners_have_one_name(house: House) -> None:
    for account in ("acme", "other"):
        house.tokens[f"bot of {account}"] = (await house.store.keys.create("client", "bot", account))[1]
    for account in ("acme", "other"):
        answer = await house.ask(who=f"bot of {account}", key="shared", amount="2", client_ref=f"bot-{account}")
        assert answer.status_code == 202
    again = await house.ask(who="acme", key="shared", amount="3")
    assert code_of(again) == "IDEMPOTENCY_KEY_REUSED", "all keys of one account share theirs"


async def test_two_hundred_requests_at_once_never_take_more_than_there_is(house: House) -> None:
    await house.store.books.ensure_account("crowd")
    _, token = await house.store.keys.create("client", "crowd-bot", "crowd")
    house.tokens["crowd"] = token
    await house.fund(50 * 11_500_000, "crowd")
    answers = await asyncio.gather(*(house.ask(who="crowd") for _ in range(200)))
    accepted = [a for a in answers if a.status_code == 202]
    assert len(accepted) == 50
    assert {code_of(a) for a in answers if a.status_code != 202} == {"INSUFFICIENT_FUNDS"}
    rows = await balances(house, "crowd")
    assert (rows["USDT"]["available"], rows["USDT"]["held"]) == ("0", "575")


async def test_too_little_money_is_refused_at_once_and_nothing_remains(house: House) -> None:
    before, handed = await balances(house, "other"), len(house.stories.submitted)
    answer = await house.ask(who="other", client_ref="too-much", amount="99999", key="broke")
    assert (answer.status_code, code_of(answer)) == (422, "INSUFFICIENT_FUNDS")
    assert await balances(house, "other") == before
    assert (await house.get("/v1/withdrawals/by-ref/too-much", "other")).status_code == 404
    assert len(house.stories.submitted) == handed
    assert (await house.ask(who="other", client_ref="too-much", amount="2", key="broke")).status_code == 202, (
        "a refusal uses up neither the key nor the reference"
    )


async def test_an_operator_asks_for_an_account_and_says_which(house: House) -> None:
    assert code_of(await house.ask(who="olga")) == "ACCOUNT_REQUIRED"
    assert code_of(await house.ask(who="olga", account="nobody")) == "ACCOUNT_UNKNOWN"
    answer = await house.ask(who="olga", account="acme", client_ref="by-olga")
    assert answer.status_code == 202
    view = (await house.get(f"/v1/withdrawals/{answer.json()['id']}")).json()
    assert (view["account"], view["requester"]) == ("acme", "olga")
    assert code_of(await house.ask(account="other")) == "ACCOUNT_NOT_YOURS"
    assert (await house.ask(account="acme")).status_code == 202, "one's own account may be named"


async def test_a_known_outage_of_temporal_is_503_before_anything_is_written_and_the_same_key_works_later(
    house: House,
) -> None:
    body, before = house.body(client_ref="outage"), await balances(house)
    house.stories.up = False
    answer = await house.ask(body, key="outage")
    house.stories.up = True
    assert (answer.status_code, code_of(answer)) == (503, "TEMPORAL_UNAVAILABLE")
    assert answer.headers["retry-after"]
    assert await balances(house) == before
    assert (await house.ask(body, key="outage")).status_code == 202


# ------------------------------------------------------------ quotes
async def quoted(house: House, amount: str = "20") -> dict[str, str]:
    answer = await house.post("/v1/withdrawals/quote", {"network": "ethereum", "asset": "USDT", "amount": amount})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_quote_says_what_it_costs_how_long_it_takes_and_until_when_it_holds(house: House) -> None:
    quote = await quoted(house)
    assert (quote["amount"], quote["fee"], quote["net"], quote["total"]) == ("20", "1.5", "20", "21.5")
    assert (quote["network_fee_cap"], quote["network_fee_asset"]) == ("0.03", "ETH")
    assert quote["network_cost"] is None, "this house knows no node"
    assert quote["eta_seconds"] == 4, "one block to be included in and three confirmations, a second each"
    assert timedelta(0) < datetime.fromisoformat(quote["expires_at"]) - datetime.now(UTC) <= timedelta(seconds=60)


async def test_a_quote_is_honoured_even_when_the_fee_has_changed(house: House) -> None:
    now = datetime.now(UTC)
    made = await house.store.books.make_quote(
        "acme", "USDT-ETHEREUM", "20000000", "700000", now, now + timedelta(seconds=60)
    )
    answer = await house.ask(amount="20", quote_id=made.id)
    assert (answer.status_code, answer.json()["fee"], answer.json()["total"]) == (202, "0.7", "20.7")


async def test_a_quote_for_something_else_or_of_somebody_else_is_refused(house: House) -> None:
    quote = await quoted(house)
    assert code_of(await house.ask(amount="21", quote_id=quote["quote_id"])) == "QUOTE_MISMATCH"
    assert code_of(await house.ask(amount="20", quote_id="qt_nothing")) == "QUOTE_UNKNOWN"
    assert code_of(await house.ask(who="other", amount="20", quote_id=quote["quote_id"])) == "QUOTE_UNKNOWN"


async def test_an_expired_quote_is_refused_but_a_repeated_call_still_hears_its_first_answer(house: House) -> None:
    then = datetime.now(UTC) - timedelta(seconds=61)
    old = await house.store.books.make_quote(
        "acme", "USDT-ETHEREUM", "20000000", "1500000", then, then + timedelta(seconds=60)
    )
    answer = await house.ask(amount="20", quote_id=old.id)
    assert (answer.status_code, code_of(answer)) == (409, "QUOTE_EXPIRED")

    now = datetime.now(UTC)
    short = await house.store.books.make_quote(
        "acme", "USDT-ETHEREUM", "20000000", "900000", now, now + timedelta(seconds=3)
    )
    body = house.body(amount="20", quote_id=short.id)
    first = await house.ask(body, key="short-quote")
    assert first.status_code == 202
    await asyncio.sleep((short.expires_at - datetime.now(UTC)).total_seconds() + 0.1)
    again = await house.ask(body, key="short-quote")
    assert (again.status_code, again.json()) == (202, first.json())


# ------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount": 10.5}, 422, "AMOUNT_NOT_STRING"),
        ({"amount": 10}, 422, "AMOUNT_NOT_STRING"),
        ({"amount": "-1"}, 422, "AMOUNT_MALFORMED"),
        ({"amount": "1e3"}, 422, "AMOUNT_MALFORMED"),
        ({"amount": "1,5"}, 422, "AMOUNT_MALFORMED"),
        ({"amount": " 1"}, 422, "AMOUNT_MALFORMED"),
        ({"amount": "NaN"}, 422, "AMOUNT_MALFORMED"),
        ({"amount": "١٢"}, 422, "AMOUNT_MALFORMED"),
        ({"amount": ""}, 422, "AMOUNT_MALFORMED"),
        ({"amount": "1.1234567"}, 422, "AMOUNT_TOO_PRECISE"),
        ({"asset": "ETH", "amount": "1.1234567890123456789"}, 422, "AMOUNT_TOO_PRECISE"),
        ({"amount": "0"}, 422, "AMOUNT_BELOW_MINIMUM"),
        ({"amount": "0.999999"}, 422, "AMOUNT_BELOW_MINIMUM"),
        ({"amount": "9" * 60}, 422, "INSUFFICIENT_FUNDS"),
        ({"asset": "ETH", "amount": "9" * 60 + ".5"}, 422, "AMOUNT_TOO_LARGE"),
        ({"network": "dogecoin"}, 422, "NETWORK_UNKNOWN"),
        ({"asset": "DOGE"}, 422, "ASSET_UNKNOWN"),
        ({"recipient": "0x52908400098527886e0F7030069857D2E4169EE7"}, 422, "ADDRESS_CHECKSUM"),
        ({"recipient": "0x5290"}, 422, "ADDRESS_MALFORMED"),
        ({"recipient": "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"}, 422, "ADDRESS_WRONG_NETWORK"),
        ({"recipient": "0x" + "0" * 40}, 422, "ADDRESS_ZERO"),
        ({"recipient": "0x" + "0" * 39 + "1"}, 422, "ADDRESS_PRECOMPILE"),
        ({"recipient": "0xde709f2102306220921060314715629080e2fb77"}, 422, "ADDRESS_OURS"),
        ({"surprise": "x"}, 422, "VALIDATION"),
        ({"recipient": None}, 422, "VALIDATION"),
        ({"client_ref": ""}, 422, "VALIDATION"),
        ({"client_ref": "a b"}, 422, "VALIDATION"),
        ({"client_ref": "x" * 65}, 422, "VALIDATION"),
        ({"client_ref": "nul\x00"}, 422, "VALIDATION"),
        ({"recipient": RECIPIENT + "\n"}, 422, "VALIDATION"),
        ({"network": ["ethereum"]}, 422, "VALIDATION"),
        ({"quote_id": "../x"}, 422, "VALIDATION"),
    ],
)
async def test_bad_input_is_refused_with_its_own_code_and_holds_nothing(
    house: House, changes: dict[str, Any], status: int, code: str
) -> None:
    before = await balances(house)
    answer = await house.ask(**changes)
    assert (answer.status_code, code_of(answer)) == (status, code), answer.text
    assert await balances(house) == before


async def test_a_token_contract_is_no_recipient(house: House) -> None:
    contract = house.catalogue.assets["USDT-ETHEREUM"].contract
    assert code_of(await house.ask(recipient=contract)) == "ADDRESS_TOKEN_CONTRACT"


async def test_every_fault_of_a_body_is_pointed_at(house: House) -> None:
    answer = await house.ask({"client_ref": "x" * 65, "network": "ethereum", "amount": 1.5, "a/b~": 1})
    faults = {(row["pointer"], row["code"]) for row in answer.json()["errors"]}
    assert faults == {
        ("#/client_ref", "TOO_LONG"),
        ("#/asset", "MISSING"),
        ("#/amount", "AMOUNT_NOT_STRING"),
        ("#/recipient", "MISSING"),
        ("#/a~1b~0", "UNKNOWN_FIELD"),
    }


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "IDEMPOTENCY_KEY_MISSING"),
        ({"Idempotency-Key": ""}, "IDEMPOTENCY_KEY_MALFORMED"),
        ({"Idempotency-Key": "a b"}, "IDEMPOTENCY_KEY_MALFORMED"),
        ({"Idempotency-Key": "x" * 65}, "IDEMPOTENCY_KEY_MALFORMED"),
    ],
)
async def test_a_call_without_a_usable_idempotency_key_is_refused(
    house: House, headers: dict[str, str], code: str
) -> None:
    async with house.client() as client:
        answer = await client.post("/v1/withdrawals", json=house.body(), headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, code)


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "JSON_MALFORMED"),
        (b"\xff\xfe", "application/json", 400, "JSON_NOT_UTF8"),
        (b'{"amount": "1", "amount": "2"}', "application/json", 400, "JSON_DUPLICATE_KEY"),
        (b'{"amount": NaN}', "application/json", 400, "JSON_MALFORMED"),
        (b"[" * 60_000, "application/json", 400, "JSON_TOO_DEEP"),
        (b"[]", "application/json", 422, "VALIDATION"),
        (b"null", "application/json", 422, "VALIDATION"),
        (b"", "application/json", 422, "VALIDATION"),
        (b"x" * 1_000_000, "application/json", 413, "BODY_TOO_LARGE"),
        (b"{}", "text/plain", 415, "CONTENT_TYPE"),
        (b"{}", "", 415, "CONTENT_TYPE"),
        (b"amount=1", "application/x-www-form-urlencoded", 415, "CONTENT_TYPE"),
    ],
)
async def test_a_body_that_is_not_plain_json_is_refused(
    house: House, raw: bytes, content_type: str, status: int, code: str
) -> None:
    async with house.client() as client:
        headers = {"Idempotency-Key": "raw"} | ({"Content-Type": content_type} if content_type else {})
        answer = await client.post("/v1/withdrawals", content=raw, headers=headers)
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_a_stream_that_never_says_its_length_is_cut_off_at_the_limit(house: House) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 10_000_000:
            taken += 8192
            yield b" " * 8192

    async with house.client() as client:
        headers = {"Idempotency-Key": "endless", "Content-Type": "application/json"}
        answer = await client.post("/v1/withdrawals", content=endless(), headers=headers)
    assert (answer.status_code, code_of(answer)) == (413, "BODY_TOO_LARGE")
