"""geth's words. Wallets read them, so they are kept to the letter; code -32000 is what geth gives to all of them."""

from typing import Any


class Rejected(Exception):
    """A transaction that the pool does not take, in geth's words."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def as_error(self) -> dict[str, Any]:
        return {"code": -32000, "message": self.message}


ALREADY_KNOWN = "already known"
UNDERPRICED = "replacement transaction underpriced"
POOL_FULL = "txpool is full"
TIP_ABOVE_CAP = "max priority fee per gas higher than max fee per gas"
ABOVE_BLOCK = "exceeds block gas limit"


def nonce_too_low(next_nonce: int, nonce: int) -> str:
    return f"nonce too low: next nonce {next_nonce}, tx nonce {nonce}"


def short_of_funds(balance: int, queued: int, cost: int) -> str:
    over = queued + cost - balance
    words = "insufficient funds for gas * price + value:"
    if queued:
        return f"{words} balance {balance}, queued cost {queued}, tx cost {cost}, overshot {over}"
    return f"{words} balance {balance}, tx cost {cost}, overshot {over}"


def gas_too_low(gas: int, needed: int) -> str:
    return f"intrinsic gas too low: gas {gas}, minimum needed {needed}"


def tip_too_low(tip: int, needed: int) -> str:
    return f"transaction underpriced: gas tip cap {tip}, minimum needed {needed}"


def cap_below_base(sender: str, cap: int, base: int) -> str:
    """As a sequencer says it, which keeps nothing that cannot be in its next block."""
    return f"max fee per gas less than block base fee: address {sender}, maxFeePerGas: {cap}, baseFee: {base}"


def wrong_chain(have: int, want: int) -> str:
    return f"invalid sender: invalid chain id for signer: have {have} want {want}"


def fee_above_rpc_cap(wei: int) -> str:
    return f"tx fee ({wei / 10**18:.2f} ether) exceeds the configured cap (1.00 ether)"
