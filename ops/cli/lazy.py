"""A command group that imports a command's module only when that command is called."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ops.cli import COMMANDS, Row


def load(row: Row) -> Any:
    """The real command of a row, by its module's `app` or `command`."""
    module = importlib.import_module(row.module)
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode=None)
        app.command(name=row.name, **getattr(module, "SETTINGS", {}))(module.command)
    real = typer.main.get_command(app)
    real.name, real.help = row.name, real.help or row.help
    return real


def rows(table: Sequence[Row] = COMMANDS) -> list[Row]:
    """The rows whose module is there."""
    return [row for row in table if importlib.util.find_spec(row.module) is not None]


class _Lazy(TyperCommand):
    """Stands for a command until it is called."""

    def __init__(self, row: Row) -> None:
        super().__init__(name=row.name, help=row.help, callback=None)
        self._row = row

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return load(self._row).make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """`strongroom`'s commands, by the table in `ops/cli/__init__.py`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [row.name for row in rows()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return next((_Lazy(row) for row in rows() if row.name == cmd_name), None)
