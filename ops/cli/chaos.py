"""`strongroom chaos`: try to break an installation of its own, and say what the nodes saw."""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.exits import Exit, complain
from ops.cli.files import check_writable, text_of
from ops.cli.output import show_json

if TYPE_CHECKING:
    from adapters.catalogue import Catalogue
    from adapters.settings import Settings
    from ops.chaos.schedule import Schedule

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)

WITHDRAWALS_A_MINUTE = 25  # on each network

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else there.")]
Networks = Annotated[str, typer.Option("--network", help="Networks, separated by commas, or `all`.")]
Seed = Annotated[int | None, typer.Option(min=0, help="What happens follows from it; a fresh one unless given.")]


class Whose(StrEnum):
    """Of the two that pay under one schedule."""

    OURS = "ours"
    SIMPLE = "simple"

    def failed(self, report: Mapping[str, Any]) -> bool:
        """Ours by anything unclean; the simple sender once it paid somebody twice on every network."""
        if self is Whose.OURS:
            return not report["clean"]
        return all(row["paid_twice"] for row in report["naive"]["by_network"].values())


@app.callback()
def root() -> None:
    """Try to break an installation of its own, and say what the nodes saw."""


@app.command()
def payouts(  # noqa: PLR0913, PLR0917 - one argument for each option
    context: typer.Context,
    network: Networks = "all",
    withdrawals: Annotated[
        int | None, typer.Option(min=1, max=5000, help=f"{WITHDRAWALS_A_MINUTE} a minute on each network unless given.")
    ] = None,
    seed: Seed = None,
    minutes: Annotated[float, typer.Option(min=0.2, max=120, help="How long things go wrong.")] = 3.0,
    replay: Annotated[
        Path | None, typer.Option(help="Make the schedule in this file happen again; the seed is its own.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write the schedule to this file.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only plan; with --write, to look at it.")] = False,
    naive: Annotated[bool, typer.Option(help="Let the simple sender pay too, under the same faults.")] = True,
    shrink: Annotated[
        int, typer.Option(min=0, max=500, help="After a failure: look for a shorter schedule in so many runs.")
    ] = 0,
    of: Annotated[
        Whose,
        typer.Option(help="Whose failure --shrink looks for; the simple sender's: paid twice everywhere."),
    ] = Whose.OURS,
    json: Json = False,
) -> None:
    """Withdrawals flow in while everything is killed, forked and lied to; exit 0 only if each was paid once or
    returned.
    """
    from adapters.settings import Settings
    from ops.chaos import run
    from ops.chaos.installation import BRISK
    from ops.chaos.shrink import shortest

    if of is Whose.SIMPLE and not naive:
        raise typer.BadParameter("--of simple needs the simple sender: leave --no-naive out")
    if write is not None:
        check_writable(write)
    settings = Settings()
    if replay is not None:
        schedule = _replayed(replay, context, settings)
    else:
        schedule = _planned(network, withdrawals, seed, minutes, settings)
    run.say(f"seed {schedule.seed}: {len(schedule.events)} events on {', '.join(schedule.networks)}")
    if write is not None:
        write.write_text(schedule.text())
    if dry:
        return
    report = _through(run.payouts(schedule, settings, BRISK, naive=naive))
    if shrink and of.failed(report):
        simple = of is Whose.SIMPLE
        short = shortest(
            schedule, lambda one: of.failed(_through(run.payouts(one, settings, BRISK, naive=simple))), shrink
        )
        path = Path(f"chaos-{schedule.seed}.json")
        path.write_text(short.text())
        report = {**report, "shortest": str(path), "shortest_events": len(short.events)}
    _tell(report, json)


@app.command()
def matrix(
    network: Networks = "all",
    points: Annotated[str, typer.Option(help="Crash points, separated by commas, or `all`.")] = "all",
    fault: Annotated[str, typer.Option(help="clean, reorg, lost-reply, separated by commas, or `all`.")] = "all",
    seed: Seed = None,
    at_once: Annotated[int, typer.Option(min=1, max=8, help="Installations side by side, 40 ports apart.")] = 6,
    write: Annotated[Path | None, typer.Option(help="Write the page of the whole matrix to this file.")] = None,
    again: Annotated[
        Path | None,
        typer.Option(help="Play only what is not `once` in this report of an earlier run, and complete it."),
    ] = None,
    json: Json = False,
) -> None:
    """One withdrawal for every crash point, family of networks and fault; exit 0 only if each was paid exactly once."""
    from adapters.settings import Settings
    from domain.crash_points import CrashPoint
    from ops.chaos import cells, reports
    from ops.chaos.installation import catalogue_of
    from ops.chaos.matrix import completed
    from ops.chaos.matrix import matrix as play
    from ops.chaos.page import matrix_page

    if write is not None:
        check_writable(write)
    settings = Settings()
    catalogue = catalogue_of(settings)
    names = _networks(network, settings, catalogue)
    families = {catalogue.networks[name].family: catalogue.networks[name] for name in reversed(names)}
    wanted = [CrashPoint(point) for point in _chosen(points, list(CrashPoint))]
    faults = _chosen(fault, list(cells.Fault))
    before = _report(again, reports.Matrix) if again else None
    words = before["cells"] if before else {}
    rows = [c for c in cells.cells(families, wanted) if c.fault in faults and words.get(c.name) != "once"]
    if not rows:
        nothing = "nothing to play: "
        if before is None:
            raise typer.BadParameter(nothing + "none of these steps is ever taken on these networks")
        complain(nothing + f"every one of these cells is `once` in {again}, or is never taken there")
    chosen = secrets.randbits(32) if seed is None else seed
    report = _through(play(rows, settings, chosen, at_once))
    report = completed(before, report) if before else report
    if write is not None:
        write.write_text(matrix_page(report))
    _tell(report, json)


