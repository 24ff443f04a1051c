"""`strongroom down`: stop what `up` started."""

import asyncio

from adapters.settings import Settings
from ops.cli.exits import complain


def command() -> None:
    """Stop what `up` started, in order; also what a killed one left behind."""
    from ops.devnet.running import RunningStack, end_orphans, is_held

    settings = Settings()
    if is_held(settings):
        asyncio.run(RunningStack(settings).stop())
        complain("stopped")
    elif left := end_orphans(settings):
        complain(f"ended what was left behind: {', '.join(left)}")
    else:
        complain("nothing runs")
