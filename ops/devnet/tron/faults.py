"""What the node can be asked to do wrong: POST /_ctl with any of these fields. GET /_ctl shows them, and the counters.

There are two nodes, `a` and `b`, on one chain: `/wallet/...` is answered by a, `/b/wallet/...` by b. Each has faults of
its own (`POST /b/_ctl`). A field that is not named stays as it is; `{"reset": true}` puts all of them back. With a
`seed` the same requests meet the same faults again. Probabilities are 0 to 1.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ops.devnet import dice
from ops.devnet.dice import Probability
from ops.devnet.tron.chain import UNDO_BLOCKS
from ops.devnet.tron.keys import address_of, is_address
from ops.devnet.tron.parameters import DEFAULTS

NodeName = Literal["a", "b"]


class Faults(BaseModel):
    """The faults of one node."""

    model_config = ConfigDict(extra="forbid", strict=False)

    drop: Probability = Field(
        default=0, description="A broadcast transaction is found good, answered with success, and thrown away."
    )
    lose_reply: Probability = Field(
        default=0, description="A broadcast transaction is taken, and the answer is 504 all the same."
    )
    server_busy: Probability = Field(
        default=0, description="A broadcast transaction is answered with SERVER_BUSY and not looked at."
    )
    http_error: Probability = Field(
        default=0, description="Any request is answered with 429, 502 or 503 and not looked at."
    )
    garbage: Probability = Field(default=0, description="Any request is answered with 200 and a page of HTML.")
    missing_info: Probability = Field(
        default=0, description="A transaction info that exists is left out, of a block's list too."
    )
    hold_blocks: int = Field(
        default=0, ge=0, le=1000, description="A broadcast transaction comes so many blocks later than it could."
    )
    halted: bool = Field(
        default=False,
        description="Node a: no blocks are made unless asked for with `mine`. Node b: none on its own branch.",
    )
    substitute: str | None = Field(
        default=None,
        description="Build calls and getsignweight return a transaction that pays this address, not the asked one.",
    )
    stale_head: int = Field(
        default=0, ge=0, le=UNDO_BLOCKS, description="The node lags: everything is told as it was so many blocks ago."
    )
    lite: int | None = Field(
        default=None, ge=0, description="Blocks and transactions older than so many blocks are answered as unknown."
    )
    dup_cache: bool = Field(
        default=False,
        description="An id that was offered within the last hour is DUP, whatever became of it (trxCacheEnable).",
    )
    estimate_energy: bool = Field(default=False, description="wallet/estimateenergy is served; by default it is not.")
    told_parameters: dict[str, int] = Field(
        default_factory=dict, description="Chain parameters that the node tells wrongly."
    )
    delay_ms: int = Field(default=0, ge=0, le=60_000, description="Every answer waits.")
    down: bool = Field(default=False, description="Every connection is cut without an answer.")

    @field_validator("substitute")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        if text is not None and not is_address(address_of(text)):
            raise ValueError("an address of TRON, as T...")
        return text

    @field_validator("told_parameters")
    @classmethod
    def _are_known(cls, values: dict[str, int]) -> dict[str, int]:
        return known_parameters(values)


class Order(Faults):
    """The body of POST /_ctl. Orders are obeyed in the order of these fields."""

    reset: bool = Field(default=False, description="Takes all faults of this node back first.")
    seed: int | None = Field(default=None, description="Starts this node's dice anew.")
    time_skew_s: float | None = Field(
        default=None, ge=-(10**9), le=10**9, description="How far the chain's clock is ahead; never behind the head."
    )
    parameters: dict[str, int] = Field(
        default_factory=dict, description="Chain parameters that the witnesses change with the next block."
    )
    energy_factor: int | None = Field(
        default=None, ge=0, le=100_000, description="Energy penalty of USDT in 1/10000, from the next block on."
    )
    release: bool = Field(default=False, description="What was lost comes into the pool now, if it is still valid.")
    split: int | None = Field(
        default=None,
        ge=0,
        description="Node b leaves for a branch of its own, which replaces so many blocks. Only the majority's branch "
        "becomes solid.",
    )
    majority: NodeName = Field(default="a", description="Who keeps most of the witnesses when the chain splits.")
    heal: NodeName | None = Field(default=None, description="Both nodes go on with this one's branch.")
    fork: int | None = Field(default=None, ge=1, description="So many blocks are replaced by a longer branch.")
    fork_loses: bool = Field(default=False, description="The fork does not take the replaced transactions back.")
    skip_slots: int = Field(
        default=0, ge=0, le=10_000_000, description="Slots without a block before those to be made."
    )
    mine: int = Field(default=0, ge=0, le=100_000, description="Makes so many blocks now, halted or not.")

    @field_validator("parameters")
    @classmethod
    def _are_parameters(cls, values: dict[str, int]) -> dict[str, int]:
        return known_parameters(values)


def known_parameters(values: dict[str, int]) -> dict[str, int]:
    """Raises ValueError for a name that no chain has."""
    if unknown := sorted(set(values) - set(DEFAULTS)):
        raise ValueError(f"no chain parameter is called {', '.join(unknown)}")
    return values


class Dice(dice.Dice[Faults]):
    """The dice of one node."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(Faults(), seed)
