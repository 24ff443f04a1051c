"""`strongroom logs`: what the parts have written."""

import sys
import time
from pathlib import Path
from typing import Annotated, TextIO

import typer

from adapters.settings import Settings
from domain.errors import Refused

POLL_S = 0.2
TAIL_BYTES = 200_000


def command(
    part: Annotated[str | None, typer.Argument(help="A part, or `supervisor`; all of them unless given.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what is written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines of each.")] = 50,
) -> None:
    """Show the logs of a part, or of all."""
    folder = Settings().log_dir
    present = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if part is not None and part not in present:
        raise Refused(
            "LOG_NOT_FOUND", f"There is no log of {part} in {folder}; there are {', '.join(present) or 'none'}."
        )
    chosen = present if part is None else {part: present[part]}
    width = max(map(len, chosen), default=0) if part is None else 0
    for name, path in chosen.items():
        for line in tail(path, lines):
            _write(name, line, width)
    if follow:
        _follow(chosen, width)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file, without reading all of a large one."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return text.splitlines()[-lines:] if lines else []


def _follow(chosen: dict[str, Path], width: int) -> None:
    files: dict[str, TextIO] = {}
    for name, path in chosen.items():
        files[name] = path.open(errors="replace")
        files[name].seek(0, 2)
    while True:
        for name, file in files.items():
            for line in file:
                _write(name, line.rstrip("\n"), width)
        sys.stdout.flush()
        time.sleep(POLL_S)


def _write(name: str, line: str, width: int) -> None:
    print(f"{name:<{width}} | {line}" if width else line)
