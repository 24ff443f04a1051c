"""Blocks, transactions in them, and what the node says of itself."""

from typing import Any

from ops.devnet.tron.answers.ask import Answer, Ask, present
from ops.devnet.tron.answers.shown import block_json, info_json, transaction_json
from ops.devnet.tron.block import WITNESSES, Block, witness_address

BLOCKS_MAX = 100  # of one getblockbylimitnext


def _now_block(ask: Ask) -> Any:
    return block_json(ask.view.head, ask.visible)


def _block(ask: Ask) -> Any:
    asked = str(ask.words.get("id_or_num") or "")
    detail = str(ask.words.get("detail", "")).lower() == "true"
    if not asked:
        found: Block | None = ask.view.head
    elif len(asked) == 64:
        found = ask.view.block_by_id(bytes.fromhex(asked))
    else:
        found = ask.view.block(int(asked))
    return block_json(found, ask.visible, detail) if found else {}


def _block_by_number(ask: Ask) -> Any:
    found = ask.view.block(ask.number("num"))
    return block_json(found, ask.visible) if found else {}


def _block_by_id(ask: Ask) -> Any:
    found = ask.view.block_by_id(ask.id())
    return block_json(found, ask.visible) if found else {}


def _blocks_between(ask: Ask) -> Any:
    first, end = ask.number("startNum"), ask.number("endNum")
    if not 0 <= end - first <= BLOCKS_MAX:
        return {}
    found = [block for number in range(first, end) if (block := ask.view.block(number))]
    return present({"block": [block_json(block, ask.visible) for block in found]})


def _latest_blocks(ask: Ask) -> Any:
    head = ask.view.head.number
    wanted = range(max(0, head - min(ask.number("num"), BLOCKS_MAX) + 1), head + 1)
    found = [block for number in reversed(wanted) if (block := ask.view.block(number))]
    return present({"block": [block_json(block, ask.visible) for block in found]})


def _transaction(ask: Ask) -> Any:
    """The full node also tells what it has only in its pool."""
    if found := ask.view.entry(ask.id()):
        return transaction_json(found[1].tx, ask.visible, found[1].record.result)
    return _from_pool(ask)


def _from_pool(ask: Ask) -> Any:
    wanted = ask.id()
    tx = next((row for row in ask.view.waiting() if row.id == wanted), None)
    return transaction_json(tx, ask.visible, "SUCCESS") if tx else {}


def _pool_ids(ask: Ask) -> Any:
    return {"txId": [tx.id.hex() for tx in ask.view.waiting()]}


def _pool_size(ask: Ask) -> Any:
    return {"pendingTransactionSize": len(ask.view.waiting())}


def _info(ask: Ask) -> Any:
    found = ask.view.entry(ask.id())
    if found is None or ask.dice.strikes("missing_info"):
        return {}
    return info_json(*found, ask.visible)


def _infos(ask: Ask) -> Any:
    """A list, `{}` for block 0; empty for a block that is not there."""
    number = ask.number("num")
    if number <= 0:
        return {}
    found = ask.view.block(number)
    if found is None:
        return []
    told = [entry for entry in found.entries if not ask.dice.strikes("missing_info")]
    return [info_json(found, entry, ask.visible) for entry in told]


def _count(ask: Ask) -> Any:
    found = ask.view.block(ask.number("num"))
    return {"count": len(found.entries) if found else -1}


def _node_info(ask: Ask) -> Any:
    def named(block: Block) -> str:
        return f"Num:{block.number},ID:{block.id.hex()}"

    return {
        "beginSyncNum": 0,
        "block": named(ask.view.newest),
        "solidityBlock": named(ask.view.solid),
        "currentConnectCount": 9,
        "activeConnectCount": 9,
        "configNodeInfo": {"codeVersion": "4.8.0", "dbVersion": 2, "supportConstant": True, "minParticipationRate": 0},
    }


def _parameters(ask: Ask) -> Any:
    values = ask.view.ledger().parameters() | ask.dice.faults.told_parameters
    return {"chainParameter": [{"key": name, "value": n} if n else {"key": name} for name, n in values.items()]}


def _energy_prices(ask: Ask) -> Any:
    return {"prices": f"0:100,1542607200000:20,1702036800000:{ask.view.ledger().parameter('getEnergyFee')}"}


def _bandwidth_prices(ask: Ask) -> Any:
    return {"prices": f"0:10,1606537680000:40,1627279200000:{ask.view.ledger().parameter('getTransactionFee')}"}


def _witnesses(ask: Ask) -> Any:
    return {"witnesses": [{"address": ask.show(witness_address(n)), "isJobs": True} for n in range(WITNESSES)]}


def _nodes(_: Ask) -> Any:
    return {}


ANSWERS: dict[str, Answer] = {
    "getnowblock": _now_block,
    "getblock": _block,
    "getblockbynum": _block_by_number,
    "getblockbyid": _block_by_id,
    "getblockbylimitnext": _blocks_between,
    "getblockbylatestnum": _latest_blocks,
    "gettransactionbyid": _transaction,
    "gettransactionfrompending": _from_pool,
    "gettransactionlistfrompending": _pool_ids,
    "getpendingsize": _pool_size,
    "gettransactioninfobyid": _info,
    "gettransactioninfobyblocknum": _infos,
    "gettransactioncountbyblocknum": _count,
    "getnodeinfo": _node_info,
    "getchainparameters": _parameters,
    "getenergyprices": _energy_prices,
    "getbandwidthprices": _bandwidth_prices,
    "listwitnesses": _witnesses,
    "listnodes": _nodes,
}
