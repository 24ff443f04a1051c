"""All that the chain knows, as cells that can be taken back: a dict, and a trail of what stood there before.

A block seals the trail behind it, which makes going back one block as cheap as what the block had changed. Values are
never changed in place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Key = tuple[Any, ...]  # the name of a table, then what tells its rows apart
LISTED = ("holding", "delegation")  # tables whose rows are asked for by a part of their key
Before = dict[Key, Any]  # what stood in the cells that a block changed; None where nothing did


class Cells(Protocol):
    """Something to read, write and take back."""

    def get(self, key: Key) -> Any: ...
    def put(self, key: Key, value: Any) -> None: ...
    def mark(self) -> int: ...
    def back_to(self, mark: int) -> None: ...


class Reader(Protocol):
    """Something to read."""

    def get(self, key: Key) -> Any: ...


class World:
    """The cells at the head, with whatever is being tried on top of it."""

    def __init__(self, cells: dict[Key, Any] | None = None) -> None:
        self.cells: dict[Key, Any] = cells if cells is not None else {}
        self._trail: list[tuple[Key, Any]] = []
        self.listed: dict[str, set[Key]] = {table: set() for table in LISTED}
        for key in self.cells:
            if key[0] in LISTED:
                self.listed[key[0]].add(key)

    def get(self, key: Key) -> Any:
        return self.cells.get(key)

    def put(self, key: Key, value: Any) -> None:
        """Writes a cell; None empties it."""
        self._trail.append((key, self.cells.get(key)))
        self._set(key, value)

    def mark(self) -> int:
        return len(self._trail)

    def back_to(self, mark: int) -> None:
        """Takes back everything written since `mark`."""
        while len(self._trail) > mark:
            self._set(*self._trail.pop())

    def seal(self) -> Before:
        """Keeps what was written since the last seal; returns how to undo it."""
        before: Before = {}
        for key, old in self._trail:
            before.setdefault(key, old)
        self._trail.clear()
        return before

    def unseal(self, before: Before) -> None:
        """Undoes the last sealed block. What is being tried has to be taken back first."""
        for key, old in before.items():
            self._set(key, old)

    def pending(self) -> Before:
        """How to undo what is being tried."""
        before: Before = {}
        for key, old in self._trail:
            before.setdefault(key, old)
        return before

    def copy(self) -> "World":
        """Another world as this one was sealed."""
        twin = World(dict(self.cells))
        twin.unseal(self.pending())
        return twin

    def _set(self, key: Key, value: Any) -> None:
        if value is None:
            self.cells.pop(key, None)
        else:
            self.cells[key] = value
        if key[0] in LISTED:
            (self.listed[key[0]].discard if value is None else self.listed[key[0]].add)(key)


class Past:
    """The world as it stood before some blocks, the oldest of them first."""

    def __init__(self, world: World, undone: Sequence[Mapping[Key, Any]]) -> None:
        self._world = world
        self._undone = undone

    def get(self, key: Key) -> Any:
        for before in self._undone:
            if key in before:
                return before[key]
        return self._world.get(key)

    def touched(self) -> set[Key]:
        """The keys that the undone blocks have written."""
        return {key for before in self._undone for key in before}

    def keys(self, table: str) -> list[Key]:
        """The keys of one of the LISTED tables that were there then."""
        keys = self._world.listed[table] | {key for key in self.touched() if key[0] == table}
        return [key for key in keys if self.get(key) is not None]


class Scratch:
    """Cells over something that is only read: a call that leaves nothing behind."""

    def __init__(self, below: Reader) -> None:
        self._below = below
        self._own: dict[Key, Any] = {}
        self._trail: list[tuple[Key, bool, Any]] = []

    def get(self, key: Key) -> Any:
        return self._own[key] if key in self._own else self._below.get(key)

    def put(self, key: Key, value: Any) -> None:
        self._trail.append((key, key in self._own, self._own.get(key)))
        self._own[key] = value

    def mark(self) -> int:
        return len(self._trail)

    def back_to(self, mark: int) -> None:
        while len(self._trail) > mark:
            key, was_own, old = self._trail.pop()
            if was_own:
                self._own[key] = old
            else:
                del self._own[key]
