"""Bitcoin's JSON-RPC as the local network itself speaks it. Amounts come as Decimal, never as float."""

import itertools
import json
import re
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import aiohttp

TIMEOUT_S = 60
SATS = 10**8


class NodeDown(Exception):
    """The node did not answer, or with something that is no answer; nobody knows what it did."""


class RpcError(Exception):
    """The node answered with an error. `code` is one of Bitcoin Core's `RPCErrorCode`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


class Rpc:
    """One node. `wallet` names the wallet of the node's own that the calls are about."""

    def __init__(self, url: str, login: tuple[str, str] | None = None, wallet: str = "") -> None:
        self.url = url.rstrip("/")
        self._path = f"/wallet/{wallet}" if wallet else "/"
        self._headers = {"authorization": aiohttp.encode_basic_auth(*login)} if login else {}
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def __call__(self, method: str, *params: Any) -> Any:
        """One result. Decimals among `params` are sent as text, which the node takes for amounts.

        Raises NodeDown or RpcError.
        """
        question = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        status, body = await self.post(self._path, json.dumps(question, default=str).encode())
        try:
            answer = json.loads(body, parse_float=Decimal)
            error = answer.get("error")
        except (ValueError, AttributeError) as unreadable:
            raise NodeDown(f"{self.url} answered {status}: {body[:100]!r}") from unreadable
        if error:
            raise RpcError(int(error["code"]), str(error["message"]))
        return answer["result"]

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Hands a request through as it is; status and body of the answer. Raises NodeDown."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        try:
            async with self._session.post(self.url + path, data=body) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeDown(f"{self.url}: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def dumps(content: Any) -> bytes:
    """JSON with each Decimal as the number that it is: digits as the node wrote them, and no float in between."""
    marked = json.dumps(content, default=lambda number: f"\0{number:f}")
    return re.sub(r'"\\u0000([-0-9.]+)"', r"\1", marked).encode()


def coins(sats: int) -> Decimal:
    """Satoshi as the node writes amounts."""
    return Decimal(sats) / SATS


def sats(amount: Decimal) -> int:
    """An amount of the node's in satoshi. Raises ValueError when it is no whole number of them."""
    units = amount * SATS
    if units != int(units):
        raise ValueError(f"{amount} is no whole number of satoshi")
    return int(units)
