"""Runs the command line and turns every failure into a sentence and an exit code."""

from typing import Annotated

import typer

from domain.errors import StrongroomError
from ops.cli.exits import Exit, complain, exit_code
from ops.cli.lazy import LazyGroup

EPILOG = (
    "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found, 4 refused by policy, 69 something needed is down, "
    "78 wrong configuration, 130 interrupted."
)

app = typer.Typer(
    cls=LazyGroup,
    name="strongroom",
    help="The back office of a crypto exchange: withdrawals that are paid exactly once.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from ops.cli.version import number

        print(number())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Where options of every command would stand; the help is the application's."""


def run(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code. Only a bug of ours raises."""
    try:
        app(args=arguments, prog_name="strongroom")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.OK if end.code is None else Exit.FAILED
    except StrongroomError as error:
        complain(str(error))
        return exit_code(error)
    except ValueError as error:
        _explain_setting(error)
        return Exit.CONFIG
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK


def _explain_setting(error: ValueError) -> None:
    """A setting that does not fit, in words; any other ValueError is a bug of ours and is raised again."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        raise error
    for line in error.errors():
        sentence = line["msg"].removeprefix("Value error, ")  # of all settings together: it names them itself
        complain(f"{_variable(line['loc'])}: {sentence}" if line["loc"] else sentence)


def _variable(place: tuple[int | str, ...]) -> str:
    """What an operator writes to set what stands at this place."""
    from adapters.settings import Settings, variable_of

    name, *inner = map(str, place)
    field = Settings.model_fields.get(name)
    variable = variable_of(name, field) if field else name  # a place is a field, or the variable itself
    return "__".join((variable, *(word.upper() for word in inner if not word.isdigit())))
