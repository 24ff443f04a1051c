"""Who may do what: every page declares a permission, every role holds its own, and a dead key is dead at once."""

import asyncio
import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from adapters.store.keys import ApiKey
from api import auth
from api.app import build
from api.auth import PERMISSIONS, Authenticator, Permission, RateLimiter, Role, needs, permission_of
from api.openapi import pages
from domain.errors import Refused
from tests.api.house import House, code_of, open_house

OPEN_PAGES = {"/livez", "/readyz", "/metrics", "/v1/time", "/v1/problems/{code}", "/codec/decode", "/codec/encode"}
ABSENT = "wd_" + "a" * 26
# What each role is answered: anything but 401 and 403 means the page let it in.
PAGES = {
    ("GET", "/v1/withdrawals"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", f"/v1/withdrawals/{ABSENT}"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", f"/v1/withdrawals/{ABSENT}/timeline"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", "/v1/withdrawals/by-ref/x?account=acme"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", "/v1/accounts/acme/balances"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", "/v1/assets"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", "/v1/networks"): {"acme", "olga", "ann", "ada", "max"},
    ("GET", "/v1/address-book"): {"acme", "olga", "ann", "ada", "max"},
    ("POST", "/v1/address-book"): {"acme", "olga"},
    ("POST", "/v1/address-book/ad_aaaaaaaaaaaaaaaaaaaaaaaaaa/retire"): {"acme", "olga"},
    ("POST", "/v1/addresses/validate"): {"acme", "olga", "ann", "ada", "max"},
    ("POST", "/v1/withdrawals"): {"acme", "olga"},
    ("POST", "/v1/withdrawals/quote"): {"acme", "olga"},
    ("POST", f"/v1/withdrawals/{ABSENT}/approve"): {"ann"},
    ("POST", f"/v1/withdrawals/{ABSENT}/reject"): {"ann"},
    ("POST", f"/v1/withdrawals/{ABSENT}/cancel"): {"acme", "olga", "max"},
}


async def test_no_page_is_without_a_permission(house: House) -> None:
    declared = {path: permission_of(page) for path, _, page in pages(house.app)}
    assert {path for path, permission in declared.items() if permission is None} == OPEN_PAGES


def test_a_page_that_declares_nothing_cannot_be_built() -> None:
    async def forgotten() -> None: ...

    with pytest.raises(TypeError, match="declares no permission"):
        permission_of(forgotten)
    assert permission_of(needs(Permission.BALANCE_READ)(forgotten)) is Permission.BALANCE_READ


async def test_the_matrix_of_roles_covers_every_page_and_every_role(house: House) -> None:
    templates = {
        (method, path) for path, methods, page in pages(house.app) if permission_of(page) for method in methods
    }
    assert len(PAGES) == len(templates), f"the matrix and the pages differ: {sorted(templates)}"
    for (method, path), allowed in PAGES.items():
        for who in ("acme", "olga", "ann", "ada", "max", "nobody"):
            async with house.client(who) as client:
                answer = await client.request(method, path)
            if who == "nobody":
                assert (answer.status_code, code_of(answer)) == (401, "KEY_MISSING")
                assert answer.headers["www-authenticate"].startswith("Bearer")
            else:
                let_in = answer.status_code not in (401, 403)
                assert let_in is (who in allowed), f"{who} {method} {path}: {answer.status_code}"


def test_nobody_both_asks_and_decides() -> None:
    for role in Role:
        held = PERMISSIONS[role]
        assert not {Permission.WITHDRAWAL_REQUEST, Permission.WITHDRAWAL_DECIDE} <= held, role


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic abc", "Bearer sr_", "Bearer sr_x_y", "Bearer " + "a" * 500, "sr_abcd_" + "x" * 43],
)
async def test_what_is_no_key_opens_nothing(house: House, header: str) -> None:
    async with house.client("nobody", Authorization=header) as client:
        answer = await client.get("/v1/assets")
    assert answer.status_code == 401
    assert code_of(answer) in ("KEY_MISSING", "KEY_INVALID")


async def test_a_wrong_secret_an_unknown_key_and_a_revoked_key_look_alike(house: House) -> None:
    key, token = await house.store.keys.create("auditor", "eve")
    await house.store.keys.revoke(key.id, datetime.now(UTC))
    wrong = house.tokens["ada"][:-4] + "AAAA"
    details = set()
    for bad in (token, wrong, "sr_abcdefabcdef_" + "x" * 43):
        async with house.client("nobody", Authorization=f"Bearer {bad}") as client:
            answer = await client.get("/v1/assets")
        assert (answer.status_code, code_of(answer)) == (401, "KEY_INVALID")
        details.add(answer.json()["detail"])
    assert len(details) == 1


async def test_a_revoked_key_is_dead_within_five_seconds(house: House) -> None:
    key, house.tokens["brief"] = await house.store.keys.create("auditor", "brief")
    assert (await house.get("/v1/assets", "brief")).status_code == 200
    await house.store.keys.revoke(key.id, datetime.now(UTC))
    for _ in range(49):
        await asyncio.sleep(0.1)
        if (await house.get("/v1/assets", "brief")).status_code == 401:
            return
    raise AssertionError("the key still opens the door after five seconds")


