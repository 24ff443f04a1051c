"""What a network shows at the end: every payment that left a wallet, read from its blocks and from nothing of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from adapters.chains.tron import address as tron_address
from ops.demo.node import TRANSFER_TOPIC, BitcoinNode, EvmNode, TronNode
from ops.devnet.bitcoin.rpc import sats

BATCH = 40


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment that a block holds and that moved money. `contract` is None for the native coin."""

    txid: str
    contract: str | None
    recipient: str
    units: int


class Witness(Protocol):
    """A node that nobody hurts."""

    async def head(self) -> int: ...

    async def balance(self, address: str, contract: str | None) -> int: ...

    def spelt(self, address: str) -> str:
        """An address as `Paid.recipient` writes it."""
        ...

    async def payments_from(self, wallet: str, contract: str | None = None) -> Sequence[Paid]:
        """Everything that left `wallet` since the witness was called, in its native coin and in one token, if one is
        named.
        """
        ...


class EvmWitness(EvmNode):
    """An EVM node."""

    def spelt(self, address: str) -> str:
        return address.lower()

    async def payments_from(self, wallet: str, contract: str | None = None) -> Sequence[Paid]:
        found: list[Paid] = []
        for number in range(self.since, await self.head() + 1):
            block = await self.ask("eth_getBlockByNumber", hex(number), True)
            for tx in block["transactions"]:
                if tx["from"].lower() == wallet.lower() and int(tx["value"], 16) and await self._succeeded(tx["hash"]):
                    found.append(Paid(tx["hash"], None, str(tx["to"]).lower(), int(tx["value"], 16)))
        if contract is None:
            return found
        topic = "0x" + wallet.removeprefix("0x").lower().rjust(64, "0")
        for first, beyond in pairwise([*range(self.since, await self.head() + 1, BATCH), await self.head() + 1]):
            span = {"fromBlock": hex(first), "toBlock": hex(beyond - 1), "address": contract}
            for log in await self.ask("eth_getLogs", {**span, "topics": [TRANSFER_TOPIC, topic]}):
                to = "0x" + log["topics"][2][-40:].lower()
                found.append(Paid(log["transactionHash"], contract, to, int(log["data"], 16)))
        return found

    async def _succeeded(self, txid: str) -> bool:
        receipt: Any = await self.ask("eth_getTransactionReceipt", txid)
        return bool(receipt["status"] == "0x1")


class TronWitness(TronNode):
    """A TRON node."""

    def spelt(self, address: str) -> str:
        return tron_address.bytes_of(address).hex()

    async def payments_from(self, wallet: str, contract: str | None = None) -> Sequence[Paid]:
        owner = tron_address.bytes_of(wallet).hex()
        token = tron_address.bytes_of(contract)[1:].hex() if contract else None
        found: list[Paid] = []
        for number in range(self.since, await self.head() + 1):
            block = await self.ask("wallet/getblockbynum", num=number)
            for tx in block.get("transactions", ()):
                [act] = tx["raw_data"]["contract"]
                value = act["parameter"]["value"]
                succeeded = tx["ret"][0].get("contractRet", "SUCCESS") == "SUCCESS"
                if act["type"] == "TransferContract" and value["owner_address"] == owner and succeeded:
                    found.append(Paid(tx["txID"], None, value["to_address"], int(value["amount"])))
            for info in await self.ask("wallet/gettransactioninfobyblocknum", num=number):
                for log in info.get("log", ()):
                    is_transfer = log["address"] == token and log["topics"][0] == TRANSFER_TOPIC[2:]
                    if is_transfer and log["topics"][1].endswith(owner[2:]):
                        found.append(Paid(info["id"], contract, "41" + log["topics"][2][-40:], int(log["data"], 16)))
        return found


class BitcoinWitness(BitcoinNode):
    """A Bitcoin node. Each output that is not the wallet's own is a payment: a batch has many, to whomever."""

    def spelt(self, address: str) -> str:
        return address

    async def payments_from(self, wallet: str, contract: str | None = None) -> Sequence[Paid]:
        found: list[Paid] = []
        for number in range(self.since, await self.head() + 1):
            block = await self.ask("getblock", await self.ask("getblockhash", number), _WITH_SPENT)
            for tx in block["tx"][1:]:
                if any(_owner(row["prevout"]) == wallet for row in tx["vin"]):
                    rows = [(_owner(row), sats(row["value"])) for row in tx["vout"]]
                    found += [Paid(tx["txid"], None, owner, units) for owner, units in rows if owner != wallet]
        return found


_WITH_SPENT = 3  # how much a block says: what each input spends as well


def _owner(output: Mapping[str, Any]) -> str:
    """Whose an output is; of a script without an address, the script."""
    script = output["scriptPubKey"]
    return str(script.get("address", script["hex"]))
