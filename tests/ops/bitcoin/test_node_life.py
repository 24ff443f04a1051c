"""The regtest node: it keeps its chain over deaths, and everything one needs of a chain can be done to it."""

from pathlib import Path

import pytest

from ops.devnet.bitcoin.node import RegtestNode, TwoNodes, command
from ops.devnet.bitcoin.regtest import REST_BLOCKS, RICH_BLOCKS
from ops.devnet.bitcoin.rpc import RpcError, sats

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"  # BIP 173's example key, on regtest


async def test_it_speaks_to_nobody_and_shows_no_password(bitcoin_node: RegtestNode, bitcoind: Path) -> None:
    assert await bitcoin_node.rpc("getconnectioncount") == 0
    password = bitcoin_node.folder.login[1]
    assert not any(password in word for word in command(bitcoind, bitcoin_node.folder, 1, 2))
    assert (bitcoin_node.folder.path / "rpc.password").stat().st_mode & 0o077 == 0
    assert password not in (bitcoin_node.folder.path / "bitcoin.conf").read_text()


async def test_the_chain_and_the_treasury_survive_kill_9(bitcoin_node: RegtestNode) -> None:
    await bitcoin_node.fund([(ADDRESS, 5_000)])
    height = await bitcoin_node.height()
    await bitcoin_node.flush()
    await bitcoin_node.kill()
    await bitcoin_node.start()
    assert await bitcoin_node.height() == height
    await bitcoin_node.fund([(ADDRESS, 6_000)])


async def test_many_coins_for_one_address_come_in_one_transaction(bitcoin_node: RegtestNode) -> None:
    txid = await bitcoin_node.fund([(ADDRESS, 1_000 + n) for n in range(300)], confirmations=3)
    for n in (0, 252, 253, 299):
        coin = await bitcoin_node.rpc("gettxout", txid, n)
        assert (sats(coin["value"]), coin["confirmations"]) == (1_000 + n, 3)


async def test_a_reorganisation_takes_a_payment_back_and_the_branch_may_hold_it_again(
    bitcoin_node: RegtestNode,
) -> None:
    txid = await bitcoin_node.fund([(ADDRESS, 7_000)], confirmations=3)
    before = await bitcoin_node.height()
    new = await bitcoin_node.reorganise(3)
    assert await bitcoin_node.tip() == new[-1]
    assert await bitcoin_node.height() == before + 1
    assert txid in await bitcoin_node.rpc("getrawmempool")
    await bitcoin_node.mine_exactly([txid])
    assert (await bitcoin_node.rpc("gettxout", txid, 0, False))["confirmations"] == 1
    await bitcoin_node.reorganise(2, [[txid]])
    assert (await bitcoin_node.rpc("gettxout", txid, 0, False))["confirmations"] == 3


async def test_a_branch_with_a_contradicting_version_ends_the_first_one(bitcoin_node: RegtestNode) -> None:
    first = await bitcoin_node.pay([(ADDRESS, 8_000)])
    spent = (await bitcoin_node.rpc("decoderawtransaction", first))["vin"][0]
    await bitcoin_node.unlock()
    other = await bitcoin_node.pay([(ADDRESS, 8_001)], [(spent["txid"], spent["vout"])])
    txid = await bitcoin_node.rpc("sendrawtransaction", first)
    await bitcoin_node.mine_exactly([txid])
    await bitcoin_node.reorganise(1, [[other]])
    assert txid not in await bitcoin_node.rpc("getrawmempool")
    with pytest.raises(RpcError) as caught:
        await bitcoin_node.rpc("sendrawtransaction", first)
    assert caught.value.code == -25


async def test_two_nodes_part_and_the_longer_branch_wins(two_nodes: TwoNodes) -> None:
    one, other = two_nodes.one, two_nodes.other
    await two_nodes.split()
    await one.mine(1)
    await other.mine(3)
    assert await one.tip() != await other.tip()
    await two_nodes.join()
    assert await one.tip() == await other.tip()
    assert await one.height() == RICH_BLOCKS + REST_BLOCKS + 3
