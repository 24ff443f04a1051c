"""What a person sees of the demonstration: progress while it runs, then the tables; on stderr, stdout stays pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domain.withdrawal import ENDS, Stage
from ops.demo.evidence import Row
from ops.demo.story import Case

T = TypeVar("T", Case, Row)
_COLOUR = {Stage.SETTLED: "green", Stage.REJECTED: "yellow", "REFUSED": "yellow"}


def progress(cases: Sequence[Case], happenings: Sequence[str]) -> RenderableType:
    """One line for each withdrawal as it stands now, or for those of a batch that stand alike, and what was done to the
    parts below.
    """
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("network", "withdrawal", "amount", "stage", "timeline"):
        table.add_column(heading, style="dim" if heading == "timeline" else "", no_wrap=True)
    for first, alike in _grouped(cases):
        case = alike[0]
        colour = "green" if case.stage == case.should_end else "cyan"
        path = " → ".join(str(row["stage"]).lower() for row in case.timeline)
        table.add_row(
            case.network if first else "",
            _title(alike),
            f"{_sum(row.amount for row in alike)} {case.asset}",
            Text(case.stage or "…", style=colour),
            path,
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
    """Everything at once; the way of each withdrawal only for the first network, where every kind of end is shown, and
    of a batch only for its first one.
    """
    console.print(_outcomes(rows))
    firsts = {case.title: (case, row) for case, row in reversed(list(zip(cases, rows, strict=True)))}
    for case, row in reversed(firsts.values()):
        if case.timeline and case.network == cases[0].network:
            console.print(_timeline(case, row))
    console.print(_ledger(*ledger))
    console.print(_zeroes(proof))
    for name, url in links.items():
        console.print(f"{name:>14}  {url}", highlight=False)


def _outcomes(rows: Sequence[Row]) -> Table:
    table = Table(title="Withdrawals, and what the node says of them", title_justify="left", box=box.SIMPLE_HEAD)
    table.padding = (0, 1, 0, 0)
    for heading in ("network", "withdrawal", "amount", "ended", "there now", "conf.", "txid"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "txid")
    for first, alike in _grouped(rows):
        row = alike[0]
        if first and table.row_count:
            table.add_section()
        table.add_row(
            row.network if first else "",
            _title(alike),
            f"{_sum(one.amount for one in alike)} {row.asset}",
            Text(row.stage, style=_COLOUR.get(row.stage, "red")),
            f"{_sum(one.destination_balance for one in alike)} {row.asset}",
            str(min(one.confirmations for one in alike) or "–"),
            f"{row.txid[:4]}…{row.txid[-3:]}" if row.txid else "–",
        )
    return table


def _grouped(rows: Sequence[T]) -> Iterator[tuple[bool, list[T]]]:
    """Rows of a network that have one title, one stage and one transaction, and whether they are its first."""
    alike: dict[tuple[str, str, str, str | None], list[T]] = {}
    for row in rows:
        alike.setdefault((row.network, row.title, row.stage, _txid(row)), []).append(row)
    network = ""
    for key, found in alike.items():
        yield key[0] != network, found
        network = key[0]


def _txid(row: Row | Case) -> str | None:
    return row.txid if isinstance(row, Row) else row.view.get("txid")


def _title(alike: Sequence[Row | Case]) -> str:
    return alike[0].title if len(alike) == 1 else f"{alike[0].title} × {len(alike)}"


def _sum(amounts: Iterable[str]) -> str:
    """Whole coins, of one asset."""
    return f"{sum(map(Decimal, amounts), Decimal(0)).normalize():f}"


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
    table.add_column("asset", no_wrap=True)
    table.add_column("account", overflow="fold")
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    moved = [code for code in before.keys() | after.keys() if before.get(code, "0") != after.get(code, "0")]
    last = ""
    for account in sorted(moved, key=lambda code: (code.rpartition("/")[2], code)):
        asset = account.rpartition("/")[2]
        if last not in ("", asset):
            table.add_section()
        was, now = (_coins(column.get(account, "0")) for column in (before, after))
        table.add_row(asset if asset != last else "", _shortened(account), was, Text(now, style="bold"))
        last = asset
    return table


def _shortened(account: str) -> str:
    """The account's code without its asset, which stands beside it, and with long addresses cut in the middle."""
    return "/".join(f"{part[:8]}…{part[-6:]}" if len(part) > 20 else part for part in account.split("/")[:-1])


def _coins(amount: str) -> str:
    """The number of coins without their name, which stands beside it."""
    return amount.split(" ", maxsplit=1)[0]


def _zeroes(proof: Mapping[str, Mapping[str, str]]) -> Table:
    table = Table(title="Zero, or something is wrong", title_justify="left")
    table.add_column("asset")
    for name in proof:
        table.add_column(name, justify="right")
    for asset in sorted({asset for row in proof.values() for asset in row}):
        cells = [row.get(asset, "–") for row in proof.values()]
        table.add_row(asset, *(Text(cell, style="green" if cell == "0" else "bold red") for cell in cells))
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
