"""`strongroom config`: the settings of this installation."""

import os
from pathlib import Path
from typing import Annotated

import typer

from adapters.settings import Settings
from domain.errors import Refused
from ops.cli.exits import complain
from ops.cli.output import Form, Output, show_facts, show_json

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def show(output: Output = Form.TABLE) -> None:
    """The settings in force; secrets are masked."""
    settings = Settings()
    facts = {name: _shown(getattr(settings, name)) for name in type(settings).model_fields}
    show_json(facts) if output is Form.JSON else show_facts(facts)


@app.command()
def check() -> None:
    """Check settings and operators' files; ends with 78 when something is wrong."""
    from adapters.catalogue import load
    from adapters.settings import unknown_variables

    settings = Settings()
    if unknown := unknown_variables(os.environ):
        raise Refused(
            "CONFIG_INVALID", f"Nothing reads {', '.join(unknown)}: is it misspelt? See `strongroom config example`."
        )
    load(settings.profile, settings.catalogue_dir)
    for network in settings.served:
        settings.chain_urls(network)
    complain("the configuration is sound")


@app.command()
def example(
    write: Annotated[Path | None, typer.Option(help="Write it to this file instead of printing it.")] = None,
) -> None:
    """Every setting with its default and its meaning, as an .env file."""
    from ops.cli.env_example import text

    if write is None:
        print(text(), end="")
    else:
        write.write_text(text())


def _shown(value: object) -> object:
    return "" if value is None else value if isinstance(value, str | int | float | bool | dict | tuple) else str(value)
