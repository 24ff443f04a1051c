"""The API's own description (OpenAPI 3.1): who may call what, and every problem a page can answer with."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from api.auth import Permission, permission_of
from api.errors import MEDIA_TYPE, documented
from api.schemas import Problem

VERSION = "1.0.0"
_DESCRIPTION = """
Withdrawals that are never paid twice.

* **Money** is a decimal string both ways; numbers are refused.
* **Every error** is `application/problem+json` (RFC 9457) with a stable `code`; `retryable` says that the very same
  call may succeed later.
* **Repeat freely**: the same `Idempotency-Key` and body never act twice; after a 5xx the same call is the right one.
* **Keys** go in `Authorization: Bearer sr_...`. What a key may do follows from its role.
* **Times** are RFC 3339 in UTC; lists run newest first and page by cursor.
"""
_TAGS = [
    {"name": "withdrawals", "description": "Request, follow, list, decide, cancel."},
    {"name": "addresses", "description": "Is an address right for an asset on a network; each account's address book."},
    {"name": "accounts", "description": "What a client has."},
    {"name": "catalogue", "description": "Assets and networks we serve."},
    {"name": "health", "description": "Is it alive and ready; what its problems mean."},
]


def pages(app: FastAPI) -> Iterator[tuple[str, frozenset[str], Callable[..., Any]]]:
    """Every page of the application: path template, methods, function."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            assert context.path is not None
            assert context.endpoint is not None
            yield context.path, frozenset(context.methods or ()), context.endpoint


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; computed once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title="Strongroom",
        version=VERSION,
        openapi_version="3.1.0",
        summary="The back office of a crypto exchange",
        description=_DESCRIPTION.strip(),
        routes=app.routes,
        tags=_TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    _add_problem_schema(schemas)
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `sr_<id>_<secret>`."}
    }
    for path, methods, page in pages(app):
        for method in methods:
            operation = document["paths"].get(path.replace(":path}", "}"), {}).get(method.lower())
            if operation is not None:
                _complete(operation, permission_of(page))
    app.openapi_schema = document
    return document


def _add_problem_schema(schemas: dict[str, Any]) -> None:
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem


def _complete(operation: dict[str, Any], permission: Permission | None) -> None:
    """Adds what every page shares: security, and the problems that can happen anywhere."""
    anywhere = ["INTERNAL"]
    if permission is not None:
        operation["security"] = [{"key": []}]
        operation["x-permission"] = permission.value
        anywhere += ["KEY_MISSING", "KEY_INVALID", "PERMISSION_DENIED", "RATE_LIMITED", "STORE_UNAVAILABLE"]
    if "requestBody" in operation:
        anywhere += ["JSON_MALFORMED", "JSON_DUPLICATE_KEY", "JSON_TOO_DEEP", "JSON_NOT_UTF8"]
        anywhere += ["BODY_TOO_LARGE", "CONTENT_TYPE"]
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422", "")) or "422" not in responses:
        responses.pop("422", None)
        anywhere.append("VALIDATION")
    for status, row in documented(*anywhere).items():
        known = responses.get(str(status))
        if known is None:
            responses[str(status)] = row
        elif row["description"] not in known["description"]:
            known["description"] += "; " + row["description"]
    for status, row in responses.items():
        if status in ("429", "503") and MEDIA_TYPE in row.get("content", {}):
            row["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    operation["responses"] = dict(sorted(responses.items()))
