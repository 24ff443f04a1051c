"""The Temporal and the worlds of the workflow tests."""

from tests.workflows.conftest import env, world

__all__ = ["env", "world"]
