"""The JSON-RPC door: answers what the pool knows, strikes with the faults asked for, hands the rest to the node."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from ops.devnet.node_proxy.blocks import Blocks
from ops.devnet.node_proxy.faults import Dice, Order
from ops.devnet.node_proxy.node import Node, NodeDown, Refusal
from ops.devnet.node_proxy.transaction import Transaction, decode
from ops.devnet.node_proxy.view import View
from ops.devnet.node_proxy.words import Rejected

BODY_MAX_BYTES = 16 * 2**20
PATIENCE_S = 5.0  # for a node that is being brought back
TOUCHING = ("eth_sendTransaction", "anvil_set", "anvil_add", "anvil_impersonate", "evm_", "hardhat_set")

Answer = Callable[[list[Any]], Awaitable[Any]]


class Cut(Exception):
    """The connection ends here, without an answer."""


class Door:
    """One node as its clients see it."""

    def __init__(self, node: Node, blocks: Blocks, dice: Dice, view: View) -> None:
        self._node = node
        self._blocks = blocks
        self._dice = dice
        self._view = view
        self._calls: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._own: dict[str, Answer] = {
            "eth_sendRawTransaction": self._send,
            "eth_getTransactionByHash": self._transaction,
            "eth_getRawTransactionByHash": self._raw_transaction,
            "eth_getTransactionCount": self._count,
            "eth_getTransactionReceipt": self._receipt,
            "txpool_status": self._pool_status,
            "txpool_content": self._pool_content,
            "txpool_contentFrom": self._pool_content_from,
            "anvil_reorg": self._reorg,
        }
        if blocks.rules.l1_gas_per_byte:
            self._own["eth_estimateGas"] = self._estimate

    def app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/_ctl", self._show)
        app.router.add_post("/_ctl", self._obey)
        app.router.add_post("/{path:.*}", self._rpc)
        return app

    # ------------------------------------------------------------ control
    async def _show(self, _: web.Request) -> web.Response:
        blocks = self._blocks
        return web.json_response(
            self._dice.facts()
            | {
                "calls": dict(self._calls),
                "refused": dict(self._refused),
                "head": blocks.head,
                "pool": len(blocks.pool),
                "unsaved": len(blocks.journal.unsaved),
                "snapshots": blocks.journal.snapshots,
                "recoveries": blocks.recoveries,
            }
        )

    async def _obey(self, request: web.Request) -> web.Response:
        try:
            order = Order.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"errors": error.errors(include_url=False, include_context=False)}, status=422)
        self._dice.obey(order)
        self._blocks.stir()
        try:
            if order.forget:
                await self._blocks.forget()
            if order.reorg:
                await self._blocks.reorg(order.reorg, [])
            for _ in range(order.mine):
                await self._blocks.tick()
        except (NodeDown, Refusal) as error:
            return web.json_response({"errors": [str(error)]}, status=503)
        return await self._show(request)

    # ------------------------------------------------------------ JSON-RPC
    async def _rpc(self, request: web.Request) -> web.StreamResponse:
        faults = self._dice.faults
        try:
            if faults.down:
                raise Cut
            if self._dice.strikes("http_error"):
                return web.Response(status=self._dice.http_error(), text="try again later")
            try:
                body = await request.json()
            except ValueError:
                return web.json_response(_error(None, -32700, "parse error"))
            if faults.delay_ms:
                await asyncio.sleep(faults.delay_ms / 1000)
            await self._blocks.wait_up(PATIENCE_S)
            return web.json_response(await self._answer(body))
        except (Cut, NodeDown):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

    async def _answer(self, body: Any) -> Any:
        if not isinstance(body, list):
            return await self._one(body)
        if not body:
            return _error(None, -32600, "empty batch")
        if not self._dice.faults.stale_head and all(self._is_plain(item) for item in body):
            for item in body:
                self._calls[item["method"]] += 1
            return await self._forward(body)
        return [await self._one(item) for item in body]  # in order, as geth does

    def _is_plain(self, item: Any) -> bool:
        """Whether the node can be asked as it is."""
        method = item.get("method") if isinstance(item, dict) else None
        return isinstance(method, str) and method not in self._own and not method.startswith(TOUCHING)

    async def _one(self, item: Any) -> Any:
        if not isinstance(item, dict) or not isinstance(item.get("method"), str):
            return _error(None, -32600, "invalid request")
        method, params, number = item["method"], item.get("params") or [], item.get("id")
        self._calls[method] += 1
        lag = self._dice.faults.stale_head
        try:
            asked = await self._view.asked(method, params, lag) if lag else params
            own = self._own.get(method)
            result = await own(asked) if own else await self._plain(method, asked)
            told = await self._view.told(method, params, result, lag) if lag else result
        except Rejected as rejected:
            self._refused[rejected.message.split(":")[0]] += 1
            return {"jsonrpc": "2.0", "id": number, "error": rejected.as_error}
        except Refusal as refusal:
            return {"jsonrpc": "2.0", "id": number, "error": refusal.error}
        except (IndexError, TypeError, AttributeError, KeyError):
            return _error(number, -32602, f"invalid params of {method}")
        return {"jsonrpc": "2.0", "id": number, "result": told}

    async def _plain(self, method: str, params: list[Any]) -> Any:
        reply = await self._forward({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in reply:
            raise Refusal(reply["error"])
        if method.startswith(TOUCHING):
            self._blocks.touched()
        return reply["result"]

    async def _forward(self, body: Any) -> Any:
        try:
            return await self._node.forward(body)
        except NodeDown:
            self._blocks.lost()
            raise

    # ------------------------------------------------------------ what the pool knows
    async def _send(self, params: list[Any]) -> str:
        tx = decode(params[0])
        if self._dice.strikes("blackhole"):
            return tx.hash
        try:
            await self._blocks.send(tx)
        except NodeDown:
            self._blocks.lost()
            raise
        if self._dice.strikes("lose_reply"):
            raise Cut
        return tx.hash

    async def _transaction(self, params: list[Any]) -> Any:
        tx = self._blocks.pool.find(str(params[0]).lower())
        return await self._plain("eth_getTransactionByHash", params) or (tx.as_pending() if tx else None)

    async def _raw_transaction(self, params: list[Any]) -> Any:
        tx = self._blocks.pool.find(str(params[0]).lower())
        return tx.raw if tx else await self._plain("eth_getRawTransactionByHash", params)

    async def _count(self, params: list[Any]) -> Any:
        if params[1:] != ["pending"]:
            return await self._plain("eth_getTransactionCount", params)
        return hex(await self._blocks.pending_nonce(_checksummed(params[0])))

    async def _estimate(self, params: list[Any]) -> str:
        gas = int(await self._plain("eth_estimateGas", params), 16)
        return hex(gas + self._blocks.rules.l1_gas_of_call(params[0]))

    async def _receipt(self, params: list[Any]) -> Any:
        receipt = await self._plain("eth_getTransactionReceipt", params)
        return None if receipt is not None and self._dice.strikes("null_receipt") else receipt

    async def _reorg(self, params: list[Any]) -> Any:
        return await self._blocks.reorg(*params)

    async def _pool_status(self, _: list[Any]) -> dict[str, str]:
        content = await self._pool_content([])
        return {kind: hex(sum(map(len, senders.values()))) for kind, senders in content.items()}

    async def _pool_content(self, _: list[Any]) -> dict[str, dict[str, dict[str, Any]]]:
        content: dict[str, dict[str, dict[str, Any]]] = {"pending": {}, "queued": {}}
        for sender in self._blocks.pool.senders():
            for kind, rows in (await self._pool_content_from([sender])).items():
                if rows:
                    content[kind][sender] = rows
        return content

    async def _pool_content_from(self, params: list[Any]) -> dict[str, dict[str, Any]]:
        sender, pool = _checksummed(params[0]), self._blocks.pool
        nonce = (await self._blocks.account(sender)).nonce
        pending, queued = pool.executable(sender, nonce), pool.queued(sender, nonce)
        return {"pending": _by_nonce(pending), "queued": _by_nonce(queued)}


def _by_nonce(rows: list[Transaction]) -> dict[str, Any]:
    return {str(tx.nonce): tx.as_pending() for tx in rows}


def _checksummed(address: Any) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(str(address)))


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
