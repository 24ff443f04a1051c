"""Where a process may be made to die: every step of the way of a withdrawal has a name and a sentence.

The steps call `passing`. It does nothing until `die_by` gives it something to do, which only a local installation does
(`adapters/crash.py`). Each point is passed on every network, save those of a step that
only some take (`Step.coins`, `Step.priced`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class CrashPoint(StrEnum):
    """The steps in the order in which a withdrawal passes them."""

    REQUEST_COMMITTED = "request-committed"
    STORY_STARTED = "story-started"
    TURN_TAKEN = "turn-taken"
    JUDGED = "judged"
    DECISION_RECORDED = "decision-recorded"
    PAYOUT_QUEUED = "payout-queued"
    BLOCKS_APPLIED = "blocks-applied"
    PAYOUT_QUOTED = "payout-quoted"
    COINS_CHOSEN = "coins-chosen"
    SLOT_PLANNED = "slot-planned"
    SLOT_DRAFTED = "slot-drafted"
    PAYOUT_BEGUN = "payout-begun"
    PAYOUT_RESUMED = "payout-resumed"
    ORDER_RECEIVED = "order-received"
    SIGNED = "signed"
    SIGNATURE_KEPT = "signature-kept"
    DELIVERY_BEGUN = "delivery-begun"
    VERSION_STORED = "version-stored"
    SENDING = "sending"
    SENT = "sent"
    OBSERVED = "observed"
    FACTS_RECORDED = "facts-recorded"
    PROCEDURE_TAKEN = "procedure-taken"
    BUMP_DECIDED = "bump-decided"
    BUMP_DRAFTED = "bump-drafted"
    BUMP_SIGNED = "bump-signed"
    BUMP_STORED = "bump-stored"
    FINAL_DECIDED = "final-decided"
    SETTLED = "settled"
    CONCLUSION_TOLD = "conclusion-told"


@dataclass(frozen=True, slots=True)
class Step:
    """`process`: whose death it is. `leaves`: what stands at that moment, and what nobody knows yet. `coins`: the step
    is taken only where a wallet is many coins; `priced`: only where a version with a higher fee takes another's place.
    """

    process: str
    leaves: str
    coins: bool = False
    priced: bool = False


STEPS: Mapping[CrashPoint, Step] = {
    CrashPoint.REQUEST_COMMITTED: Step("api", "The request and its hold are committed; the client has no answer."),
    CrashPoint.STORY_STARTED: Step("api", "The workflow runs; the books do not say that it was started."),
    CrashPoint.TURN_TAKEN: Step("orchestrator", "A story decided what comes next; Temporal has not heard it."),
    CrashPoint.JUDGED: Step("books", "The verdict is committed; the workflow has not heard it."),
    CrashPoint.DECISION_RECORDED: Step("books", "An approver's word is committed; the workflow has not heard it."),
    CrashPoint.PAYOUT_QUEUED: Step("books", "The quorum has queued the payout; the workflow has not heard it."),
    CrashPoint.BLOCKS_APPLIED: Step(
        "chain",
        "Blocks and what they did to our coins are in the books; nobody has drawn anything from it.",
        coins=True,
    ),
    CrashPoint.PAYOUT_QUOTED: Step("chain", "The network named its fee; no slot is taken."),
    CrashPoint.COINS_CHOSEN: Step("chain", "What the slot is to spend is chosen; the books have not set it aside."),
    CrashPoint.SLOT_PLANNED: Step("chain", "A slot is bound to the payment in the books; no bytes exist."),
    CrashPoint.SLOT_DRAFTED: Step("chain", "The first bytes are drafted; nobody else has seen them."),
    CrashPoint.PAYOUT_BEGUN: Step("chain", "The payout's story runs; its planner has not noted that."),
    CrashPoint.PAYOUT_RESUMED: Step("chain", "An open slot was found again and drafted; its story was not told."),
    CrashPoint.ORDER_RECEIVED: Step("signer", "The order is at the signer, which has read nothing of it."),
    CrashPoint.SIGNED: Step("signer", "A signature exists in memory and nowhere else."),
    CrashPoint.SIGNATURE_KEPT: Step("signer", "The signer remembers the signed bytes; nobody else has them."),
    CrashPoint.DELIVERY_BEGUN: Step("chain", "The signed bytes are at the deliverer; the books do not have them."),
    CrashPoint.VERSION_STORED: Step(
        "chain", "The signed bytes are in the books, the stage says BROADCAST; no node has heard of it."
    ),
    CrashPoint.SENDING: Step("chain", "The bytes are about to be offered to the nodes."),
    CrashPoint.SENT: Step("chain", "The nodes have the bytes, or not: their answer is not noted."),
    CrashPoint.OBSERVED: Step("chain", "The nodes said what they see of every version; nothing came of it yet."),
    CrashPoint.FACTS_RECORDED: Step("chain", "What was seen is in the books; the step it asks for was not taken."),
    CrashPoint.PROCEDURE_TAKEN: Step(
        "books", "What people endorsed about the stuck payment is committed; its story has not heard it.", priced=True
    ),
    CrashPoint.BUMP_DECIDED: Step("chain", "The facts ask for one more version; it has no bytes."),
    CrashPoint.BUMP_DRAFTED: Step("chain", "The next version is drafted; the signer has not seen it."),
    CrashPoint.BUMP_SIGNED: Step("signer", "The signer remembers one more version; nobody else has it."),
    CrashPoint.BUMP_STORED: Step("chain", "One more version is in the books; no node has heard of it."),
    CrashPoint.FINAL_DECIDED: Step("chain", "The proof of the end is at hand; the books do not know it."),
    CrashPoint.SETTLED: Step("books", "The end is settled in the books; no story has heard it."),
    CrashPoint.CONCLUSION_TOLD: Step("books", "Every story has heard the end; that they did is not noted."),
}

ORDERED = "ordered"  # in place of a point's name: the process waits to be told one

_die: Callable[[CrashPoint], None] | None = None


def passing(point: CrashPoint) -> None:
    """Says that the process passes `point`: the end of the process if it was armed there, else nothing."""
    if _die is not None:
        _die(point)


def die_by(die: Callable[[CrashPoint], None] | None) -> None:
    """From now on `die` is called at every point passed; None disarms."""
    global _die  # noqa: PLW0603 - one process dies once
    _die = die


def parse(text: str) -> tuple[CrashPoint, int]:
    """`name` or `name:nth` as (point, at which passing). Raises ValueError with the names there are."""
    name, colon, nth = text.partition(":")
    if name not in set(CrashPoint):
        raise ValueError(f"no crash point is called {name!r}; there are {', '.join(CrashPoint)}")
    if colon and not (nth.isdigit() and int(nth) > 0):
        raise ValueError(f"{text!r} does not say at which passing; write {name} or {name}:2")
    return CrashPoint(name), int(nth or 1)
