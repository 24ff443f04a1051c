"""Every error leaves as problem+json (RFC 9457) with a stable code. Which code means which status stands here, once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response

from domain.errors import Refused, StrongroomError, Unavailable, Uncertain

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Row:
    """One code: its HTTP status, a title that never changes, and after how many seconds the same call may succeed."""

    status: int
    title: str
    retry_after_s: int | None = None

    @property
    def retryable(self) -> bool:
        return self.retry_after_s is not None


# A code that is not listed is a refusal of the content: 422.
PROBLEMS: Mapping[str, Row] = {
    "JSON_MALFORMED": Row(400, "The body is not JSON"),
    "JSON_DUPLICATE_KEY": Row(400, "A key occurs twice in the body"),
    "JSON_TOO_DEEP": Row(400, "The body is nested too deeply"),
    "JSON_NOT_UTF8": Row(400, "The body is not UTF-8"),
    "IDEMPOTENCY_KEY_MISSING": Row(400, "The Idempotency-Key header is missing"),
    "IDEMPOTENCY_KEY_MALFORMED": Row(400, "The Idempotency-Key header is malformed"),
    "CURSOR_INVALID": Row(400, "The cursor is not one we gave"),
    "KEY_MISSING": Row(401, "An API key is required"),
    "KEY_INVALID": Row(401, "The API key is not valid"),
    "PERMISSION_DENIED": Row(403, "The role of this API key does not allow it"),
    "NOT_YOUR_NAME": Row(403, "A decision is given in one's own name"),
    "ORIGIN_FOREIGN": Row(403, "Pages of this origin may not ask"),
    "FOUR_EYES": Row(403, "The requester cannot decide on the own request"),
    "STRANGER": Row(403, "The approver is not on the roster"),
    "BAD_SIGNATURE": Row(403, "The signature does not match the decision"),
    "ROUTE_UNKNOWN": Row(404, "There is no such page"),
    "WITHDRAWAL_UNKNOWN": Row(404, "There is no such withdrawal"),
    "ACCOUNT_UNKNOWN": Row(404, "There is no such account"),
    "ADDRESS_UNKNOWN": Row(404, "The address book has no such entry"),
    "PROBLEM_UNKNOWN": Row(404, "There is no such problem code"),
    "METHOD_NOT_ALLOWED": Row(405, "The page does not take this method"),
    "IDEMPOTENCY_IN_PROGRESS": Row(409, "The first call with this Idempotency-Key is still running", 1),
    "CLIENT_REF_TAKEN": Row(409, "The client_ref belongs to another withdrawal"),
    "WITHDRAWAL_STAGE": Row(409, "The withdrawal's stage does not allow it"),
    "TOO_LATE": Row(409, "It is too late for that"),
    "REPEAT": Row(409, "This approver has decided already"),
    "INTENT_CHANGED": Row(409, "The decision is about another intent"),
    "QUOTE_EXPIRED": Row(409, "The quote has expired"),
    "QUOTE_USED": Row(409, "The quote was used for another withdrawal"),
    "BODY_TOO_LARGE": Row(413, "The body is too large"),
    "CONTENT_TYPE": Row(415, "The body must be application/json"),
    "VALIDATION": Row(422, "The request does not have the documented shape"),
    "AMOUNT_NOT_STRING": Row(422, "Money is written as a string"),
    "AMOUNT_MALFORMED": Row(422, "The amount is malformed"),
    "AMOUNT_TOO_PRECISE": Row(422, "The amount has too many decimals"),
    "AMOUNT_TOO_LARGE": Row(422, "The amount is too large"),
    "AMOUNT_BELOW_MINIMUM": Row(422, "The amount is below the minimum"),
    "NETWORK_UNKNOWN": Row(422, "We do not serve this network"),
    "ASSET_NOT_WITHDRAWABLE": Row(422, "The asset cannot be withdrawn at present"),
    "ASSET_UNKNOWN": Row(422, "We do not serve this asset"),
    "NETWORK_REQUIRED": Row(422, "The network must be named"),
    "ACCOUNT_REQUIRED": Row(422, "The account must be named"),
    "ACCOUNT_NOT_YOURS": Row(403, "The API key is bound to another account"),
    "INSUFFICIENT_FUNDS": Row(422, "The account has too little of the asset"),
    "IDEMPOTENCY_KEY_REUSED": Row(422, "The Idempotency-Key came with another body before"),
    "QUOTE_UNKNOWN": Row(422, "There is no such quote"),
    "QUOTE_MISMATCH": Row(422, "The quote was for something else"),
    "RULING_MISMATCH": Row(422, "The ruling does not fit the page"),
    "DECISION_REFUSED": Row(422, "The decision was not accepted"),
    "CODEC_BODY_MALFORMED": Row(422, "The payloads cannot be read"),
    "CODEC_KEY_UNKNOWN": Row(422, "The payload was sealed with a key we do not have"),
    "CODEC_SEAL_BROKEN": Row(422, "The payload was altered or cut short"),
    "ADDRESS_MALFORMED": Row(422, "This is no address of the network"),
    "ADDRESS_HEX_FORM": Row(422, "The address is in its form without a checksum"),
    "ADDRESS_WRONG_NETWORK": Row(422, "The address belongs to another network"),
    "ADDRESS_CHECKSUM": Row(422, "The checksum of the address does not fit"),
    "ADDRESS_ZERO": Row(422, "Nobody owns the zero address"),
    "ADDRESS_PRECOMPILE": Row(422, "The address belongs to the network itself"),
    "ADDRESS_TOKEN_CONTRACT": Row(422, "The address is a token's contract"),
    "ADDRESS_OURS": Row(422, "The address is one of our own wallets"),
    "TRANSFER_TO_SELF": Row(422, "The recipient is the account that sends"),
    "ADDRESS_LOOKALIKE": Row(422, "The address looks like one of the address book, and is another"),
    "ADDRESS_BOOK_FULL": Row(422, "The address book is full"),
    "MEMO_NOT_TAKEN": Row(422, "The network takes no memo"),
    "RATE_LIMITED": Row(429, "Too many calls with this API key", 1),
    "DECISIONS_BUSY": Row(429, "Too many decisions on one withdrawal at once", 1),
    "INTERNAL": Row(500, "Something broke on our side", 5),
    "STORE_UNAVAILABLE": Row(503, "The database cannot be reached right now", 2),
    "STORE_UNCERTAIN": Row(503, "The database took the call but its answer was lost", 1),
    "STORE_BUSY": Row(503, "Too much is waiting to be written", 1),
    "TEMPORAL_UNAVAILABLE": Row(503, "The workflow engine cannot be reached right now", 2),
    "WORKFLOW_STARTING": Row(503, "The withdrawal's workflow is about to start", 1),
    "DECISION_PENDING": Row(503, "The decision was handed over but not answered yet", 2),
}
_REFUSED = Row(422, "Refused")
_DOWN = Row(503, "Not possible right now", 2)
_DOWN_DETAIL = (
    "Nothing was lost. Make the same call again after the time in Retry-After, with the same Idempotency-Key."
)
_BROKEN_DETAIL = "Make the same call again later, with the same Idempotency-Key; if it stays, give us the request_id."


class Invalid(Refused):
    """The request does not have the documented shape; `errors` says where, one row per fault."""

    def __init__(self, code: str, message: str, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(code, message)
        self.errors = tuple(errors)


def row_of(code: str) -> Row:
    return PROBLEMS.get(code, _REFUSED)


def request_id_of(scope: Mapping[str, Any]) -> str:
    """The id this request is known by in logs, traces and the answer; the envelope has put it there."""
    return str(scope.get("state", {}).get("request_id", ""))


def problem(
    scope: Mapping[str, Any],
    code: str,
    detail: str,
    *,
    row: Row | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    retry_after_s: int | None = None,
) -> Response:
    """The answer for `code`. `detail` is a sentence for a person that says what to do; it never holds our insides."""
    row = row or row_of(code)
    wait = retry_after_s if retry_after_s is not None else row.retry_after_s
    body: dict[str, Any] = {
        "type": f"/v1/problems/{code}",
        "title": row.title,
        "status": row.status,
        "detail": detail,
        "instance": scope.get("path", ""),
        "code": code,
        "request_id": request_id_of(scope),
        "retryable": row.retryable,
        "retry_after": wait,
    }
    if errors:
        body["errors"] = list(errors)
    sent = dict(headers or {})
    if wait is not None:
        sent["Retry-After"] = str(wait)
    if row.status == 401:
        sent["WWW-Authenticate"] = 'Bearer realm="strongroom"'
    return Response(orjson.dumps(body), row.status, sent, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every way in which a request can fail leave as a problem."""
    app.add_exception_handler(StrongroomError, _named)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _named(request: Request, error: Exception) -> Response:
    assert isinstance(error, StrongroomError)
    return answer_to(request.scope, error)


