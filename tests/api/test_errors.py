"""Whatever goes wrong leaves as a problem that says what to do, and says nothing about our insides."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from api.errors import PROBLEMS, row_of
from domain.errors import Refused, Unavailable, Uncertain
from tests.api.house import House, code_of, open_house

ROOT = Path(__file__).resolve().parents[2]


async def test_an_unknown_page_and_a_wrong_method_are_problems_too(house: House) -> None:
    assert code_of(await house.get("/v1/nothing")) == "ROUTE_UNKNOWN"
    assert code_of(await house.get("/v1/withdrawals/")) in ("ROUTE_UNKNOWN", "WITHDRAWAL_UNKNOWN")
    async with house.client() as client:
        wrong = await client.delete("/v1/withdrawals")
    assert (wrong.status_code, code_of(wrong)) == (405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("given", "echoed"),
    [("abc-123_X.y", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("<script>", False), ("", False)],
)
async def test_a_request_id_is_echoed_when_it_is_a_decent_one(house: House, given: str, echoed: bool) -> None:
    async with house.client(**{"X-Request-ID": given}) as client:
        answer = await client.get("/v1/time")
    assert (answer.headers["x-request-id"] == given) is echoed
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])


class Broken:
    """Books that fail as they are told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def request_withdrawal(self, request: Any) -> Any:
        raise self.error


SECRET = "password=hunter2 at 10.0.0.7"


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (RuntimeError(SECRET), 500, "INTERNAL", True),
        (KeyError(SECRET), 500, "INTERNAL", True),
        (Unavailable("STORE_UNAVAILABLE", SECRET), 503, "STORE_UNAVAILABLE", True),
        (Unavailable("SOMETHING_NEW", SECRET), 503, "SOMETHING_NEW", True),
        (Uncertain("STORE_UNCERTAIN", SECRET), 503, "STORE_UNCERTAIN", True),
        (Refused("SOMETHING_ELSE", "Do this."), 422, "SOMETHING_ELSE", False),
    ],
)
async def test_a_failure_inside_tells_the_caller_what_to_do_and_nothing_else(
    database_url: str, caplog: pytest.LogCaptureFixture, error: Exception, status: int, code: str, retryable: bool
) -> None:
    async with open_house(database_url, wrap=lambda _: Broken(error)) as house:
        answer = await house.ask()
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert answer.json()["retryable"] is retryable
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    if status >= 500:
        assert answer.json()["request_id"] in caplog.text, "the log has the story, found by the request id"


async def test_every_code_explains_itself(house: House) -> None:
    answer = await house.get("/v1/problems/TOO_LATE", "nobody")
    assert answer.json() == {
        "code": "TOO_LATE",
        "status": 409,
        "title": "It is too late for that",
        "retryable": False,
    }
    assert code_of(await house.get("/v1/problems/NEVER_HEARD", "nobody")) == "PROBLEM_UNKNOWN"


def test_a_code_and_its_status_never_change_unnoticed() -> None:
    """Clients branch on these. Adding is free; a change of what is here breaks somebody."""
    kept = {
        "IDEMPOTENCY_KEY_MISSING": 400,
        "IDEMPOTENCY_KEY_REUSED": 422,
        "IDEMPOTENCY_IN_PROGRESS": 409,
        "CLIENT_REF_TAKEN": 409,
        "INSUFFICIENT_FUNDS": 422,
        "KEY_INVALID": 401,
        "PERMISSION_DENIED": 403,
        "FOUR_EYES": 403,
        "STRANGER": 403,
        "BAD_SIGNATURE": 403,
        "REPEAT": 409,
        "TOO_LATE": 409,
        "INTENT_CHANGED": 409,
        "WITHDRAWAL_STAGE": 409,
        "QUOTE_EXPIRED": 409,
        "WITHDRAWAL_UNKNOWN": 404,
        "BODY_TOO_LARGE": 413,
        "CONTENT_TYPE": 415,
        "RATE_LIMITED": 429,
        "TEMPORAL_UNAVAILABLE": 503,
        "STORE_UNAVAILABLE": 503,
    }
    assert {code: row_of(code).status for code in kept} == kept


def test_every_refusal_the_api_and_the_door_of_the_books_know_has_a_row() -> None:
    files = [*(ROOT / "api").rglob("*.py"), ROOT / "adapters/store/requests.py", ROOT / "domain/money.py"]
    files += [ROOT / "domain/policy.py", ROOT / "adapters/catalogue.py"]
    raised = {
        node.args[0].value
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Refused", "Unavailable", "Invalid")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    unlisted = raised - set(PROBLEMS) - {"CONFIG_INVALID", "REQUEST_MALFORMED"}
    assert not unlisted, f"{unlisted}: give each a row in api/errors.py, with its status and title"
