"""`strongroom up`: everything, started and kept alive."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from adapters.settings import ROOT, Settings
from ops.cli.exits import Exit, complain
from ops.cli.output import Form, Output, show_facts, show_json

DETACH_TIMEOUT_S = 180
POLL_S = 0.1


def command(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready; stop with `down`.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PART", help="Just this part; may be repeated.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Only these networks, separated by commas; all of networks.toml unless given.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Start everything and keep it alive; Ctrl-C drains."""
    from ops.devnet.parts import names
    from ops.devnet.running import is_held

    settings = Settings.on(network)
    known = names(settings)
    if unknown := sorted(set(only or ()) - set(known)):
        raise typer.BadParameter(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
    if is_held(settings):
        asyncio.run(_join(settings))
        complain("it runs already")
        _show(settings, output)
    elif detach:
        asyncio.run(_detached(settings, only))
        _show(settings, output)
    elif code := asyncio.run(_attached(settings, only, output)):
        raise typer.Exit(code)


async def _join(settings: Settings) -> None:
    """Somebody else started it: wait until it is ready."""
    from ops.devnet.running import RunningStack

    await RunningStack(settings).wait_ready()


async def _detached(settings: Settings, only: list[str] | None) -> None:
    """Starts the keeper as a process of its own and follows it until all is ready."""
    from ops.cli.progress import StartProgress
    from ops.devnet.running import RunningStack, end_orphans, last_state, make_folders, write_state

    make_folders(settings)
    await asyncio.to_thread(end_orphans, settings)
    write_state(settings, {"phase": "starting", "parts": {}})  # what an earlier start said is not about this one
    words = [word for part in only or () for word in ("--only", part)]
    with (settings.log_dir / "supervisor.log").open("ab") as log:
        keeper = subprocess.Popen(  # noqa: ASYNC220  # it returns at once
            (sys.executable, "-m", "ops", "up", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, **settings.environment()},
            cwd=ROOT,
            start_new_session=True,
        )
    async with StartProgress(lambda: last_state(settings)):
        ready = asyncio.create_task(RunningStack(settings).wait_ready(DETACH_TIMEOUT_S))
        ended = asyncio.create_task(_ended(keeper))
        await asyncio.wait([ready, ended], return_when="FIRST_COMPLETED")
        await asyncio.wait([ready], timeout=1)
        if not ready.done() and last_state(settings).get("phase") != "failed":
            ready.cancel()
            complain(f"the keeper ended at once; see {settings.log_dir / 'supervisor.log'}")
            raise typer.Exit(Exit.FAILED)
        await ready
        ended.cancel()
    _tell_without(RunningStack(settings).without)


async def _ended(process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:  # noqa: ASYNC110  # a process sets no event
        await asyncio.sleep(POLL_S)


async def _attached(settings: Settings, only: list[str] | None, output: Form) -> int:
    """Keeps everything in this process until it is asked to end."""
    from ops.cli.progress import StartProgress
    from ops.devnet.running import last_state
    from ops.devnet.stack import Stack

    _log_to(settings)
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _ask, asked)
    stack = Stack(settings, parts=only)
    ending = asyncio.create_task(asked.wait())
    async with StartProgress(lambda: last_state(settings)):
        starting = asyncio.create_task(_start(stack))
        await asyncio.wait([starting, ending], return_when="FIRST_COMPLETED")
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return Exit.INTERRUPTED
        await starting
    _tell_without(stack.without)
    if sys.stdout.isatty() or output is Form.JSON:
        _show(settings, output)
    await ending
    complain("draining; Ctrl-C again to leave at once")
    await stack.stop()
    return Exit.OK


async def _start(stack: Any) -> None:
    await stack.start()
    try:
        await stack.wait_ready()
    except BaseException as error:
        await stack.abandon(error)
        raise


def _ask(asked: asyncio.Event) -> None:
    if asked.is_set():
        os._exit(Exit.INTERRUPTED)  # what is left behind is ended by the next `up` or `down`
    asked.set()


def _log_to(settings: Settings) -> None:
    from ops.devnet.running import make_folders

    make_folders(settings)
    handler = logging.FileHandler(settings.log_dir / "supervisor.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _tell_without(without: Mapping[str, str]) -> None:
    for network, line in without.items():
        complain(f"{network} is left out: {line}")


def _show(settings: Settings, output: Form) -> None:
    from dataclasses import asdict

    from ops.devnet.endpoints import endpoints
    from ops.devnet.running import last_state

    facts = last_state(settings).get("endpoints") or asdict(endpoints(settings))
    show_json(facts) if output is Form.JSON else show_facts(facts)
