"""Procedures on the command line: made here, endorsed by people elsewhere, and handed to the hot wallet's story.

It is the workflow engine and the database that are spoken to, not the REST API: they are what has to be up for anything
to be done about a payment that is stuck.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer
from pydantic import TypeAdapter, ValidationError

from adapters.settings import Settings
from domain.errors import Refused, Unavailable
from domain.payout import hot_wallet_workflow_id
from domain.ports import ProcedureNote, WalletView
from domain.procedure import NEEDED, SENTENCE, Endorsed, Endorsement, Kind, Procedure
from ops.cli.files import text_of
from ops.cli.rest import Output, show

if TYPE_CHECKING:
    from temporalio.client import Client

    from adapters.store.opening import Store

T = TypeVar("T")
ANSWER_WAIT_S = 15
_NO_CONNECTION = "Failed client connect"  # how the SDK says that the first connection of a lazy client failed
_SAME = "`strongroom status` says what runs here. Set STRONGROOM_STATE_DIR and STRONGROOM_PORT_BASE as for `up`."

Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever reads the records; asks for endorsements.")]
Endorsements = Annotated[
    list[Path] | None,
    typer.Option("--endorsement", help="File of `strongroom approver endorse`; once for each person."),
]


def read(text: str) -> Procedure:
    """The procedure in JSON text. Raises Refused PROCEDURE_MALFORMED for anything else, or what a screen may hide."""
    rows, names = _object(text), [field.name for field in fields(Procedure)]
    if rows is None:
        raise Refused("PROCEDURE_MALFORMED", "This is no procedure: it is no JSON object.")
    if {"procedure", "endorsement"} <= rows.keys():
        raise Refused(
            "PROCEDURE_MALFORMED",
            "This is an endorsement already, which goes to --endorsement; what is endorsed is the file with the"
            " procedure itself, as `wallet resume` or `payout ...` printed it.",
        )
    if rows.keys() != set(names) or not all(isinstance(value, str) for value in rows.values()):
        raise Refused(
            "PROCEDURE_MALFORMED", f"This is no procedure: that has exactly {', '.join(names)}, each of them a text."
        )
    procedure = Procedure(**rows)
    if procedure.kind not in set(Kind):
        raise Refused("PROCEDURE_MALFORMED", f"We know no procedure {procedure.kind!r}. Sign nothing.")
    if not all(value.isprintable() for value in asdict(procedure).values()):
        raise Refused("PROCEDURE_MALFORMED", "The procedure holds characters that a screen may hide. Sign nothing.")
    return procedure


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text; None for anything else, nested without end or not."""
    try:
        return TypeAdapter(dict[str, Any]).validate_json(text)
    except ValidationError:
        return None


def in_words(procedure: Procedure) -> str:
    """The procedure as a person reads it, nothing hidden in it."""
    kind = Kind(procedure.kind)
    rows = {
        "do": f"{kind}: {SENTENCE[kind]}",
        "with": procedure.subject,
        "why": procedure.reason,
        "because of": procedure.rests_on or "-",
        "asked at": procedure.asked_at,
        "people": f"{NEEDED[kind]} must endorse it",
        "hash": procedure.hash(),
    }
    return "\n".join(f"  {name:<11} {value}" for name, value in rows.items())


