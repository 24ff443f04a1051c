"""API keys: `sr_<id>_<secret>`. The secret (256 bits) is shown once; only its SHA-256 is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.store.database import Database, Row
from domain.errors import Refused

ROLES = ("client", "operator", "approver", "auditor", "admin")
NAME_CHARS_MAX = 64
KEYS_LISTED_MAX = 1000

_COLUMNS = "id, secret_sha256, role, principal, account, created_at, expires_at, revoked_at"
_CREATE = """
INSERT INTO api_key (id, secret_sha256, role, principal, account, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
"""
_FIND = f"SELECT {_COLUMNS} FROM api_key WHERE id = $1"  # noqa: S608 - columns of ours
_LIST = f"SELECT {_COLUMNS} FROM api_key ORDER BY created_at DESC, id LIMIT $1"  # noqa: S608
_REVOKE = "UPDATE api_key SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING id"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. `account` is the client's own, None for staff."""

    id: str
    secret_sha256: bytes
    role: str
    principal: str
    account: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeys:
    """Keys in PostgreSQL. Raises Unavailable when it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, role: str, principal: str, account: str | None = None, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its token, which nobody can read again. A client's key names its account, others name none.
        Raises Refused ROLE_UNKNOWN, PRINCIPAL_MALFORMED, ACCOUNT_REQUIRED, ACCOUNT_UNWANTED, ACCOUNT_UNKNOWN.
        """
        _check(role, principal, account)
        known = "SELECT name FROM client WHERE name = $1"
        if account is not None and await self._database.fetchrow("account_known", known, account) is None:
            raise Refused("ACCOUNT_UNKNOWN", "There is no such account; open it first.", account=account)
        secret = secrets.token_urlsafe(32)
        digest = hashlib.sha256(secret.encode()).digest()
        key = ApiKey(secrets.token_hex(6), digest, role, principal, account, datetime.now(UTC), expires_at, None)
        await self._database.write(
            "create_key",
            _CREATE,
            *(key.id, key.secret_sha256, key.role, key.principal, key.account, key.created_at, key.expires_at),
        )
        return key, f"sr_{key.id}_{secret}"

    async def find(self, key_id: str) -> ApiKey | None:
        """The key, whether it still opens anything or not."""
        row = await self._database.fetchrow("key", _FIND, key_id.replace("\x00", ""))
        return _key(row) if row else None

    async def revoke(self, key_id: str, now: datetime) -> None:
        """Ends a key; a repeat changes nothing. Raises Refused KEY_UNKNOWN."""
        if await self._database.write("revoke_key", _REVOKE, key_id.replace("\x00", ""), now) is None:
            raise Refused("KEY_UNKNOWN", "There is no key of this id.")

    async def list(self) -> list[ApiKey]:
        """The newest KEYS_LISTED_MAX keys."""
        return [_key(row) for row in await self._database.fetch("keys", _LIST, KEYS_LISTED_MAX)]


def _key(row: Row) -> ApiKey:
    return ApiKey(**dict(row))


def _check(role: str, principal: str, account: str | None) -> None:
    if role not in ROLES:
        raise Refused("ROLE_UNKNOWN", f"Choose a role of {', '.join(ROLES)}.", role=role)
    if not 0 < len(principal) <= NAME_CHARS_MAX or not principal.isprintable():
        raise Refused("PRINCIPAL_MALFORMED", f"A name has 1 to {NAME_CHARS_MAX} printable characters.")
    if role == "client" and account is None:
        raise Refused("ACCOUNT_REQUIRED", "A client's key is bound to an account: say which.")
    if role != "client" and account is not None:
        raise Refused("ACCOUNT_UNWANTED", f"The key of an {role} is bound to no account.")
