"""What nodes say: blocks and transactions as java-tron's JSON has them, replies to a broadcast, reasons of a revert."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from adapters.chains import receptions
from adapters.chains.nodes import Answer, NodeSilent
from adapters.chains.receptions import REFUSED, Reception, Verdict
from adapters.chains.tron.address import bytes_of
from adapters.chains.tron.wire import field
from domain.asset import Asset
from domain.payout import Inclusion, Slot

TRANSFER_TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
WORDS_MAX = 200


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its id is the height and a hash; `txids` as the node lists them."""

    number: int
    id: str
    parent: str
    at_ms: int
    txids: frozenset[str] = frozenset()


def read_block(answer: Any) -> Block:
    """Raises KeyError, TypeError or ValueError when it is no block."""
    raw, id_ = answer["block_header"]["raw_data"], str(answer["blockID"])
    number = int(raw.get("number", 0))
    if len(id_) != 64 or int(id_[:16], 16) != number:
        raise ValueError("a block's id begins with its height")
    txids = frozenset(str(tx["txID"]) for tx in answer.get("transactions", ()))
    return Block(number, id_, str(raw["parentHash"]), int(raw["timestamp"]), txids)


# A header's fields by number, as java-tron writes them; what is zero or empty is not written (core/Tron.proto).
_HEADER = (
    (1, "timestamp"),
    (2, "txTrieRoot"),
    (3, "parentHash"),
    (7, "number"),
    (8, "witness_id"),
    (9, "witness_address"),
    (10, "version"),
    (11, "accountStateRoot"),
)


def read_scanned(answer: Any) -> Block:
    """A block whose id is the hash of its own header: nobody can tell another time, parent or height under the same id.
    Who made it is not checked (the witness's signature). Raises as `read_block` does.
    """
    block = read_block(answer)
    if block.id != _id_of(answer["block_header"]["raw_data"]):
        raise ValueError("a block's id is the hash of its header")
    return block


def _id_of(header: Mapping[str, Any]) -> str:
    """The height in eight bytes, then the last 24 of the SHA-256 of the encoded header."""
    said = [(number, header[name]) for number, name in _HEADER if header.get(name)]
    raw = b"".join(field(number, bytes.fromhex(value) if isinstance(value, str) else value) for number, value in said)
    return int(header.get("number", 0)).to_bytes(8, "big").hex() + sha256(raw).digest()[8:].hex()


def sent_by(answer: Any, owner: str) -> list[str]:
    """The ids of a block's transactions whose contract names `owner` (21 bytes, hex), failed ones too."""
    return [str(tx["txID"]) for tx in answer.get("transactions", ()) if owner in _owners(tx)]


def _owners(tx: Mapping[str, Any]) -> list[str]:
    """Who a transaction's contracts act for; some shielded ones name nobody."""
    contracts = tx.get("raw_data", {}).get("contract", ())
    return [str(row.get("parameter", {}).get("value", {}).get("owner_address", "")) for row in contracts]


@dataclass(frozen=True, slots=True)
class Expected:
    """The effect a slot is paid for, addresses without their first byte, hex. `token` is None for the native coin:
    there the signed bytes themselves name recipient and value, so success is delivery.
    """

    token: str | None
    wallet: str
    recipient: str
    amount: int


def expected(slot: Slot, assets: Mapping[str, Asset]) -> Expected:
    [payment] = slot.payments
    token = assets[payment.asset].contract
    return Expected(
        token=None if token is None else _plain(token),
        wallet=_plain(slot.wallet),
        recipient=_plain(payment.recipient),
        amount=int(payment.amount),
    )


def read_inclusion(transaction: Any, info: Any, block_hash: str, effect: Expected) -> Inclusion:
    """The inclusion that a transaction and its info claim. Raises KeyError, TypeError or ValueError when they are none.

    Success is contractRet SUCCESS and no `result` in the info. A token's own return value is not asked (USDT returns
    false on success): only the Transfer log of the token's contract counts, from the wallet to the recipient with
    exactly the amount.
    """
    succeeded = transaction["ret"][0].get("contractRet") == "SUCCESS" and "result" not in info
    moves = _moves(info, effect) if succeeded and effect.token is not None else []
    return Inclusion(
        block=int(info["blockNumber"]),
        block_hash=block_hash,
        succeeded=succeeded,
        delivered=succeeded and (effect.token is None or (effect.recipient, effect.amount) in moves),
        fee_units=str(int(info.get("fee", 0))),
        strayed=bool(moves) and moves != [(effect.recipient, effect.amount)],
    )


