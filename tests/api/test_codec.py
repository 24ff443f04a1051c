"""The Temporal UI reads sealed payloads through us; a stranger's web page does not."""

import httpx

from tests.api.house import UI, House, code_of


def from_(house: House, address: str, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(house.app, raise_app_exceptions=False, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


async def test_the_ui_on_this_machine_is_answered_with_what_its_browser_needs(house: House) -> None:
    async with from_(house, "127.0.0.1", Origin=UI) as browser:
        asked = await browser.options(
            "/codec/decode?preserveStorageRefs=true", headers={"Access-Control-Request-Method": "POST"}
        )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == UI
        assert "x-namespace" in asked.headers["access-control-allow-headers"]
        answer = await browser.post("/codec/decode", content=b'{"payloads": []}', headers={"X-Namespace": "default"})
    assert (answer.status_code, answer.json()) == (200, {"payloads": []})
    assert answer.headers["access-control-allow-origin"] == UI
    assert house.sealed[-1] == b'{"payloads": []}'


async def test_a_strangers_page_is_refused_before_anything_is_opened(house: House) -> None:
    opened = len(house.sealed)
    async with from_(house, "127.0.0.1", Origin="https://evil.example") as browser:
        for answer in (await browser.options("/codec/decode"), await browser.post("/codec/decode", content=b"{}")):
            assert (answer.status_code, code_of(answer)) == (403, "ORIGIN_FOREIGN")
            assert "access-control-allow-origin" not in answer.headers
    assert len(house.sealed) == opened


async def test_from_another_machine_it_takes_a_key_that_may_read_payloads(house: House) -> None:
    async with from_(house, "10.1.2.3") as far:
        assert code_of(await far.post("/codec/decode", content=b"{}")) == "KEY_MISSING"
        for who, status in (("acme", 403), ("ann", 403), ("olga", 200), ("ada", 200)):
            headers = {"Authorization": f"Bearer {house.tokens[who]}"}
            assert (await far.post("/codec/decode", content=b"{}", headers=headers)).status_code == status


async def test_a_history_page_fits_and_a_flood_does_not(house: House) -> None:
    async with from_(house, "127.0.0.1") as near:
        assert (await near.post("/codec/encode", content=b" " * 1_000_000)).status_code == 200
        flood = await near.post("/codec/encode", content=b" " * 9_000_000)
    assert (flood.status_code, code_of(flood)) == (413, "BODY_TOO_LARGE")
