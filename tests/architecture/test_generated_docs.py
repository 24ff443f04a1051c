"""Pages that are generated from the code say what the code says."""

import re
from pathlib import Path

from ops import network_page, states

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"docs/[\w./-]+\.(?:md|png)")


def test_the_state_diagrams_show_the_tables_in_force() -> None:
    stale = [path.name for path, text in states.pages().items() if not path.exists() or path.read_text() != text]
    assert not stale, f"{stale} in docs/states/ are stale: run ./run states"


def test_the_page_of_networks_says_what_the_operator_s_files_say() -> None:
    written = network_page.PAGE.read_text() if network_page.PAGE.exists() else ""
    assert written == network_page.text(), "docs/networks.md is stale: run ./run networks"


def test_every_page_that_is_named_somewhere_exists() -> None:
    rooms = ("domain", "activities", "workflows", "adapters", "workers", "api", "ops")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    sources += [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    missing = {
        f"{name} in {path.relative_to(ROOT)}"
        for path in sources
        for name in NAMED.findall(path.read_text())
        if not (ROOT / name).exists()
    }
    assert not missing, f"{sorted(missing)}: write the page, or name another"
