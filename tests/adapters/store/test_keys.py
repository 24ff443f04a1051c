"""API keys: shown once, kept as a digest, ended at will."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from adapters.store.database import Database, open_database
from adapters.store.keys import ApiKeys
from domain.errors import Refused

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, 2) as database:
        await database.write("client", "INSERT INTO client (name) VALUES ('acme')")
        yield database


@pytest.fixture
def keys(database: Database) -> ApiKeys:
    return ApiKeys(database)


async def test_a_key_is_found_by_its_id_and_its_secret_is_nowhere(keys: ApiKeys, database: Database) -> None:
    key, token = await keys.create("client", "acme-bot", "acme")
    prefix, id_, secret = token.split("_", 2)
    assert (prefix, id_) == ("sr", key.id)
    assert len(secret) == 43, "256 bits"
    found = await keys.find(id_)
    assert found == key
    assert found is not None
    assert found.secret_sha256 == hashlib.sha256(secret.encode()).digest()
    assert (found.role, found.principal, found.account, found.live(NOW)) == ("client", "acme-bot", "acme", True)
    rows = await database.fetch("keys", "SELECT api_key::text AS said FROM api_key")
    assert all(secret not in row["said"] for row in rows)
    assert secret not in repr(found)
    assert await keys.find("nothing") is None


async def test_a_key_ends_when_it_is_revoked_or_its_time_is_over(keys: ApiKeys) -> None:
    key, _ = await keys.create("operator", "olga")
    await keys.revoke(key.id, NOW)
    await keys.revoke(key.id, NOW + timedelta(days=1))
    found = await keys.find(key.id)
    assert found is not None
    assert (found.revoked_at, found.live(NOW)) == (NOW, False)
    short, _ = await keys.create("auditor", "ada", expires_at=NOW)
    assert short.live(NOW - timedelta(seconds=1))
    assert not short.live(NOW)
    with pytest.raises(Refused) as caught:
        await keys.revoke("nothing", NOW)
    assert caught.value.code == "KEY_UNKNOWN"


@pytest.mark.parametrize(
    ("role", "principal", "account", "code"),
    [
        ("king", "olga", None, "ROLE_UNKNOWN"),
        ("operator", "", None, "PRINCIPAL_MALFORMED"),
        ("operator", "o\x00", None, "PRINCIPAL_MALFORMED"),
        ("operator", "o" * 65, None, "PRINCIPAL_MALFORMED"),
        ("client", "bot", None, "ACCOUNT_REQUIRED"),
        ("client", "bot", "nobody", "ACCOUNT_UNKNOWN"),
        ("admin", "ada", "acme", "ACCOUNT_UNWANTED"),
    ],
)
async def test_a_key_of_nonsense_is_not_made(
    keys: ApiKeys, role: str, principal: str, account: str | None, code: str
) -> None:
    with pytest.raises(Refused) as caught:
        await keys.create(role, principal, account)
    assert caught.value.code == code


async def test_keys_are_listed_newest_first(keys: ApiKeys) -> None:
    one, _ = await keys.create("approver", "anna")
    two, _ = await keys.create("approver", "boris")
    listed = [key.id for key in await keys.list()]
    assert listed.index(two.id) < listed.index(one.id)
