"""The description is kept in the repository, says all that happens, and a tool that tries to break us believes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ops.cli.openapi import FILE, document
from tests.api.house import House
from tests.api.serving import served

TOOL = Path(sys.executable).parent / "schemathesis"


def test_the_kept_description_is_that_of_the_code() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), (
        "the API changed: run `strongroom openapi` and look at the diff"
    )


async def test_every_page_is_named_after_its_function_and_tagged(house: House) -> None:
    description = house.app.openapi()
    operations = [
        (path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    names = [operation["operationId"] for _, _, operation in operations]
    parts = {tag["name"] for tag in description["tags"]}
    assert len(names) == len(set(names))
    for path, method, operation in operations:
        assert operation["tags"], f"{method} {path}"
        assert {*operation["tags"]} <= parts, f"{method} {path} stands in no part of the page"
        assert operation["description"], f"{method} {path}"
        for status, response in operation["responses"].items():
            if int(status) >= 400 and path != "/readyz":
                assert list(response["content"]) == ["application/problem+json"], f"{method} {path} {status}"
    assert description["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in str(description)


async def test_the_reference_is_one_page_that_fetches_nothing(house: House) -> None:
    answer = await house.get("/docs", "nobody")
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace('"http://www.w3.org', "")
    assert "https://" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for operation in ("request_withdrawal", "approve_withdrawal", "get_balances"):
        assert f'id="{operation}"' in answer.text
    assert (await house.get("/openapi.json", "nobody")).json() == house.app.openapi()


@pytest.mark.timeout(900)  # bounded by the number of its examples; this only ends what hangs
def test_a_tool_that_tries_everything_the_description_allows_and_forbids_finds_no_fault(database_url: str) -> None:
    """schemathesis: no 5xx, only documented statuses, types and shapes, and nothing undocumented taken."""
    with served(database_url) as (url, house):
        for who in ("acme", "olga", "ann"):
            run = subprocess.run(
                [
                    *(TOOL, "run", f"{url}/openapi.json", "-H", f"Authorization: Bearer {house.tokens[who]}"),
                    *("--max-examples", "10", "--seed", "7", "--no-color", "--request-timeout", "120"),
                    *("--exclude-checks", "positive_data_acceptance"),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, f"as {who}:\n{run.stdout[-6000:]}{run.stderr[-2000:]}"
