"""A deliberately simple sender: what most people write first. It shares the nodes, and the storm, with the real one.

It asks the node for the next nonce, sends, and does it again when it hears an error or nothing. It signs anew on TRON
when the node does not show the transaction, and on Bitcoin spends the newest of its coins. Each is reasonable on a good
day, and pays twice on a bad one: that it does so under the very faults that the real one comes through shows that these
faults bite. Never use it for anything else.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from eth_account import Account
from eth_utils.crypto import keccak

from adapters.catalogue import Catalogue
from adapters.settings import Settings
from domain.network import Network
from ops.chaos.schedule import Event, Schedule, What
from ops.chaos.witness import BitcoinWitness, EvmWitness, TronWitness, Witness
from ops.demo.node import BitcoinNode, EvmNode, TronNode
from ops.demo.story import fresh_address
from ops.devnet import treasury
from ops.devnet.bitcoin import treasury as bitcoin_treasury
from ops.devnet.bitcoin.rpc import coins as coins_of
from ops.devnet.bitcoin.rpc import sats
from ops.devnet.tron import treasury as tron_treasury
from ops.devnet.tron.keys import address_of, address_of_key, base58_of, sign
from ops.devnet.tron.transaction import Transaction

TRIES = 6
LOOKS, LOOK_S = 12, 0.5  # it waits so long for a block before it tries again
GWEI = 10**9
GAS = 30_000  # where the bytes cost some as well
PAYMENT_WEI, PAYMENT_SUN, PAYMENT_SATS, FEE_SATS = 10**12, 1_000_000, 10_000, 5_000
FUNDS_SATS = 6 * 10**8
NEWEST_FIRST = (0, 9_999_999)  # with how many confirmations a coin may be spent: with none, too
NodeTrouble = (aiohttp.ClientError, TimeoutError, RuntimeError, ValueError, KeyError, TypeError)


class Sender(Protocol):
    """One network's simple sender. `witness` is only for those who count afterwards."""

    @property
    def witness(self) -> Witness: ...

    @property
    def wallet(self) -> str: ...

    async def fund(self) -> None: ...

    async def try_once(self, recipient: str) -> str:
        """Signs and sends one transaction; its id. Raises any of NodeTrouble."""
        ...

    async def landed(self, txid: str) -> bool: ...


@dataclass
class EvmSender:
    """EVM: the pending nonce, and once more on an error."""

    network: Network
    node: EvmNode
    witness: EvmWitness
    key: str

    @property
    def wallet(self) -> str:
        return str(Account.from_key(self.key).address)

    async def fund(self) -> None:
        await treasury.fill(self.witness.url, self.wallet, wei=10 * 10**18)

    async def try_once(self, recipient: str) -> str:
        nonce = int(await self.node.ask("eth_getTransactionCount", self.wallet, "pending"), 16)
        fields = {
            "type": 2,
            "chainId": self.network.chain_id,
            "nonce": nonce,
            "to": recipient,
            "value": PAYMENT_WEI,
            "gas": GAS,
            "maxFeePerGas": 200 * GWEI,
            "maxPriorityFeePerGas": max(2 * GWEI, self.network.fees.tip_floor),
        }
        signed = Account.sign_transaction(fields, self.key)
        return str(await self.node.ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))

    async def landed(self, txid: str) -> bool:
        return await self.node.confirmations(txid) > 0


