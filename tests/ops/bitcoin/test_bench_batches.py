"""What the benchmark of batches believes: blocks alone, and only when everybody was paid once."""

from collections.abc import AsyncIterator

import pytest

from adapters.catalogue import load
from domain.errors import Refused
from ops.bench.batches import look, node_wallet
from ops.demo.story import fresh_address
from ops.devnet.bitcoin.node import RegtestNode
from ops.devnet.bitcoin.rpc import Rpc
from tests.cluster import free_port
from tests.ops.bitcoin.front import Front

UNITS = 20_000


@pytest.fixture
async def front(bitcoin_node: RegtestNode) -> AsyncIterator[Front]:
    running = await Front.start(bitcoin_node, free_port(), "--hold")
    yield running
    await running.stop()


def recipients(test: str, n: int) -> list[str]:
    return [fresh_address(load("devnet").networks["bitcoin"], test, number) for number in range(n)]


async def pay(front: Front, names: list[str]) -> int:
    """All of them in one transaction, mined; its vbytes."""
    raw = await front.node.pay([(name, UNITS) for name in names])
    await front.node.rpc("sendrawtransaction", raw)
    await front.node.mine()
    return int((await front.node.rpc("decoderawtransaction", raw))["vsize"])


async def test_payments_are_counted_with_the_weight_of_their_transactions(front: Front) -> None:
    names = recipients("weighed", 5)
    vbytes = await pay(front, names[:3]) + await pay(front, names[3:])
    found = await look(front.rpc, names, UNITS)
    assert (found.payouts, found.units, found.transactions, found.vbytes) == (5, 5 * UNITS, 2, vbytes)


async def test_who_was_paid_twice_or_not_at_all_ends_the_measurement(front: Front) -> None:
    names = recipients("doubted", 3)
    await pay(front, names[:2])
    with pytest.raises(Refused, match="1 recipients") as caught:
        await look(front.rpc, names, UNITS)
    assert caught.value.code == "BENCH_NOT_PAID"
    await pay(front, names[1:])
    with pytest.raises(Refused, match=names[1]):
        await look(front.rpc, names, UNITS)
    rpc: Rpc = front.rpc
    assert (await look(rpc, [names[0], names[2]], UNITS)).payouts == 2


async def test_the_nodes_own_wallet_sends_a_transaction_of_one_coin_for_each(front: Front) -> None:
    found = await node_wallet(front.rpc.url, recipients("alone", 4), UNITS)
    assert 140 <= found["vbytes_per_payout"] <= 145, "one input, the payment and change"
    assert found["payouts_per_s"] > 0
