"""Exit codes of every `strongroom` command, and how failures map to them."""

import sys
from enum import IntEnum

from domain.errors import Refused, StrongroomError, Unavailable


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4  # by policy, or it needs somebody's approval
    DOWN = 69  # something we depend on does not answer (EX_UNAVAILABLE)
    CONFIG = 78  # a setting or an operator's file is wrong (EX_CONFIG)
    INTERRUPTED = 130  # Ctrl-C


def exit_code(error: StrongroomError) -> Exit:
    """The code that a failure ends a command with."""
    if error.code.startswith("CONFIG_"):
        return Exit.CONFIG
    if error.code.endswith("NOT_FOUND"):
        return Exit.NOT_FOUND
    if isinstance(error, Refused):
        return Exit.REFUSED
    return Exit.DOWN if isinstance(error, Unavailable) else Exit.FAILED


def complain(message: str) -> None:
    """An error for the person at the terminal, on stderr."""
    print(f"strongroom: {message}", file=sys.stderr)
