"""Writes the diagrams of `docs/states/` from the tables in `domain/`; a test refuses a stale one."""

from collections.abc import Mapping
from pathlib import Path

from domain.withdrawal import CANCELLABLE, ENDS, NEXT, SENTENCE, Stage

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "states"


def pages() -> Mapping[Path, str]:
    """Every generated page with the text it must have."""
    return {FOLDER / "withdrawal.md": _withdrawal()}


def write() -> list[Path]:
    """Writes the pages that differ; returns them."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path])
    return stale


def _withdrawal() -> str:
    edges = "\n".join(f"    {old} --> {new}" for old in Stage for new in Stage if new in NEXT[old])
    ends = "\n".join(f"    {stage} --> [*]" for stage in Stage if stage in ENDS)
    rows = "\n".join(
        f"| `{stage}` | {SENTENCE[stage]} | {'yes' if stage in CANCELLABLE else 'no'} |" for stage in Stage
    )
    return (
        "# Stages of a withdrawal\n\n"
        "Generated from `domain/withdrawal.py` by `./run states`; do not edit.\n\n"
        f"```mermaid\nstateDiagram-v2\n    [*] --> REQUESTED\n{edges}\n{ends}\n```\n\n"
        f"| stage | what it means | can be cancelled |\n| --- | --- | --- |\n{rows}\n"
    )
