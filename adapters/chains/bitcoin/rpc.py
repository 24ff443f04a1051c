"""JSON-RPC of Bitcoin Core over HTTP. Each node is believed only once it has shown that it follows our chain.

Amounts come as decimal numbers of whole coins and are read as Decimal, never as float. A URL may carry a user and a
password; neither ever reaches an error, a log or a trace.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
from opentelemetry import trace

from adapters.chains import nodes as shared
from adapters.chains.bitcoin.address import MAINNET
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, exchange, silent
from domain.network import Network

CALL_TIMEOUT_S = 10.0
LONG_CALL_TIMEOUT_S = 900.0  # reading the whole set of unspent outputs takes minutes on the main chain
REPLY_BYTES_MAX = 128 * 2**20  # a block of 4 MB is 8 MB of hex; with previous outputs spelled out, some tens of MB
REFUSAL_CHARS_MAX = 300
SATS_PER_COIN = 10**8
NOT_FOUND = -5
OUT_OF_RANGE = -8

_tracer = trace.get_tracer("strongroom.chains.bitcoin")


@dataclass(frozen=True, slots=True)
class Call:
    """`long`: it may take minutes."""

    method: str
    params: tuple[Any, ...] = ()
    long: bool = False


Nodes: TypeAlias = shared.Nodes[Call]


class Node:
    """One endpoint. It must name the right first block, hold the operator's checkpoint, and on the main chain not be of
    the kind that left it.
    """

    def __init__(self, url: str, network: Network, session: aiohttp.ClientSession) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._url = urlunsplit((parts.scheme, self.host, parts.path or "/", "", ""))
        self._headers = {}
        if parts.username:
            login = unquote(parts.username), unquote(parts.password or "")
            self._headers = {"authorization": aiohttp.encode_basic_auth(*login)}
        self._network = network
        self._session = session
        self._recognised = False

    async def post(self, calls: Sequence[Call]) -> list[Answer]:
        """One HTTP request, said once; an answer for each call in order. Raises NodeSilent."""
        if not self._recognised:
            await self._recognise()
        try:
            return await self._post(calls)
        except NodeSilent:
            self._recognised = False  # who comes back may be somebody else
            raise

    async def _recognise(self) -> None:
        height, _, wanted = self._network.checkpoint.partition(":")
        asked = [Call("getblockhash", (0,)), Call("getnetworkinfo")]
        asked += [Call("getblockhash", (int(height),))] if wanted else []
        first, self_portrait, *checkpoint = await self._post(asked)
        if not isinstance(first, str) or first[-8:] != f"{self._network.chain_id:08x}":
            raise self._silent("NODE_WRONG_CHAIN", "does not begin with our chain's first block")
        if wanted and checkpoint != [wanted]:
            raise self._silent("NODE_WRONG_CHAIN", f"does not hold the operator's checkpoint at height {height}")
        version = str(self_portrait.get("subversion", "")) if isinstance(self_portrait, dict) else ""
        if self._network.chain_id == MAINNET and (not version or "knots" in version.lower()):
            raise self._silent("NODE_WRONG_CHAIN", "is of a kind that has left the main chain: use Bitcoin Core")
        self._recognised = True

    async def _post(self, calls: Sequence[Call]) -> list[Answer]:
        names = ",".join(dict.fromkeys(call.method for call in calls))
        attributes: dict[str, str | int] = {
            "rpc.system": "jsonrpc",
            "rpc.method": names,
            "server.address": self.host,
            "rpc.calls": len(calls),
        }
        with _tracer.start_as_current_span(f"node {names}", kind=trace.SpanKind.CLIENT, attributes=attributes):
            rows = [
                {"jsonrpc": "2.0", "id": at, "method": call.method, "params": call.params}
                for at, call in enumerate(calls)
            ]
            body = json.dumps(rows if len(rows) > 1 else rows[0]).encode()
            return self._answers(await self._exchange(body, any(call.long for call in calls)), len(calls))

    async def _exchange(self, body: bytes, long: bool) -> bytes:
        return await exchange(
            self._session,
            self._url,
            self.host,
            body,
            REPLY_BYTES_MAX,
            statuses=(200, 404, 500),  # a refusal of an old-style answer comes as 404 or 500
            headers=self._headers,
            timeout_s=LONG_CALL_TIMEOUT_S if long else CALL_TIMEOUT_S,
        )

    def _answers(self, reply: bytes, count: int) -> list[Answer]:
        try:
            parsed = json.loads(reply, parse_float=Decimal)
            rows = parsed if isinstance(parsed, list) else [parsed]
            by_id = {row.get("id"): _answer(row) for row in rows}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._silent("NODE_GARBLED", "answered something that is no JSON-RPC") from None
        if any(isinstance(answer, NodeSaysNo) and answer.number == -28 for answer in by_id.values()):
            raise self._silent("NODE_BUSY", "is still starting")
        if any(at not in by_id for at in range(count)):
            raise self._silent("NODE_GARBLED", "left a call without an answer")
        return [by_id[at] for at in range(count)]

    def _silent(self, code: str, what: str) -> NodeSilent:
        return silent(self.host, code, what)


def _answer(row: Any) -> Answer:
    error = row.get("error")
    if error is None:
        return row["result"]
    return NodeSaysNo(int(error.get("code", 0)), str(error.get("message", ""))[:REFUSAL_CHARS_MAX])


def sats(coins: Any) -> int:
    """Whole base units of an amount as the node's JSON has it. Raises ValueError when it is none or not exact."""
    if isinstance(coins, bool) or not isinstance(coins, Decimal | int):
        raise ValueError("not an amount")
    units = coins * SATS_PER_COIN
    if units != int(units) or units < 0:
        raise ValueError("not a whole number of base units")
    return int(units)


def garbled(node: str = "") -> NodeSilent:
    """A node answered a read with something that is none."""
    return NodeSilent("NODE_GARBLED", f"The node{' at ' + node if node else ''} gave no usable answer to a read.")


@asynccontextmanager
async def open_nodes(urls: Sequence[str], network: Network) -> AsyncIterator[Nodes]:
    """Nodes on one shared connection pool; nothing is sent before the first call."""
    async with aiohttp.ClientSession(headers={"content-type": "application/json"}) as session:
        yield shared.Nodes([Node(url, network, session) for url in urls])
