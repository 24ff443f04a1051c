"""What an installation needs before our own processes come. Each step may be repeated; it then changes nothing.

To add one: write `async def step(settings) -> None` where it belongs, and a row here, in order. `needs` names the parts
without which the step has nothing to do (a database or server given from outside counts as there).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial

from adapters.settings import Settings
from ops.devnet.parts import node_names

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that must be so. With `nodes` it needs every local network's node besides."""

    name: str
    needs: frozenset[str]
    run: Callable[[Settings], Awaitable[None]]
    nodes: bool = False


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


STEPS: tuple[Step, ...] = (
    Step("keys: payload key and hot wallets", frozenset(), partial(_household, "make_keys")),
    Step("approvers: keys and rosters", frozenset(), partial(_household, "enrol_approvers")),
    Step("Temporal: retention and search attributes", frozenset({"temporal"}), _temporal),
    Step("database: schema", frozenset({"postgres"}), _migrations),
    Step("accounts and balances", frozenset({"postgres"}), partial(_household, "open_accounts"), nodes=True),
    Step("API keys", frozenset({"postgres"}), partial(_household, "hand_out_keys"), nodes=True),
)


async def provision(settings: Settings, parts: Collection[str], say: Say = lambda _: None) -> None:
    """Runs the steps whose needs are there, in order; `say` is told the name of each. Raises what a step raises."""
    nodes = node_names(settings)
    for step in STEPS:
        if (step.needs | nodes if step.nodes else step.needs) <= set(parts):
            say(step.name)
            await step.run(settings)
