"""What a person sees of the demonstration: progress while it runs, then the tables; on stderr, stdout stays pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domain.withdrawal import ENDS, Stage
from ops.demo.evidence import Row
from ops.demo.story import Case

_COLOUR = {Stage.SETTLED: "green", Stage.REJECTED: "yellow", "REFUSED": "yellow"}


def progress(cases: Sequence[Case], happenings: Sequence[str]) -> RenderableType:
    """One line for each withdrawal as it stands now, and what was done to the parts below."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("withdrawal", "amount", "stage", "timeline"):
        table.add_column(heading, style="dim" if heading == "timeline" else "")
    for case in cases:
        colour = "green" if case.stage == case.should_end else "cyan"
        path = " → ".join(str(row["stage"]).lower() for row in case.timeline)
        table.add_row(
            f"{case.network}: {case.title}", f"{case.amount} {case.asset}", Text(case.stage or "…", style=colour), path
        )
    return Group(table, *(Text(line, style="magenta") for line in happenings))


def result(
    console: Console,
    rows: Sequence[Row],
    cases: Sequence[Case],
    ledger: tuple[Mapping[str, str], Mapping[str, str]],
    proof: Mapping[str, Mapping[str, str]],
    links: Mapping[str, str],
) -> None:
    console.print(_outcomes(rows))
    for case, row in zip(cases, rows, strict=True):
        if case.timeline:
            console.print(_timeline(case, row))
    console.print(_ledger(*ledger))
    console.print(_zeroes(proof))
    for name, url in links.items():
        console.print(f"{name:>14}  {url}", highlight=False)


def _outcomes(rows: Sequence[Row]) -> Table:
    table = Table(title="Withdrawals, and what the node says of them", title_justify="left")
    for heading in ("withdrawal", "amount", "ended", "there now", "conf.", "transaction"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        ended = Text(row.stage, style=_COLOUR.get(row.stage, "red"))
        table.add_row(
            f"{row.network}: {row.title}",
            f"{row.amount} {row.asset}",
            ended.append(f"\n{row.code}") if row.code else ended,
            f"{row.destination_balance} {row.asset}",
            str(row.confirmations or "–"),
            f"{row.txid[:10]}…{row.txid[-6:]}" if row.txid else "–",
        )
    return table


def _timeline(case: Case, row: Row) -> Panel:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for event in case.timeline:
        clock = str(event["at"])[11:23]
        style = "bold" if event["stage"] in {str(end) for end in ENDS} else ""
        table.add_row(clock, Text(str(event["stage"]), style=style), str(event["actor"]), str(event["reason_code"]))
    seconds = row.seconds_to_broadcast
    broadcast = "never broadcast" if seconds is None else f"broadcast after {seconds:.2f} s"
    seen = f"{broadcast}, transfers seen by the node: {row.transfers}"
    return Panel(
        table,
        title=f"{case.network}: {case.title}: {case.id}",
        subtitle=seen,
        title_align="left",
        subtitle_align="left",
        border_style="dim",
    )


def _ledger(before: Mapping[str, str], after: Mapping[str, str]) -> Table:
    """The accounts that moved, in whole coins; each column of an asset's accounts adds up to what it did before."""
    table = Table(title="Ledger accounts that moved", title_justify="left")
    table.add_column("account", overflow="fold")
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    for account in sorted(before.keys() | after.keys()):
        was, now = before.get(account, "0"), after.get(account, "0")
        if was != now:
            table.add_row(_shortened(account), was, Text(now, style="bold"))
    return table


def _shortened(account: str) -> str:
    """The account's code without its asset, which the amounts name, and with long addresses cut in the middle."""
    return "/".join(f"{part[:8]}…{part[-6:]}" if len(part) > 20 else part for part in account.split("/")[:-1])


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