def propose(kind: Kind, subject: str, reason: str, rests_on: str = "") -> None:
    """Prints the procedure for people to endorse."""
    if not reason.strip():
        raise Refused("REASON_MISSING", "Say why with --reason; it is kept with the procedure.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    show(asdict(Procedure(kind, subject, reason.strip(), rests_on, now)), Output.JSON)


def gathered(kind: Kind, subject: str, paths: Sequence[Path]) -> Endorsed:
    """The one procedure in these files, with every endorsement. Raises Refused ENDORSEMENTS_DIFFER, PROCEDURE_OTHER,
    ENDORSEMENT_MALFORMED or FILE_NOT_FOUND.
    """
    found = [_endorsement(path) for path in paths]
    procedure = found[0][0]
    if any(other != procedure for other, _ in found):
        raise Refused("ENDORSEMENTS_DIFFER", "The files endorse different procedures; have one endorsed by all.")
    if (procedure.kind, procedure.subject) != (kind, subject):
        raise Refused("PROCEDURE_OTHER", f"The files are about {procedure.kind} {procedure.subject}.")
    return Endorsed(procedure, tuple(endorsement for _, endorsement in found))


def _endorsement(path: Path) -> tuple[Procedure, Endorsement]:
    rows = _object(text_of(path)) or {}
    if rows.keys() == {field.name for field in fields(Procedure)}:
        raise Refused(
            "ENDORSEMENT_MALFORMED",
            f"{path} is a procedure that nobody endorsed; hand over what `strongroom approver endorse` made of it.",
        )
    words, names = rows.get("endorsement"), {field.name for field in fields(Endorsement)}
    if (
        "procedure" not in rows
        or not isinstance(words, dict)
        or not names <= words.keys()
        or not all(isinstance(words[name], str) for name in names)
    ):
        raise Refused(
            "ENDORSEMENT_MALFORMED", f"{path} is no endorsement, as `strongroom approver endorse` prints them."
        )
    return read(json.dumps(rows["procedure"])), Endorsement(**{name: words[name] for name in names})


def carry_out(network: str, wallet: str, endorsed: Endorsed) -> None:
    """Hands it to the wallet's story and shows what the books said. Raises Refused with their code."""

    async def work(store: "Store", client: "Client") -> ProcedureNote:
        return await handed(client, hot_wallet_workflow_id(network, wallet), endorsed)

    note = with_parts(work)
    show({"code": note.code, "endorsers": list(note.endorsers), "hash": note.hash}, Output.TABLE)


async def handed(client: "Client", id_: str, endorsed: Endorsed) -> ProcedureNote:
    """What the books said of a procedure that was handed to the story `id_`. Raises Refused with their code, or
    Unavailable: it may have been taken all the same, and the same words may be handed over again.
    """
    from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
    from temporalio.service import RPCError

    from activities.failures import heard

    try:
        note: ProcedureNote = await client.get_workflow_handle(id_).execute_update(
            "carry_out",
            endorsed,
            result_type=ProcedureNote,
            rpc_timeout=timedelta(seconds=ANSWER_WAIT_S),
        )
    except WorkflowUpdateFailedError as error:
        raise heard(error.cause) or Refused("PROCEDURE_REFUSED", str(error.cause)) from None
    except (WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
        raise Unavailable("TEMPORAL_UNAVAILABLE", f"The wallet's story did not answer: {error}.") from None
    return note


def wallet_on(views: Sequence[WalletView], network: str) -> WalletView:
    """The hot wallet of a network. Raises Refused WALLET_NOT_FOUND."""
    found = next((view for view in views if view.network == network), None)
    if found is None:
        raise Refused("WALLET_NOT_FOUND", f"The books hold no hot wallet on {network!r}.")
    return found


def with_parts(work: "Callable[[Store, Client], Awaitable[T]]") -> T:
    """The result of `work` with the store and a client of this installation. Raises Unavailable when one is down."""

    async def opened() -> T:
        from adapters.wiring import connect_temporal, open_store

        settings = Settings()
        async with open_store(settings) as store:
            try:
                return await work(store, await connect_temporal(settings, lazy=True))
            except RuntimeError as error:
                if not str(error).startswith(_NO_CONNECTION):
                    raise
                raise Unavailable(
                    "TEMPORAL_UNAVAILABLE", f"Temporal does not answer at {settings.temporal_target}; {_SAME}"
                ) from None
            except Unavailable as error:
                if error.code != "STORE_UNAVAILABLE":
                    raise
                where = urlsplit(settings.dsn)
                raise Unavailable(
                    error.code, f"The database does not answer at {where.hostname}:{where.port}; {_SAME}"
                ) from None

    return asyncio.run(opened())
