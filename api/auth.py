"""Who is calling and what they may do. A key is `sr_<id>_<secret>`; only the secret's SHA-256 is at rest."""

import asyncio
import hashlib
import hmac
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from domain.errors import Refused

_TOKEN = re.compile(r"^sr_([A-Za-z0-9]{4,32})_([A-Za-z0-9_-]{16,128})$")
CACHE_S = 2.0  # a revoked key is dead everywhere within this time
CACHE_KEYS_MAX = 4096
WINDOW_S = 60.0
CALLERS_MAX = 20_000


class Role(StrEnum):
    CLIENT = "client"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(StrEnum):
    """One thing a route lets its caller do. A client's key does it for its own account only."""

    CATALOGUE_READ = "catalogue:read"
    BALANCE_READ = "balance:read"
    WITHDRAWAL_READ = "withdrawal:read"
    WITHDRAWAL_QUOTE = "withdrawal:quote"
    WITHDRAWAL_REQUEST = "withdrawal:request"
    WITHDRAWAL_CANCEL = "withdrawal:cancel"
    WITHDRAWAL_DECIDE = "withdrawal:decide"
    ADDRESS_READ = "address:read"
    ADDRESS_KEEP = "address:keep"
    PAYLOAD_READ = "payload:read"


_READING = frozenset(
    {Permission.CATALOGUE_READ, Permission.BALANCE_READ, Permission.WITHDRAWAL_READ, Permission.ADDRESS_READ}
)
_ASKING = frozenset(
    {
        Permission.WITHDRAWAL_QUOTE,
        Permission.WITHDRAWAL_REQUEST,
        Permission.WITHDRAWAL_CANCEL,
        Permission.ADDRESS_KEEP,
    }
)
# Nobody both asks and decides by role; the roster's signatures hold that line again behind us.
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.CLIENT: _READING | _ASKING,
    Role.OPERATOR: _READING | _ASKING | {Permission.PAYLOAD_READ},
    Role.APPROVER: _READING | {Permission.WITHDRAWAL_DECIDE},
    Role.AUDITOR: _READING | {Permission.PAYLOAD_READ},
    Role.ADMIN: _READING | {Permission.WITHDRAWAL_CANCEL, Permission.PAYLOAD_READ},
}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. `account` is the client's own account, None for staff, who see every account."""

    key_id: str
    name: str
    role: Role
    account: str | None

    @property
    def ledger_of_keys(self) -> str:
        """Whose Idempotency-Keys these are: all keys of one account share theirs, and so does each of the staff."""
        return f"client/{self.account}" if self.account is not None else f"staff/{self.name}"