def _moves(info: Any, effect: Expected) -> list[tuple[str, int]]:
    """(recipient, amount) of every move of the token out of the wallet."""
    return [
        (str(log["topics"][2])[24:], int(log["data"], 16))
        for log in info.get("log", ())
        if log["address"][-40:] == effect.token
        and len(log["topics"]) == 3
        and log["topics"][0] == TRANSFER_TOPIC
        and log["topics"][1][24:] == effect.wallet
    ]


def _plain(address: str) -> str:
    return bytes_of(address)[1:].hex()


# ---------------------------------------------------------------- replies to a broadcast
_CODES = {
    "DUP_TRANSACTION_ERROR": Reception.TAKEN,  # the node had it once; whether it still does, only a look says
    "TRANSACTION_EXPIRATION_ERROR": Reception.EXPIRED,
    "BANDWITH_ERROR": Reception.WALLET_SHORT,  # sic
    "SIGERROR": Reception.REFUSED,
    "CONTRACT_VALIDATE_ERROR": Reception.REFUSED,
    "CONTRACT_EXE_ERROR": Reception.REFUSED,
    "TAPOS_ERROR": Reception.REFUSED,
    "TOO_BIG_TRANSACTION_ERROR": Reception.REFUSED,
}
_SHORT_WORDS = ("balance is not sufficient", "insufficient")
_VERDICTS = (
    Verdict(
        Reception.EXPIRED, "BROADCAST_EXPIRED", "The nodes call it expired, which is no proof: only solid time is."
    ),
    Verdict(
        Reception.WALLET_SHORT,
        "BROADCAST_WALLET_SHORT",
        "The wallet's coins do not cover it: top it up; it is offered again.",
    ),
    REFUSED,
)


def received(answer: Answer | NodeSilent, txid: str) -> Reception:
    """How a node took the transaction, from its answer to wallet/broadcasthex. An answer about another transaction than
    ours is none.
    """
    if not isinstance(answer, dict) or answer.get("txid") != txid:
        return Reception.UNKNOWN
    if answer.get("result") is True:
        return Reception.TAKEN
    reception = _CODES.get(str(answer.get("code")), Reception.UNKNOWN)
    if reception is Reception.REFUSED and any(words in _words(answer).lower() for words in _SHORT_WORDS):
        return Reception.WALLET_SHORT
    return reception


def judge(answers: Sequence[Answer | NodeSilent], txid: str) -> None:
    """Returns when a node has the transaction. Raises Uncertain BROADCAST_UNKNOWN when one did not say, else Refused
    BROADCAST_* with the most useful of what they said.
    """
    words = [_words(answer) for answer in answers if isinstance(answer, dict)]
    receptions.judge({received(answer, txid) for answer in answers}, _VERDICTS, txid, words)


def strangers(answers: Sequence[Answer | NodeSilent], txid: str) -> list[str]:
    """The ids of other transactions that nodes claim to have been told: a node that does this is broken or hostile."""
    told = [str(answer["txid"]) for answer in answers if isinstance(answer, dict) and answer.get("txid")]
    return sorted({named for named in told if named != txid})


def _words(answer: Mapping[str, Any]) -> str:
    return f"{answer.get('code', '')} {text(answer.get('message'))}".strip()


def text(message: Any) -> str:
    """A node's message: plain, or the hex of its bytes."""
    words = str(message or "")
    with suppress(ValueError):
        words = bytes.fromhex(words).decode()
    return "".join(c for c in words if c.isprintable())[:WORDS_MAX]


def call_failure(answer: Any) -> str | None:
    """Why a simulated call failed, None when it worked. Raises KeyError or TypeError when it is no answer to one."""
    result = answer["result"]
    if "code" in result:
        return f"{result['code']} {text(result.get('message'))}"
    failed = any(row.get("ret") == "FAILED" for row in answer.get("transaction", {}).get("ret", ()))
    return text(result.get("message")) or "it fails" if failed or result.get("message") else None
