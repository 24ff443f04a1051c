"""`strongroom withdrawal ...`: withdrawals over the REST API, from a shell."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote as url_quote

import typer

from ops.cli.exits import Exit
from ops.cli.rest import Failed, Output, Rest, connect, run, show

app = typer.Typer(no_args_is_help=True, help="Request, follow, decide and cancel withdrawals over the REST API.")

Url = Annotated[str | None, typer.Option("--api", help="Address of the API; this installation's unless given.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="File with the API key; STRONGROOM_API_KEY unless given.")
]
Out = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]
Id = Annotated[str, typer.Argument(help="Withdrawal id, wd_...")]
Account = Annotated[str | None, typer.Option(help="Whose account; staff must say it.")]
DecisionFile = Annotated[
    str, typer.Option("--decision", help="File with the signed decision of `strongroom approver sign`; - for stdin.")
]
_LIST = ("id", "account", "client_ref", "asset", "amount", "stage", "created_at")
_TIMELINE = ("seq", "at", "stage", "actor", "reason_code", "sentence")


@app.command()
def request(  # noqa: PLR0913, PLR0917 - one argument for each option
    network: Annotated[str, typer.Option(help="Such as ethereum.")],
    asset: Annotated[str, typer.Option(help="Such as USDT.")],
    amount: Annotated[str, typer.Option(help='What the recipient gets, in whole coins: "12.5".')],
    to: Annotated[str, typer.Option(help="The recipient's address.")],
    ref: Annotated[str, typer.Option(help="Your own reference, unique for ever.")],
    account: Account = None,
    quote: Annotated[str | None, typer.Option(help="Take the fee of this quote.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeat with the same one; the reference unless given.")
    ] = None,
    api: Url = None,
    key_file: KeyFile = None,
    output: Out = Output.TABLE,
) -> None:
    """Ask for a withdrawal. Running it again with the same --ref never asks twice."""
    body = {"client_ref": ref, "network": network, "asset": asset, "amount": amount, "recipient": to}
    body |= {name: value for name, value in (("account", account), ("quote_id", quote)) if value is not None}
    headers = {"Idempotency-Key": idempotency_key or ref}
    run(lambda: show(connect(api, key_file).post("/v1/withdrawals", body, headers), output))


@app.command()
def quote(
    network: Annotated[str, typer.Option(help="Such as ethereum.")],
    asset: Annotated[str, typer.Option(help="Such as USDT.")],
    amount: Annotated[str, typer.Option(help="In whole coins.")],
    to: Annotated[str | None, typer.Option(help="The recipient's address; somebody new unless given.")] = None,
    account: Account = None,
    api: Url = None,
    key_file: KeyFile = None,
    output: Out = Output.TABLE,
) -> None:
    """What a withdrawal would cost and take; the fee is kept for a minute."""
    body = {"network": network, "asset": asset, "amount": amount}
    body |= {name: value for name, value in (("recipient", to), ("account", account)) if value is not None}
    run(lambda: show(connect(api, key_file).post("/v1/withdrawals/quote", body), output))


@app.command(name="show")
def show_(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="Withdrawal id, wd_...")] = None,
    ref: Annotated[str | None, typer.Option(help="Look it up by your own reference instead.")] = None,
    account: Account = None,
    api: Url = None,
    key_file: KeyFile = None,
    output: Out = Output.TABLE,
) -> None:
    """A withdrawal as it stands."""
    if (id_ is None) == (ref is None):
        raise typer.BadParameter("give the id, or --ref")

    def work() -> None:
        rest = connect(api, key_file)
        by_ref = f"/v1/withdrawals/by-ref/{url_quote(ref or '', safe='')}"
        show(rest.get(by_ref, account=account) if ref else rest.get(f"/v1/withdrawals/{id_}"), output)

    run(work)


@app.command(name="list")
def list_(  # noqa: PLR0913, PLR0917 - one argument for each option
    stage: Annotated[str | None, typer.Option(help="Such as REFERRED.")] = None,
    network: Annotated[str | None, typer.Option()] = None,
    asset: Annotated[str | None, typer.Option()] = None,
    account: Account = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    api: Url = None,
    key_file: KeyFile = None,
    output: Out = Output.TABLE,
) -> None:
    """Withdrawals, newest first."""

    def work() -> None:
        page = connect(api, key_file).get(
            "/v1/withdrawals",
            stage=stage,
            network=network,
            asset=asset,
            account=account,
            limit=limit,
            cursor=cursor,
        )
        show(page, output, _LIST)
        if output is Output.TABLE and page["next_cursor"]:
            print(f"more: --cursor {page['next_cursor']}", file=sys.stderr)

    run(work)


@app.command()
def timeline(id_: Id, api: Url = None, key_file: KeyFile = None, output: Out = Output.TABLE) -> None:
    """Everything that happened to a withdrawal."""
    run(lambda: show(connect(api, key_file).get(f"/v1/withdrawals/{id_}/timeline"), output, _TIMELINE))


@app.command()
def approve(
    id_: Id, decision: DecisionFile, api: Url = None, key_file: KeyFile = None, output: Out = Output.TABLE
) -> None:
    """Hand over an approver's signed yes."""
    run(lambda: _decide(connect(api, key_file), id_, "approve", decision, output))


@app.command()
def reject(
    id_: Id, decision: DecisionFile, api: Url = None, key_file: KeyFile = None, output: Out = Output.TABLE
) -> None:
    """Hand over an approver's signed no."""
    run(lambda: _decide(connect(api, key_file), id_, "reject", decision, output))


def _decide(rest: Rest, id_: str, ruling: str, file: str, output: Output) -> None:
    note = rest.post(f"/v1/withdrawals/{id_}/{ruling}", _read_decision(file))
    show(note, output)
    if not note["counted"]:
        raise Failed(Exit.REFUSED, note["code"], "the decision was recorded but does not move the quorum")


def _read_decision(file: str) -> Any:
    text = sys.stdin.read() if file == "-" else Path(file).read_text()
    try:
        return json.loads(text)
    except ValueError:
        raise Failed(Exit.USAGE, "DECISION_MALFORMED", "this is no decision of `strongroom approver sign`") from None


@app.command()
def cancel(
    id_: Id,
    reason: Annotated[str, typer.Option(help="Why; kept in the timeline.")] = "",
    api: Url = None,
    key_file: KeyFile = None,
    output: Out = Output.TABLE,
) -> None:
    """Cancel a withdrawal that is not being paid yet."""
    run(lambda: show(connect(api, key_file).post(f"/v1/withdrawals/{id_}/cancel", {"reason": reason}), output))
