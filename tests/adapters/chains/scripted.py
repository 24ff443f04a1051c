"""A node that says what the test tells it to, over real HTTP, and keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

CHAIN_ID = 1


class Said(Exception):
    """Raise it, or store it as an answer, to answer a call with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


class ScriptedNode:
    """`answers`: by method, a value, a Said, or a function of the parameters. `asked`: every request, as its calls."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"eth_chainId": hex(CHAIN_ID), **answers}
        self.asked: list[list[tuple[str, list[Any]]]] = []
        self.url = ""
        self.status = 200
        self.body: bytes | None = None  # said instead of an answer
        self.delay_s = 0.0
        self.cuts = False

    @property
    def methods(self) -> list[list[str]]:
        """The methods of each request, the question for the chain id left out."""
        requests = [[method for method, _ in calls] for calls in self.asked]
        return [methods for methods in requests if methods != ["eth_chainId"]]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        calls = body if isinstance(body, list) else [body]
        self.asked.append([(call["method"], call["params"]) for call in calls])
        await asyncio.sleep(self.delay_s)
        if self.cuts and request.transport is not None:
            request.transport.abort()
        if self.status != 200 or self.body is not None:
            headers = {"location": "/elsewhere"} if self.status in (301, 307) else {}
            return web.Response(status=self.status, body=self.body or b"busy", headers=headers)
        rows = [self._row(call) for call in calls]
        return web.json_response(rows if isinstance(body, list) else rows[0])

    def _row(self, call: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self.answers[call["method"]]
            answer = answer(*call["params"]) if callable(answer) else answer
            if isinstance(answer, Said):
                raise answer
        except Said as said:
            return {"jsonrpc": "2.0", "id": call["id"], "error": said.error}
        return {"jsonrpc": "2.0", "id": call["id"], "result": answer}


@asynccontextmanager
async def serving(*nodes: ScriptedNode) -> AsyncIterator[list[str]]:
    """The nodes' URLs, as long as they serve."""
    runners = []
    try:
        for node in nodes:
            app = web.Application()
            app.router.add_post("/{path:.*}", node.serve)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            node.url = f"http://{host}:{port}"
        yield [node.url for node in nodes]
    finally:
        for runner in runners:
            await runner.cleanup()
