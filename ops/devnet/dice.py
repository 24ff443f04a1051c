"""What the front doors of all local nodes have in common when they misbehave: faults in force, and when they strike."""

from collections import Counter
from random import Random
from typing import Annotated, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, Field

Probability = Annotated[float, Field(ge=0, le=1)]
HTTP_ERRORS = (429, 502, 503)
FaultsT = TypeVar("FaultsT", bound=BaseModel)


class Order(Protocol):
    """What a node's control may be told, its faults among the fields: `reset` takes all faults back first, `seed`
    starts the dice anew.
    """

    reset: bool
    seed: int | None

    def model_dump(self, *, exclude_unset: bool, include: set[str]) -> dict[str, Any]: ...


class Dice(Generic[FaultsT]):
    """Faults in force, the dice that decide when they strike, and how often they did. With a `seed` the same requests
    meet the same faults again."""

    def __init__(self, faults: FaultsT, seed: int | None = None) -> None:
        self.faults = faults
        self.struck: Counter[str] = Counter()
        self._kind = type(faults)
        self._rng = Random(seed)

    def obey(self, order: Order) -> None:
        """Takes over the faults that the order names; those it does not name stay, or go back when it says `reset`."""
        named = order.model_dump(exclude_unset=True, include=set(self._kind.model_fields))
        self.faults = self._kind(**(({} if order.reset else self.faults.model_dump()) | named))
        if order.seed is not None:
            self._rng = Random(order.seed)

    def strikes(self, fault: str) -> bool:
        """Whether a fault given by a probability strikes this time."""
        chance: float = getattr(self.faults, fault)
        struck = chance > 0 and self._rng.random() < chance
        self.struck[fault] += struck
        return struck

    def count(self, fault: str) -> None:
        """A fault without dice has struck."""
        self.struck[fault] += 1

    def http_error(self) -> int:
        return self._rng.choice(HTTP_ERRORS)

    def facts(self) -> dict[str, Any]:
        return {"faults": self.faults.model_dump(), "struck": {name: n for name, n in self.struck.items() if n}}
