"""What a vbyte costs now, and what the next version of a slot must pay.

Prices are whole base units per vbyte. Several nodes: the dearest answer counts. Sources: Bitcoin Core doc/policy
`mempool-replacements.md` (rules 3, 4 and 6), and its RPC help of estimatesmartfee and getmempoolinfo.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.chains.bitcoin import tx
from adapters.chains.bitcoin.address import script_of
from adapters.chains.bitcoin.rpc import Call, sats
from adapters.chains.nodes import Answer, NodeSaysNo
from domain.network import FeeRules
from domain.payout import Fee, Slot

TARGET_BLOCKS = 3
FALLBACK_PRICE = 10  # where a node has seen too little to estimate; a bump corrects it
STEP_MIN = 1  # nodes differ in the step they ask for (0.1 or 1 base unit per vbyte): one whole unit suits all

CALLS = (Call("estimatesmartfee", (TARGET_BLOCKS,)), Call("getmempoolinfo"))


@dataclass(frozen=True, slots=True)
class Market:
    """`price`: what should be included soon. `step`: by how much a node wants a replacement to be dearer."""

    price: int
    step: int


def read(answers: Sequence[Answer]) -> Market:
    """One node's answers to CALLS. Raises KeyError, TypeError or ValueError when they are none."""
    estimate, pool = answers
    if isinstance(estimate, NodeSaysNo) or isinstance(pool, NodeSaysNo):
        raise ValueError("a refusal is no price")
    least = max(per_vbyte(pool["mempoolminfee"]), per_vbyte(pool["minrelaytxfee"]))
    wanted = per_vbyte(estimate["feerate"]) if "feerate" in estimate else FALLBACK_PRICE
    return Market(max(wanted, least), max(STEP_MIN, per_vbyte(pool.get("incrementalrelayfee", 0))))


def dearest(markets: Sequence[Market]) -> Market:
    return Market(max(market.price for market in markets), max(market.step for market in markets))


def per_vbyte(coins_per_kvbyte: Any) -> int:
    """Base units per vbyte, rounded up, of a rate as nodes say it: whole coins per 1000 vbytes."""
    return -(-sats(coins_per_kvbyte) // 1000)


def bump(slot: Slot, last: Fee, market: int, step: int, evicted: int, rules: FeeRules) -> Fee | None:
    """The fee of the next version: at least the market's, and enough for every node to let it take the place of `last`
    and of what others built on that (`evicted`: the fees of those descendants). None when that passes a cap or is more
    than the change holds: then the last bytes stay on offer.
    """
    if (before := tx.plan(slot.inputs, slot.payments, slot.wallet, last)) is None:
        return None
    pushed_out = before.paid + evicted
    price = max(last.price + step, market, -(-pushed_out // last.weight) + step)
    after = tx.plan(slot.inputs, slot.payments, slot.wallet, Fee(last.weight, price, 0))
    if after is None or after.fee.price > rules.price_cap:
        return None
    enough = after.paid >= pushed_out + step * last.weight
    within = max(after.paid, after.fee.most) <= tx.most(slot.payments, rules, int(slot.fee_cap))
    return after.fee if enough and within else None


def void(slot: Slot, last: Fee | None, market: Market, evicted: int, rules: FeeRules) -> tx.Plan | None:
    """What gives all coins of `slot` back to its wallet and takes the place of `last` (which paid no more than it
    offered) and of what was built on that. None when the market's price or the sum passes a cap, or the coins hold
    less.

    Its own price is bounded by the slot's cap alone: it has to pay the whole sum that a batch of a hundred offered
    (rule 3), with the weight of one small output.
    """
    own = tx.vbytes(len(slot.inputs), [script_of(slot.wallet)])
    price = market.price
    if last is not None:
        pushed_out = last.most + evicted
        price = max(price, last.price + market.step, -(-pushed_out // own) + market.step)
    what = tx.plan(slot.inputs, (), slot.wallet, Fee(own, price, 0))
    if what is None or not what.change or market.price > rules.price_cap or what.fee.most > int(slot.fee_cap):
        return None
    return what