async def test_an_expired_key_is_dead_though_it_was_seen_a_moment_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, now = "s" * 43, datetime.now(UTC)
    digest = hashlib.sha256(secret.encode()).digest()
    ring = Ring(ApiKey("abcd", digest, "auditor", "short", None, now, now + timedelta(hours=1), None))
    door = Authenticator(ring, lambda: 100.0)
    assert (await door.principal(f"Bearer sr_abcd_{secret}")).name == "short"
    monkeypatch.setattr(auth, "datetime", At(now + timedelta(hours=1)))
    with pytest.raises(Refused):
        await door.principal(f"Bearer sr_abcd_{secret}")
    assert ring.asked == 1


class At:
    """A calendar that stands still."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self, _zone: tzinfo) -> datetime:
        return self._moment


class Ring:
    """A keyring that counts how often it is asked."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = {key.id: key for key in keys}
        self.asked = 0

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        return self.keys.get(key_id)


async def test_a_key_is_looked_up_at_most_once_in_two_seconds() -> None:
    secret = "s" * 43
    now = [100.0]
    key = ApiKey(
        "abcd", hashlib.sha256(secret.encode()).digest(), "client", "bot", "acme", datetime.now(UTC), None, None
    )
    ring = Ring(key)
    door = Authenticator(ring, lambda: now[0])
    for _ in range(5):
        assert (await door.principal(f"Bearer sr_abcd_{secret}")).account == "acme"
    assert ring.asked == 1
    now[0] += 2.1
    del ring.keys["abcd"]
    with pytest.raises(Refused):
        await door.principal(f"Bearer sr_abcd_{secret}")
    assert ring.asked == 2


# ------------------------------------------------------------ rate
async def test_a_key_that_calls_too_often_is_told_when_to_come_back(database_url: str) -> None:
    async with open_house(database_url, per_minute=5) as house:
        answers = [await house.get("/v1/assets") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[0].headers["ratelimit-policy"] == '"key";q=5;w=60'
        assert answers[0].headers["ratelimit"].startswith('"key";r=4;t=')
        assert code_of(answers[-1]) == "RATE_LIMITED"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert (await house.get("/v1/assets", "other")).status_code == 200, "one key's haste is nobody else's"


async def test_guessing_keys_is_slowed_down(database_url: str) -> None:
    async with open_house(database_url, strangers=3) as house:
        statuses = []
        for n in range(5):
            async with house.client("nobody", Authorization=f"Bearer sr_guess{n}_{'x' * 43}") as client:
                statuses.append((await client.get("/v1/assets")).status_code)
        assert statuses == [401, 401, 401, 429, 429]
        assert (await house.get("/v1/assets")).status_code == 200, "whoever has a key is not kept waiting"


def test_an_allowance_comes_back_evenly_and_old_callers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    rate = RateLimiter(60, lambda: now[0])
    assert [rate.take("a").remaining for _ in range(60)] == list(range(59, -1, -1))
    with pytest.raises(Refused) as refused:
        rate.take("a")
    assert refused.value.facts["retry_after_s"] == 1
    now[0] += 1
    assert rate.take("a").remaining == 0, "one a second"
    now[0] += 600
    assert rate.take("a").remaining == 59, "never more than a minute's worth"
    monkeypatch.setattr(auth, "CALLERS_MAX", 100)
    for n in range(1000):
        rate.take(f"caller-{n}")
    assert len(rate._spread) <= 101


async def test_many_calls_at_once_with_one_key_look_it_up_once() -> None:
    ring = Ring()
    door = Authenticator(ring)
    answers = await asyncio.gather(
        *(door.principal("Bearer sr_abcd_" + "s" * 43) for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(answer, Refused) for answer in answers)
    assert ring.asked == 1


# ------------------------------------------------------------ the canary
async def test_no_key_and_no_signature_reaches_a_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        view = await house.referred()
        decision = house.decision("ann", view)
        await house.post(f"/v1/withdrawals/{view.id}/approve", decision, "ann")
        house.stories.up = False
        await house.ask()
        house.stories.up = True
        async with house.client("nobody", Authorization=f"Bearer {house.tokens['acme']}x") as client:
            await client.get("/v1/assets")
    said = caplog.text + json.dumps([record.__dict__ for record in caplog.records], default=repr)
    for who, token in house.tokens.items():
        assert token not in said, f"the key of {who} is in the log"
        assert token.split("_", 2)[2] not in said
    assert decision["signature"] not in said
    assert "TEMPORAL_UNAVAILABLE" in said, "the log was listened to"


def test_the_application_is_built_without_opening_anything() -> None:
    def never(*_: object) -> None:
        raise AssertionError("opened")

    assert build(never).openapi()["openapi"].startswith("3.1")  # type: ignore[arg-type]
