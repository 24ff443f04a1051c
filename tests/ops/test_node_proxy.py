"""The proxy before a real anvil: geth's rules as clients meet them, and every fault."""

import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected

import pytest

from tests.ops.chain import ETHEREUM, GWEI, LocalChain, NodeError

CUT = (RemoteDisconnected, ConnectionError)  # the connection ended without an answer


def words_of(chain: LocalChain, signed: tuple[str, str]) -> tuple[int, str]:
    with pytest.raises(NodeError) as caught:
        chain.send(signed)
    return caught.value.code, caught.value.message


def test_a_transaction_is_pending_until_a_block_takes_it(chain: LocalChain) -> None:
    somebody = chain.spender()
    raw, txid = somebody.sign(0)
    assert chain.send((raw, txid)) == txid
    assert chain.receipt(txid) is None
    assert chain.rpc("eth_getTransactionByHash", txid)["blockNumber"] is None
    assert chain.rpc("eth_getTransactionCount", somebody.address, "pending") == "0x1"
    chain.control(mine=1)
    assert chain.receipt(txid)["status"] == "0x1"
    assert chain.rpc("eth_getTransactionByHash", txid)["blockNumber"] == hex(chain.head())


def test_too_small_a_bump_is_underpriced_and_the_first_one_is_mined(chain: LocalChain) -> None:
    somebody = chain.spender()
    first = chain.send(somebody.sign(0, cap=20 * GWEI, tip=2 * GWEI))
    small = somebody.sign(0, cap=21 * GWEI, tip=3 * GWEI)
    assert words_of(chain, small) == (-32000, "replacement transaction underpriced")
    chain.control(mine=1)
    assert chain.receipt(first)
    assert chain.receipt(small[1]) is None


def test_a_full_bump_replaces_and_only_the_second_is_mined(chain: LocalChain) -> None:
    somebody = chain.spender()
    first = chain.send(somebody.sign(0, cap=20 * GWEI, tip=2 * GWEI))
    second = chain.send(somebody.sign(0, cap=22 * GWEI, tip=3 * GWEI, value=7))
    assert chain.rpc("eth_getTransactionByHash", first) is None
    chain.control(mine=1)
    assert chain.receipt(first) is None
    assert chain.receipt(second)["status"] == "0x1"


def test_a_cap_under_the_base_fee_waits_and_is_mined_when_the_fee_falls(chain: LocalChain) -> None:
    somebody = chain.spender()
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    chain.control(mine=1)
    cheap = chain.send(somebody.sign(0, cap=20 * GWEI, tip=GWEI))
    behind = chain.send(somebody.sign(1, cap=500 * GWEI, tip=GWEI))
    chain.control(mine=2)
    assert chain.receipt(cheap) is None
    assert chain.rpc("eth_getTransactionByHash", cheap)["maxFeePerGas"] == hex(20 * GWEI)
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    chain.control(mine=2)
    assert chain.receipt(cheap)
    assert chain.receipt(behind)


def test_a_waiting_transaction_survives_a_rise_of_the_base_fee_that_makes_anvil_drop_it(chain: LocalChain) -> None:
    somebody = chain.spender()
    txid = chain.send(somebody.sign(0, cap=20 * GWEI, tip=GWEI))
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(90 * GWEI))
    chain.control(mine=1)
    assert chain.rpc("eth_getTransactionByHash", txid)["blockNumber"] is None
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    chain.control(mine=1)
    assert chain.receipt(txid)


def test_the_same_bytes_again_are_already_known_and_after_mining_too_low(chain: LocalChain) -> None:
    somebody = chain.spender()
    signed = somebody.sign(0)
    chain.send(signed)
    assert words_of(chain, signed) == (-32000, "already known")
    chain.control(mine=1)
    assert words_of(chain, signed) == (-32000, "nonce too low: next nonce 1, tx nonce 0")


def test_sixteen_are_executable_and_all_of_them_are_mined(chain: LocalChain) -> None:
    somebody = chain.spender()
    sent = [chain.send(somebody.sign(nonce)) for nonce in range(16)]
    assert words_of(chain, somebody.sign(16)) == (-32000, "txpool is full")
    assert len(chain.rpc("txpool_contentFrom", somebody.address)["pending"]) == 16
    chain.control(mine=1)
    assert all(chain.receipt(txid) for txid in sent)
    chain.send(somebody.sign(16))


def test_a_gap_queues_and_filling_it_lets_all_be_mined(chain: LocalChain) -> None:
    somebody = chain.spender()
    later = [chain.send(somebody.sign(nonce)) for nonce in (1, 2)]
    status = chain.rpc("txpool_status")
    assert int(status["queued"], 16) >= 2
    assert chain.rpc("eth_getTransactionCount", somebody.address, "pending") == "0x0"
    chain.control(mine=1)
    assert chain.receipt(later[0]) is None
    first = chain.send(somebody.sign(0))
    chain.control(mine=1)
    assert all(chain.receipt(txid) for txid in (first, *later))


def test_a_replacement_of_a_queued_transaction_leaves_one(chain: LocalChain) -> None:
    somebody = chain.spender()
    for step in range(3):
        last = chain.send(somebody.sign(1, cap=(20 + 5 * step) * GWEI, tip=(2 + step) * GWEI))
    assert list(chain.rpc("txpool_contentFrom", somebody.address)["queued"]) == ["1"]
    chain.send(somebody.sign(0))
    chain.control(mine=1)
    assert chain.receipt(last)


def test_an_unpayable_transaction_is_refused_in_geths_words(chain: LocalChain) -> None:
    code, words = words_of(chain, chain.spender(wei=1000).sign(0))
    assert code == -32000
    assert words.startswith("insufficient funds for gas * price + value: balance 1000, tx cost 420000000000001")


