"""Three kinds of failure, and only three.

*Refused* is final: tell the client. *Unavailable*: nothing happened, try again. *Uncertain*: it may have
happened, so look before acting. Each carries a stable code, a sentence that says what to do, and its facts.
"""

from collections.abc import Mapping


class StrongroomError(Exception):
    """Any failure we name. `code` is stable for ever; `str(error)` is a sentence for a person."""

    def __init__(self, code: str, message: str, **facts: str | int | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts: Mapping[str, str | int | None] = facts

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, dict(self.facts)))


class Refused(StrongroomError):
    """Final: asking again with the same words gives the same answer."""


class Unavailable(StrongroomError):
    """Nothing happened; the same call may be made again later."""


class Uncertain(StrongroomError):
    """It may have happened: look before acting, never act anew under another identity."""


def _rebuild(
    kind: type[StrongroomError], code: str, message: str, facts: dict[str, str | int | None]
) -> StrongroomError:
    return kind(code, message, **facts)
