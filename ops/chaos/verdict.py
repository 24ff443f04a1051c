"""Whether every withdrawal was paid exactly once or returned: plain facts in, the verdict out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.withdrawal import ENDS, Stage
from ops.chaos.witness import Paid


@dataclass(frozen=True, slots=True)
class Row:
    """One withdrawal: as it was asked for, as the books say it ended (None: they do not know it), and every payment to
    its address that a block holds. Units are base units.
    """

    id: str
    network: str
    accepted: bool
    units: int
    stage: Stage | None
    payments: tuple[Paid, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was asked of nodes, books and workflow service at the end. `unasked`: payments to nobody's address;
    `sums` and `differences` are zeroes or something is wrong; `open`: workflows that still run and why; `broken`: those
    that failed or do not replay.
    """

    rows: Sequence[Row]
    unasked: Sequence[Paid] = ()
    sums: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, str] = field(default_factory=dict)
    clients: Mapping[str, str] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    workflows: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`faults` has a sentence for everything that is wrong; each of the three counts has its withdrawals there."""

    paid_twice: int
    lost: int
    stuck: int
    faults: tuple[str, ...]
    ends: Mapping[str, int]

    @property
    def clean(self) -> bool:
        return not self.faults and not (self.paid_twice or self.lost or self.stuck)


def judge(evidence: Evidence) -> Verdict:
    """The verdict on everything together."""
    found = {row.id: judge_row(row) for row in evidence.rows}
    counts = Counter(kind for kind, _ in found.values())
    faults = [f"{id_}: {sentence}" for id_, (_, sentence) in found.items() if sentence]
    faults += [f"a payment nobody asked for: {paid}" for paid in evidence.unasked]
    proofs = {"trial balance": evidence.sums, "chain - ledger": evidence.differences, "client": evidence.clients}
    faults += [
        f"{name} of {of} is {units}" for name, line in proofs.items() for of, units in line.items() if _is(units)
    ]
    faults += [f"workflow {id_} still runs: {why}" for id_, why in evidence.open.items()]
    faults += [f"workflow {id_}: {why}" for id_, why in evidence.broken.items()]
    ends = Counter(str(row.stage or ("unknown" if row.accepted else "refused")) for row in evidence.rows)
    return Verdict(
        paid_twice=counts["paid_twice"] + len(evidence.unasked),
        lost=counts["lost"],
        stuck=counts["stuck"] or len(evidence.open),
        faults=tuple(faults),
        ends=dict(sorted(ends.items())),
    )


def judge_row(row: Row) -> tuple[str, str]:
    """One withdrawal as (`once`, `returned`, `refused`, `paid_twice`, `lost` or `stuck`; what is wrong with it)."""
    count = len(row.payments)
    if count > 1:
        return "paid_twice", f"the blocks hold {count} payments: {', '.join(paid.txid for paid in row.payments)}"
    if row.stage is None:
        return (
            ("lost", "it was accepted and the books do not know it") if row.accepted else _unless_paid(row, "refused")
        )
    if row.stage not in ENDS:
        return "stuck", f"it still stands at {row.stage}"
    return _settled(row) if row.stage is Stage.SETTLED else _unless_paid(row, "returned")


def _settled(row: Row) -> tuple[str, str]:
    if not row.payments:
        return "lost", "the books call it SETTLED and no block holds a payment"
    if row.payments[0].units != row.units:
        return "lost", f"{row.payments[0].units} base units arrived instead of {row.units}"
    return "once", ""


def _unless_paid(row: Row, kind: str) -> tuple[str, str]:
    """Money that went back to the client must not have left as well."""
    if row.payments:
        return "paid_twice", f"it ended {row.stage or 'unaccepted'} and was paid all the same: {row.payments[0].txid}"
    return kind, ""


def _is(units: str) -> bool:
    return units != "0"


def as_json(verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    """What is printed of a verdict."""
    return {
        "clean": verdict.clean,
        "paid_twice": verdict.paid_twice,
        "lost": verdict.lost,
        "stuck": verdict.stuck,
        "withdrawals": {"asked": len(evidence.rows), "by_end": dict(verdict.ends)},
        "unasked_payments": len(evidence.unasked),
        "trial_balance": dict(evidence.sums),
        "chain_minus_ledger": dict(evidence.differences),
        "workflows_replayed": evidence.workflows,
        "faults": list(verdict.faults),
    }
