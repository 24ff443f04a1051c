"""The node misbehaves exactly as it is told to, and says so."""

from collections.abc import Iterator
from typing import Any

import pytest

from ops.devnet.tron.answers.building import KINDS
from ops.devnet.tron.keys import address_of, keccak256
from ops.devnet.tron.transaction import Transaction
from ops.devnet.tron.treasury import call_data
from tests.ops.tron.laboratory import TREASURER, Laboratory, Node, Person, signed

ALICE, BOB, THIEF = Person("alice"), Person("bob"), Person("thief")
USDT = "TUQLn5PAkatvhbbyEvCrQqkvVJYDk3wPAN"


@pytest.fixture(scope="module")
def running() -> Iterator[Node]:
    node = Node(18912, "--block-time", "1", "--time-skew", "-3600", "--halted", "--seed", "7")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def node(running: Node) -> Node:
    running.order(reset=True, halted=True)
    running.order("/b", reset=True)
    return running


def payment(node: Node, amount: int = 1) -> str:
    """A signed payment of the treasury, as hex."""
    words = {"owner_address": TREASURER.text, "to_address": ALICE.text, "amount": amount, "visible": True}
    built = node.ask("wallet/createtransaction", **words)
    return signed(Transaction(bytes.fromhex(built["raw_data_hex"])), TREASURER).to_bytes().hex()


def is_there(node: Node, txid: str, prefix: str = "") -> bool:
    return bool(node.http(f"{prefix}/wallet/gettransactioninfobyid", {"value": txid})[1])


def test_a_payment_is_broadcast_byte_for_byte(node: Node) -> None:
    told = node.ask("wallet/broadcasthex", transaction=payment(node))
    assert (told["result"], told["code"]) == (True, "SUCCESS")
    node.order(mine=1)
    assert is_there(node, told["txid"])


def test_success_is_no_promise_when_the_transaction_is_dropped(node: Node) -> None:
    node.order(drop=1)
    told = node.ask("wallet/broadcasthex", transaction=payment(node, 2))
    assert told["result"] is True
    assert node.order(mine=3)["struck"]["drop"] >= 1
    assert not is_there(node, told["txid"])
    node.order(release=True, mine=1)
    assert is_there(node, told["txid"])


def test_an_error_is_no_promise_either_when_the_answer_is_lost(node: Node) -> None:
    node.order(lose_reply=1)
    hex_ = payment(node, 3)
    assert node.http("/wallet/broadcasthex", {"transaction": hex_})[0] == 504
    node.order(reset=True, halted=True, mine=1)
    assert node.ask("wallet/broadcasthex", transaction=hex_)["code"] == "DUP_TRANSACTION_ERROR"


def test_a_busy_server_has_not_looked(node: Node) -> None:
    node.order(server_busy=1)
    told = node.ask("wallet/broadcasthex", transaction=payment(node, 4))
    assert (told["result"], told["code"]) == (False, "SERVER_BUSY")
    assert node.order()["pool"] == 0


def test_a_held_transaction_comes_so_many_blocks_later(node: Node) -> None:
    node.order(hold_blocks=2)
    txid = node.ask("wallet/broadcasthex", transaction=payment(node, 5))["txid"]
    node.order(mine=2)
    assert not is_there(node, txid)
    node.order(mine=1)
    assert is_there(node, txid)


def test_a_lagging_node_tells_an_old_head_and_the_other_node_does_not(node: Node) -> None:
    txid = node.ask("wallet/broadcasthex", transaction=payment(node, 6))["txid"]
    node.order(mine=1)
    node.order(stale_head=2)
    heads = [node.http(f"{name}/wallet/getnowblock", {})[1]["block_header"]["raw_data"] for name in ("", "/b")]
    assert heads[1]["number"] - heads[0]["number"] == 2
    assert not is_there(node, txid)
    assert is_there(node, txid, "/b")


