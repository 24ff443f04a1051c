"""`strongroom migrate`: the database schema and the Temporal namespace."""

import asyncio

from adapters.settings import Settings
from ops.cli.exits import complain


def command() -> None:
    """Bring database schema and Temporal namespace up to date; repeating it changes nothing."""
    from adapters.store.migrate import upgrade
    from ops.devnet.temporal import configure

    settings = Settings()
    upgrade(settings.sqlalchemy_url)
    complain("the database schema is up to date")
    asyncio.run(configure(settings))
    complain(f"Temporal's namespace {settings.temporal_namespace} is up to date")
