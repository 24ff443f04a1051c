"""The local chain goes on where it was: after `kill -9` of the node, of the proxy, of both; at any pace."""

import resource
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.ops.chain import ETHEREUM, EVM_NETWORKS, GWEI, LocalChain, LocalChains, Spender


@pytest.fixture
def lively(state_dir: Path, port_base: int) -> Iterator[LocalChain]:
    chain = LocalChain(state_dir, port_base + 16, block_time_s=0.3).start()
    yield chain
    chain.stop()


def mined(chain: LocalChain, txid: str) -> int:
    """The block of a transaction, waited for."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if receipt := chain.receipt(txid):
            return int(receipt["blockNumber"], 16)
        time.sleep(0.05)
    raise TimeoutError(txid)


def saved(chain: LocalChain) -> None:
    """Returns when a snapshot has been taken: money that anvil gave away is in no transaction."""
    until, before = time.monotonic() + 10, chain.counters()["snapshots"]
    while chain.counters()["snapshots"] == before:
        assert time.monotonic() < until, "no snapshot was taken"
        time.sleep(0.05)


def paid_once(chain: LocalChain, somebody: Spender, count: int) -> None:
    assert int(chain.rpc("eth_getTransactionCount", somebody.address, "latest"), 16) == count


def test_a_killed_node_comes_back_with_the_chain_and_with_what_was_pending(lively: LocalChain) -> None:
    somebody = lively.spender()
    settled = lively.send(somebody.sign(0))
    mined(lively, settled)
    lively.control(hold_blocks=True)
    pending = lively.send(somebody.sign(1))
    head = lively.head()
    lively.kill("anvil")
    lively.start("anvil")
    lively.control(hold_blocks=False)
    assert mined(lively, settled) <= head
    assert mined(lively, pending) > 0
    assert lively.head() >= head
    paid_once(lively, somebody, 2)


def test_a_killed_proxy_still_has_what_was_pending(lively: LocalChain) -> None:
    somebody = lively.spender()
    lively.control(hold_blocks=True)
    pending = lively.send(somebody.sign(0))
    lively.kill("proxy")
    lively.start("proxy")
    assert mined(lively, pending)
    paid_once(lively, somebody, 1)


def test_after_a_reboot_nothing_that_was_taken_is_lost(lively: LocalChain) -> None:
    somebody = lively.spender()
    sent = [lively.send(somebody.sign(nonce)) for nonce in range(5)]
    mined(lively, sent[-1])
    more = [lively.send(somebody.sign(nonce)) for nonce in range(5, 8)]
    head = lively.head()
    lively.kill("proxy")
    lively.kill("anvil")
    lively.start()
    for txid in (*sent, *more):
        mined(lively, txid)
    assert lively.head() >= head
    paid_once(lively, somebody, 8)


def test_an_orderly_stop_keeps_the_chain(lively: LocalChain) -> None:
    txid = lively.send(lively.spender().sign(0))
    block = mined(lively, txid)
    lively.stop()
    lively.start()
    assert mined(lively, txid) == block


def test_a_replaced_transaction_does_not_return_from_the_journal(lively: LocalChain) -> None:
    somebody = lively.spender()
    saved(lively)
    lively.control(hold_blocks=True)
    first = lively.send(somebody.sign(0))
    second = lively.send(somebody.sign(0, cap=30 * 10**9, tip=3 * 10**9))
    lively.kill("proxy")
    lively.kill("anvil")
    lively.start()
    mined(lively, second)
    assert lively.receipt(first) is None


def test_with_no_block_time_each_transaction_is_mined_at_once_and_soon_final(state_dir: Path, port_base: int) -> None:
    chain = LocalChain(state_dir, port_base + 18, block_time_s=0, kept=False).start()
    try:
        txid = chain.send(chain.spender().sign(0))
        block = int(chain.receipt(txid)["blockNumber"], 16)
        until = time.monotonic() + 3
        while int(chain.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16) < block:
            assert time.monotonic() < until, f"not final {2 * ETHEREUM.epoch_slots} blocks later"
            time.sleep(0.01)
    finally:
        chain.stop()


def test_the_nodes_of_all_evm_networks_take_less_than_a_second_to_start(tmp_path: Path, port_base: int) -> None:
    """Of a processor's time: how long that is by the clock is also a matter of who else wants one."""
    chains, before = LocalChains(tmp_path, port_base, 0, EVM_NETWORKS), used_s()
    try:
        chains.begin_nodes()
    finally:
        chains.stop()
    assert used_s() - before < 1


def used_s() -> float:
    """Seconds of a processor's time that processes of ours took which have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def test_each_evm_network_mines_its_own_behind_one_proxy(tmp_path: Path, port_base: int) -> None:
    chains = LocalChains(tmp_path, port_base, 0, EVM_NETWORKS)
    try:
        chains.start()
        for chain in chains.values():
            assert int(chain.receipt(chain.send(transfer(chain)))["blockNumber"], 16) > 0
        assert len({chain.rpc("eth_chainId") for chain in chains.values()}) == len(chains)
    finally:
        chains.stop()


def transfer(chain: LocalChain) -> tuple[str, str]:
    """A transfer that any of the networks takes."""
    return chain.spender().sign(0, chainId=chain.facts.chain_id, tip=30 * GWEI, cap=60 * GWEI, gas=40_000)


def test_a_reorg_between_quick_blocks_leaves_no_hole_in_the_chain(state_dir: Path, port_base: int) -> None:
    chain = LocalChain(state_dir, port_base + 16, block_time_s=0.005).start()
    try:
        chain.control(mine=5)
        for _ in range(25):
            chain.control(reorg=2)
            chain.rpc("anvil_reorg", 1, [])
        blocks = [chain.rpc("eth_getBlockByNumber", hex(number), False) for number in range(chain.head() + 1)]
    finally:
        chain.stop()
    assert len(blocks) > 25
    assert [number for number, block in enumerate(blocks) if block is None] == []
    assert all(after["parentHash"] == before["hash"] for before, after in pairwise(blocks[1:]))