def test_a_lite_node_lies_about_the_past_by_omission(node: Node) -> None:
    txid = node.ask("wallet/broadcasthex", transaction=payment(node, 7))["txid"]
    number = node.order(mine=1)["head"]
    node.order(mine=6)
    assert node.ask("walletsolidity/gettransactionbyid", value=txid)
    node.order(lite=3)
    for path in ("wallet", "walletsolidity"):
        assert node.ask(f"{path}/gettransactionbyid", value=txid) == {}
        assert node.ask(f"{path}/gettransactioninfobyid", value=txid) == {}
        assert node.ask(f"{path}/getblockbynum", num=number) == {}
    assert node.ask("wallet/gettransactioninfobyblocknum", num=number) == []


def test_entries_of_a_block_s_infos_may_be_missing(node: Node) -> None:
    for amount in range(20, 30):
        node.ask("wallet/broadcasthex", transaction=payment(node, amount))
    number = node.order(mine=1)["head"]
    assert len(node.ask("wallet/gettransactioninfobyblocknum", num=number)) == 10
    node.order(missing_info=0.5, seed=1)
    assert 0 < len(node.ask("wallet/gettransactioninfobyblocknum", num=number)) < 10


def test_http_errors_garbage_and_silence(node: Node) -> None:
    node.order(http_error=1)
    assert node.http("/wallet/getnowblock", {})[0] in (429, 502, 503)
    node.order(http_error=0, garbage=1)
    assert node.http("/wallet/getnowblock", {}) == (200, "<html><body>It works!</body></html>")
    node.order(garbage=0, down=True)
    with pytest.raises(OSError, match=r"closed|reset"):
        node.http("/wallet/getnowblock", {})


def test_with_a_seed_the_same_requests_meet_the_same_faults(node: Node) -> None:
    def luck() -> list[int]:
        node.order(http_error=0.5, seed=3)
        return [node.http("/wallet/getnowblock", {})[0] for _ in range(12)]

    first = luck()
    assert len(set(first)) > 1
    assert luck() == first


@pytest.mark.parametrize(
    "order",
    [{"drop": 2}, {"unheard_of": 1}, {"substitute": "0x00"}, {"told_parameters": {"getPie": 1}}, {"stale_head": -1}],
)
def test_an_order_that_makes_no_sense_changes_nothing(node: Node, order: dict[str, Any]) -> None:
    before = node.order()["faults"]
    assert node.http("/_ctl", order)[0] == 422
    assert node.order()["faults"] == before


def test_an_order_that_cannot_be_obeyed_says_why(node: Node) -> None:
    status, told = node.http("/_ctl", {"fork": 1000})
    assert status == 409
    assert "blocks can be replaced" in told["errors"][0]


def test_the_solidity_port_serves_only_what_is_solid(node: Node) -> None:
    assert node.http("/walletsolidity/getnowblock", {}, node.solidity_url)[0] == 200
    assert node.http("/wallet/getnowblock", {}, node.solidity_url)[0] == 404
    assert node.http("/walletsolidity/broadcasthex", {}, node.solidity_url)[0] == 404
    solid = node.http("/walletsolidity/getnowblock", {}, node.solidity_url)[1]
    assert node.ask("walletsolidity/getnowblock") == solid
    assert solid != node.ask("wallet/getnowblock")


def test_words_that_do_not_fit_are_answered_with_an_error_and_200(node: Node) -> None:
    assert "Error" in node.ask("wallet/getaccount", address="T000", visible=True)
    assert "Error" in node.ask("wallet/broadcasthex", transaction="zz")
    assert node.ask("wallet/getaccount", address=Person("stranger").text, visible=True) == {}
    assert node.http("/wallet/thereisnosuchpath", {})[0] == 404


