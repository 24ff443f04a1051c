"""The `strongroom` command: nouns, then verbs.

To add one: write `ops/cli/<name>.py` with either `app: typer.Typer` (a noun with verbs) or `def command(...)` (a single
command; `SETTINGS`, if there, goes to `Typer.command`), and a row in COMMANDS. The module is imported only when its
command is called, so `--help` stays quick; a row whose module is not there is not shown. Import what is heavy inside
the functions.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One command: its name, the module that holds it, and its line in `strongroom --help`."""

    name: str
    module: str
    help: str


COMMANDS = (
    Row("up", "ops.cli.up", "Start everything and keep it alive; Ctrl-C drains."),
    Row("down", "ops.cli.down", "Stop what `up` started, in order."),
    Row("status", "ops.cli.status", "What runs, since when, and where it is reached."),
    Row("doctor", "ops.cli.doctor", "Check this machine and what runs on it."),
    Row("logs", "ops.cli.logs", "Show the logs of a part, or of all."),
    Row("demo", "ops.cli.demo", "Pay real withdrawals on the local networks and show the result."),
    Row("chaos", "ops.cli.chaos", "Try to break an installation of its own, and say what the nodes saw."),
    Row("bench", "ops.cli.bench", "Measure ours against the barest equivalent."),
    Row("withdrawal", "ops.cli.withdrawal", "Ask for, look at, approve and reject withdrawals."),
    Row("payout", "ops.cli.payout", "What is being paid: list, show, speed up, void, replan."),
    Row("approver", "ops.cli.approver", "Keys of approvers, signing decisions and endorsements."),
    Row("wallet", "ops.cli.wallet", "Hot wallets: make keys on the signer's machine, resume a halted one."),
    Row("cold", "ops.cli.cold", "The cold wallet: plan, sign apart, combine, broadcast."),
    Row("account", "ops.cli.account", "Deposit addresses of accounts."),
    Row("key", "ops.cli.key", "API keys."),
    Row("worker", "ops.cli.worker", "Worker processes."),
    Row("api", "ops.cli.api", "Serve the REST API."),
    Row("migrate", "ops.cli.migrate", "Bring database schema and Temporal namespace up to date."),
    Row("openapi", "ops.cli.openapi", "Write the description of the REST API."),
    Row("config", "ops.cli.config", "Show, check and document the settings."),
    Row("replay", "ops.cli.replay", "Check that this code can go on with the workflows that run."),
    Row("states", "ops.cli.states", "Write the state diagrams of docs/states anew."),
    Row("networks", "ops.cli.networks", "Write the table of docs/networks.md anew."),
    Row("lint", "ops.cli.lint", "Check style, types and the floors of the house."),
    Row("test", "ops.cli.test", "Run the test suite."),
    Row("version", "ops.cli.version", "Print the version."),
)
