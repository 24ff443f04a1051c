"""Speaking to nodes: reads find an answer if anybody has one, sends are said once, and no secret leaves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.chains import nodes as shared
from adapters.chains.evm import rpc
from adapters.chains.evm.rpc import Call, Nodes, open_nodes
from adapters.chains.nodes import NodeSaysNo, NodeSilent
from tests.adapters.chains.scripted import CHAIN_ID, Said, ScriptedNode, serving

HEAD = Call("eth_blockNumber")


@asynccontextmanager
async def speaking_to(*nodes: ScriptedNode, timeout_s: float = 1.0) -> AsyncIterator[Nodes]:
    async with serving(*nodes) as urls, open_nodes(urls, CHAIN_ID, timeout_s) as opened:
        yield opened


def node(head: int = 7) -> ScriptedNode:
    return ScriptedNode(eth_blockNumber=hex(head), eth_sendRawTransaction="0xhash")


def broken(kind: str) -> ScriptedNode:
    one = node(1)
    one.status = {"busy": 429, "down": 503, "moved": 307}.get(kind, 200)
    one.body = {"garbled": b"<html>", "no call's answer": b'{"id": 99, "result": 1}', "a number": b"7"}.get(kind)
    one.delay_s = 3.0 if kind == "slow" else 0.0
    one.cuts = kind == "cut"
    if kind == "at a limit":
        one.answers["eth_blockNumber"] = Said(-32005, "daily request limit reached")
    if kind == "another chain":
        one.answers["eth_chainId"] = "0x38"
    return one


KINDS = (
    "busy",
    "down",
    "moved",
    "garbled",
    "no call's answer",
    "a number",
    "slow",
    "cut",
    "at a limit",
    "another chain",
)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_read_goes_to_the_next_node(kind: str) -> None:
    async with speaking_to(broken(kind), node(7), timeout_s=0.3) as nodes:
        assert await nodes.ask(HEAD) == ["0x7"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_read_of_broken_nodes_ends_after_a_few_tries(kind: str) -> None:
    only = broken(kind)
    async with speaking_to(only, timeout_s=0.1) as nodes:
        with pytest.raises(NodeSilent) as error:
            await nodes.ask(HEAD)
    assert len(only.asked) <= 2 * shared.READ_TRIES
    assert error.value.facts["node"] == only.url.removeprefix("http://")


async def test_a_node_that_answered_is_asked_first_the_next_time() -> None:
    first, second = broken("down"), node()
    async with speaking_to(first, second) as nodes:
        await nodes.ask(HEAD)
        first.asked.clear()
        await nodes.ask(HEAD)
        assert first.asked == []


async def test_a_passing_fault_is_outlived() -> None:
    only = broken("down")

    def recover(*_: object) -> str:
        return "0x9"

    only.answers["eth_blockNumber"] = recover
    async with speaking_to(only) as nodes:
        with pytest.raises(NodeSilent):
            await nodes.ask(HEAD)
        only.status = 200
        assert await nodes.ask(HEAD) == ["0x9"]


async def test_the_refusal_of_one_call_spoils_no_other_in_the_batch() -> None:
    one = node()
    one.answers["eth_call"] = Said(3, "execution reverted", "0x1234")
    async with speaking_to(one) as nodes:
        head, refusal, again = await nodes.ask(HEAD, Call("eth_call"), HEAD)
    assert head == again == "0x7"
    assert isinstance(refusal, NodeSaysNo)
    assert (refusal.number, refusal.message, refusal.data) == (3, "execution reverted", "0x1234")


async def test_every_node_speaks_for_itself() -> None:
    async with speaking_to(node(7), broken("down"), node(9)) as nodes:
        first, second, third = await nodes.ask_all(HEAD)
        assert (first, third) == (["0x7"], ["0x9"])
        assert isinstance(second, NodeSilent)
        with pytest.raises(NodeSilent):
            await nodes.ask_every(HEAD)


async def test_an_answer_too_big_to_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "REPLY_BYTES_MAX", 1000)
    big = node()
    big.answers["eth_blockNumber"] = "0x" + "1" * 2000
    async with speaking_to(big, node(7)) as nodes:
        assert await nodes.ask(HEAD) == ["0x7"]


@pytest.mark.parametrize("kind", ["busy", "garbled", "slow", "cut"])
async def test_a_send_is_said_exactly_once_to_each_node(kind: str) -> None:
    bad, good = broken(kind), node()
    async with speaking_to(bad, good, timeout_s=0.3) as nodes:
        await nodes.ask_all(HEAD)
        bad.asked.clear()
        answers = await nodes.tell(Call("eth_sendRawTransaction", ("0xraw",)), grace_s=1.0)
    assert isinstance(answers[0], NodeSilent)
    assert answers[1] == "0xhash"
    assert len(bad.asked) == 1


async def test_a_slow_node_does_not_hold_up_what_another_one_took() -> None:
    slow, good = node(), node()
    async with speaking_to(slow, good, timeout_s=5.0) as nodes:
        await nodes.ask_all(HEAD)
        slow.delay_s = 3.0
        answers = await nodes.tell(Call("eth_sendRawTransaction", ("0xraw",)), grace_s=0.1)
    assert isinstance(answers[0], NodeSilent), "its answer was not waited for"
    assert answers[1] == "0xhash"


async def test_a_refusal_is_no_reason_to_stop_waiting_for_a_slower_yes() -> None:
    slow, quick = node(), node()
    quick.answers["eth_sendRawTransaction"] = Said(-32000, "nonce too low")
    async with speaking_to(slow, quick, timeout_s=30.0) as nodes:
        await nodes.ask_all(HEAD)
        slow.delay_s = 0.3
        answers = await nodes.tell(Call("eth_sendRawTransaction", ("0xraw",)), grace_s=0.01)
    assert answers[0] == "0xhash"


async def test_nothing_is_told_to_a_node_of_another_chain() -> None:
    other = broken("another chain")
    async with speaking_to(other) as nodes:
        [answer] = await nodes.tell(Call("eth_sendRawTransaction", ("0xraw",)), grace_s=0.1)
    assert isinstance(answer, NodeSilent)
    assert answer.code == "NODE_WRONG_CHAIN"
    assert other.methods == []


async def test_a_call_is_a_span_that_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(rpc, "_tracer", provider.get_tracer("test"))
    only = node()
    async with serving(only) as [url]:
        secret_url = url.replace("http://", "http://user:hunter2@") + "/v3/0123456789secret?key=hunter2"
        async with open_nodes([secret_url], CHAIN_ID) as nodes:
            await nodes.tell(Call("eth_sendRawTransaction", ("0xf00dbytes",)), grace_s=0.1)
            only.status = 500
            with pytest.raises(NodeSilent) as error:
                await nodes.ask(HEAD)
    told = [span.to_json() for span in spans.get_finished_spans()]
    assert any("node eth_sendRawTransaction" in text for text in told)
    for text in (*told, str(error.value), repr(error.value.facts)):
        assert not any(secret in text for secret in ("hunter2", "0123456789secret", "f00dbytes")), text


def test_a_network_without_nodes_is_no_network() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Nodes([])
