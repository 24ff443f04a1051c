"""What the virtual machine is asked and what it answers. The machine itself is loaded when it is first needed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.devnet.tron.transaction import Internal, Log

if TYPE_CHECKING:
    from ops.devnet.tron.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `to`, or the deployment of `data` to `to`; both addresses have 21 bytes."""

    caller: bytes
    to: bytes
    data: bytes
    energy: int
    sun: int = 0
    deploys: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call did. `error` is a contractResult, empty on success; energy is what ran, or all of it when burnt."""

    energy: int
    output: bytes
    error: str = ""
    message: str = ""
    logs: tuple[Log, ...] = ()
    internal: tuple[Internal, ...] = ()


def execute(ledger: "Ledger", order: Call) -> Outcome:
    """Runs a call; one that fails leaves nothing behind in the ledger."""
    from ops.devnet.tron.tvm import run

    return run(ledger, order)


def warm_up() -> None:
    """Loads the machine ahead of the first call; takes about a second."""
    import ops.devnet.tron.tvm  # noqa: F401
