"""JSON-RPC 2.0, whoever speaks it: a batch of calls as one request, and the answers of its reply in the calls' order.

A node's refusal of one call in a batch is that call's answer and spoils no other. Source: the JSON-RPC 2.0
specification, "Batch".
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from opentelemetry import trace

from adapters.chains.nodes import Answer, NodeSaysNo, silent

REFUSAL_CHARS_MAX = 300


class Spoken(Protocol):
    """One call."""

    @property
    def method(self) -> str: ...

    @property
    def params(self) -> tuple[Any, ...]: ...


@contextmanager
def span(tracer: trace.Tracer, host: str, calls: Sequence[Spoken]) -> Iterator[None]:
    """The trace of one request: what is asked and of whom, never with what parameters."""
    names = ",".join(dict.fromkeys(call.method for call in calls))
    attributes: dict[str, str | int] = {
        "rpc.system": "jsonrpc",
        "rpc.method": names,
        "server.address": host,
        "rpc.calls": len(calls),
    }
    with tracer.start_as_current_span(f"node {names}", kind=trace.SpanKind.CLIENT, attributes=attributes):
        yield


def request(calls: Sequence[Spoken]) -> Any:
    """What is sent, as JSON: each call under its place in `calls`. One call alone is no batch."""
    rows = [{"jsonrpc": "2.0", "id": at, "method": call.method, "params": call.params} for at, call in enumerate(calls)]
    return rows if len(rows) > 1 else rows[0]


def answers(
    host: str, reply: bytes, count: int, loads: Callable[[bytes], Any], busy: Callable[[NodeSaysNo], str]
) -> list[Answer]:
    """The answers to `count` calls, in their order. `busy` says what keeps the node from answering at all, in words
    that follow its name; it says nothing of a refusal that is an answer. Raises NodeSilent.
    """
    try:
        parsed = loads(reply)
        rows = parsed if isinstance(parsed, list) else [parsed]
        by_id = {row.get("id"): _answer(row) for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise silent(host, "NODE_GARBLED", "answered something that is no JSON-RPC") from None
    for answer in by_id.values():
        if isinstance(answer, NodeSaysNo) and (why := busy(answer)):
            raise silent(host, "NODE_BUSY", why)
    if any(at not in by_id for at in range(count)):
        raise silent(host, "NODE_GARBLED", "left a call without an answer")
    return [by_id[at] for at in range(count)]


def _answer(row: Any) -> Answer:
    error = row.get("error")
    if error is None:
        return row["result"]
    data = error.get("data")
    message = str(error.get("message", ""))[:REFUSAL_CHARS_MAX]
    return NodeSaysNo(int(error.get("code", 0)), message, data if isinstance(data, str) else None)
