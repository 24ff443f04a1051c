"""Is it alive, is it ready, what time is it, how is it doing, and what do its problem codes mean."""

from datetime import UTC
from typing import Any

from fastapi import Request, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from api.auth import open_to_all
from api.errors import PROBLEMS, documented
from api.http.door import Json, door_of, door_router
from api.schemas import Liveness, ProblemKind, Readiness, Time
from domain.errors import Refused, Unavailable

router = door_router("health")


@router.get("/livez", response_model=Liveness)
@open_to_all
async def livez(request: Request) -> Response:
    """The process answers; nothing else is asked."""
    return Json({"alive": True})


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
@open_to_all
async def readyz(request: Request) -> Response:
    """Whether withdrawals are taken: the database and Temporal, each with a reason when it is not well."""
    door = door_of(request)
    database: dict[str, Any] = {"ok": True, "reason": ""}
    try:
        await door.views.account_known("-")
    except Unavailable as error:
        database = {"ok": False, "reason": f"the database does not answer ({error.code})"}
    health = door.stories.health
    ready = bool(database["ok"]) and health.up
    answer = {"ready": ready, "database": database, "temporal": {"ok": health.up, "reason": health.reason}}
    return Json(answer, 200 if ready else 503)


@router.get("/metrics", include_in_schema=False)
@open_to_all
async def metrics(request: Request) -> Response:
    """For Prometheus: requests of this process, and the money as the store has it."""
    return Response(await door_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/time", response_model=Time)
@open_to_all
async def get_time(request: Request) -> Response:
    """Our clock, in UTC."""
    now = door_of(request).now().astimezone(UTC)
    return Json({"now": now, "epoch_ms": int(now.timestamp() * 1000)})


@router.get("/v1/problems/{code}", response_model=ProblemKind, responses=documented("PROBLEM_UNKNOWN"))
@open_to_all
async def explain_problem(request: Request, code: str) -> Response:
    """What a problem's `type` points to."""
    row = PROBLEMS.get(code)
    if row is None:
        raise Refused("PROBLEM_UNKNOWN", "This code is not listed: its own title and detail say all.")
    return Json({"code": code, "status": row.status, "title": row.title, "retryable": row.retryable})
