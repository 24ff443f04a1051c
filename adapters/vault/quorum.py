"""Whose word counts for one intent: signatures checked here, against the signer's own roster, one voice per person."""

from typing import Protocol

from adapters.vault.order import Judged
from adapters.vault.rules import AssetRules
from domain import procedure as procedures
from domain.errors import Refused
from domain.intent import Decision, Ruling, Signed
from domain.procedure import Endorsed, Kind


class Signatures(Protocol):
    """The roster as this module needs it: "" when the word was really signed by an enrolled approver."""

    def verify(self, word: Signed) -> str: ...


def rejecter(judged: Judged, roster: Signatures) -> str | None:
    """An enrolled approver who said no to this very intent, if there is one."""
    for decision in judged.item.decisions:
        if _counts(decision, Ruling.REJECT, judged, roster):
            return decision.approver
    return None


def approvers(judged: Judged, roster: Signatures) -> frozenset[str]:
    """The different enrolled people, the requester not among them, who said yes to this very intent."""
    requester = judged.item.intent.requester
    return frozenset(
        decision.approver
        for decision in judged.item.decisions
        if not _same_person(decision.approver, requester) and _counts(decision, Ruling.APPROVE, judged, roster)
    )


def approved(judged: Judged, rules: AssetRules, roster: Signatures) -> bool:
    """True when people approved it, False when it is small enough to need nobody (the rolling cap then applies).

    Raises Refused SIGNER_QUORUM when the amount asks for more people than agreed.
    """
    needed = rules.approvals_for(judged.units)
    agreed = approvers(judged, roster)
    if len(agreed) < needed:
        raise Refused(
            "SIGNER_QUORUM",
            f"The signer's own tiers ask for {needed} approvals by different people; {len(agreed)} count.",
            needed=needed,
            counted=len(agreed),
            given=len(judged.item.decisions),
            intent_hash=judged.intent_hash,
            withdrawal_id=judged.item.intent.withdrawal_id,
        )
    return len(agreed) >= (needed or rules.fewest)


def endorsers(endorsed: Endorsed, kind: Kind, subject: str, roster: Signatures) -> tuple[str, ...]:
    """The different enrolled people who endorsed that `kind` is done with `subject`. Raises Refused
    SIGNER_PROCEDURE_OTHER, or SIGNER_ENDORSEMENTS when they are too few.
    """
    asked = endorsed.procedure
    if (asked.kind, asked.subject) != (kind, subject):
        raise Refused("SIGNER_PROCEDURE_OTHER", "The endorsed procedure is another one, or about another slot.")
    people = procedures.endorsers(endorsed, procedures.worths(endorsed, roster.verify))
    if len(people) < procedures.NEEDED[kind]:
        raise Refused(
            "SIGNER_ENDORSEMENTS",
            f"This takes {procedures.NEEDED[kind]} different people of the signer's own roster; {len(people)} count.",
            needed=procedures.NEEDED[kind],
            counted=len(people),
            procedure=asked.hash(),
        )
    return tuple(people)


def _same_person(approver: str, requester: str) -> bool:
    """Four eyes. A requester may be written with their role in front, as in `operator:alice`."""
    return approver.casefold() in (requester.casefold(), requester.rpartition(":")[2].casefold())


def _counts(decision: Decision, ruling: Ruling, judged: Judged, roster: Signatures) -> bool:
    return decision.ruling == ruling and decision.intent_hash == judged.intent_hash and roster.verify(decision) == ""
