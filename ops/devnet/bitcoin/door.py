"""The front door: answers as Bitcoin Core does, strikes with the faults asked for, hands the rest to the node."""

import asyncio
import json
from collections import Counter
from decimal import Decimal
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from ops.devnet.bitcoin.blocks import Blocks, rate
from ops.devnet.bitcoin.faults import Dice, Order
from ops.devnet.bitcoin.rpc import SATS, NodeDown, Rpc, RpcError, coins, dumps
from ops.devnet.bitcoin.swaps import spent_by
from ops.devnet.bitcoin.view import View

BODY_MAX_BYTES = 16 * 2**20
PATIENCE_S = 5.0  # for a node that is being brought back
SILENCE_S = 3600.0
SEND = "sendrawtransaction"
VERIFY_REJECTED = -26


class Cut(Exception):
    """The connection ends here, without an answer."""


class Door:
    """One node as its clients see it."""

    def __init__(self, rpc: Rpc, blocks: Blocks, dice: Dice) -> None:
        self._rpc = rpc
        self._blocks = blocks
        self._dice = dice
        self._view = View(rpc)
        self._calls: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/_ctl", self._show)
        app.router.add_post("/_ctl", self._obey)
        app.router.add_post("/{path:.*}", self._serve)
        return app

    # ------------------------------------------------------------ control
    async def _show(self, _: web.Request) -> web.Response:
        try:
            chain, pool = await self._rpc("getblockchaininfo"), await self._rpc("getmempoolinfo")
        except (NodeDown, RpcError) as error:
            return _json({"errors": [str(error)]}, 503)
        return _json(
            self._dice.facts()
            | {
                "calls": dict(self._calls),
                "refused": dict(self._refused),
                "head": chain["blocks"],
                "head_hash": chain["bestblockhash"],
                "pool": pool["size"],
                "made": self._blocks.made,
                "saved": self._blocks.saved,
                "forks": self._blocks.forks,
            }
        )

    async def _obey(self, request: web.Request) -> web.Response:
        try:
            order = Order.model_validate_json(await request.read())
        except ValidationError as error:
            return _json({"errors": error.errors(include_url=False, include_context=False)}, 422)
        self._dice.obey(order)
        try:
            await self._blocks.obey(order)
        except RpcError as error:
            return _json({"errors": [str(error)]}, 409)
        except NodeDown as error:
            return _json({"errors": [str(error)]}, 503)
        return await self._show(request)

    # ------------------------------------------------------------ JSON-RPC
    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._through_faults(request)
        except NodeDown:
            self._blocks.lost()
        except Cut:
            pass
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    async def _through_faults(self, request: web.Request) -> web.StreamResponse:
        dice = self._dice
        if dice.faults.down:
            raise Cut
        if dice.strikes("http_error"):
            return web.Response(status=dice.http_error(), text="try again later")
        if dice.strikes("silent"):
            await asyncio.sleep(SILENCE_S)
        body = await request.read()  # what has been read is done, though the client may have given up
        if dice.faults.delay_ms:
            await asyncio.sleep(dice.faults.delay_ms / 1000)
        await self._blocks.wait_up(PATIENCE_S)
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        questions = asked if isinstance(asked, list) else [asked]
        if not all(isinstance(row, dict) and isinstance(row.get("method"), str) for row in questions):
            return await self._hand_through(request.path, body)
        self._calls.update(row["method"] for row in questions)
        if not any(self._is_ours(row["method"]) for row in questions):
            return await self._hand_through(request.path, body)
        answers = [await self._one(request.path, row) for row in questions]
        if isinstance(asked, list):
            return _json(answers)
        return _json(answers[0], 500 if "result" in answers[0] and answers[0].get("error") else 200)

    def _is_ours(self, method: str) -> bool:
        """Whether the answer is not simply the node's."""
        faults = self._dice.faults
        return (
            method == SEND
            or (method == "estimatesmartfee" and faults.fee_rate is not None)
            or (method == "getmempoolinfo" and faults.mempool_fee_rate is not None)
            or (faults.stale_head > 0 and self._view.changes(method))
        )

    async def _hand_through(self, path: str, body: bytes) -> web.Response:
        status, answer = await self._rpc.post(path, body)
        return web.Response(body=answer, status=status, content_type="application/json")

    async def _one(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """One answer in the version of JSON-RPC in which it was asked."""
        method, params, number = question["method"], question.get("params") or [], question.get("id")
        modern = question.get("jsonrpc") == "2.0"
        try:
            if not self._is_ours(method):
                _, body = await self._rpc.post(path, json.dumps(question).encode())
                told: dict[str, Any] = json.loads(body, parse_float=Decimal)
                return told
            result = await self._answer(method, params)
        except RpcError as error:
            self._refused[error.message.split(",")[0]] += method == SEND
            words = {"code": error.code, "message": error.message}
            return {"jsonrpc": "2.0", "error": words, "id": number} if modern else _old(None, words, number)
        return {"jsonrpc": "2.0", "result": result, "id": number} if modern else _old(result, None, number)

    async def _answer(self, method: str, params: Any) -> Any:
        """Raises RpcError, Cut or NodeDown."""
        faults = self._dice.faults
        if method == SEND:
            return await self._send(params)
        if method == "estimatesmartfee" and faults.fee_rate is not None:
            return {"feerate": coins(faults.fee_rate * 1000), "blocks": 2}
        if method == "getmempoolinfo" and faults.mempool_fee_rate is not None:
            info = await self._rpc("getmempoolinfo")
            return info | {"mempoolminfee": max(info["mempoolminfee"], coins(faults.mempool_fee_rate * 1000))}
        if not isinstance(params, list):
            raise RpcError(-32602, "a lagging node takes parameters by position only")
        return await self._view.answer(method, params, faults.stale_head)

    async def _send(self, params: Any) -> str:
        raw = str(params["hexstring"] if isinstance(params, dict) else next(iter(params), ""))
        decoded = await self._rpc("decoderawtransaction", raw)
        txid = str(decoded["txid"])
        self._blocks.remember(txid, raw, spent_by(decoded))
        if self._dice.strikes("blackhole"):
            return txid
        await self._raise_if_too_cheap(raw)
        if isinstance(params, dict):
            await self._rpc(SEND, raw, *([params["maxfeerate"]] if "maxfeerate" in params else []))
        else:
            await self._rpc(SEND, *params)
        await self._blocks.taken()
        if self._dice.strikes("lose_reply"):
            raise Cut
        return txid

    async def _raise_if_too_cheap(self, raw: str) -> None:
        """A full mempool's answer to what pays less than all that is in it."""
        floor = self._dice.faults.mempool_fee_rate
        if floor is None:
            return
        [told] = await self._rpc("testmempoolaccept", [raw], 0)
        if told["allowed"] and rate(told["fees"]["base"], told["vsize"]) < floor:
            paid, wanted = int(told["fees"]["base"] * SATS), floor * told["vsize"]
            raise RpcError(VERIFY_REJECTED, f"mempool min fee not met, {paid} < {wanted}")


def _old(result: Any, error: Any, number: Any) -> dict[str, Any]:
    """JSON-RPC 1: both fields are always there, and an error comes with status 500."""
    return {"result": result, "error": error, "id": number}


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=dumps(content), status=status, content_type="application/json")