def test_every_transaction_that_a_node_builds_may_pay_somebody_else() -> None:
    lab = Laboratory()
    lab.give(ALICE)
    lab.order(substitute=THIEF.text)
    words = {"owner_address": ALICE.text, "to_address": BOB.text, "amount": 1, "visible": True}
    built = lab.ask("createtransaction", **words)
    assert built["raw_data"]["contract"][0]["parameter"]["value"]["to_address"] == THIEF.text
    data = call_data("transfer(address,uint256)", BOB.text, 5).hex()
    call = {"owner_address": ALICE.text, "contract_address": USDT, "data": data, "visible": True}
    triggered = lab.ask("triggersmartcontract", **call)["transaction"]
    assert THIEF.address[1:].hex() in triggered["raw_data"]["contract"][0]["parameter"]["value"]["data"]
    honest = {"visible": True, **{key: value for key, value in built.items() if key != "raw_data"}}
    asked = {**honest, "raw_data": {**built["raw_data"], "contract": [_paying(ALICE, BOB)]}}
    weighed = lab.ask("getsignweight", **asked)["transaction"]
    assert weighed["transaction"]["raw_data"]["contract"][0]["parameter"]["value"]["to_address"] == THIEF.text
    assert lab.network.dice["a"].struck["substitute"] == 3


def _paying(owner: Person, to: Person) -> dict[str, Any]:
    value = {"owner_address": owner.text, "to_address": to.text, "amount": 1}
    return {
        "type": "TransferContract",
        "parameter": {"type_url": "type.googleapis.com/protocol.TransferContract", "value": value},
    }


def test_a_node_may_tell_wrong_chain_parameters() -> None:
    lab = Laboratory()
    lab.order(told_parameters={"getEnergyFee": 1})
    told = {row["key"]: row.get("value", 0) for row in lab.ask("getchainparameters")["chainParameter"]}
    assert told["getEnergyFee"] == 1
    assert lab.chain.now().parameter("getEnergyFee") == 100


def test_the_energy_of_a_call_is_estimated_only_by_a_node_that_is_told_to() -> None:
    lab = Laboratory()
    call = {"owner_address": TREASURER.text, "contract_address": USDT, "function_selector": "decimals()"}
    assert "code" in lab.ask("estimateenergy", **call, visible=True)["result"]
    lab.order(estimate_energy=True)
    assert lab.ask("estimateenergy", **call, visible=True)["energy_required"] > 0


def test_a_contract_that_pays_trx_to_many_activates_them_and_shows_it_only_inside() -> None:
    lab = Laboratory()
    recipients = "".join(f"{person.address[1:].hex():0>64}" for person in (ALICE, BOB))
    data = keccak256(b"pay(address[],uint256)")[:4] + bytes.fromhex(f"{64:064x}{5:064x}{2:064x}{recipients}")
    disperse = address_of("TCeKq3gza3YJSaAtx2MZASSXKtPUUZK69p")
    call = {"contract_address": disperse, "data": data, "call_value": 10, "raw": {"fee_limit": 10**8}}
    entry = lab.done(TREASURER, "TriggerSmartContract", **call)
    assert entry.record.result == "SUCCESS"
    assert (lab.balance(ALICE), lab.balance(BOB)) == (5, 5)
    told = lab.ask("gettransactioninfobyid", value=entry.tx.id.hex(), visible=True)
    moved = [(row["transferTo_address"], row["callValueInfo"]) for row in told["internal_transactions"]]
    assert moved == [(ALICE.text, [{"callValue": 5}]), (BOB.text, [{"callValue": 5}])]


def test_the_node_builds_every_kind_of_transaction_that_has_a_path_of_its_own() -> None:
    lab = Laboratory()
    lab.give(ALICE)
    assert set(KINDS) >= {"createtransaction", "freezebalancev2", "delegateresource", "accountpermissionupdate"}
    words = {"owner_address": ALICE.text, "frozen_balance": 10**6, "resource": "ENERGY", "visible": True}
    built = lab.ask("freezebalancev2", **words)
    assert built["raw_data"]["contract"][0]["type"] == "FreezeBalanceV2Contract"
    too_much = lab.ask("freezebalancev2", **{**words, "frozen_balance": 10**15})
    assert "ContractValidateException" in too_much["Error"]
