"""What nodes say, and what it is worth: replies to a broadcast, and the reason inside a revert."""

from collections.abc import Sequence

from adapters.chains import receptions
from adapters.chains.nodes import Answer, NodeSaysNo, NodeSilent
from adapters.chains.receptions import REFUSED, UNDERPRICED, Reception, Verdict

REASON_CHARS_MAX = 200
_ERROR_STRING = "0x08c379a0"  # Error(string)
_PANIC = "0x4e487b71"  # Panic(uint256)


# In the words of geth, bor, erigon, reth, nethermind, besu and anvil; the first row that fits decides.
_WORDS: Sequence[tuple[Reception, tuple[str, ...]]] = (
    (Reception.TAKEN, ("already known", "already imported", "alreadyknown", "already exists")),
    (Reception.SLOT_USED, ("nonce too low", "nonce is too low", "oldnonce", "nonce has already been used")),
    (Reception.SLOT_AHEAD, ("nonce too high", "noncegap", "nonce gap", "nonce too far")),
    (
        Reception.UNDERPRICED,
        (
            "underpriced",
            "less than block base fee",
            "fee too low",
            "feetoolow",
            "gas price too low",
            "gasprice too low",
            "below the minimum",
            "intrinsic gas too low",  # of a rollup: the bytes cost more on the chain below than when they were signed
        ),
    ),
    (Reception.WALLET_SHORT, ("insufficient funds", "insufficientfunds", "insufficient balance")),
)

_VERDICTS = (
    UNDERPRICED,
    Verdict(
        Reception.SLOT_USED,
        "BROADCAST_SLOT_USED",
        "The nodes say the nonce is used; that proves nothing: look by whom.",
    ),
    Verdict(
        Reception.SLOT_AHEAD,
        "BROADCAST_SLOT_AHEAD",
        "The nodes lack a lower nonce: offer the lower slots again first.",
    ),
    Verdict(
        Reception.WALLET_SHORT,
        "BROADCAST_WALLET_SHORT",
        "The wallet's coins do not cover it: top it up; it stays queued.",
    ),
    REFUSED,
)


def received(answer: Answer | NodeSilent) -> Reception:
    """How a node took the transaction, from its answer to `eth_sendRawTransaction`."""
    if isinstance(answer, NodeSilent):
        return Reception.UNKNOWN
    if not isinstance(answer, NodeSaysNo):
        return Reception.TAKEN
    words = answer.message.lower()
    if "known transaction" in words and "unknown" not in words:
        return Reception.TAKEN
    return next((reception for reception, marks in _WORDS if any(mark in words for mark in marks)), Reception.REFUSED)


def judge(answers: Sequence[Answer | NodeSilent], txid: str) -> None:
    """Returns when a node has the transaction. Raises Uncertain BROADCAST_UNKNOWN when one did not say, else Refused
    BROADCAST_* with the most useful of what they said.
    """
    words = [answer.message for answer in answers if isinstance(answer, NodeSaysNo)]
    receptions.judge({received(answer) for answer in answers}, _VERDICTS, txid, words)


def reverted(refusal: NodeSaysNo) -> bool:
    """Whether the node ran the call and it failed, rather than refused to run it."""
    words = refusal.message.lower()
    marks = ("revert", "invalid opcode", "out of gas", "exceeds allowance", "evm error")
    return refusal.number == 3 or any(mark in words for mark in marks)


def revert_reason(refusal: NodeSaysNo) -> str:
    """What the contract said when it failed: its text, its panic code, its own error's selector, or nothing.

    Source: Solidity ABI specification, "Error and Panic".
    """
    data = refusal.data or "0x"
    try:
        if data.startswith(_ERROR_STRING):
            body = bytes.fromhex(data[len(_ERROR_STRING) :])
            start = int.from_bytes(body[:32], "big") + 32
            length = int.from_bytes(body[start - 32 : start], "big")
            text = body[start : start + length].decode(errors="replace")
            return "".join(c for c in text if c.isprintable())[:REASON_CHARS_MAX]
        if data.startswith(_PANIC):
            return f"panic {hex(int(data[len(_PANIC) :], 16))}"
    except (ValueError, OverflowError):
        return "unreadable"
    return f"error {data[:10]}" if len(data) >= 10 else "no reason given"
