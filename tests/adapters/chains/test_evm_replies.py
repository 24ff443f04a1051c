"""What the words of nodes are worth."""

import pytest
from eth_abi.abi import encode

from adapters.chains.evm.replies import REASON_CHARS_MAX, judge, received, revert_reason, reverted
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent
from adapters.chains.receptions import Reception
from domain.errors import Refused, Uncertain

SILENT = NodeSilent("NODE_SILENT", "no answer")


def no(message: str, number: int = -32000, data: str | None = None) -> NodeSaysNo:
    return NodeSaysNo(number, message, data)


@pytest.mark.parametrize(
    ("words", "reception"),
    [
        ("already known", Reception.TAKEN),
        ("transaction already imported", Reception.TAKEN),
        ("AlreadyKnown", Reception.TAKEN),
        ("Known transaction", Reception.TAKEN),
        ("unknown transaction type", Reception.REFUSED),
        ("nonce too low: next nonce 8, tx nonce 7", Reception.SLOT_USED),
        ("OldNonce, Current nonce: 8, nonce of rejected tx: 7", Reception.SLOT_USED),
        ("nonce too high", Reception.SLOT_AHEAD),
        ("replacement transaction underpriced", Reception.UNDERPRICED),
        ("transaction underpriced: gas tip cap 1, minimum needed 1000000", Reception.UNDERPRICED),
        ("max fee per gas less than block base fee: address 0x, maxFeePerGas: 1, baseFee: 2", Reception.UNDERPRICED),
        ("FeeTooLow, MaxFeePerGas too low", Reception.UNDERPRICED),
        ("insufficient funds for gas * price + value: balance 0, tx cost 1", Reception.WALLET_SHORT),
        ("tx fee (1.50 ether) exceeds the configured cap (1.00 ether)", Reception.REFUSED),
        ("txpool is full", Reception.REFUSED),
        ("", Reception.REFUSED),
    ],
)
def test_the_words_of_each_client_are_understood(words: str, reception: Reception) -> None:
    assert received(no(words)) is reception


def test_a_hash_is_a_yes_and_silence_is_neither() -> None:
    assert received("0xhash") is Reception.TAKEN
    assert received(SILENT) is Reception.UNKNOWN


@pytest.mark.parametrize("answers", [["0xhash"], ["0xhash", SILENT], [no("nonce too low"), no("already known")]])
def test_one_yes_is_enough(answers: list[Answer]) -> None:
    judge(answers, "0x1")


@pytest.mark.parametrize("answers", [[SILENT], [SILENT, no("nonce too low")], [no("underpriced"), SILENT]])
def test_one_silence_without_a_yes_leaves_doubt(answers: list[Answer]) -> None:
    with pytest.raises(Uncertain, match="BROADCAST_UNKNOWN"):
        judge(answers, "0x1")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([no("replacement transaction underpriced"), no("txpool is full")], "BROADCAST_UNDERPRICED"),
        ([no("nonce too low")], "BROADCAST_SLOT_USED"),
        ([no("nonce too high")], "BROADCAST_SLOT_AHEAD"),
        ([no("insufficient funds")], "BROADCAST_WALLET_SHORT"),
        ([no("txpool is full")], "BROADCAST_REFUSED"),
    ],
)
def test_a_definite_no_has_its_own_code_and_the_nodes_words(answers: list[Answer], code: str) -> None:
    with pytest.raises(Refused) as refused:
        judge(answers, "0x1")
    assert refused.value.code == code
    assert answers[0].message in str(refused.value.facts["said"])


def test_a_revert_is_told_from_a_node_s_unwillingness() -> None:
    assert reverted(no("execution reverted", 3))
    assert reverted(no("invalid opcode: INVALID"))
    assert not reverted(no("header not found"))


def test_the_reason_of_a_revert_is_read() -> None:
    def with_data(data: str) -> str:
        return revert_reason(no("execution reverted", 3, data))

    assert with_data("0x08c379a0" + encode(["string"], ["paused"]).hex()) == "paused"
    assert with_data("0x08c379a0" + encode(["string"], ["a\nb\0"]).hex()) == "ab"
    assert with_data("0x08c379a0" + encode(["string"], ["x" * 999]).hex()) == "x" * REASON_CHARS_MAX
    assert with_data("0x4e487b71" + encode(["uint256"], [0x11]).hex()) == "panic 0x11"
    assert with_data("0xdeadbeef" + "00" * 32) == "error 0xdeadbeef"
    assert with_data("0x") == "no reason given"
    assert with_data("0x08c379a0zz") == "unreadable"
    assert revert_reason(no("invalid opcode")) == "no reason given"
    assert with_data("0x08c379a0" + "ff" * 64) == ""
