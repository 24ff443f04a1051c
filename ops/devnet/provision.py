"""What an installation needs before our own processes come. Each step may be repeated; it then changes nothing.

To add one: write `async def step(settings) -> None` where it belongs, and a row here, in order. `needs` names the parts
without which the step has nothing to do (a database or server given from outside counts as there).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial

from adapters.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that must be so."""

    name: str
    needs: frozenset[str]
    run: Callable[[Settings], Awaitable[None]]


async def _temporal(settings: Settings) -> None:
    from ops.devnet.temporal import configure

    await configure(settings)


async def _migrations(settings: Settings) -> None:
    from adapters.store.migrate import upgrade

    await asyncio.to_thread(upgrade, settings.sqlalchemy_url)


async def _household(step: str, settings: Settings) -> None:
    """One step of the local household; in production people do it by hand, each on their own machine."""
    from ops.devnet import household

    if settings.profile == "devnet":
        await getattr(household, step)(settings)


_BOOKS_AND_NODES = frozenset({"postgres", "node_proxy", "tron_node"})
STEPS: tuple[Step, ...] = (
    Step("keys: payload key and hot wallet", frozenset(), partial(_household, "make_keys")),
    Step("approvers: keys and rosters", frozenset(), partial(_household, "enrol_approvers")),
    Step("Temporal: retention and search attributes", frozenset({"temporal"}), _temporal),
    Step("database: schema", frozenset({"postgres"}), _migrations),
    Step("accounts and balances", _BOOKS_AND_NODES, partial(_household, "open_accounts")),
    Step("API keys", _BOOKS_AND_NODES, partial(_household, "hand_out_keys")),
)


async def provision(settings: Settings, parts: Collection[str], say: Say = lambda _: None) -> None:
    """Runs the steps whose needs are there, in order; `say` is told the name of each. Raises what a step raises."""
    for step in STEPS:
        if step.needs <= set(parts):
            say(step.name)
            await step.run(settings)
