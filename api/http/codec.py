"""Lets the Temporal UI and CLI read encrypted payloads: the codec server that Temporal's tools ask.

Open to this machine unless a key is demanded, and to no web page of another origin than the UI's. From anywhere else it
takes an API key that may read payloads.
"""

from fastapi import Request, Response

from api.auth import Permission, open_to_all
from api.http.body import read_bounded
from api.http.door import Door, door_of, door_router
from domain.errors import Refused

router = door_router("codec", "/codec", described=False)

# The UI sends the payloads of a whole history page at once.
PAYLOAD_BYTES_MAX = 8 * 1024 * 1024
_LOOPBACK = ("127.0.0.1", "::1")


@router.post("/decode")
@open_to_all
async def decode(request: Request) -> Response:
    """Payloads in the clear. Raises Refused CODEC_*."""
    door = await _entered(request)
    body = await read_bounded(request, PAYLOAD_BYTES_MAX)
    return Response(await door.payloads.decode(body), media_type="application/json")


@router.post("/encode")
@open_to_all
async def encode(request: Request) -> Response:
    """Payloads sealed with the active key. Raises Refused CODEC_*."""
    door = await _entered(request)
    body = await read_bounded(request, PAYLOAD_BYTES_MAX)
    return Response(await door.payloads.encode(body), media_type="application/json")


@router.options("/decode")
@router.options("/encode")
@open_to_all
async def preflight(request: Request) -> Response:
    """Tells a browser that the UI's pages may ask."""
    _share(request, door_of(request))
    return Response(status_code=204)


async def _entered(request: Request) -> Door:
    door = door_of(request)
    _share(request, door)
    host = request.client.host if request.client else ""
    if door.payloads.needs_key or host not in _LOOPBACK or "authorization" in request.headers:
        await door.admit(request, Permission.PAYLOAD_READ)
    return door


def _share(request: Request, door: Door) -> None:
    """Answers the UI's origin with the CORS headers it needs. Raises Refused ORIGIN_FOREIGN for any other page."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    if origin not in door.payloads.origins:
        raise Refused("ORIGIN_FOREIGN", "Only the Temporal UI may read payloads from a browser.")
    request.scope["state"]["headers"].update(
        {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "content-type, x-namespace, authorization",
            "Vary": "Origin",
        }
    )
