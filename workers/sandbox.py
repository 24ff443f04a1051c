"""The sandbox that workflows run in: the SDK's own, on, with our pure rooms loaded once."""

from dataclasses import dataclass
from typing import Any

from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

from domain.crash_points import CrashPoint, passing

# Shared with workflow code: loading them once keeps the sandbox on and quick.
_PURE = ("domain", "activities")


def sandbox() -> SandboxedWorkflowRunner:
    return _Sandbox(restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PURE))


@dataclass(frozen=True)
class _Sandbox(SandboxedWorkflowRunner):
    """For a codec to which all payloads are alike. The SDK asks each workflow several times for each payload whose it
    is, and enters the sandbox for the answer, which is most of what a workflow task costs; here nobody is asked.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Run(super().create_instance(det))


class _Run(WorkflowInstance):
    """A sandboxed run that names no context of its payloads."""

    def __init__(self, inside: WorkflowInstance) -> None:
        self._inside = inside

    def activate(self, act: Any) -> Any:
        done = self._inside.activate(act)
        passing(CrashPoint.TURN_TAKEN)
        return done

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._inside.get_info()

    def get_thread_id(self) -> int | None:
        return self._inside.get_thread_id()
