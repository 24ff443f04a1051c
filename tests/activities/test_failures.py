"""Our three kinds of failure keep their code, kind and facts on their way through Temporal."""

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from activities.failures import heard, refusal, told
from domain.errors import Refused, StrongroomError, Unavailable, Uncertain

KINDS = (
    Refused("TOO_LATE", "It is being paid.", stage="PLANNED", tries=3, txid=None),
    Unavailable("NODE_SILENT", "No node answered."),
    Uncertain("BROADCAST_UNKNOWN", "Nobody can say.", txid="0x1"),
)


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_each_kind_comes_back_as_it_went(error: StrongroomError) -> None:
    carried = told(error)
    back = heard(_failed(carried))
    assert (type(back), back and back.code, back and dict(back.facts)) == (type(error), error.code, dict(error.facts))
    assert carried.non_retryable is isinstance(error, Refused), "only a refusal is final"


def test_a_refusal_is_told_from_everything_else() -> None:
    assert refusal(_failed(told(KINDS[0]))) is not None
    assert refusal(_failed(told(KINDS[1]))) is None
    assert refusal(_failed(ApplicationError("a bug", type="ValueError"))) is None
    assert heard(ValueError("not Temporal's at all")) is None


def _failed(cause: ApplicationError) -> ActivityError:
    error = ActivityError(
        "failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="worker",
        activity_type="judge",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error
