"""How the command line speaks to the REST API: one call, the problem as a sentence, and an exit code that tells."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import typer

from ops.cli.exits import Exit
from ops.cli.output import Form, show_facts, show_json, show_table

TIMEOUT_S = 30
Output = Form
KEY_VARIABLE = "STRONGROOM_API_KEY"


class Failed(Exception):
    """A call that did not do what was asked. `exit_code` is what the process ends with."""

    def __init__(self, exit_code: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.exit_code = exit_code


class Rest:
    """The API at `url`, as the owner of `key`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def get(self, path: str, **query: object) -> Any:
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", path + (f"?{urlencode(wanted)}" if wanted else ""))

    def post(self, path: str, body: Mapping[str, object] | None, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("POST", path, body, headers)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        request = urllib.request.Request(self._url + path, method=method)
        request.add_header("Authorization", f"Bearer {self._key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise _failed(error.code, error.read()) from None
        except (OSError, ValueError) as error:
            raise Failed(Exit.DOWN, "API_UNREACHABLE", f"{self._url} does not answer ({error}); is it up?") from None


def _failed(status: int, raw: bytes) -> Failed:
    try:
        problem = json.loads(raw)
    except ValueError:
        problem = {}
    code, detail = str(problem.get("code", f"HTTP_{status}")), str(problem.get("detail", "no reason given"))
    for fault in problem.get("errors") or ():
        detail += f"\n  {fault.get('pointer') or fault.get('parameter')}: {fault['detail']}"
    if status == 404:
        return Failed(Exit.NOT_FOUND, code, detail)
    return Failed(Exit.DOWN if status >= 500 else Exit.REFUSED, code, detail)


def connect(url: str | None, key_file: Path | None) -> Rest:
    """The API of this installation unless `url` says otherwise. The key is never an argument: everybody sees those."""
    key = key_file.read_text().strip() if key_file else os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise Failed(
            Exit.CONFIG, "KEY_MISSING", f"Put the API key into {KEY_VARIABLE}, or name its file with --key-file."
        )
    if url is None:
        from adapters.settings import Settings

        url = Settings().api_url
    return Rest(url, key)


def show(answer: Any, output: Output, columns: Sequence[str] = ()) -> None:
    """Prints an answer: as it is for programs, as a table for people."""
    if output is Output.JSON:
        show_json(answer)
    elif "items" in answer:
        show_table("", columns, [[_cell(row.get(column)) for column in columns] for row in answer["items"]])
    else:
        show_facts({name: _lines(value) for name, value in answer.items()})


def _lines(value: Any) -> Any:
    return [_cell(inner) for inner in value] if isinstance(value, list) else _cell(value)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_cell(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(inner) for inner in value) or "-"
    return str(value)


def run(work: Any) -> None:
    """Runs one command's work; a failure becomes its sentence on stderr and its exit code."""
    try:
        work()
    except Failed as failed:
        print(failed, file=sys.stderr)
        raise typer.Exit(failed.exit_code) from None
