"""The USDT-like token does what Tether's does, and the first chain holds what the sources say."""

import json
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ops.devnet.anvil import FALSE_CONTRACT, FIRST_CHAIN, USDT
from ops.devnet.contracts.artifacts import FOLDER, NAMES, load
from ops.devnet.treasury import ADDRESS, KEY, call_data
from tests.ops.chain import LocalChain, NodeError, Spender

ISSUER = Spender(KEY)
TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


class Token:
    """A token as its users call it."""

    def __init__(self, chain: LocalChain, address: str) -> None:
        self.chain = chain
        self.address = address

    def send(self, who: Spender, signature: str, *arguments: Any) -> dict[str, Any]:
        nonce = int(self.chain.rpc("eth_getTransactionCount", who.address, "pending"), 16)
        data = "0x" + call_data(signature, *arguments).hex()
        txid = self.chain.send(who.sign(nonce, to=self.address, value=0, data=data, gas=150_000))
        self.chain.control(mine=1)
        receipt: dict[str, Any] = self.chain.receipt(txid)
        return receipt

    def ask(self, signature: str, *arguments: Any, sender: str | None = None) -> str:
        data = "0x" + call_data(signature, *arguments).hex()
        asked = {"to": self.address, "data": data} | ({"from": sender} if sender else {})
        return str(self.chain.rpc("eth_call", asked, "latest"))

    def balance(self, who: str) -> int:
        return int(self.ask("balanceOf(address)", who), 16)


@pytest.fixture
def usdt(chain: LocalChain) -> Token:
    return Token(chain, USDT)


@pytest.fixture
def holder(chain: LocalChain, usdt: Token) -> Spender:
    """Somebody with 100 USDT and some ether."""
    somebody = chain.spender()
    usdt.send(ISSUER, "transfer(address,uint256)", somebody.address, 100_000_000)
    return somebody


def transfers(receipt: dict[str, Any]) -> list[tuple[str, str, int]]:
    found = [log for log in receipt["logs"] if log["topics"][0] == TRANSFER]
    return [
        (
            to_checksum_address("0x" + log["topics"][1][-40:]),
            to_checksum_address("0x" + log["topics"][2][-40:]),
            int(log["data"], 16),
        )
        for log in found
    ]


def test_a_transfer_returns_nothing_and_logs_itself(usdt: Token, holder: Spender) -> None:
    to = Spender().address
    assert usdt.ask("transfer(address,uint256)", to, 5, sender=holder.address) == "0x"
    receipt = usdt.send(holder, "transfer(address,uint256)", to, 5)
    assert transfers(receipt) == [(holder.address, to, 5)]
    assert usdt.balance(to) == 5


def test_too_little_of_it_eats_all_the_gas(usdt: Token, holder: Spender) -> None:
    receipt = usdt.send(holder, "transfer(address,uint256)", Spender().address, 100_000_001)
    assert receipt["status"] == "0x0"
    assert int(receipt["gasUsed"], 16) == 150_000


def test_a_blacklisted_sender_reverts_and_a_blacklisted_recipient_is_paid(usdt: Token, holder: Spender) -> None:
    blocked = Spender().address
    usdt.send(ISSUER, "addBlackList(address)", blocked)
    assert usdt.send(holder, "transfer(address,uint256)", blocked, 7)["status"] == "0x1"
    usdt.send(ISSUER, "addBlackList(address)", holder.address)
    assert usdt.send(holder, "transfer(address,uint256)", blocked, 7)["status"] == "0x0"
    usdt.send(ISSUER, "removeBlackList(address)", holder.address)
    assert usdt.send(holder, "transfer(address,uint256)", blocked, 7)["status"] == "0x1"


def test_destroyed_issued_and_redeemed_coins_log_no_transfer(usdt: Token, holder: Spender) -> None:
    usdt.send(ISSUER, "addBlackList(address)", holder.address)
    before = usdt.balance(ADDRESS)
    for signature, argument in (
        ("destroyBlackFunds(address)", holder.address),
        ("issue(uint256)", 1000),
        ("redeem(uint256)", 400),
    ):
        receipt = usdt.send(ISSUER, signature, argument)
        assert receipt["status"] == "0x1"
        assert transfers(receipt) == []
    assert usdt.balance(holder.address) == 0
    assert usdt.balance(ADDRESS) == before + 600


