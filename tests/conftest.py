"""What every test may ask for: a real PostgreSQL, and a fresh, migrated database on it for each module."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster import Cluster

pytest_plugins = ("tests.bitcoin_node",)

# A loaded machine must not fail a property by the clock.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="session")
def start_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Cluster]]:
    """Starts another server, for tests that kill theirs."""
    started: list[Cluster] = []

    def start() -> Cluster:
        started.append(Cluster.start(tmp_path_factory.mktemp("postgres")))
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(start_cluster: Callable[[], Cluster]) -> Cluster:
    """The server of this session (of this xdist worker)."""
    return start_cluster()


@pytest.fixture(scope="module")
def database_url(cluster: Cluster) -> Iterator[str]:
    """postgresql:// of a fresh, migrated database that belongs to this test module alone."""
    dsn = cluster.migrated()
    yield dsn
    cluster.drop(dsn)
