"""What the proxy can be asked to do wrong: POST /_ctl with any of these fields. GET /_ctl shows them, and the counters.

A field that is not named stays as it is; `{"reset": true}` puts all of them back. With a `seed` the same requests meet
the same faults again. Probabilities are 0 to 1.
"""

from pydantic import BaseModel, ConfigDict, Field

from ops.devnet import dice
from ops.devnet.dice import Probability


class Faults(BaseModel):
    """The faults in force."""

    model_config = ConfigDict(extra="forbid", strict=False)

    lose_reply: Probability = Field(
        default=0, description="A sent transaction is taken, and the connection cut before the answer."
    )
    blackhole: Probability = Field(
        default=0, description="A sent transaction is answered with its hash and thrown away."
    )
    http_error: Probability = Field(
        default=0, description="Any request is answered with 429, 502 or 503 and not looked at."
    )
    null_receipt: Probability = Field(default=0, description="A receipt that exists is answered with null.")
    stale_head: int = Field(
        default=0, ge=0, le=120, description="The node lags: everything is told as it was so many blocks ago."
    )
    delay_ms: int = Field(default=0, ge=0, le=60_000, description="Every answer waits.")
    down: bool = Field(
        default=False, description="Every connection is cut without an answer, as when the node has gone."
    )
    hold_blocks: bool = Field(default=False, description="No blocks are made; transactions stay pending.")


class Order(Faults):
    """The body of POST /_ctl."""

    seed: int | None = Field(default=None, description="Starts the dice anew.")
    mine: int = Field(default=0, ge=0, le=1000, description="Makes so many blocks now, held or not.")
    reorg: int = Field(default=0, ge=0, le=120, description="Replaces the last so many blocks by empty ones.")
    reset: bool = Field(default=False, description="Takes all faults back first.")
    forget: bool = Field(default=False, description="What waits in the pool now is forgotten.")


class Dice(dice.Dice[Faults]):
    """The dice of this node."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(Faults(), seed)
