"""What batching saves: the same payouts from the REST door to final, many in one transaction against one in each.

The reference is this very installation once more, told to put one payout into each transaction, on the same node: both
do all of a withdrawal's work (hold, verdict, the signer's own checks, bytes stored before they are sent, settlement by
facts), so that what differs is batching alone. Against the node's own wallet, which keeps no books and asks nobody, the
rate would measure that work instead; its figures are printed beside the ratios, and its transactions, an input, a
payment and change, are what each payout costs when somebody else sends it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.errors import Refused
from ops.bench.harness import Measured, Pair, interleave, report
from ops.bench.installation import Asked, Installation, in_flight, open_installation, open_loop
from ops.demo.story import fresh_address
from ops.devnet.bitcoin import treasury
from ops.devnet.bitcoin.rpc import Rpc, coins, sats

PORTS_EACH = 50
NODE_WALLET = "bench"


@dataclass(slots=True)
class Paid:
    """What the node says of one round. `vbytes`: of all its transactions together."""

    payouts: int
    units: int
    transactions: int
    vbytes: int

    @property
    def vbytes_each(self) -> float:
        return self.vbytes / self.payouts


@dataclass(slots=True)
class Sender:
    """One installation, with what the node said of each of its rounds."""

    there: Installation
    node: Rpc
    rounds: list[Paid] = field(default_factory=list)
    last: Sequence[Asked] = ()

    async def round(self, n: int) -> Measured:
        """`n` payouts asked for at once. Payouts per second; left behind: how many were paid, and how much."""
        paid: list[Asked] = []

        async def one() -> None:
            paid.append(await self.there.withdraw())

        done = await in_flight(n, n, one)
        self.last = paid
        self.rounds.append(await look(self.node, [asked.recipient for asked in paid], self.there.amount.units))
        return Measured(done.rate, (self.rounds[-1].payouts, self.rounds[-1].units))


async def measure(network: str, pairs: int) -> dict[str, Any]:
    """The whole measurement; progress on stderr. Raises Refused BENCH_* when the node disagrees with the books."""
    async with open_installation(network) as batching:
        url = batching.settings.node_urls(network)[0]
        beside = batching.settings.port_base + PORTS_EACH
        async with (
            open_installation(network, port_base=beside, node=url, batch_max=1) as single,
            Rpc(url) as node,
        ):
            ours, reference, n = Sender(batching, node), Sender(single, node), batching.network.batch_max
            await ours.round(n)
            await reference.round(n)
            ours.rounds, reference.rounds = [], []
            before = await batching.wallet_events()
            rates = await interleave(
                f"payouts of {n} (1/s)", lambda _: ours.round(n), lambda _: reference.round(n), pairs
            )
            share = max(0, await batching.wallet_events() - before) / (n * pairs)
            weights = [Pair(a.vbytes_each, b.vbytes_each) for a, b in zip(ours.rounds, reference.rounds, strict=True)]
            elsewhere = [fresh_address(batching.network, "bench-node", next(batching.numbers)) for _ in range(n)]
            typical = sorted(pair.ours for pair in rates)[len(rates) // 2]
            return {
                "bench": "withdrawals",
                "network": network,
                "payouts_each_round": n,
                "transactions_each_round": {
                    "ours": [paid.transactions for paid in ours.rounds],
                    "reference": [paid.transactions for paid in reference.rounds],
                },
                "payouts_per_s": report(rates, "1/s", ">= 1"),
                "vbytes_per_payout": report(weights, "vB", "<= 0.5"),
                "node_wallet": await node_wallet(url, elsewhere, batching.amount.units),
                "history_events": {
                    "per_withdrawal": round(await batching.events(ours.last) + share, 1),
                    "goal": "<= 45",
                },
                "batch_wait_s": batching.network.batch_wait_s,
                "request_to_broadcast": await open_loop(batching, typical / 2),
            }


async def node_wallet(url: str, recipients: Sequence[str], units: int) -> dict[str, Any]:
    """A wallet of the node's own sends as many payouts, one transaction each, and mines them: no books, nobody asked.
    It has a coin for each, under a key of segwit; its change is of the local node's own kind, three vbytes more than
    ours.
    """
    async with Rpc(url) as node, Rpc(url, wallet=NODE_WALLET) as wallet:
        await node("createwallet", NODE_WALLET)
        own = str(await wallet("getnewaddress", "", "bech32"))
        await treasury.fill(url, own, len(recipients) * treasury.COIN_SATS)
        began = time.perf_counter()
        for recipient in recipients:
            await wallet("sendtoaddress", recipient, str(coins(units)))
        await node("generatetoaddress", 1, own)
        seconds = time.perf_counter() - began
        paid = await look(node, recipients, units)
    return {"payouts_per_s": round(len(recipients) / seconds, 2), "vbytes_per_payout": round(paid.vbytes_each, 2)}


async def look(node: Rpc, recipients: Sequence[str], units: int) -> Paid:
    """The payments to `recipients` as the node has them in blocks, with the weight of the transactions that made them.

    Raises Refused BENCH_NOT_PAID unless each got `units` exactly once.
    """
    told = await node("scantxoutset", "start", [f"addr({recipient})" for recipient in recipients])
    got: dict[str, list[int]] = {recipient: [] for recipient in recipients}
    made: dict[str, int] = {}
    for coin in told["unspents"]:
        got[coin["desc"].partition("(")[2].partition(")")[0]].append(sats(coin["amount"]))
        made[coin["txid"]] = int(coin["height"])
    if wrong := [recipient for recipient, amounts in got.items() if amounts != [units]]:
        raise Refused("BENCH_NOT_PAID", f"{len(wrong)} recipients did not get {units} exactly once: {wrong[0]}")
    vbytes = 0
    for txid, height in made.items():
        block = await node("getblockhash", height)
        vbytes += int((await node("getrawtransaction", txid, True, block))["vsize"])
    return Paid(len(recipients), sats(told["total_amount"]), len(made), vbytes)
