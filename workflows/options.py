"""Where each resource's work is done, how long it may take and how it is tried again: named once, by resource.

No activity shares a queue with a workflow: the server's stop switches do not hold an activity that is handed to the
workflow's own worker. Nothing here gives up: what is not refused is tried until it is done.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig

with workflow.unsafe.imports_passed_through():
    from activities.hot_wallet import SERVE_MIN

ORCHESTRATOR_QUEUE = "orchestrator"
BOOKS_QUEUE = "books"
SIGNER_QUEUE = "signer"

HEARTBEAT_TIMEOUT_S = 5
# A workflow's next turn is given to somebody else after so long, when the process that took it fell silent.
TURN = timedelta(seconds=5)
DELIVER_H = 1
# What is asked for takes milliseconds. After this its worker counts as dead; if it was only slow, the repeat finds the
# work done.
WRITE_S = 5

_PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
# What watches the outside world is taken over at once when its worker dies.
_EAGER = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), backoff_coefficient=1.5, maximum_interval=timedelta(seconds=3)
)

BOOKS = ActivityConfig(
    task_queue=BOOKS_QUEUE,
    start_to_close_timeout=timedelta(seconds=WRITE_S),
    retry_policy=_PATIENT,
)

SIGNING = ActivityConfig(
    task_queue=SIGNER_QUEUE,
    start_to_close_timeout=timedelta(seconds=WRITE_S),
    retry_policy=_PATIENT,
)


def chain_queue(network: str) -> str:
    return f"chain-{network}"


def on(network: str) -> ActivityConfig:
    """Work at one network's nodes: it beats every second, and is taken over five seconds after it fell silent."""
    return ActivityConfig(
        task_queue=chain_queue(network),
        start_to_close_timeout=timedelta(hours=DELIVER_H),
        heartbeat_timeout=timedelta(seconds=HEARTBEAT_TIMEOUT_S),
        retry_policy=_EAGER,
        cancellation_type=ActivityCancellationType.TRY_CANCEL,
    )


def serving(network: str) -> ActivityConfig:
    """One term of serving a hot wallet at the network's nodes."""
    term = on(network)
    term["start_to_close_timeout"] = timedelta(minutes=SERVE_MIN + 1)
    return term


def titled(resource: ActivityConfig, summary: str) -> ActivityConfig:
    """The resource, with a line that names this very call in the Temporal UI."""
    return ActivityConfig(**{**resource, "summary": summary})
