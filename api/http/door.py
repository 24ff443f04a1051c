"""What every page shares: the caller is known, allowed and within the allowance before a byte of the body is read."""

from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from adapters.catalogue import Catalogue
from api.addresses import Addresses
from api.auth import Authenticator, Permission, Principal, RateLimiter, check_allowed, permission_of
from api.commands import Stories
from api.errors import Invalid
from api.http.body import StrictRequest, is_json
from api.metrics import Metrics
from api.networks import Networks
from domain.errors import Refused
from domain.ports import Books, Views


@dataclass(frozen=True, slots=True)
class Payloads:
    """How Temporal's payloads are opened and sealed for its UI. `origins`: whose pages may ask; `needs_key`: whether
    even this machine must show an API key.
    """

    decode: Callable[[bytes], Awaitable[bytes]]
    encode: Callable[[bytes], Awaitable[bytes]]
    origins: frozenset[str]
    needs_key: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """Everything a page may use; put together once by `api.app`. `served`: the networks on which this installation
    pays; the others are shown, and what was asked for there before.
    """

    books: Books
    views: Views
    stories: Stories
    catalogue: Catalogue
    addresses: Addresses
    networks: Networks
    served: Collection[str]
    authenticator: Authenticator
    rate: RateLimiter
    strangers: RateLimiter
    payloads: Payloads
    metrics: Metrics
    history_url: Callable[[str], str]

    def now(self) -> datetime:
        return datetime.now(UTC)

    def check_served(self, network: str) -> None:
        """Raises Refused ASSET_NOT_WITHDRAWABLE for a network on which nobody here pays."""
        if network not in self.served:
            raise Refused(
                "ASSET_NOT_WITHDRAWABLE",
                f"Nothing is paid on {network} here at present; GET /v1/networks says where withdrawals are enabled.",
                network=network,
            )

    async def admit(self, request: Request, permission: Permission) -> Principal:
        """The caller. Raises Refused KEY_*, PERMISSION_DENIED, RATE_LIMITED."""
        try:
            who = await self.authenticator.principal(request.headers.get("authorization", ""))
        except Refused:
            self.strangers.take(request.client.host if request.client else "unknown")
            raise
        allowance = self.rate.take(who.key_id)
        request.scope["state"]["headers"].update(allowance.headers())
        check_allowed(who, permission)
        return who


def door_of(request: Request) -> Door:
    door = request.scope["state"]["door"]
    assert isinstance(door, Door)
    return door


def caller_of(request: Request) -> Principal:
    who = request.scope["state"]["principal"]
    assert isinstance(who, Principal)
    return who


class DoorRoute(APIRoute):
    """A route that admits its caller first, and then reads strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        page = super().get_route_handler()
        permission = permission_of(self.endpoint)
        takes_body = self.body_field is not None
        template = self.path_format
        # Pages outside of our document follow somebody else's: Temporal's tools send its codec server what they like.
        query = _query_names(self) if self.include_in_schema else None

        async def enter(request: Request) -> Response:
            state = request.scope["state"]
            state["route"], state["door"] = template, request.app.state.door
            if permission is not None:
                state["principal"] = await state["door"].admit(request, permission)
            if query is not None and request.scope["query_string"]:
                _check_query(request, query)
            if not takes_body:
                return await page(request)
            strict = StrictRequest(request.scope, request.receive)
            if await strict.body():
                if not is_json(request.headers.get("content-type", "")):
                    raise Refused("CONTENT_TYPE", "Send the body as `Content-Type: application/json`.")
                await strict.json()
            return await page(strict)

        return enter


def door_router(tag: str, prefix: str = "", *, described: bool = True) -> APIRouter:
    """A router of such pages; each operation is named after its function."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=DoorRoute,
        include_in_schema=described,
        generate_unique_id_function=lambda route: route.name,
    )


def _query_names(route: APIRoute) -> frozenset[str] | None:
    """The query parameters a page knows; None when its model refuses unknown ones by itself."""
    fields = list(route.dependant.query_params)
    if any(
        isinstance(f.field_info.annotation, type) and issubclass(f.field_info.annotation, BaseModel) for f in fields
    ):
        return None
    return frozenset(field.alias for field in fields)


def _check_query(request: Request, known: frozenset[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        errors = [
            {"parameter": name, "code": "UNKNOWN_FIELD", "detail": "this page does not take it"} for name in unknown
        ]
        raise Invalid("VALIDATION", "Leave out the query parameters that `errors` names.", errors)


class Json(Response):
    """JSON as our own rows render it: no second validation, times in RFC 3339 UTC."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def rfc3339(at: datetime) -> str:
    """`at` in UTC with milliseconds: 2026-11-21T12:00:00.000Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
