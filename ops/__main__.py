"""The `strongroom` command, also as `python -m ops`."""

from ops.cli.finish import leave
from ops.cli.run import run


def main() -> None:
    """Runs one command and ends the process with its documented exit code."""
    leave(run())


if __name__ == "__main__":
    main()
