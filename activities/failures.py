"""Our three kinds of failure on their way through Temporal and back, translated in one place for all activities.

Refused becomes an ApplicationError that is not retried; Unavailable and Uncertain are retried by the resource's policy
(every activity looks before it acts, so a retry is a look). The error's `type` is our stable code, its details are
(facts, kind).
"""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import Refused, StrongroomError, Unavailable, Uncertain

_KINDS: dict[str, type[StrongroomError]] = {kind.__name__: kind for kind in (Refused, Unavailable, Uncertain)}


def told(error: StrongroomError) -> ApplicationError:
    """The failure as Temporal carries it."""
    final = isinstance(error, Refused)
    return ApplicationError(
        error.message,
        dict(error.facts),
        type(error).__name__,
        type=error.code,
        non_retryable=final,
        category=ApplicationErrorCategory.BENIGN if final else ApplicationErrorCategory.UNSPECIFIED,
    )


def heard(error: BaseException) -> StrongroomError | None:
    """Our error inside what Temporal raised (an ActivityError or a bare ApplicationError); None when it is not ours."""
    cause = error.cause if isinstance(error, ActivityError) else error
    if not isinstance(cause, ApplicationError) or cause.type is None or len(cause.details) != 2:
        return None
    facts, kind = cause.details
    if kind not in _KINDS or not isinstance(facts, dict):
        return None
    return _KINDS[kind](cause.type, cause.message, **facts)


def refusal(error: FailureError) -> Refused | None:
    """The refusal inside a failed activity, None for anything else."""
    ours = heard(error)
    return ours if isinstance(ours, Refused) else None


class Translation(Interceptor):
    """Gives every activity of a worker the translation above."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Translator(next)


class _Translator(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await self.next.execute_activity(input)
        except StrongroomError as error:
            if not isinstance(error, Refused):
                activity.logger.warning("%s", error, extra={"code": error.code})
            raise told(error) from error
