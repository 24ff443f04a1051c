"""What commands print: a table for people, JSON for programs, on stdout; progress on stderr and only for a terminal."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer


class Form(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


PIPE_WIDTH = 4096  # columns: wider than any row, narrower than what a program would choke on
Output = Annotated[Form, typer.Option("--output", "-o", help="table for people, json for programs.")]


def show_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, default=str)
    print()


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout; plain and without colour when stdout is no terminal (or NO_COLOR is set). No word of it is
    ever cut: a narrow terminal folds it, a pipe gets a row a line.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)


def show_facts(facts: Mapping[str, Any]) -> None:
    """Names and values, one a line; a mapping's names behind its own and a dot, a list's items one under the other."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= {f"{name}.{key}": row for key, row in value.items()} if isinstance(value, Mapping) else {name: value}
    width = max(map(len, flat), default=0)
    for name, value in flat.items():
        first, *more = (value or ["-"]) if isinstance(value, list) else [value]
        print(f"{name:<{width}}  {first}")
        for line in more:
            print(f"{'':<{width}}  {line}")