@dataclass
class TronSender:
    """TRON: signed anew, with a new expiration, when the node does not show it."""

    node: TronNode
    witness: TronWitness
    key: bytes

    @property
    def wallet(self) -> str:
        return base58_of(address_of_key(self.key))

    async def fund(self) -> None:
        await tron_treasury.fill(self.witness.url, self.wallet, sun=5_000 * 10**6)

    async def try_once(self, recipient: str) -> str:
        solid, head = await self.node.ask("walletsolidity/getnowblock"), await self.node.ask("wallet/getnowblock")
        id_, now_ms = bytes.fromhex(solid["blockID"]), int(head["block_header"]["raw_data"]["timestamp"])
        facts = {"ref_block_bytes": id_[6:8], "ref_block_hash": id_[8:16], "timestamp": time.time_ns() // 10**6}
        value = {"owner_address": address_of_key(self.key), "to_address": address_of(recipient), "amount": PAYMENT_SUN}
        tx = Transaction.build("TransferContract", value, {**facts, "expiration": now_ms + 60_000, "fee_limit": 0})
        signed = tx.signed(sign(self.key, tx.id)).to_bytes().hex()
        told = await self.node.ask("wallet/broadcasthex", transaction=signed)
        if told["code"] != "SUCCESS":
            raise RuntimeError(told["code"])
        return tx.id.hex()

    async def landed(self, txid: str) -> bool:
        return await self.node.confirmations(txid) > 0


@dataclass
class BitcoinSender:
    """Bitcoin: the newest coin of the node's own wallet, and the next one on an error."""

    node: BitcoinNode
    witness: BitcoinWitness
    name: str
    wallet: str = ""

    async def fund(self) -> None:
        await self.witness.ask("createwallet", self.name)
        self.wallet = str(await self._ours(self.witness).ask("getnewaddress"))
        await bitcoin_treasury.fill(self.witness.url, self.wallet, FUNDS_SATS)

    async def try_once(self, recipient: str) -> str:
        own = self._ours(self.node)
        coins = await own.ask("listunspent", *NEWEST_FIRST)
        coin = min(coins, key=lambda row: row["confirmations"])
        left = sats(coin["amount"]) - PAYMENT_SATS - FEE_SATS
        outputs = [{recipient: str(coins_of(PAYMENT_SATS))}, {self.wallet: str(coins_of(left))}]
        draft = await own.ask("createrawtransaction", [{"txid": coin["txid"], "vout": coin["vout"]}], outputs)
        signed = await own.ask("signrawtransactionwithwallet", draft)
        return str(await self.node.ask("sendrawtransaction", signed["hex"]))

    async def landed(self, txid: str) -> bool:
        return await self.node.confirmations(txid) > 0

    def _ours(self, node: BitcoinNode) -> BitcoinNode:
        return BitcoinNode(node.session, f"{node.url}/wallet/{self.name}")


class Naive:
    """Pays, for each withdrawal of a schedule, somebody of its own at the same moment."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, witnesses: Mapping[str, Witness], schedule: Schedule
    ) -> None:
        self._schedule = schedule
        self._senders: dict[str, Sender] = {}
        for name in schedule.networks:
            network, node = catalogue.networks[name], settings.node_urls(name)[0]
            self._senders[name] = _FAMILIES[network.family](network, node, witnesses[name], _secret(name, schedule))
        self._networks = catalogue.networks
        self._turns = {name: asyncio.Lock() for name in self._senders}
        self._recipients: dict[str, list[str]] = {name: [] for name in self._senders}

    async def pay(self) -> None:
        """All of it, each at its moment; one after the other on each network."""
        begun = time.monotonic()
        await asyncio.gather(*(sender.fund() for sender in self._senders.values()))
        async with asyncio.TaskGroup() as group:
            for event in self._schedule.only(What.WITHDRAW):
                await asyncio.sleep(max(0.0, begun + event.at_s - time.monotonic()))
                group.create_task(self._pay_one(event))

    async def _pay_one(self, event: Event) -> None:
        sender = self._senders[event.target]
        recipient = fresh_address(self._networks[event.target], f"naive-{self._schedule.seed}", int(event.words["n"]))
        self._recipients[event.target].append(recipient)
        async with self._turns[event.target]:
            for _ in range(TRIES):
                try:
                    txid = await sender.try_once(recipient)
                    if await self._seen(sender, txid):
                        return
                except NodeTrouble:
                    await asyncio.sleep(LOOK_S)

    async def _seen(self, sender: Sender, txid: str) -> bool:
        for _ in range(LOOKS):
            if await sender.landed(txid):
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def figures(self, paying: "asyncio.Task[None]") -> Mapping[str, Any]:
        """What the blocks say of it, once it thinks that it is done."""
        await paying
        found: dict[str, Any] = {}
        for name, sender in self._senders.items():
            paid = await sender.witness.payments_from(sender.wallet)
            counts = Counter(payment.recipient for payment in paid)
            times = [counts[sender.witness.spelt(recipient)] for recipient in self._recipients[name]]
            found[name] = {
                "family": self._networks[name].family,
                "withdrawals": len(times),
                "paid_twice": sum(count > 1 for count in times),
                "lost": times.count(0),
                "payments": sum(times),
                "most_for_one": max(times, default=0),
            }
        total = sum(row["paid_twice"] for row in found.values())
        return {"paid_twice": total, "lost": sum(row["lost"] for row in found.values()), "by_network": found}


def _evm(network: Network, node: str, witness: Any, secret: bytes) -> Sender:
    return EvmSender(network, EvmNode(witness.session, node), witness, "0x" + secret.hex())


def _tron(network: Network, node: str, witness: Any, secret: bytes) -> Sender:
    return TronSender(TronNode(witness.session, node), witness, secret)


def _bitcoin(network: Network, node: str, witness: Any, secret: bytes) -> Sender:
    return BitcoinSender(BitcoinNode(witness.session, node), witness, f"simple-{secret.hex()[:8]}")


def _secret(network: str, schedule: Schedule) -> bytes:
    return bytes(keccak(text=f"strongroom/chaos/naive/{schedule.seed}/{network}"))


_FAMILIES = {"bitcoin": _bitcoin, "evm": _evm, "tron": _tron}
