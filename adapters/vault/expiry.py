"""Versions that end by time: what the signer's own clock allows. Premise: it is within a minute of the network's.

The signer asks no node, so it cannot know whether an earlier version was paid; that every earlier one is proven dead is
the orchestrator's word (`Draft.after`). What the clock can see by itself is checked here: at most one version of a slot
is alive at any time, and none lives long.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.errors import Refused, Unavailable
from domain.network import Network

WINDOW_MAX = timedelta(minutes=10)
SKEW_MAX = timedelta(minutes=1)  # how far the network's head may be ahead of our clock


def check_window(expires_at_ms: int, network: Network, now: datetime) -> None:
    """The version can still be included, and not for longer than the network's window. Raises Refused
    SIGNER_DRAFT_STALE (draft it anew) or SIGNER_EXPIRATION_FAR.
    """
    left = _moment(expires_at_ms) - now
    if left <= timedelta(0):
        raise Refused(
            "SIGNER_DRAFT_STALE", "The bytes expired before they were signed; draft them anew.", left_s=_seconds(left)
        )
    most = min(timedelta(seconds=network.window_s), WINDOW_MAX) + SKEW_MAX
    if left > most:
        raise Refused(
            "SIGNER_EXPIRATION_FAR",
            f"The bytes would live longer than {_seconds(most)} seconds by the signer's clock; compare the clocks.",
            left_s=_seconds(left),
        )


def check_dead(attempts: Sequence[tuple[str, int | None]], network: Network, now: datetime) -> None:
    """Every earlier version (txid, expiration) ended, by as much as solid blocks lag behind. Raises
    SIGNER_ATTEMPT_ALIVE when whoever says so is ahead of this clock: Unavailable by as much as clocks may differ, for
    then it only has to be asked again; Refused by more, for then somebody is wrong.
    """
    lag = timedelta(milliseconds=network.block_time_ms * (network.confirmations - 1))
    for txid, expires_at_ms in attempts:
        early = None if expires_at_ms is None else _moment(expires_at_ms) + lag - now
        if early is not None and early <= timedelta(0):
            continue
        kind = Refused if early is None or early > SKEW_MAX else Unavailable
        raise kind(
            "SIGNER_ATTEMPT_ALIVE",
            "An earlier version of this slot may still be paid, by the signer's own clock.",
            txid=txid,
            expires_at_ms=expires_at_ms,
        )


def _moment(ms: int) -> datetime:
    """Far futures are all alike."""
    return datetime.fromtimestamp(min(ms, 2**42) / 1000, UTC)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
