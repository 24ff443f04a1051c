"""What the front door can be asked to do wrong: POST /_ctl with any of these fields. GET /_ctl shows them, and the
counters.

A field that is not named stays as it is; `{"reset": true}` puts all of them back. With a `seed` the same requests meet
the same faults again. Probabilities are 0 to 1, fee rates whole satoshi per virtual byte.
"""

from pydantic import BaseModel, ConfigDict, Field

from ops.devnet import dice
from ops.devnet.dice import Probability

REORG_BLOCKS_MAX = 100


class Faults(BaseModel):
    """The faults in force."""

    model_config = ConfigDict(extra="forbid", strict=False)

    lose_reply: Probability = Field(
        default=0, description="A sent transaction is taken, and the connection cut before the answer."
    )
    blackhole: Probability = Field(default=0, description="A sent transaction is answered with its id and thrown away.")
    http_error: Probability = Field(
        default=0, description="Any request is answered with 429, 502 or 503 and not looked at."
    )
    silent: Probability = Field(default=0, description="Any request is never answered, the connection stays open.")
    stale_head: int = Field(
        default=0, ge=0, le=120, description="The node lags: everything is told as it was so many blocks ago."
    )
    delay_ms: int = Field(default=0, ge=0, le=60_000, description="Every answer waits.")
    down: bool = Field(default=False, description="Every connection is cut without an answer.")
    hold_blocks: bool = Field(default=False, description="No blocks are made; transactions stay in the mempool.")
    fee_rate: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="What estimatesmartfee answers; without it the node says that it knows too little.",
    )
    mempool_fee_rate: int | None = Field(
        default=None, ge=1, le=100_000, description="The mempool is full: it takes nothing below, and says so."
    )
    block_fee_rate: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Blocks take nothing below; a child lifts its parents to the rate of them all together.",
    )


class Order(Faults):
    """The body of POST /_ctl. Orders are obeyed in the order of these fields.

    A transaction is named by its id, when it ever came through this door (thrown away or replaced since, all the same),
    or given as raw hex.
    """

    reset: bool = Field(default=False, description="Takes all faults back first.")
    seed: int | None = Field(default=None, description="Starts the dice anew.")
    forget_mempool: bool = Field(default=False, description="The mempool loses everything, as at a hard restart.")
    fork: int | None = Field(
        default=None,
        ge=1,
        le=REORG_BLOCKS_MAX,
        description="So many blocks are replaced by a branch one block longer, with the same transactions.",
    )
    fork_loses: bool = Field(
        default=False, description="The branch is empty: what the replaced blocks held goes back to the mempool."
    )
    fork_swaps: bool = Field(
        default=False,
        description="In the branch each transaction gives way to another one that was ever offered for the same coin.",
    )
    branch: list[list[str]] | None = Field(
        default=None, description="The transactions of the branch, block by block; blocks not named are empty."
    )
    mine_exactly: list[str] | None = Field(
        default=None, description="Makes one block with these transactions and no others, whatever the mempool says."
    )
    mine: int = Field(default=0, ge=0, le=1000, description="Makes so many blocks now, held or not.")


class Dice(dice.Dice[Faults]):
    """The dice of this node."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(Faults(), seed)
