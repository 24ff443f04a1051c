"""Is it alive, is it ready, what does it measure; and what happens when the database is killed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from ops.bench.scratch import Cluster
from tests.api.house import House, code_of, open_house


async def test_it_is_alive_and_ready_and_knows_the_time(house: House) -> None:
    assert (await house.get("/livez", "nobody")).json() == {"alive": True}
    ready = await house.get("/readyz", "nobody")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    now = (await house.get("/v1/time", "nobody")).json()
    assert abs(datetime.fromisoformat(now["now"]) - datetime.now(UTC)).total_seconds() < 5
    assert abs(now["epoch_ms"] / 1000 - datetime.now(UTC).timestamp()) < 5


async def test_without_temporal_it_is_alive_and_says_why_it_is_not_ready(house: House) -> None:
    house.stories.up = False
    ready = await house.get("/readyz", "nobody")
    house.stories.up = True
    assert ready.status_code == 503
    assert ready.json()["temporal"] == {"ok": False, "reason": "switched off"}
    assert ready.json()["database"]["ok"] is True


async def test_metrics_count_requests_by_template_and_withdrawals_by_stage(house: House) -> None:
    id_ = (await house.ask()).json()["id"]
    await house.get(f"/v1/withdrawals/{id_}")
    text = (await house.get("/metrics", "nobody")).text
    assert 'route="/v1/withdrawals/{withdrawal_id}",status="200"' in text
    assert id_ not in text, "a metric never names a withdrawal"
    assert 'strongroom_withdrawals{stage="REQUESTED"}' in text
    assert 'strongroom_hot_wallet_halted{network="ethereum"' in text
    assert "strongroom_request_to_broadcast_seconds" in text


async def _until_down(house: House) -> None:
    """A backend outlives its killed server for the moment that it takes to notice."""
    for _ in range(600):
        if (await house.get("/readyz", "nobody")).status_code == 503:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the killed database went on answering")


async def test_a_killed_database_is_503_and_the_same_key_works_when_it_is_back(
    start_cluster: Callable[[], Cluster],
) -> None:
    """Nothing is lost and nothing is done twice, whatever the caller was told."""
    cluster = await asyncio.to_thread(start_cluster)
    async with open_house(await asyncio.to_thread(cluster.migrated)) as house:
        body = house.body(client_ref="through-the-kill")
        assert (await house.ask(key="before")).status_code == 202
        storm = [asyncio.create_task(house.ask(key=f"storm-{n}", client_ref=f"storm-{n}")) for n in range(30)]
        await asyncio.sleep(0.02)
        await asyncio.to_thread(cluster.server.kill)
        during = await asyncio.gather(*storm)
        assert {answer.status_code for answer in during} <= {202, 503}
        await _until_down(house)
        answer = await house.ask(body, key="kill")
        assert answer.status_code == 503
        assert code_of(answer) in ("STORE_UNAVAILABLE", "STORE_UNCERTAIN")
        assert answer.headers["retry-after"]
        ready = await house.get("/readyz", "nobody")
        assert (ready.status_code, ready.json()["database"]["ok"]) == (503, False)
        assert (await house.get("/livez", "nobody")).status_code == 200
        assert (await house.get("/metrics", "nobody")).status_code == 200, "metrics do not need the database"

        await asyncio.to_thread(cluster.server.start)
        assert (await house.ask(body, key="kill")).status_code == 202
        again = await asyncio.gather(*(house.ask(key=f"storm-{n}", client_ref=f"storm-{n}") for n in range(30)))
        assert {answer.status_code for answer in again} == {202}
        rows = (await house.get("/v1/accounts/acme/balances")).json()["items"]
        held = {(row["asset"], row["network"]): row["held"] for row in rows}
        assert held["USDT", "ethereum"] == f"{11.5 * 32:g}", "32 withdrawals, each held once"
