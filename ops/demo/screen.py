"""What a person sees of the demonstration: progress while it runs, then the tables; on stderr, stdout stays pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domain.withdrawal import ENDS, Stage
from ops.demo.evidence import Row
from ops.demo.story import ASSET, Case

_COLOUR = {Stage.SETTLED: "green", Stage.REJECTED: "yellow", "REFUSED": "yellow"}


def progress(cases: Sequence[Case], happenings: Sequence[str]) -> RenderableType:
    """One line for each withdrawal as it stands now, and what was done to the parts below."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("withdrawal", "amount", "stage", "timeline"):
        table.add_column(heading, style="dim" if heading == "timeline" else "")
    for case in cases:
        colour = "green" if case.stage == case.should_end else "cyan"
        path = " → ".join(str(row["stage"]).lower() for row in case.timeline)
        table.add_row(case.title, f"{case.amount} {ASSET}", Text(case.stage or "…", style=colour), path)
    return Group(table, *(Text(line, style="magenta") for line in happenings))


def result(
    console: Console,
    rows: Sequence[Row],
    cases: Sequence[Case],
    before: Mapping[str, str],
    after: Mapping[str, str],
    proof: Mapping[str, Mapping[str, str]],
    links: Mapping[str, str],
) -> None:
    console.print(_outcomes(rows))
    for case in cases:
        if case.timeline:
            console.print(_timeline(case))
    console.print(_ledger(before, after))
    console.print(_zeroes(proof))
    for name, url in links.items():
        console.print(f"{name:>14}  {url}", highlight=False)


def _outcomes(rows: Sequence[Row]) -> Table:
    table = Table(title="Withdrawals, and what the node says of them", title_justify="left")
    for heading in (
        "withdrawal",
        "amount",
        "ended",
        "at the destination",
        "transfers",
        "conf.",
        "broadcast after",
        "tx",
    ):
        table.add_column(heading, overflow="fold")
    for row in rows:
        seconds = f"{row.seconds_to_broadcast:.2f} s" if row.seconds_to_broadcast is not None else "–"
        table.add_row(
            row.title,
            f"{row.amount} {row.asset}",
            Text(row.stage + (f" ({row.code})" if row.code else ""), style=_COLOUR.get(row.stage, "red")),
            f"{row.destination_balance} {row.asset}",
            str(row.transfers),
            str(row.confirmations or "–"),
            seconds,
            f"{row.txid[:10]}…{row.txid[-6:]}" if row.txid else "–",
        )
    return table


def _timeline(case: Case) -> Panel:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for row in case.timeline:
        clock = str(row["at"])[11:23]
        style = "bold" if row["stage"] in {str(end) for end in ENDS} else ""
        table.add_row(clock, Text(str(row["stage"]), style=style), str(row["actor"]), str(row["reason_code"]))
    return Panel(table, title=f"{case.title}: {case.id}", title_align="left", border_style="dim")


def _ledger(before: Mapping[str, str], after: Mapping[str, str]) -> Table:
    table = Table(title="Ledger accounts before and after", title_justify="left")
    for heading, side in (("account", "left"), ("before", "right"), ("after", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for account in sorted(before.keys() | after.keys()):
        was, now = before.get(account, "0"), after.get(account, "0")
        table.add_row(account, was, Text(now, style="" if was == now else "bold"))
    return table


def _zeroes(proof: Mapping[str, Mapping[str, str]]) -> Table:
    assets = sorted({asset for row in proof.values() for asset in row})
    table = Table(title="Zero, or something is wrong", title_justify="left")
    table.add_column("")
    for asset in assets:
        table.add_column(asset, justify="right")
    for name, row in proof.items():
        cells = [row.get(asset, "–") for asset in assets]
        table.add_row(name, *(Text(cell, style="green" if cell == "0" else "bold red") for cell in cells))
    return table


def as_json(rows: Sequence[Row], proof: Mapping[str, Mapping[str, str]], links: Mapping[str, str]) -> dict[str, Any]:
    """The one object of `--json`."""
    shown = ("id", "title", "network", "asset", "amount", "stage", "code", "txid", "destination", "destination_balance")
    more = ("transfers", "confirmations", "seconds_to_broadcast", "history_events")
    return {
        "withdrawals": [{name: getattr(row, name) for name in shown + more} for row in rows],
        **proof,
        **links,
    }
