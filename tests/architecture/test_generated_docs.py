"""Pages that are generated from the code say what the code says."""

from ops import states


def test_the_state_diagrams_show_the_tables_in_force() -> None:
    stale = [path.name for path, text in states.pages().items() if not path.exists() or path.read_text() != text]
    assert not stale, f"{stale} in docs/states/ are stale: run ./run states"
