"""How a transaction lives and dies: lifetime, reference block, duplicates, pool, solidity, forks."""

import pytest

from ops.devnet.tron.network import Unfit
from ops.devnet.tron.transaction import Refusal
from tests.ops.tron.laboratory import SOLID_LAG, TREASURER, Laboratory, Person, signed

ALICE, BOB = Person("alice"), Person("bob")


@pytest.fixture
def lab() -> Laboratory:
    lab = Laboratory()
    lab.give(ALICE, BOB)
    lab.mine(SOLID_LAG + 1)
    return lab


def refused(lab: Laboratory, **raw: object) -> str:
    with pytest.raises(Refusal) as caught:
        lab.pay(ALICE, BOB, 1, raw=raw)
    return caught.value.code


def test_blocks_name_their_parents_and_carry_their_number(lab: Laboratory) -> None:
    for parent, block in zip(lab.chain.blocks, lab.chain.blocks[1:], strict=False):
        assert block.parent == parent.id
        assert int.from_bytes(block.id[:8], "big") == block.number == parent.number + 1
        assert block.time_ms >= parent.time_ms + 1_000


def test_a_transaction_needs_a_slot_to_live_and_may_not_live_longer_than_a_day(lab: Laboratory) -> None:
    head_ms = lab.chain.head.time_ms
    assert refused(lab, expiration=head_ms + 999) == "TRANSACTION_EXPIRATION_ERROR"
    assert refused(lab, expiration=head_ms + 86_400_001) == "TRANSACTION_EXPIRATION_ERROR"
    lab.pay(ALICE, BOB, 1, raw={"expiration": head_ms + 1_000})
    lab.pay(ALICE, BOB, 1, raw={"expiration": head_ms + 86_400_000})


def test_a_block_after_skipped_slots_can_be_later_than_the_expiration_of_what_it_holds(lab: Laboratory) -> None:
    tx = lab.pay(ALICE, BOB, 1, raw={"expiration": lab.chain.head.time_ms + 1_000})
    lab.order(mine=1, skip_slots=20)
    assert lab.entry(tx).record.result == "SUCCESS"
    assert lab.chain.head.time_ms > tx.expiration_ms


def test_a_reference_to_a_block_of_another_branch_is_refused(lab: Laboratory) -> None:
    assert refused(lab, ref_block_hash=bytes(8)) == "TAPOS_ERROR"
    head = lab.chain.head
    tx = signed(
        lab.make(
            ALICE,
            "TransferContract",
            to_address=BOB.address,
            amount=1,
            raw={"ref_block_bytes": head.ref_bytes, "ref_block_hash": head.ref_hash},
        ),
        ALICE,
    )
    lab.order(fork=1)
    with pytest.raises(Refusal) as caught:
        lab.network.send("a", tx)
    assert caught.value.code == "TAPOS_ERROR"


def test_the_same_bytes_twice_are_a_duplicate_in_the_pool_and_in_a_block(lab: Laboratory) -> None:
    tx = lab.pay(ALICE, BOB, 1)
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            lab.network.send("a", tx)
        assert caught.value.code == "DUP_TRANSACTION_ERROR"
        lab.mine()


def test_nothing_on_the_chain_stops_two_payments_that_differ_in_their_timestamp(lab: Laboratory) -> None:
    before = lab.balance(BOB)
    lab.pay(ALICE, BOB, 5)
    lab.pay(ALICE, BOB, 5)
    lab.mine()
    assert lab.balance(BOB) == before + 10


def test_with_the_cache_of_ids_a_duplicate_may_be_neither_accepted_nor_on_the_chain(lab: Laboratory) -> None:
    lab.order(dup_cache=True, drop=1)
    tx = lab.pay(ALICE, BOB, 1)
    lab.mine(5)
    with pytest.raises(Refusal) as caught:
        lab.network.send("a", tx)
    assert caught.value.code == "DUP_TRANSACTION_ERROR"
    assert lab.ask("gettransactionbyid", value=tx.id.hex()) == {}


def test_what_waits_for_a_minute_leaves_the_pool_and_is_still_valid(lab: Laboratory) -> None:
    lab.order(hold_blocks=300)
    tx = lab.pay(ALICE, BOB, 1, raw={"expiration": lab.chain.head.time_ms + 600_000})
    lab.mine(60)
    assert lab.chain.pool.find(tx.id)
    lab.mine(2)
    assert not lab.chain.pool.find(tx.id)
    lab.order(hold_blocks=0)
    lab.network.send("a", tx)
    lab.mine()
    assert lab.entry(tx)


def test_the_full_node_tells_what_is_only_in_its_pool_but_has_no_info_of_it(lab: Laboratory) -> None:
    before = lab.balance(BOB)
    id_ = lab.pay(ALICE, BOB, 1).id.hex()
    assert lab.ask("gettransactionbyid", value=id_)["txID"] == id_
    assert lab.ask("gettransactioninfobyid", value=id_) == {}
    assert lab.ask("getaccount", address=BOB.text, visible=True)["balance"] == before + 1
    assert lab.ask("getaccount", solid=True, address=BOB.text, visible=True)["balance"] == before