def test_a_fee_on_transfer_logs_twice_and_the_recipient_gets_less(usdt: Token, holder: Spender) -> None:
    to = Spender().address
    usdt.send(ISSUER, "setParams(uint256,uint256)", 10, 40)
    try:
        receipt = usdt.send(holder, "transfer(address,uint256)", to, 10_000_000)
    finally:
        usdt.send(ISSUER, "setParams(uint256,uint256)", 0, 0)
    assert transfers(receipt) == [(holder.address, ADDRESS, 10_000), (holder.address, to, 9_990_000)]
    assert usdt.balance(to) == 9_990_000


def test_the_fee_cannot_pass_its_limits(usdt: Token) -> None:
    assert usdt.send(ISSUER, "setParams(uint256,uint256)", 20, 1)["status"] == "0x0"
    assert usdt.send(ISSUER, "setParams(uint256,uint256)", 1, 50)["status"] == "0x0"


def test_paused_nothing_moves(usdt: Token, holder: Spender) -> None:
    usdt.send(ISSUER, "pause()")
    try:
        assert usdt.send(holder, "transfer(address,uint256)", Spender().address, 1)["status"] == "0x0"
    finally:
        usdt.send(ISSUER, "unpause()")
    assert usdt.send(holder, "transfer(address,uint256)", Spender().address, 1)["status"] == "0x1"


def test_an_allowance_has_to_be_reset_before_it_is_changed(usdt: Token, holder: Spender) -> None:
    friend = Spender().address
    assert usdt.send(holder, "approve(address,uint256)", friend, 5)["status"] == "0x1"
    assert usdt.send(holder, "approve(address,uint256)", friend, 6)["status"] == "0x0"
    assert usdt.send(holder, "approve(address,uint256)", friend, 0)["status"] == "0x1"
    assert usdt.send(holder, "approve(address,uint256)", friend, 6)["status"] == "0x1"


def test_only_the_owner_may_do_what_the_owner_does(usdt: Token, holder: Spender) -> None:
    for signature, argument in (("issue(uint256)", 1), ("addBlackList(address)", ADDRESS), ("redeem(uint256)", 1)):
        assert usdt.send(holder, signature, argument)["status"] == "0x0"


def test_the_false_token_answers_false_and_succeeds_without_moving(chain: LocalChain) -> None:
    token, somebody = Token(chain, FALSE_CONTRACT), chain.spender()
    answer = token.ask("transfer(address,uint256)", ADDRESS, 5, sender=somebody.address)
    assert decode(["bool"], bytes.fromhex(answer[2:])) == (False,)
    receipt = token.send(somebody, "transfer(address,uint256)", ADDRESS, 5)
    assert receipt["status"] == "0x1"
    assert transfers(receipt) == []


@pytest.mark.parametrize(("contract", "address"), [("UsdtLike", USDT), ("FalseToken", FALSE_CONTRACT)])
def test_the_first_chain_runs_the_committed_bytecode(chain: LocalChain, contract: str, address: str) -> None:
    code, compiled = chain.rpc("eth_getCode", address, "latest"), load(contract).deployed_bytecode
    assert len(code) == len(compiled)
    assert code == compiled or contract == "FalseToken"  # its immutable supply is filled in when it is deployed


def test_every_source_has_its_artifact_and_the_chain_starts_small() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.sol")) == sorted(NAMES)
    assert {USDT.lower(), FALSE_CONTRACT.lower()} <= set(json.loads(FIRST_CHAIN.read_text())["accounts"])
    assert FIRST_CHAIN.stat().st_size < 200_000


def test_an_unpayable_token_transfer_says_so_before_it_is_sent(usdt: Token) -> None:
    with pytest.raises(NodeError):
        usdt.ask("transfer(address,uint256)", ADDRESS, 5, sender=Spender().address)