def answer_to(scope: Mapping[str, Any], error: StrongroomError) -> Response:
    """Refused tells its sentence. Unavailable and Uncertain speak of our insides: their words go to the log only."""
    if isinstance(error, Unavailable | Uncertain):
        log.warning("request %s: %s", request_id_of(scope), error)
        row = PROBLEMS.get(error.code, _DOWN)
        return problem(scope, error.code, _DOWN_DETAIL, row=row, retry_after_s=_seconds(error))
    errors = error.errors if isinstance(error, Invalid) else ()
    return problem(scope, error.code, error.message, errors=errors, retry_after_s=_seconds(error))


def _seconds(error: StrongroomError) -> int | None:
    wait = error.facts.get("retry_after_s")
    return wait if isinstance(wait, int) else None


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: "ROUTE_UNKNOWN", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}
    code = known.get(error.status_code, f"HTTP_{error.status_code}")
    row = PROBLEMS.get(code, Row(error.status_code, str(error.detail)))
    detail = "The documented pages and methods are at /docs." if code in PROBLEMS else str(error.detail)
    headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else error.headers
    return problem(request.scope, code, detail, row=row, headers=headers)


def _methods(request: Request) -> list[str]:
    """Every method that this page takes: of the page written just so, or else of those whose template fits."""
    path = request.scope["path"]
    fitting = [page for page in iter_route_contexts(request.app.routes) if page.path_regex.match(path)]
    here = [page for page in fitting if page.path == path] or fitting
    return sorted({method for page in here for method in page.methods or ()})


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer_to(request.scope, invalid_from(error.errors()))


