"""Which coins pay: Bitcoin Core's ways of choosing (btclib's port of them), by least waste, within a limit of inputs.

The same coins, payments and price always give the same choice: what is random in it is drawn from the payments.
"""

import hashlib
import random
from collections.abc import Sequence

from btclib.exceptions import BTClibValueError
from btclib.fee import FeeRate
from btclib.tx import TxOut
from btclib_wallet.coin_selection import Candidate, SelectionResult, select_coins

from adapters.chains.bitcoin import tx
from adapters.chains.bitcoin.address import script_of
from domain.coin import Coin
from domain.network import FeeRules
from domain.payout import Fee, Payment

CANDIDATES_MAX = 240  # of more, the biggest half and a drawn half are looked at: choosing stays under a second
_WAYS = ("bnb", "knapsack", "srd")


def choose(
    coins: Sequence[Coin], payments: Sequence[Payment], wallet: str, price: int, inputs_max: int, rules: FeeRules
) -> tuple[Coin, ...]:
    """The coins that pay `payments` at `price`, in the order of their outpoints; none when they do not suffice. A coin
    that costs more to spend than it holds is left alone. `inputs_max`: 0 for no limit.
    """
    inputs_max = inputs_max or len(coins)
    own = script_of(wallet)
    dice = _dice(payments)
    worthy = [coin for coin in coins if int(coin.units) > price * tx.INPUT_VBYTES]
    by_worth = sorted(worthy, key=lambda coin: (-int(coin.units), coin.outpoint))
    looked_at = _some(by_worth, dice)
    by_name = {coin.outpoint: coin for coin in looked_at}
    candidates = [
        Candidate(tx.prev_out(coin), TxOut(int(coin.units), own), tx.INPUT_WEIGHT) for coin in by_name.values()
    ]
    found = [result for way in _WAYS if (result := _tried(way, candidates, payments, own, price, dice))]
    for result in sorted(found, key=lambda result: result.waste):
        chosen = [by_name[f"{c.outpoint.tx_id.hex()}:{c.outpoint.vout}"] for c in result.selected]
        if _fits(chosen, payments, wallet, price, inputs_max, rules):
            return _ordered(chosen)
    for count in range(1, min(inputs_max, len(by_worth)) + 1):
        if _fits(by_worth[:count], payments, wallet, price, inputs_max, rules):
            return _ordered(by_worth[:count])
    return ()


def _tried(
    way: str, candidates: Sequence[Candidate], payments: Sequence[Payment], own: bytes, price: int, dice: random.Random
) -> SelectionResult | None:
    rate, long_term = (FeeRate.from_sats_per_vbyte(str(p)) for p in (price, tx.LONG_TERM_PRICE))
    outputs = [TxOut(int(payment.amount), script_of(payment.recipient)) for payment in payments]
    try:
        return select_coins(candidates, outputs, rate, long_term, own, tx.INPUT_WEIGHT, algorithms=(way,), rng=dice)
    except BTClibValueError:
        return None


def _fits(
    coins: Sequence[Coin], payments: Sequence[Payment], wallet: str, price: int, inputs_max: int, rules: FeeRules
) -> bool:
    """Whether they suffice by our own arithmetic, without change that is dropped pushing the price over its cap."""
    if len(coins) > inputs_max:
        return False
    what = tx.plan(coins, payments, wallet, Fee(0, price, 0))
    return what is not None and what.fee.price <= max(price, rules.price_cap)


def _some(by_worth: Sequence[Coin], dice: random.Random) -> list[Coin]:
    if len(by_worth) <= CANDIDATES_MAX:
        return list(by_worth)
    half = CANDIDATES_MAX // 2
    return [*by_worth[:half], *dice.sample(by_worth[half:], half)]


def _ordered(coins: Sequence[Coin]) -> tuple[Coin, ...]:
    return tuple(sorted(coins, key=lambda coin: coin.outpoint))


def _dice(payments: Sequence[Payment]) -> random.Random:
    words = "\n".join(f"{payment.withdrawal_id} {payment.amount} {payment.recipient}" for payment in payments)
    return random.Random(hashlib.sha256(words.encode()).digest())  # noqa: S311 - a repeat must draw the same again
