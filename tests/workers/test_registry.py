"""Every queue that a workflow names has a process that works on it, and no process has more than it needs."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from activities.books import BooksActivities
from activities.chain import ChainActivities
from activities.hot_wallet import HotWalletActivities
from activities.signing import SigningActivities
from adapters.settings import WORKER_KINDS, Settings
from ops.devnet.temporal import SEARCH_ATTRIBUTES
from workers.hosting import Hosting, activities_of
from workers.registry import KINDS, WORKFLOWS
from workflows import attributes
from workflows.options import BOOKS, BOOKS_QUEUE, ORCHESTRATOR_QUEUE, SIGNER_QUEUE, SIGNING, chain_queue, on, serving

ROOT = Path(__file__).resolve().parents[2]
# No web stack, no chain and no database belongs into the process that can open a key.
FOREIGN_TO_THE_SIGNER = ("fastapi", "uvicorn", "asyncpg", "sqlalchemy", "aiohttp", "api", "adapters.store")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation where nothing runs: openers must not need it to."""
    return Settings(state_dir=tmp_path, database_url="postgresql://nobody:nothing@127.0.0.1:18590/none")  # type: ignore[arg-type]


def names(does: Any) -> set[str]:
    return {method.__temporal_activity_definition.name for method in does}


def defined_by(*classes: type) -> set[str]:
    return names(activities_of(*classes))


async def hosted_by(kind: str, settings: Settings) -> Hosting:
    async with KINDS[kind].host(settings, False) as hosting:
        return hosting


def test_the_supervisor_and_the_settings_know_the_same_kinds() -> None:
    assert tuple(KINDS) == WORKER_KINDS


def test_the_server_is_told_of_every_search_attribute_that_we_use() -> None:
    assert {key.name for key in attributes.ALL} == set(SEARCH_ATTRIBUTES)


async def test_each_queue_hosts_all_that_workflows_send_there(settings: Settings) -> None:
    (orchestrator,) = (await hosted_by("orchestrator", settings)).hosted
    assert (orchestrator.queue, orchestrator.workflows) == (ORCHESTRATOR_QUEUE, WORKFLOWS)
    (books,) = (await hosted_by("books", settings)).hosted
    assert (books.queue, names(books.activities)) == (BOOKS_QUEUE, defined_by(BooksActivities))
    chains = (await hosted_by("chain", settings)).hosted
    assert [chain.queue for chain in chains] == [chain_queue(network) for network in settings.served]
    assert all(names(chain.activities) == defined_by(ChainActivities, HotWalletActivities) for chain in chains)
    assert defined_by(SigningActivities) == {"sign"}
    used = {resource(network)["task_queue"] for resource in (on, serving) for network in settings.served}
    assert used == {chain.queue for chain in chains}
    assert (BOOKS["task_queue"], SIGNING["task_queue"]) == (BOOKS_QUEUE, SIGNER_QUEUE)


async def test_a_chain_worker_may_work_on_some_networks_only(settings: Settings) -> None:
    only = settings.model_copy(update={"networks": ("polygon",)})
    assert [chain.queue for chain in (await hosted_by("chain", only)).hosted] == [chain_queue("polygon")]


async def test_no_activity_shares_a_queue_with_a_workflow(settings: Settings) -> None:
    """The server's stop switches do not hold what a workflow's own worker hands to itself."""
    for kind in ("orchestrator", "books", "chain"):
        for hosted in (await hosted_by(kind, settings)).hosted:
            assert not (hosted.workflows and hosted.activities), hosted.queue


def test_the_signer_loads_no_web_stack_and_no_database() -> None:
    """What is not loaded cannot be attacked, and the process starts sooner."""
    code = "import sys, workers.__main__, adapters.vault; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert not loaded & set(FOREIGN_TO_THE_SIGNER)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_workflow_code_reaches_nothing_but_the_standard_library_the_sdk_and_our_rules(workflow: type) -> None:
    source = Path(inspect.getfile(workflow)).name
    code = f"import sys; before = set(sys.modules); import workflows.{source[:-3]}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    rooms = {name.partition(".")[0] for name in run.stdout.split()}
    assert not rooms & {"adapters", "cryptography", "asyncpg", "sqlalchemy", "aiohttp", "fastapi", "opentelemetry"}
