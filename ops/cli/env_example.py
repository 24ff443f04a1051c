"""`.env.example`, generated from the settings model so that it can never be out of date."""

import textwrap
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from adapters.settings import ROOT, Settings, is_secret, variable_of

HEAD = """\
# Settings of Strongroom. Copy to .env and uncomment what you need; the environment wins over .env.
# Generated: `strongroom config example --write .env.example`. Every value shown is the default.
"""


def text() -> str:
    """The whole file."""
    return HEAD + "".join(f"\n{_entry(name, field)}" for name, field in Settings.model_fields.items())


def _entry(name: str, field: FieldInfo) -> str:
    words = field.description or ""
    if choices := _choices(field):
        words += f" One of {', '.join(choices)}."
    if is_secret(field):
        words += f" A secret: {variable_of(name, field)}_FILE may name a file that holds it."
    lines = textwrap.wrap(words, 116, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return "\n".join([*lines, f"#{variable_of(name, field)}{_suffix(field)}={_default(field)}"]) + "\n"


def _choices(field: FieldInfo) -> tuple[str, ...]:
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _suffix(field: FieldInfo) -> str:
    return "__ETHEREUM" if get_origin(field.annotation) is dict else ""


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, Path):
        return str(default.relative_to(ROOT))
    return (
        "" if default is None or default == {} else str(default).lower() if isinstance(default, bool) else str(default)
    )
