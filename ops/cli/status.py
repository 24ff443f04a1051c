"""`strongroom status`: what runs."""

from dataclasses import asdict

import typer

from adapters.settings import Settings
from ops.cli.exits import Exit, complain
from ops.cli.output import Form, Output, show_facts, show_json, show_table


def command(output: Output = Form.TABLE) -> None:
    """What runs, since when, and where it is reached. Ends with 69 unless every part is ready."""
    from ops.devnet.endpoints import endpoints
    from ops.devnet.running import last_state, orphans, read

    settings = Settings()
    state = read(settings)
    left = {} if state else orphans(settings)
    phase = state.get("phase", "starting") if state else "stopped"
    parts = state.get("parts", {}) if state else {}
    where = (state or {}).get("endpoints") or asdict(endpoints(settings))
    if output is Form.JSON:
        show_json({"phase": phase, "parts": parts, "endpoints": where, "left_behind": left})
    elif state:
        columns = ("part", "life", "pid", "restarts", "since", "last exit")
        keys = ("life", "pid", "restarts", "since", "last_exit")
        show_table("", columns, [(name, *(_cell(row[key]) for key in keys)) for name, row in parts.items()])
        show_facts(where)
    if not state:
        complain(f"nothing runs here ({settings.state_dir}); start it with `strongroom up`")
        if left:
            complain(f"a killed keeper left these behind, `up` and `down` end them: {left}")
        elif error := last_state(settings).get("error"):
            complain(f"the last start failed: {error}")
    if phase != "ready" or any(row["life"] != "ready" for row in parts.values()):
        raise typer.Exit(Exit.DOWN)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
