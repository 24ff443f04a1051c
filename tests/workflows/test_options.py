"""How soon another worker takes over what a dead one had in hand."""

from datetime import timedelta

import pytest
from temporalio.workflow import ActivityConfig

from workflows.options import BOOKS, SIGNING, on, serving

TAKEN_OVER_WITHIN = timedelta(seconds=10)


@pytest.mark.parametrize("resource", [BOOKS, SIGNING, on("ethereum"), serving("ethereum")])
def test_what_a_dead_worker_had_in_hand_is_taken_over_within_ten_seconds(resource: ActivityConfig) -> None:
    """The server notices a death by a missing heartbeat, or else when the time of the call is over."""
    noticed = resource.get("heartbeat_timeout") or resource["start_to_close_timeout"]
    retry = resource["retry_policy"]
    assert noticed is not None
    assert retry is not None
    assert noticed + retry.initial_interval < TAKEN_OVER_WITHIN
