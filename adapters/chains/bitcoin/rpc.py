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

from adapters.chains import json_rpc
from adapters.chains import nodes as shared
from adapters.chains.bitcoin.address import MAINNET
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent, exchange, host_of, silent
from domain.network import Network

CALL_TIMEOUT_S = 10.0
LONG_CALL_TIMEOUT_S = 900.0  # reading the whole set of unspent outputs takes minutes on the main chain
REPLY_BYTES_MAX = 128 * 2**20  # a block of 4 MB is 8 MB of hex; with previous outputs spelled out, some tens of MB
SATS_PER_COIN = 10**8
NOT_FOUND = -5
OUT_OF_RANGE = -8
WARMING_UP = -28

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
        self.host = host_of(url)
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
            raise silent(self.host, "NODE_WRONG_CHAIN", "does not begin with our chain's first block")
        if wanted and checkpoint != [wanted]:
            raise silent(self.host, "NODE_WRONG_CHAIN", f"does not hold the operator's checkpoint at height {height}")
        version = str(self_portrait.get("subversion", "")) if isinstance(self_portrait, dict) else ""
        if self._network.chain_id == MAINNET and (not version or "knots" in version.lower()):
            raise silent(self.host, "NODE_WRONG_CHAIN", "is of a kind that has left the main chain: use Bitcoin Core")
        self._recognised = True

    async def _post(self, calls: Sequence[Call]) -> list[Answer]:
        with json_rpc.span(_tracer, self.host, calls):
            reply = await exchange(
                self._session,
                self._url,
                self.host,
                json.dumps(json_rpc.request(calls)).encode(),
                REPLY_BYTES_MAX,
                statuses=(200, 404, 500),  # a refusal of an old-style answer comes as 404 or 500
                headers=self._headers,
                timeout_s=LONG_CALL_TIMEOUT_S if any(call.long for call in calls) else CALL_TIMEOUT_S,
            )
            return json_rpc.answers(self.host, reply, len(calls), _exactly, _busy)


def _exactly(reply: bytes) -> Any:
    return json.loads(reply, parse_float=Decimal)


def _busy(refusal: NodeSaysNo) -> str:
    return "is still starting" if refusal.number == WARMING_UP else ""


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
