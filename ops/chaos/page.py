"""docs/crash-matrix.md: the matrix as people read it."""

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
"""


def matrix_page(report: Mapping[str, Any], families: Sequence[str]) -> str:
    """The whole page. A cell that was not played has a dash."""
    cells: Mapping[str, str] = report["cells"]
    good = sum(word == "once" for word in cells.values())
    ran = f"`./run chaos matrix --seed {report['seed']} --json`"
    told = f"{datetime.now(UTC).date()}, {ran}: {good} of {len(cells)} cells are `once`, in {report['seconds']:.0f} s."
    columns = [f"{family}, {fault}" for family in families for fault in Fault]
    lines = [HEAD, told, "", *(f"- *{fault}*: {SENTENCE[fault]}" for fault in Fault), ""]
    lines += [f"| step | process | {' | '.join(columns)} |", f"| --- | --- |{' --- |' * len(columns)}"]
    for point in CrashPoint:
        words = [cells.get(f"{point}/{family}/{fault}", "–") for family in families for fault in Fault]
        lines.append(f"| `{point}` | {STEPS[point].process} | {' | '.join(words)} |")
    lines += ["", "## What stands at each step", "", "| step | what it leaves behind |", "| --- | --- |"]
    lines += [f"| `{point}` | {STEPS[point].leaves} |" for point in CrashPoint]
    return "\n".join(lines) + "\n"
