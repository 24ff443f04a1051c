"""`strongroom bench NAME`: measures ours against the barest equivalent and prints the ratios."""

import asyncio
import importlib
import importlib.util
import inspect
from typing import Annotated, Any

import typer

from domain.errors import Refused
from ops.cli.output import show_json, show_table

NAMES = ("ledger", "withdrawals", "api")


def command(
    name: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(NAMES)}.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else.")] = False,
    pairs: Annotated[int | None, typer.Option(min=7, help="Rounds of ours and the reference, in turn.")] = None,
    network: Annotated[
        str | None, typer.Option(help="One of networks.toml (withdrawals); its first unless given.")
    ] = None,
    soak: Annotated[float | None, typer.Option(min=0.01, help="Minutes of looking for deadlocks (ledger).")] = None,
) -> None:
    """Measure ours against the barest equivalent, in turn on this machine; every pair's ratio is printed."""
    result = measure(name, pairs=pairs, network=network, soak=soak)
    if json:
        show_json(result)
        return
    rows = [_row(title, row) for title, row in result.items() if isinstance(row, dict) and "ratio" in row]
    if rows:
        show_table(f"bench {name}", ("what", "ours", "reference", "ratio", "min", "max", "goal", "met"), rows)
    others = {title: row for title, row in result.items() if not (isinstance(row, dict) and "ratio" in row)}
    show_json(others)


def measure(name: str, **asked: Any) -> dict[str, Any]:
    """What `ops.bench.<name>.main` answers; given the options it names. Raises Refused BENCH_*."""
    module = f"ops.bench.{name}"
    if name not in NAMES or importlib.util.find_spec(module) is None:
        raise Refused("BENCH_UNKNOWN", f"There are these: {', '.join(NAMES)}.")
    main = importlib.import_module(module).main
    options = {option: value for option, value in asked.items() if value is not None}
    if unknown := set(options) - set(inspect.signature(main).parameters):
        raise Refused("BENCH_OPTION", f"bench {name} takes no --{', --'.join(sorted(unknown))}.")
    answer = main(**options)
    result: dict[str, Any] = asyncio.run(answer) if inspect.iscoroutine(answer) else answer
    return result


def _row(title: str, row: dict[str, Any]) -> tuple[Any, ...]:
    ratio, middle = row["ratio"], len(row["ours"]) // 2
    ours, reference = (f"{sorted(row[side])[middle]:,.1f} {row['unit']}" for side in ("ours", "reference"))
    met = "yes" if row["met"] else "no"
    return (title.replace("_", " "), ours, reference, ratio["median"], ratio["min"], ratio["max"], row["goal"], met)
