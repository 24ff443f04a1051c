"""Following a withdrawal: the row, its timeline and lists; everybody sees what is theirs, and no more."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from domain.procedure import Kind, Procedure
from tests.api.house import RECIPIENT, UI, House, code_of


async def made(house: House, **changes: Any) -> str:
    answer = await house.ask(**changes)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def test_a_withdrawal_shows_amounts_in_whole_coins_its_stage_in_words_and_who_moves_next(house: House) -> None:
    id_ = await made(house, amount="12.50", client_ref="seen")
    row = (await house.get(f"/v1/withdrawals/{id_}")).json()
    assert (row["amount"], row["fee"], row["total"]) == ("12.5", "1.5", "14")
    assert (row["network"], row["asset"], row["recipient"]) == ("ethereum", "USDT", RECIPIENT)
    assert row["stage_sentence"].startswith("Accepted at the door")
    assert row["next_action"] == {"who": "policy", "what": "judge the withdrawal", "deadline": None}
    assert datetime.fromisoformat(row["created_at"]).tzinfo is not None
    assert row["created_at"].endswith("Z")
    assert row["history"] is None, "the workflow's history is for staff"


async def test_a_referred_withdrawal_shows_its_intent_and_how_far_the_quorum_is(house: House) -> None:
    view = await house.referred()
    for who in ("acme", "ann", "olga", "ada"):
        row = (await house.get(f"/v1/withdrawals/{view.id}", who)).json()
        assert row["stage"] == "REFERRED"
        assert row["intent_hash"] == view.intent_hash
        assert row["intent"]["recipient"] == RECIPIENT
        assert row["intent"]["amount"] == "1500000000"
        assert row["quorum"] == {"needed": 2, "approvals": []}
        assert row["next_action"]["who"] == "approvers"
        assert "2 more approvals" in row["next_action"]["what"]
        assert row["next_action"]["deadline"] == row["expires_at"]
        assert (row["history"] == f"{UI}/namespaces/default/workflows/withdrawal%2F{view.id}") is (who != "acme")


async def test_the_timeline_tells_every_step_with_its_actor_and_deadline(house: House) -> None:
    view = await house.referred()
    rows = (await house.get(f"/v1/withdrawals/{view.id}/timeline")).json()["items"]
    assert [row["stage"] for row in rows] == ["REQUESTED", "REFERRED"]
    assert rows[0]["actor"] == "acme-bot"
    assert rows[0]["sentence"].startswith("Accepted at the door")
    assert rows[1]["next_action"]["deadline"]
    assert [row["seq"] for row in rows] == [1, 2]


async def test_another_clients_withdrawal_does_not_exist(house: House) -> None:
    id_ = await made(house, client_ref="mine/alone")
    absent = "wd_" + "a" * 26
    for path in (id_, f"{id_}/timeline", "by-ref/mine%2Falone"):
        answer = await house.get(f"/v1/withdrawals/{path}", "other")
        assert (answer.status_code, code_of(answer)) == (404, "WITHDRAWAL_UNKNOWN")
    for verb in ("cancel",):
        answer = await house.post(f"/v1/withdrawals/{id_}/{verb}", who="other")
        assert (answer.status_code, code_of(answer)) == (404, "WITHDRAWAL_UNKNOWN")
    theirs = await house.get(f"/v1/withdrawals/{id_}", "other")
    nobodys = await house.get(f"/v1/withdrawals/{absent}", "other")
    for answer in (theirs, nobodys):
        assert set(answer.json()) == set(nobodys.json())
        assert answer.json()["detail"] == nobodys.json()["detail"], "the answer does not tell one from the other"


@pytest.mark.parametrize("id_", ["x", "wd_", "wd_" + "A" * 26, "wd_" + "a" * 27, "%00", "a" * 3000])
async def test_what_is_no_id_is_not_found(house: House, id_: str) -> None:
    assert code_of(await house.get(f"/v1/withdrawals/{id_}")) == "WITHDRAWAL_UNKNOWN"


async def test_a_client_ref_finds_its_withdrawal(house: House) -> None:
    id_ = await made(house, client_ref="inv/2026?#1")
    path = f"/v1/withdrawals/by-ref/{quote('inv/2026?#1', safe='')}"
    assert (await house.get(path)).json()["id"] == id_
    assert (await house.get(f"{path}?account=acme", "ada")).json()["id"] == id_
    assert code_of(await house.get(path, "ada")) == "ACCOUNT_REQUIRED"
    assert code_of(await house.get(f"{path}?account=other", "ada")) == "WITHDRAWAL_UNKNOWN"
    assert code_of(await house.get("/v1/withdrawals/by-ref/never")) == "WITHDRAWAL_UNKNOWN"


# ------------------------------------------------------------ lists
async def test_a_list_pages_newest_first_by_cursor_and_misses_nothing_while_rows_are_added(house: House) -> None:
    asked = [await made(house, amount="2") for _ in range(7)]
    page = await house.get("/v1/withdrawals?limit=3")
    seen = [row["id"] for row in page.json()["items"]]
    await made(house, amount="2")
    while page.json()["next_cursor"]:
        link = page.headers["link"]
        assert link.endswith('; rel="next"')
        page = await house.get(link[1 : link.index(">")])
        seen += [row["id"] for row in page.json()["items"]]
    assert seen[:7] == asked[::-1]
    assert len(seen) == len(set(seen))
    assert "link" not in page.headers


async def test_filters_narrow_a_list(house: House) -> None:
    view = await house.referred()

    async def ids(query: str, who: str = "acme") -> set[str]:
        answer = await house.get(f"/v1/withdrawals?limit=200&{query}", who)
        assert answer.status_code == 200, answer.text
        return {row["id"] for row in answer.json()["items"]}

    assert view.id in await ids("stage=REFERRED")
    assert view.id not in await ids("stage=SETTLED")
    assert view.id in await ids("network=ethereum&asset=USDT")
    assert view.id not in await ids("network=tron&asset=USDT")
    assert view.id not in await ids("asset=TRX"), "a code that only one network has needs no network"
    assert view.id in await ids("account=acme", "ada")
    assert view.id not in await ids("account=other", "ada")
    soon, past = (quote((datetime.now(UTC) + timedelta(hours=h)).isoformat()) for h in (1, -1))
    assert view.id in await ids(f"created_from={past}&created_to={soon}")
    assert await ids(f"created_from={soon}") == set()
    assert await ids("account=acme") == await ids("")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("cursor=nonsense", 400, "CURSOR_INVALID"),
        ("cursor=MXx4fHk", 400, "CURSOR_INVALID"),
        ("cursor=", 422, "VALIDATION"),
        ("limit=0", 422, "VALIDATION"),
        ("limit=201", 422, "VALIDATION"),
        ("limit=ten", 422, "VALIDATION"),
        ("stage=LOST", 422, "VALIDATION"),
        ("created_from=yesterday", 422, "VALIDATION"),
        ("created_from=2026-11-21T00:00:00", 422, "VALIDATION"),
        ("created_from=0001-01-01T00:00:00%2B14:00", 422, "VALIDATION"),
        ("created_to=9999-12-31T23:59:59-14:00", 422, "VALIDATION"),
        ("colour=red", 422, "VALIDATION"),
        ("asset=DOGE", 422, "ASSET_UNKNOWN"),
        ("asset=USDT", 422, "NETWORK_REQUIRED"),
        ("network=moon&asset=USDT", 422, "NETWORK_UNKNOWN"),
        ("network=%00", 422, "VALIDATION"),
        ("account=other", 403, "ACCOUNT_NOT_YOURS"),
    ],
)
async def test_a_list_refuses_what_it_cannot_mean(house: House, query: str, status: int, code: str) -> None:
    answer = await house.get(f"/v1/withdrawals?{query}")
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_a_page_without_parameters_takes_none(house: House) -> None:
    answer = await house.get("/v1/assets?verbose=1")
    assert (answer.status_code, code_of(answer)) == (422, "VALIDATION")
    assert answer.json()["errors"][0]["parameter"] == "verbose"


# ------------------------------------------------------------ accounts and the catalogue
async def test_balances_are_the_accounts_own(house: House) -> None:
    answer = await house.get("/v1/accounts/other/balances", "other")
    rows = {(row.pop("asset"), row.pop("network")): row for row in answer.json()["items"]}
    assert set(rows) == {(asset.code, asset.network) for asset in house.catalogue.assets.values()}
    assert rows.pop(("USDT", "ethereum")) == {"available": "100", "held": "0", "total": "100"}
    assert all(row == {"available": "0", "held": "0", "total": "0"} for row in rows.values())
    assert (await house.get("/v1/accounts/other/balances", "ada")).json() == answer.json()
    for who, account in (("acme", "other"), ("acme", "nobody"), ("ada", "nobody"), ("ada", "%00")):
        refused = await house.get(f"/v1/accounts/{account}/balances", who)
        assert (refused.status_code, code_of(refused)) == (404, "ACCOUNT_UNKNOWN")


async def test_assets_and_networks_say_what_a_client_must_know_before_asking(house: House) -> None:
    rows: httpx.Response = await house.get("/v1/assets")
    assets = {(row["code"], row["network"]): row for row in rows.json()["items"]}
    assert set(assets) == {(asset.code, asset.network) for asset in house.catalogue.assets.values()}
    usdt = assets["USDT", "ethereum"]
    assert (usdt["withdraw_min"], usdt["withdraw_fee"], usdt["withdraw_integer_multiple"]) == ("1", "1.5", "0.000001")
    networks = await networks_of(house)
    assert list(networks) == list(house.catalogue.networks)
    assert (networks["ethereum"]["min_confirm"], networks["tron"]["min_confirm"]) == (3, 4)
    assert not any(row["busy"] for row in networks.values())
    await house.store.books.halt_wallet("ethereum", "0xde709f2102306220921060314715629080e2fb77", "seen", house_now())
    busy = [name for name, row in (await networks_of(house)).items() if row["busy"]]
    assert busy == ["ethereum"], "a halt on one network leaves the others alone"
    wallet = "0xde709f2102306220921060314715629080e2fb77"
    resume = Procedure(Kind.RESUME, f"ethereum/{wallet}", "looked", "seen", "now")
    endorsed = house.people.endorse(resume, "ann", "ben")
    assert (await house.store.books.take_procedure("ethereum", wallet, endorsed, house_now())).taken


async def networks_of(house: House) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in (await house.get("/v1/networks")).json()["items"]}


def house_now() -> datetime:
    return datetime.now(UTC)