# ------------------------------------------------------------ keys
class StoredKey(Protocol):
    """A key as the store keeps it; `secret_sha256` is the digest itself, 32 bytes."""

    @property
    def id(self) -> str: ...
    @property
    def secret_sha256(self) -> bytes: ...
    @property
    def role(self) -> str: ...
    @property
    def principal(self) -> str: ...
    @property
    def account(self) -> str | None: ...
    def live(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        ...


class Keyring(Protocol):
    """Where keys are looked up. Raises Unavailable when the store does not answer."""

    async def find(self, key_id: str) -> StoredKey | None: ...


class Authenticator:
    """Turns an Authorization header into a Principal. Looks a key up at most once in CACHE_S seconds."""

    def __init__(self, keyring: Keyring, clock: Callable[[], float] = time.monotonic) -> None:
        self._keyring = keyring
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, StoredKey | None]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[StoredKey | None]] = {}

    async def principal(self, authorization: str) -> Principal:
        """Raises Refused KEY_MISSING or KEY_INVALID; the latter never says what about the key was wrong."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("KEY_MISSING", "Send your API key: `Authorization: Bearer sr_...`.")
        parts = _TOKEN.match(token.strip())
        if parts is None:
            raise _invalid()
        stored = await self._look_up(parts[1])
        given = hashlib.sha256(parts[2].encode()).digest()
        # Compared even when there is no such key, so that the time taken does not tell one from the other.
        right = hmac.compare_digest(given, stored.secret_sha256 if stored else bytes(32))
        if stored is None or not right or not stored.live(datetime.now(UTC)):
            raise _invalid()
        return Principal(stored.id, stored.principal, Role(stored.role), stored.account)

    async def _look_up(self, key_id: str) -> StoredKey | None:
        now = self._clock()
        cached = self._seen.get(key_id)
        if cached is not None and cached[0] > now:
            return cached[1]
        asking = self._asking.get(key_id)
        if asking is None:
            asking = asyncio.ensure_future(self._keyring.find(key_id))
            self._asking[key_id] = asking
            asking.add_done_callback(lambda done: self._heard(key_id, now, done))
        # Shielded: a caller who hangs up does not take the answer from the others.
        return await asyncio.shield(asking)

    def _heard(self, key_id: str, asked_at: float, done: "asyncio.Future[StoredKey | None]") -> None:
        del self._asking[key_id]
        if done.cancelled() or done.exception() is not None:
            return
        self._seen[key_id] = (asked_at + CACHE_S, done.result())
        self._seen.move_to_end(key_id)
        if len(self._seen) > CACHE_KEYS_MAX:
            self._seen.popitem(last=False)


def _invalid() -> Refused:
    return Refused("KEY_INVALID", "This API key is unknown or was revoked; ask an operator for a new one.")


# ------------------------------------------------------------ rate
@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's allowance, as the RateLimit headers say it."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Policy": f'"key";q={self.limit};w=60',
            "RateLimit": f'"key";r={self.remaining};t={self.reset_s}',
        }


class RateLimiter:
    """At most `per_minute` calls in a row, and then as many a minute, evenly: the generic cell rate algorithm (ITU-T
    I.371), which needs one number for each caller. Counted in this process.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._apart_s = WINDOW_S / per_minute
        self._clock = clock
        # When each caller's calls so far would have been spread out evenly; whoever is in the past has nothing used.
        self._spread: dict[str, float] = {}

    def take(self, who: str) -> Allowance:
        """Takes one call from the allowance of `who`. Raises Refused RATE_LIMITED with `retry_after_s`."""
        now = self._clock()
        until = max(self._spread.get(who, now), now) + self._apart_s
        if until - now > WINDOW_S + self._apart_s / 2:
            wait_s = math.ceil(until - now - WINDOW_S)
            say = f"This API key may call {self._limit} times a minute; wait as Retry-After says."
            raise Refused("RATE_LIMITED", say, retry_after_s=max(1, wait_s))
        self._spread[who] = until
        if len(self._spread) > CALLERS_MAX:
            self._forget(now)
        used_s = until - now
        return Allowance(self._limit, int((WINDOW_S - used_s) / self._apart_s + 0.5), math.ceil(used_s))

    def _forget(self, now: float) -> None:
        """Drops who used nothing lately; if that is nobody, the ones that were seen first."""
        self._spread = {who: until for who, until in self._spread.items() if until > now}
        for who in list(self._spread)[: max(0, len(self._spread) - CALLERS_MAX // 2)]:
            del self._spread[who]


# ------------------------------------------------------------ what a route lets whom do
Page = TypeVar("Page", bound=Callable[..., Any])
_MARK = "strongroom_permission"
OPEN = "open"


def needs(permission: Permission) -> Callable[[Page], Page]:
    """Declares what a page's caller must be allowed to do. A page without a declaration cannot be built."""

    def mark(page: Page) -> Page:
        setattr(page, _MARK, permission)
        return page

    return mark


def open_to_all(page: Page) -> Page:
    """Declares that a page answers anybody: it tells nothing about any client."""
    setattr(page, _MARK, OPEN)
    return page


def permission_of(page: Callable[..., Any]) -> Permission | None:
    """The declared permission; None for a page open to all. Raises TypeError when nothing was declared."""
    declared = getattr(page, _MARK, None)
    if declared is None:
        raise TypeError(f"{page.__qualname__} declares no permission: say @needs(...) or @open_to_all")
    return None if declared == OPEN else Permission(declared)


def check_allowed(who: Principal, permission: Permission) -> None:
    """Raises Refused PERMISSION_DENIED."""
    if permission not in PERMISSIONS[who.role]:
        raise Refused(
            "PERMISSION_DENIED", f"The role {who.role.value} may not do this ({permission.value}).", role=who.role.value
        )
