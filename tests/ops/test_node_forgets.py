"""A node that forgets has lost what waited, and takes it again."""

from tests.ops.chain import LocalChain


def test_what_waits_is_forgotten_and_may_be_sent_again(chain: LocalChain) -> None:
    somebody = chain.spender()
    txid = chain.send(somebody.sign(0))
    chain.control(forget=True)
    assert chain.rpc("eth_getTransactionByHash", txid) is None
    assert chain.rpc("eth_getTransactionCount", somebody.address, "pending") == "0x0"
    chain.control(mine=1)
    assert chain.receipt(txid) is None
    assert chain.send(somebody.sign(0)) == txid
    chain.control(mine=1)
    assert chain.receipt(txid)["status"] == "0x1"