def test_a_batch_is_answered_item_by_item(chain: LocalChain) -> None:
    somebody = chain.spender()
    raw, txid = somebody.sign(0)
    first, second, third, fourth = chain.batch(
        ("eth_chainId", []), ("eth_sendRawTransaction", [raw]), ("eth_sendRawTransaction", [raw]), ("eth_nothing", [])
    )
    assert first["result"] == "0x7a69"
    assert second["result"] == txid
    assert third["error"]["message"] == "already known"
    assert fourth["error"]["code"] == -32601
    plain = chain.batch(("eth_chainId", []), ("eth_call", [{}, "latest", 1, 2]))
    assert plain[0]["result"] == "0x7a69"
    assert plain[0]["id"] == 0


@pytest.mark.parametrize("body", [b"not json", b"[]", b'"text"', b'{"method": 5}', b"[1, {}]"])
def test_a_malformed_request_is_answered_with_an_error_not_a_crash(chain: LocalChain, body: bytes) -> None:
    import json
    import urllib.request

    with urllib.request.urlopen(urllib.request.Request(chain.url, body), timeout=5) as answer:
        reply = json.load(answer)
    assert all("error" in item for item in (reply if isinstance(reply, list) else [reply]))


def test_a_lost_reply_leaves_the_transaction_taken(chain: LocalChain) -> None:
    somebody = chain.spender()
    signed = somebody.sign(0)
    chain.control(lose_reply=1)
    with pytest.raises(CUT):
        chain.send(signed)
    chain.control(lose_reply=0)
    assert words_of(chain, signed) == (-32000, "already known")
    chain.control(mine=1)
    assert chain.receipt(signed[1])


def test_a_black_hole_answers_with_the_hash_and_forgets(chain: LocalChain) -> None:
    signed = chain.spender().sign(0)
    chain.control(blackhole=1)
    assert chain.send(signed) == signed[1]
    chain.control(blackhole=0, mine=1)
    assert chain.rpc("eth_getTransactionByHash", signed[1]) is None


def test_http_errors_strike_as_often_as_asked_and_the_same_seed_strikes_the_same(chain: LocalChain) -> None:
    def answers() -> list[int]:
        chain.control(http_error=0.5, seed=42)
        return [status_of(chain) for _ in range(40)]

    first = answers()
    assert first == answers()
    assert {200, 429, 502, 503} == set(first)
    chain.control(reset=True, hold_blocks=True)
    assert chain.counters()["struck"]["http_error"] > 0


def status_of(chain: LocalChain) -> int:
    try:
        chain.rpc("eth_chainId")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def test_a_receipt_can_be_null_although_the_transaction_is_mined(chain: LocalChain) -> None:
    txid = chain.send(chain.spender().sign(0))
    chain.control(mine=1, null_receipt=1)
    assert chain.receipt(txid) is None
    chain.control(null_receipt=0)
    assert chain.receipt(txid)


def test_a_stale_head_knows_nothing_of_the_last_blocks(chain: LocalChain) -> None:
    somebody = chain.spender()
    chain.control(mine=20)
    txid = chain.send(somebody.sign(0))
    chain.control(mine=2)
    head = chain.head()
    chain.control(stale_head=5)
    assert chain.head() == head - 5
    assert chain.receipt(txid) is None
    assert chain.rpc("eth_getTransactionByHash", txid)["blockNumber"] is None
    assert chain.rpc("eth_getTransactionCount", somebody.address, "latest") == "0x0"
    assert chain.rpc("eth_getBlockByNumber", hex(head), False) is None
    late = [int(chain.rpc("eth_getBlockByNumber", tag, False)["number"], 16) for tag in ("latest", "safe", "finalized")]
    assert late == [head - 5, head - 5 - ETHEREUM.epoch_slots, head - 5 - 2 * ETHEREUM.epoch_slots]
    chain.control(stale_head=0)
    assert chain.receipt(txid)


def test_delay_makes_every_answer_wait(chain: LocalChain) -> None:
    chain.control(delay_ms=200)
    begun = time.monotonic()
    chain.rpc("eth_chainId")
    assert time.monotonic() - begun >= 0.2


def test_down_cuts_every_connection_but_the_control_door_answers(chain: LocalChain) -> None:
    chain.control(down=True)
    with pytest.raises(CUT):
        chain.rpc("eth_chainId")
    assert chain.counters()["faults"]["down"] is True
    chain.control(down=False)
    assert chain.rpc("eth_chainId") == "0x7a69"


@pytest.mark.parametrize("order", [{"lose_reply": 2}, {"stale_head": -1}, {"nonsense": 1}, {"down": "perhaps"}])
def test_an_order_that_makes_no_sense_is_refused_and_changes_nothing(
    chain: LocalChain, order: dict[str, object]
) -> None:
    before = chain.counters()["faults"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        chain.control(**order)
    assert caught.value.code == 422
    assert chain.counters()["faults"] == before


def test_a_reset_takes_all_faults_back(chain: LocalChain) -> None:
    chain.control(http_error=0.3, delay_ms=1, stale_head=1)
    faults = chain.control(reset=True, hold_blocks=True)["faults"]
    assert {name for name, value in faults.items() if value} == {"hold_blocks"}


def test_forty_senders_at_once_are_all_mined(chain: LocalChain) -> None:
    people = [chain.spender() for _ in range(40)]
    with ThreadPoolExecutor(20) as pool:
        sent = list(pool.map(lambda somebody: chain.send(somebody.sign(0)), people))
    chain.control(mine=2)
    assert all(chain.receipt(txid) for txid in sent)
