"""The HTTP doors: the full node's port, the solidity node's port, and the faults of a node on the way through."""

import asyncio
import logging
from collections import Counter
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from ops.devnet.tron.answers import ANSWERS, SOLID
from ops.devnet.tron.answers.ask import Ask
from ops.devnet.tron.answers.sending import BROADCASTS
from ops.devnet.tron.faults import Dice, NodeName, Order
from ops.devnet.tron.network import Network, Unfit
from ops.devnet.tron.view import View

log = logging.getLogger("strongroom.tron_node")

BODY_MAX_BYTES = 4 * 2**20
FULL, SOLIDITY = "wallet", "walletsolidity"


class Cut(Exception):
    """The connection ends here, without an answer."""


class Door:
    """Both nodes as their clients see them."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._calls: dict[str, Counter[str]] = {"a": Counter(), "b": Counter()}
        self._refused: dict[str, Counter[str]] = {"a": Counter(), "b": Counter()}

    def full(self) -> web.Application:
        """The full node's port. It serves /walletsolidity too, as a gateway in front of both would."""
        return self._app(frozenset({FULL, SOLIDITY}))

    def solidity(self) -> web.Application:
        """The solidity node's port."""
        return self._app(frozenset({SOLIDITY}))

    def _app(self, served: frozenset[str]) -> web.Application:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, served)

        app = web.Application(client_max_size=BODY_MAX_BYTES)
        for prefix in ("", "/{node:[ab]}"):
            app.router.add_get(f"{prefix}/_ctl", self._show)
            app.router.add_post(f"{prefix}/_ctl", self._obey)
            for method in ("GET", "POST"):
                app.router.add_route(method, f"{prefix}/{{kind:wallet|walletsolidity}}/{{path}}", answer)
        return app

    # ------------------------------------------------------------ control
    async def _show(self, request: web.Request) -> web.Response:
        node = _node(request)
        chain = self._network.chain(node)
        return _json(
            self._network.dice[node].facts()
            | {
                "node": node,
                "calls": dict(self._calls[node]),
                "refused": dict(self._refused[node]),
                "head": chain.head.number,
                "head_id": chain.head.id.hex(),
                "head_time_ms": chain.head.time_ms,
                "solid": chain.solid_number,
                "pool": len(chain.pool),
                "lost": [txid.hex() for txid in chain.pool.lost],
                "forks": chain.forks,
                "deepest_fork": chain.deepest_fork,
                "split": self._network.is_split,
                "time_skew_s": self._network.clock.ahead_s,
            }
        )

    async def _obey(self, request: web.Request) -> web.Response:
        try:
            order = Order.model_validate_json(await request.read())
            self._network.obey(_node(request), order)
        except ValidationError as error:
            return _json({"errors": error.errors(include_url=False, include_context=False)}, 422)
        except Unfit as error:
            return _json({"errors": [str(error)]}, 409)
        return await self._show(request)

    # ------------------------------------------------------------ the API
    async def _serve(self, request: web.Request, served: frozenset[str]) -> web.StreamResponse:
        node, kind, path = _node(request), request.match_info["kind"], request.match_info["path"].lower()
        if kind not in served or path not in ANSWERS or (kind == SOLIDITY and path not in SOLID):
            return web.Response(status=404, text="<h1>404 Not Found</h1>", content_type="text/html")
        self._calls[node][f"{kind}/{path}"] += 1
        dice = self._network.dice[node]
        try:
            return await self._through_faults(request, dice, node, kind, path)
        except Cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

    async def _through_faults(
        self, request: web.Request, dice: Dice, node: NodeName, kind: str, path: str
    ) -> web.StreamResponse:
        if dice.faults.down:
            raise Cut
        if dice.strikes("http_error"):
            return web.Response(status=dice.http_error(), text="try again later")
        if dice.strikes("garbage"):
            return web.Response(text="<html><body>It works!</body></html>", content_type="text/html")
        body = await request.read()  # what has been read is done, though the client may have given up
        if dice.faults.delay_ms:
            await asyncio.sleep(dice.faults.delay_ms / 1000)
        told = self._answer(body, dict(request.query), node, kind, path)
        if path in BROADCASTS:
            if code := told.get("code", "") if told.get("code") != "SUCCESS" else "":
                self._refused[node][code] += 1
            elif "Error" not in told and dice.strikes("lose_reply"):
                return web.Response(status=504, text="gateway timeout")
        return _json(told)

    def _answer(self, body: bytes, query: dict[str, Any], node: NodeName, kind: str, path: str) -> Any:
        dice = self._network.dice[node]
        try:
            words = orjson.loads(body) if body.strip() else query
            if not isinstance(words, dict):
                raise ValueError("no JSON object")
            view = View(self._network.chain(node), dice.faults, solid=kind == SOLIDITY)
            return ANSWERS[path](Ask(words, node, self._network, view, dice))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, LookupError) as error:
            log.debug("%s/%s: %r", kind, path, error)
            return {"Error": f"class java.lang.IllegalArgumentException : {error}"}


def _node(request: web.Request) -> NodeName:
    return "b" if request.match_info.get("node") == "b" else "a"


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")