def test_a_block_is_solid_when_enough_blocks_stand_on_it(lab: Laboratory) -> None:
    before = lab.balance(BOB)
    id_ = lab.entry_of_payment(ALICE, BOB, 7).tx.id.hex()
    for _ in range(SOLID_LAG):
        assert lab.ask("gettransactionbyid", solid=True, value=id_) == {}
        assert lab.ask("getaccount", solid=True, address=BOB.text, visible=True)["balance"] == before
        lab.mine()
    assert lab.ask("gettransactionbyid", solid=True, value=id_)["txID"] == id_
    assert lab.ask("gettransactioninfobyid", solid=True, value=id_)["blockNumber"] == lab.chain.solid_number
    assert lab.ask("getaccount", solid=True, address=BOB.text, visible=True)["balance"] == before + 7


def test_a_fork_takes_transactions_back_into_the_pool_and_the_longer_branch_holds_them(lab: Laboratory) -> None:
    entry = lab.entry_of_payment(ALICE, BOB, 7)
    old, balance = lab.chain.head, lab.balance(BOB)
    lab.order(fork=1)
    block = lab.chain.block(old.number)
    assert block is not None
    assert block.id != old.id
    assert lab.chain.head.number == old.number + 1
    assert lab.entry(entry.tx).record.result == "SUCCESS"
    assert lab.balance(BOB) == balance


def test_a_fork_may_lose_a_transaction_that_comes_back_later(lab: Laboratory) -> None:
    before = lab.balance(BOB)
    tx = lab.entry_of_payment(ALICE, BOB, 7).tx
    lab.order(fork=2, fork_loses=True)
    assert lab.balance(BOB) == before
    assert lab.ask("gettransactionbyid", value=tx.id.hex()) == {}
    lab.order(release=True, mine=1)
    assert lab.balance(BOB) == before + 7
    assert lab.entry(tx)


def test_solid_blocks_are_never_replaced(lab: Laboratory) -> None:
    with pytest.raises(Unfit, match="at most 3"):
        lab.order(fork=SOLID_LAG + 1)
    lab.order(fork=SOLID_LAG)
    solid = lab.chain.solid_number
    lab.mine()
    assert lab.chain.solid_number > solid


def test_two_nodes_on_two_branches_tell_two_stories_until_one_wins(lab: Laboratory) -> None:
    common = lab.pay(ALICE, BOB, 3)
    lab.mine()
    lab.order(split=1)
    only_b = lab.pay(ALICE, BOB, 5, node="b")
    lab.mine(SOLID_LAG + 2)
    assert lab.ask("gettransactionbyid", value=only_b.id.hex()) == {}
    assert lab.ask("gettransactioninfobyid", node="b", value=only_b.id.hex())["blockNumber"]
    assert lab.ask("gettransactioninfobyid", solid=True, value=common.id.hex())
    stalled = lab.ask("gettransactioninfobyid", solid=True, node="b", value=common.id.hex())
    assert stalled == {}, "the minority's branch does not become solid"
    with pytest.raises(Unfit, match="solid"):
        lab.order(heal="b")
    lab.order(heal="a")
    lab.mine()
    assert lab.entry(only_b), "what only the loser held has gone back into the pool"
    assert lab.network.chain("b") is lab.network.chain("a")


def test_the_branch_of_the_other_node_may_win(lab: Laboratory) -> None:
    lab.order(split=1, majority="b")
    only_a, only_b = lab.pay(ALICE, BOB, 3), lab.pay(ALICE, BOB, 5, node="b")
    lab.mine(SOLID_LAG + 2)
    lab.order(heal="b")
    lab.mine()
    assert lab.entry(only_a).record.result == lab.entry(only_b).record.result == "SUCCESS"


def test_the_chain_s_clock_can_be_set_ahead_and_never_falls_behind_its_head(lab: Laboratory) -> None:
    before = lab.chain.head.time_ms
    lab.order(time_skew_s=lab.network.clock.ahead_s + 600, mine=1)
    assert lab.chain.head.time_ms >= before + 600_000
    lab.order(time_skew_s=-(10**6), mine=1)
    assert lab.chain.head.time_ms > before + 600_000
    assert lab.network.clock.now_ms() >= lab.chain.head.time_ms


def test_a_payment_to_nobody_to_a_contract_or_of_nothing_is_refused(lab: Laboratory) -> None:
    with pytest.raises(Refusal, match="Amount must be greater than 0"):
        lab.pay(ALICE, BOB, 0)
    with pytest.raises(Refusal, match="yourself"):
        lab.pay(ALICE, ALICE, 1)
    with pytest.raises(Refusal, match="balance is not sufficient"):
        lab.pay(ALICE, BOB, 10**15)
    with pytest.raises(Refusal, match="does not exist"):
        lab.pay(Person("nobody"), BOB, 1)


def test_somebody_else_s_signature_is_refused(lab: Laboratory) -> None:
    tx = lab.make(ALICE, "TransferContract", to_address=BOB.address, amount=1)
    for spoiled in (tx, signed(tx, BOB), signed(tx, ALICE, ALICE), tx.signed(bytes(65)), tx.signed(b"short")):
        with pytest.raises(Refusal) as caught:
            lab.network.send("a", spoiled)
        assert caught.value.code == "SIGERROR"


def test_a_token_that_bears_the_name_of_usdt_is_another_kind_of_transaction(lab: Laboratory) -> None:
    value = {"asset_name": b"1000001", "to_address": ALICE.address, "amount": 9}
    lab.done(TREASURER, "TransferAssetContract", **value)
    assert lab.ask("getaccount", address=ALICE.text, visible=True)["assetV2"] == [{"key": "1000001", "value": 9}]
    assert lab.usdt_of(ALICE) == 0
