"""`strongroom openapi`: the API's description, written to the file that is kept in the repository."""

from pathlib import Path
from typing import Annotated

import typer

FILE = Path(__file__).resolve().parent.parent.parent / "api" / "openapi.json"


def command(
    to: Annotated[Path, typer.Option(help="Where to write it.")] = FILE,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the file is what it should be.")] = False,
) -> None:
    """Write the OpenAPI document of this release."""
    text = document()
    if check:
        if not to.exists() or to.read_text(encoding="utf-8") != text:
            print(f"{to} is not what the code says: run `strongroom openapi`")
            raise typer.Exit(1)
        return
    to.write_text(text, encoding="utf-8")


def document() -> str:
    """The document as it is kept: sorted, indented, one newline at the end."""
    import json

    from api.app import build

    def never_opened(_: object) -> None:
        raise AssertionError("describing the API opens nothing")

    return json.dumps(build(never_opened).openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"  # type: ignore[arg-type]
