"""Files that a command is given: one sentence and an exit code where they cannot be used."""

import os
from pathlib import Path

import typer

from domain.errors import Refused


def text_of(path: Path) -> str:
    """What a file says. Raises Refused FILE_NOT_FOUND, or BadParameter for a folder and what cannot be read as text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refused("FILE_NOT_FOUND", f"There is no file {path}.") from None
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} cannot be read: it is no text in UTF-8.") from None


def check_writable(path: Path) -> None:
    """Asked before the work whose result is written there. Raises BadParameter."""
    target = path if path.exists() else path.parent
    if path.is_dir() or not target.exists() or not os.access(target, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written; name a file in a folder that is there and is yours.")