async def _unexpected(request: Request, error: Exception) -> Response:
    return broken(request.scope, error)


def broken(scope: Mapping[str, Any], error: Exception) -> Response:
    """The answer to what nobody foresaw: the log gets the whole story, the caller only the request id."""
    log.error("request %s failed", request_id_of(scope), exc_info=error)
    return problem(scope, "INTERNAL", _BROKEN_DETAIL)


_FAULTS: Mapping[str, str] = {
    "missing": "MISSING",
    "extra_forbidden": "UNKNOWN_FIELD",
    "string_type": "NOT_STRING",
    "string_too_long": "TOO_LONG",
    "string_too_short": "TOO_SHORT",
    "enum": "NOT_ONE_OF",
    "literal_error": "NOT_ONE_OF",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
    "model_attributes_type": "NOT_OBJECT",
    "model_type": "NOT_OBJECT",
    "dict_type": "NOT_OBJECT",
}


def invalid_from(faults: Sequence[Any]) -> Invalid:
    """Our words for the validator's: where (`pointer` into the body, or `parameter`) and what; never the value."""
    errors = [_fault(fault) for fault in faults]
    if any(error["code"] == "AMOUNT_NOT_STRING" for error in errors):
        return Invalid("AMOUNT_NOT_STRING", 'Write money as a string of plain digits, such as "12.5".', errors)
    if any(error.get("parameter") == "Idempotency-Key" for error in errors):
        return _bad_key(errors)
    return Invalid("VALIDATION", "Correct what `errors` names; the documented shape is at /docs.", errors)


def _bad_key(errors: Sequence[Mapping[str, str]]) -> Invalid:
    if any(error["code"] == "MISSING" and error.get("parameter") == "Idempotency-Key" for error in errors):
        return Invalid("IDEMPOTENCY_KEY_MISSING", "Send an Idempotency-Key of your own making with this call.", errors)
    say = "An Idempotency-Key is 1 to 64 visible ASCII characters."
    return Invalid("IDEMPOTENCY_KEY_MALFORMED", say, errors)


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    place, *path = fault["loc"]
    code = _FAULTS.get(fault["type"], "MALFORMED")
    if place != "body":
        name = "-".join(word.capitalize() for word in str(path[0]).split("-")) if place == "header" else str(path[0])
        return {"parameter": name, "code": code, "detail": str(fault["msg"])}
    if code == "NOT_STRING" and path[-1:] == ["amount"]:
        code = "AMOUNT_NOT_STRING"
    pointer = "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return {"pointer": pointer, "code": code, "detail": str(fault["msg"])}


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI rows of these problems, one response per status, naming its codes."""
    rows: dict[int | str, dict[str, Any]] = {}
    for status in sorted({row_of(code).status for code in codes}):
        named = [code for code in codes if row_of(code).status == status]
        rows[status] = {
            "description": "; ".join(f"`{code}`: {row_of(code).title}" for code in named),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return rows
