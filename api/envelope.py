"""Around every request: an id, a clock, and an answer even when nobody foresaw the fault. Plain ASGI: it is cheap."""

import re
import secrets
import time
from itertools import count
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import broken
from api.metrics import RequestMetrics

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")
# A request's id is a label and no secret: random once for each process, then counted. Asking the system for random
# bytes each time is a tenth of what a read costs.
_RUN, _NUMBERS = secrets.token_hex(4), count()
_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


class Envelope:
    """Echoes X-Request-ID (ours when the given one is missing or odd), measures, and turns the unforeseen into a 500
    problem that names the id and nothing else.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"], state["headers"] = request_id, {}
        began, status = time.perf_counter(), 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(name.encode(), value.encode()) for name, value in state["headers"].items()]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    *_SECURITY,
                    *extra,
                ]
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        except Exception as error:
            if status:
                raise
            await broken(scope, error)(scope, receive, stamped)
        finally:
            self.metrics.observe(_method(scope), route_template(scope), status, time.perf_counter() - began)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            return str(value.decode())
    return f"{_RUN}{next(_NUMBERS):08x}"


def _method(scope: Scope) -> str:
    known = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
    return scope["method"] if scope["method"] in known else "OTHER"


def route_template(scope: Scope) -> str:
    """The template of the page that answered, such as /v1/withdrawals/{withdrawal_id}; `unknown` for none."""
    return str(scope.get("state", {}).get("route", "unknown"))
