"""What nodes say of a broadcast, and what is made of it. The words are those of a real node."""

import pytest

from adapters.chains.bitcoin.replies import judge
from adapters.chains.nodes import NodeSaysNo, NodeSilent
from domain.errors import Refused, Uncertain

TXID = "ab" * 32
SILENT = NodeSilent("NODE_SILENT", "The node gave no answer.")
IN_CHAIN = NodeSaysNo(-27, "Transaction outputs already in utxo set")
SPENT = NodeSaysNo(-25, "bad-txns-inputs-missingorspent")
CHEAP = NodeSaysNo(-26, "insufficient fee, rejecting replacement abcd; new feerate 0.00001 <= old feerate 0.00002")
CHEAP_POOL = NodeSaysNo(-26, "mempool min fee not met, 141 < 1410")
LONG_CHAIN = NodeSaysNo(-26, "too-long-mempool-chain, too many unconfirmed ancestors [limit: 25]")
TOO_DEAR = NodeSaysNo(-25, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)")


@pytest.mark.parametrize("answers", [[TXID], [IN_CHAIN], [SPENT, TXID], [SILENT, TXID], [CHEAP, IN_CHAIN]])
def test_one_node_that_has_it_is_enough(answers: list[object]) -> None:
    judge(answers, TXID)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([SPENT], "BROADCAST_SLOT_USED"),
        ([CHEAP], "BROADCAST_UNDERPRICED"),
        ([CHEAP_POOL], "BROADCAST_UNDERPRICED"),
        ([SPENT, CHEAP], "BROADCAST_UNDERPRICED"),
        ([LONG_CHAIN], "BROADCAST_REFUSED"),
        ([TOO_DEAR], "BROADCAST_REFUSED"),
        ([NodeSaysNo(-26, "dust")], "BROADCAST_REFUSED"),
    ],
)
def test_a_definite_no_says_what_kind_it_is(answers: list[object], code: str) -> None:
    with pytest.raises(Refused) as refusal:
        judge(answers, TXID)
    assert refusal.value.code == code


@pytest.mark.parametrize("answers", [[SILENT], [SPENT, SILENT], [CHEAP, SILENT], ["cd" * 32], [None]])
def test_a_silence_or_an_answer_about_something_else_leaves_doubt(answers: list[object]) -> None:
    with pytest.raises(Uncertain, match="BROADCAST_UNKNOWN"):
        judge(answers, TXID)
