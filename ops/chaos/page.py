"""docs/crash-matrix.md: the matrix as people read it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.crash_points import STEPS, CrashPoint
from ops.chaos.cells import SENTENCE, Fault

HEAD = """# The crash matrix

Every step of a withdrawal's way has a name. Each cell below is a real process killed with SIGKILL at that very step,
on real parts (PostgreSQL, Temporal, workers, signer, API and a node of the family), in the middle of a real withdrawal;
whoever keeps the process started it again, and at the end the node was asked how often the recipient had been paid.
`once` means: the process died there, the fault struck, the blocks hold exactly one payment of exactly that amount, the
books say SETTLED and balance, the chain agrees with the books, and every history replays. Any other word is a failure.
Where several are paid together, a cell is a batch of two, and both recipients must have been paid once. A dash: that
step is not taken there.
"""


def matrix_page(report: Mapping[str, Any], storms: Sequence[Mapping[str, Any]] = ()) -> str:
    """The whole page, from the JSON of a matrix and of storms. A cell that was not played has a dash."""
    cells: Mapping[str, str] = report["cells"]
    families = list(dict.fromkeys(name.split("/")[1] for name in cells))
    good = sum(word == "once" for word in cells.values())
    ran = f"`./run chaos matrix --seed {report['seed']} --json`"
    on = report.get("date", datetime.now(UTC).date().isoformat())
    told = f"{on}, {ran}: {good} of {len(cells)} cells are `once`, in {report['seconds']:.0f} s."
    if replayed := report.get("played_again"):
        told += " Played again: " + ", ".join(f"`{name}` (`{word}` before)" for name, word in replayed.items()) + "."
    columns = [f"{family}, {fault}" for family in families for fault in Fault]
    lines = [HEAD, told, "", *(f"- *{fault}*: {SENTENCE[fault]}" for fault in Fault), ""]
    lines += [f"| step | process | {' | '.join(columns)} |", f"| --- | --- |{' --- |' * len(columns)}"]
    for point in CrashPoint:
        words = [cells.get(f"{point}/{family}/{fault}", "–") for family in families for fault in Fault]
        lines.append(f"| `{point}` | {STEPS[point].process} | {' | '.join(words)} |")
    lines += _storms(storms)
    lines += ["", "## What stands at each step", "", "| step | what it leaves behind |", "| --- | --- |"]
    lines += [f"| `{point}` | {STEPS[point].leaves} |" for point in CrashPoint]
    return "\n".join(lines) + "\n"


STORMS = """
## Storms, and a simple sender in the same ones

[A storm](chaos.md) does everything at once, for minutes, from a seed. The last two columns are those of the simple
sender, which pays as many people through the same nodes at the same time: how many withdrawals it paid more than once
on the networks of each family, and the most payments that one of them got. A dash was not measured."""
_HEADS = (
    *("seed", "minutes", "networks", "withdrawals", "kills", "reorgs", "faults", "sped up / voided"),
    *("paid twice", "lost", "stuck", "at work again p50 / max (after the restart)"),
    *("simple sender paid twice", "most for one"),
)


def _storms(storms: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row for each storm: ours, and the simple sender's figures beside it."""
    if not storms:
        return []
    lines = [STORMS, "", f"| {' | '.join(_HEADS)} |", f"|{' --- |' * len(_HEADS)}"]
    for storm in storms:
        rows, recovered = storm.get("naive", {}).get("by_network", {}).values(), storm.get("seconds_to_recover")
        most = max((row["most_for_one"] for row in rows), default=0)
        twice: Counter[str] = Counter()
        for one in rows:
            twice[one["family"]] += one["paid_twice"]
        row = (
            *(storm["seed"], f"{storm['minutes']:g}", len(storm["networks"]), storm["withdrawals"]["asked"]),
            *(storm[kind]["total"] for kind in ("kills", "reorgs", "faults_made")),
            _procedures(storm.get("procedures")),
            *(storm["paid_twice"], storm["lost"], storm["stuck"]),
            _recovery(recovered) if recovered else "–",
            *(", ".join(f"{family} {count}" for family, count in sorted(twice.items())) or "–", most or "–"),
        )
        lines.append(f"| {' | '.join(map(str, row))} |")
    return lines


def _procedures(taken: Mapping[str, int] | None) -> str:
    """How often people had a payment sped up, and how often voided; a dash where none did."""
    return "–" if taken is None else f"{taken.get('SPEED_UP TAKEN', 0)} / {taken.get('VOID TAKEN', 0)}"


def _recovery(figures: Mapping[str, Any]) -> str:
    """From the kill until work was done again, and the longest that it took once the part answered again."""
    return f"{figures['p50']:g} / {figures['max']:g} s ({figures['after_restart_max']:g} s)"
