"""The PostgreSQL servers of tests are the scratch ones of the benchmarks."""

from ops.bench.scratch import Cluster, free_port

__all__ = ["Cluster", "free_port"]
