"""geth's pool rules, without a node."""

import pytest

from ops.devnet.node_proxy.pool import EXECUTABLE_PLACES, QUEUED_PLACES, Account, Chain, Pool
from ops.devnet.node_proxy.transaction import Transaction, decode
from ops.devnet.node_proxy.words import Rejected
from tests.ops.chain import CHAIN_ID, GWEI, Spender

CHAIN = Chain(CHAIN_ID, 30_000_000)
RICH = Account(nonce=0, balance=10**20)
SPENDER = Spender("0x" + "51" * 32)


def tx(nonce: int, **fields: int) -> Transaction:
    return decode(SPENDER.sign(nonce, **fields)[0])


def refusal(pool: Pool, transaction: Transaction, account: Account = RICH) -> str:
    with pytest.raises(Rejected) as caught:
        pool.admit(transaction, account, CHAIN)
    return caught.value.message


@pytest.mark.parametrize(
    ("cap_percent", "tip_percent", "replaces"),
    [(110, 110, True), (109, 110, False), (110, 109, False), (100, 200, False), (200, 100, False), (150, 150, True)],
)
def test_a_replacement_needs_ten_percent_more_on_both_prices(
    cap_percent: int, tip_percent: int, replaces: bool
) -> None:
    pool, first = Pool(), tx(0, cap=20 * GWEI, tip=2 * GWEI)
    pool.admit(first, RICH, CHAIN)
    second = tx(0, cap=20 * GWEI * cap_percent // 100, tip=2 * GWEI * tip_percent // 100)
    if replaces:
        assert pool.admit(second, RICH, CHAIN) == first
        assert pool.find(first.hash) is None
    else:
        assert refusal(pool, second) == "replacement transaction underpriced"
        assert pool.find(first.hash) == first


def test_the_threshold_of_a_replacement_is_rounded_down_as_geth_does() -> None:
    pool = Pool()
    pool.admit(tx(0, cap=15, tip=10), RICH, CHAIN)
    assert refusal(pool, tx(0, cap=15, tip=12)) == "replacement transaction underpriced"
    pool.admit(tx(0, cap=16, tip=11), RICH, CHAIN)  # 15 * 1.1 = 16.5


def test_the_words_for_a_known_a_late_and_an_unpayable_transaction_are_geths() -> None:
    pool = Pool()
    pool.admit(tx(3), Account(3, 10**20), CHAIN)
    assert refusal(pool, tx(3), Account(3, 10**20)) == "already known"
    assert refusal(pool, tx(2), Account(3, 10**20)) == "nonce too low: next nonce 3, tx nonce 2"
    poor = refusal(Pool(), tx(0, value=10), Account(0, 5))
    assert (
        poor
        == "insufficient funds for gas * price + value: balance 5, tx cost 420000000000010, overshot 420000000000005"
    )


def test_what_waits_already_counts_against_the_balance() -> None:
    pool, balance = Pool(), 2 * 21_000 * 20 * GWEI + 1
    pool.admit(tx(0), Account(0, balance), CHAIN)
    assert "queued cost" in refusal(pool, tx(1), Account(0, balance))


def test_a_replacement_is_not_paid_for_twice() -> None:
    pool, balance = Pool(), 21_000 * 22 * GWEI + 1
    pool.admit(tx(0), Account(0, balance), CHAIN)
    pool.admit(tx(0, cap=22 * GWEI, tip=3 * GWEI), Account(0, balance), CHAIN)


def test_sixteen_may_be_executable_and_the_seventeenth_finds_the_pool_full() -> None:
    pool = Pool()
    for nonce in range(EXECUTABLE_PLACES):
        pool.admit(tx(nonce), RICH, CHAIN)
    assert refusal(pool, tx(EXECUTABLE_PLACES)) == "txpool is full"
    pool.admit(tx(3, cap=40 * GWEI, tip=4 * GWEI), RICH, CHAIN)  # a replacement takes no new place


def test_of_more_than_sixty_four_queued_the_highest_nonce_is_let_go_silently() -> None:
    pool = Pool()
    for nonce in range(100, 100 + QUEUED_PLACES):
        pool.admit(tx(nonce), RICH, CHAIN)
    pool.admit(last := tx(500), RICH, CHAIN)
    assert pool.find(last.hash) is None
    pool.admit(early := tx(50), RICH, CHAIN)
    assert pool.find(early.hash) == early
    assert len(pool.queued(SPENDER.address, 0)) == QUEUED_PLACES


def test_nonces_after_a_gap_wait_and_follow_when_it_is_filled() -> None:
    pool = Pool()
    for nonce in (0, 2, 3):
        pool.admit(tx(nonce), RICH, CHAIN)
    assert [t.nonce for t in pool.executable(SPENDER.address, 0)] == [0]
    assert [t.nonce for t in pool.queued(SPENDER.address, 0)] == [2, 3]
    pool.admit(tx(1), RICH, CHAIN)
    assert [t.nonce for t in pool.executable(SPENDER.address, 0)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"chainId": 5}, "invalid sender: invalid chain id for signer: have 5 want 31337"),
        ({"gas": 20_999}, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"gas": 30_000_001, "cap": GWEI, "tip": 1}, "exceeds block gas limit"),
        ({"cap": GWEI, "tip": GWEI + 1}, "max priority fee per gas higher than max fee per gas"),
        ({"tip": 0}, "transaction underpriced: gas tip cap 0, minimum needed 1"),
        ({"gas": 100_000, "cap": 10_001 * GWEI}, "tx fee (1.00 ether) exceeds the configured cap (1.00 ether)"),
    ],
)
def test_a_transaction_that_no_node_would_take_is_refused_in_geths_words(fields: dict[str, int], words: str) -> None:
    assert refusal(Pool(), tx(0, **fields)) == words


@pytest.mark.parametrize("raw", ["0x", "0x1234", "0x02c0", "zz", "0x03c0", "0xc0"])
def test_bytes_that_are_no_transaction_are_refused(raw: str) -> None:
    with pytest.raises(Rejected):
        decode(raw)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_sender_and_hash_are_read_from_the_bytes_as_the_signer_made_them(kind: int) -> None:
    from eth_account import Account as Signer

    fields = {
        "nonce": 7,
        "to": "0x" + "22" * 20,
        "value": 5,
        "gas": 60_000,
        "data": "0xdeadbeef00",
        "chainId": CHAIN_ID,
    }
    prices = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 2} if kind == 2 else {"gasPrice": 9}
    accesses = [{"address": "0x" + "33" * 20, "storageKeys": ["0x" + "44" * 32]}] if kind else None
    typed = {"type": kind, "accessList": accesses} if kind else {}
    signed = Signer.sign_transaction(fields | prices | typed, SPENDER.key)
    read = decode("0x" + bytes(signed.raw_transaction).hex())
    assert (read.sender, read.hash) == (SPENDER.address, "0x" + bytes(signed.hash).hex())
    assert (read.nonce, read.cap, read.tip, read.gas, read.value) == (7, 9, 2 if kind == 2 else 9, 60_000, 5)
    assert read.intrinsic_gas == (25_368 if kind else 21_170)  # a list of accesses, or the floor of EIP-7623