@app.command()
def page(
    matrix_report: Annotated[Path, typer.Argument(metavar="MATRIX", help="What `chaos matrix --json` printed.")],
    storms: Annotated[list[Path] | None, typer.Argument(help="What `chaos payouts --json` printed.")] = None,
) -> None:
    """Print docs/crash-matrix.md from the reports of a matrix and of storms."""
    from ops.chaos import reports
    from ops.chaos.page import matrix_page

    told = _report(matrix_report, reports.Matrix)
    print(matrix_page(told, [_report(path, reports.Storm) for path in storms or ()]), end="")


def _planned(
    network: str, withdrawals: int | None, seed: int | None, minutes: float, settings: "Settings"
) -> "Schedule":
    from ops.chaos import run
    from ops.chaos.installation import catalogue_of

    names = _networks(network, settings, catalogue_of(settings))
    count = withdrawals or max(1, round(WITHDRAWALS_A_MINUTE * minutes * len(names)))
    return run.schedule_for(secrets.randbits(32) if seed is None else seed, names, minutes, count, settings)


def _replayed(path: Path, context: typer.Context, settings: "Settings") -> "Schedule":
    """The schedule in a file. Raises BadParameter for what is none, or beside an option that would plan another one;
    Refused FILE_NOT_FOUND, or what must_be_playable raises.
    """
    from ops.chaos.run import must_be_playable
    from ops.chaos.schedule import Schedule

    sources = {name: context.get_parameter_source(name) for name in ("seed", "network", "minutes", "withdrawals")}
    if given := [f"--{name}" for name, source in sources.items() if source and source.name == "COMMANDLINE"]:
        raise typer.BadParameter(f"--replay makes the file's own schedule happen: leave {', '.join(given)} out")
    try:
        schedule = Schedule.parse(text_of(path))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is no schedule: {error}") from None
    must_be_playable(schedule, settings)
    return schedule


def _report(path: Path, shape: Any) -> Mapping[str, Any]:
    """The report of an earlier run. Raises BadParameter for what is none, Refused FILE_NOT_FOUND."""
    from ops.chaos import reports

    try:
        return reports.read(text_of(path), shape)
    except ValueError as error:
        printed = "matrix" if shape is reports.Matrix else "payouts"
        raise typer.BadParameter(f"{path} is not what `chaos {printed} --json` printed: {error}") from None


def _names(named: str) -> list[str]:
    """Each name once. Raises BadParameter where there is none."""
    names = list(dict.fromkeys(name.strip() for name in named.split(",") if name.strip()))
    if not names:
        raise typer.BadParameter("name at least one, or `all`")
    return names


def _chosen(named: str, all_: list[Any]) -> list[str]:
    """Names out of a list separated by commas. Raises BadParameter for one that is not there."""
    every = [str(one) for one in all_]
    names = every if named == "all" else _names(named)
    if unknown := [name for name in names if name not in every]:
        raise typer.BadParameter(f"there is no {', '.join(unknown)}; there are {', '.join(every)}")
    return names


def _through(work: Coroutine[Any, Any, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The report; told to end, it has stopped what it had started."""
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _networks(named: str, settings: "Settings", catalogue: "Catalogue") -> list[str]:
    """Raises BadParameter where none is named, Refused NETWORK_UNKNOWN."""
    from ops.chaos.run import must_know

    if named == "all":
        return list(settings.served)
    names = _names(named)
    must_know(names, catalogue)
    return names


def _tell(report: Mapping[str, Any], json: bool) -> None:
    """The whole of it for programs, the figures that count for people; ends with 1 unless it is clean."""
    if json:
        show_json(report)
    else:
        for name, value in report.items():
            print(f"{name:<20} {value}")
    if not report["clean"]:
        raise typer.Exit(Exit.FAILED)
