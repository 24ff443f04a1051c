"""A real Bitcoin node behind its front door as a world of the chain contract: blocks are made only when the test says
so. Every transaction that is signed here is judged by Bitcoin Core's own consensus code.
"""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aiohttp import web
from btclib.b32 import address_from_witness
from btclib.hashes import hash160
from btclib_wallet.psbt import Psbt
from coincurve import PrivateKey

from adapters.chains.bitcoin import tx
from adapters.chains.bitcoin.adapter import BitcoinChain
from adapters.chains.bitcoin.address import REGTEST, script_of
from adapters.chains.bitcoin.rpc import open_nodes
from adapters.vault.families import FAMILIES
from adapters.vault.keystore import SigningKey
from domain.asset import Asset
from domain.coin import Coin
from domain.network import FeeRules, Network
from domain.payout import Act, Draft, Facts, Fee, Final, Inclusion, Payment, Slot, Version, decide, slot_id
from ops.devnet.bitcoin.blocks import Blocks
from ops.devnet.bitcoin.door import Door
from ops.devnet.bitcoin.faults import Dice, Faults
from ops.devnet.bitcoin.node import RegtestNode
from ops.devnet.ports import HOST
from tests.adapters.chains.worlds import K, World
from tests.bitcoin_kernel import kernel_check
from tests.cluster import free_port
from tests.fakes.coins import FakeCoins

COIN = Asset("BTC-BITCOIN", "BTC", "bitcoin", 8)
ASSETS = {COIN.id: COIN}
RULES = FeeRules(price_floor=2, tip_floor=0, price_cap=500, network_fee_cap=2_000_000, bump_after_s=2)
NETWORK = Network(
    "bitcoin", "Bitcoin", "bitcoin", REGTEST, COIN.id, 1000, K, RULES, date(2026, 11, 22), batch_max=100, inputs_max=50
)
COINS, COIN_SATS = 12, 10**8
RATE_MAX = 90_000

_fresh = itertools.count(1)


@dataclass(frozen=True)
class Key:
    """A key and its P2WPKH address on regtest."""

    secret: bytes

    @classmethod
    def new(cls) -> "Key":
        return cls(PrivateKey().secret)

    @property
    def public(self) -> bytes:
        return PrivateKey(self.secret).public_key.format()

    @property
    def address(self) -> str:
        return str(address_from_witness(0, hash160(self.public), "regtest"))


def new_address() -> str:
    """An address nobody used."""
    number = next(_fresh).to_bytes(8, "big") + PrivateKey().secret
    return str(address_from_witness(0, hashlib.sha256(number).digest()[:20], "regtest"))


def sign_bitcoin(draft: Draft, number: int, key: Key) -> Version:
    """What our signer makes of the draft: it reads the bytes as we meant them, and the kernel accepts what it signs."""
    reading = FAMILIES["bitcoin"].read(draft.unsigned, NETWORK, [COIN])
    assert reading.wallet == key.address
    assert reading.fee_units is not None
    assert draft.fee.most - draft.fee.price < reading.fee_units <= draft.fee.most
    signed = FAMILIES["bitcoin"].sign(draft.unsigned, SigningKey(key.secret))
    inputs = Psbt.parse(bytes.fromhex(draft.unsigned.removeprefix("0x"))).inputs
    spent = [(i.witness_utxo.script_pub_key.script, i.witness_utxo.value) for i in inputs if i.witness_utxo]
    verdicts = kernel_check(bytes.fromhex(signed.raw.removeprefix("0x")), spent)
    assert verdicts == [True] * len(reading.inputs), "the kernel refuses what was signed"
    return Version(draft.slot_id, number, signed.txid, signed.raw, draft.fee, datetime.now(UTC))


def slot_of(wallet: str, inputs: Sequence[Coin], payments: Sequence[Payment], fee_cap: int | None = None) -> Slot:
    anchor = inputs[0].outpoint
    cap = str(RULES.network_fee_cap if fee_cap is None else fee_cap)
    return Slot(slot_id("bitcoin", wallet, anchor), "bitcoin", wallet, anchor, tuple(payments), cap, K, tuple(inputs))


def payment(units: int = 5_000_000, to: str | None = None) -> Payment:
    return Payment(f"wd_{next(_fresh)}", COIN.id, str(units), to or new_address())


class LocalBitcoin:
    """A node behind a front door, both begun with the first use: other networks' tests need neither."""

    def __init__(self, program: Callable[[], Path], folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._node: RegtestNode | None = None
        self._runner: web.AppRunner | None = None
        self._mining: asyncio.Task[None] | None = None
        self.dice = Dice()
        self.url = ""

    async def node(self) -> RegtestNode:
        if self._node is None:
            self._node = RegtestNode(self._program(), self._folder, free_port(), free_port())
            await self._node.start()
            await self._node.enrich()
            await self._open_door(self._node)
        return self._node

    async def close(self) -> None:
        if self._mining is not None:
            self._mining.cancel()
            with suppress(asyncio.CancelledError):
                await self._mining
        if self._runner is not None:
            await self._runner.cleanup()
        if self._node is not None:
            await self._node.close()

    async def _open_door(self, node: RegtestNode) -> None:
        blocks = Blocks(node, self.dice, block_s=60)
        self.dice.faults.hold_blocks = True
        self._mining = asyncio.create_task(blocks.run())
        self._runner = web.AppRunner(Door(node.rpc, blocks, self.dice).app(), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, HOST, port).start()
        self.url = f"http://{HOST}:{port}"


class BitcoinWorld:
    coin = token = mute = COIN
    depth = K
    funds = COINS * COIN_SATS
    fee, dear_fee = Fee(200, 20, 0), Fee(200, RULES.network_fee_cap // 200 + 1, 0)

    def __init__(self, node: RegtestNode, dice: Dice, chain: BitcoinChain, coins: FakeCoins, key: Key) -> None:
        self.node = node
        self.chain = chain
        self.coins = coins
        self.key = key
        self.wallet = key.address
        self.purse: list[Coin] = []
        self._dice = dice

    @property
    def faults(self) -> Faults:
        """What the node's front door does wrong."""
        return self._dice.faults

    def recipient(self) -> str:
        return new_address()

    def funds_of(self, asset: Asset) -> int:
        return self.funds

    def slot(self, scarce: int, asset: Asset | None = None, units: int = 5_000_000) -> Slot:
        """Coin number `scarce` of the wallet is its only one."""
        return slot_of(self.wallet, [self.purse[scarce]], [payment(units)])

    def sign(self, draft: Draft, number: int) -> Version:
        return sign_bitcoin(draft, number, self.key)

    def a_little_more(self, fee: Fee) -> Fee:
        return Fee(fee.weight + 1, fee.price, 0)

    async def mine(self, blocks: int = 1) -> None:
        await self.node.mine(blocks)

    async def reorg_away(self, version: Version) -> None:
        """The branch that takes their place is a block longer: nodes follow no other."""
        block = (await self.node.rpc("getrawtransaction", version.txid, 1))["blockhash"]
        height = (await self.node.rpc("getblockheader", block))["height"]
        await self.node.reorganise(await self.node.height() - height + 1)

    async def bring_back(self, version: Version) -> None:
        await self.node.mine_exactly([version.raw.removeprefix("0x")])

    async def stranger_spends(self, slot: Slot) -> str:
        elsewhere = slot_of(self.wallet, slot.inputs, [payment(1_000_000)])
        version = self.sign(await self.chain.draft(elsewhere, Fee(200, 90, 0)), 1)
        await self.node.mine_exactly([version.raw.removeprefix("0x")])
        return version.txid

    async def break_token(self, broken: bool) -> None:
        raise AssertionError("there are no tokens here")

    async def tax_token(self) -> None:
        raise AssertionError("there are no tokens here")

    async def empty_wallet(self) -> None:
        raise AssertionError("a wallet here is not one account")

    async def set_base_fee(self, price: int) -> None:
        self._dice.faults.fee_rate = min(price, RATE_MAX)

    async def lose_replies(self, on: bool) -> None:
        self._dice.faults.lose_reply = int(on)

    async def swallow(self, on: bool) -> None:
        self._dice.faults.blackhole = int(on)

    async def hide_receipts(self, on: bool) -> None:
        raise AssertionError("no receipt is asked for here")

    async def lag(self, blocks: int) -> None:
        self._dice.faults.stale_head = blocks

    async def cut_off(self, on: bool) -> None:
        self._dice.faults.down = on

    async def fill(self, coins: int = COINS, units: int = COIN_SATS, confirmations: int = 2 * K) -> None:
        """Gives the wallet so many coins of `units` each."""
        txid = await self.node.fund([(self.wallet, units)] * coins, confirmations)
        self.purse += [Coin(f"{txid}:{at}", str(units)) for at in range(coins)]

    async def really_unspent(self) -> dict[str, int]:
        """What the node's own set of unspent outputs gives the wallet: outpoint -> base units."""
        told = await self.node.rpc("scantxoutset", "start", [f"raw({script_of(self.wallet).hex()})"])
        return {f"{row['txid']}:{row['vout']}": int(row["amount"] * 10**8) for row in told["unspents"]}


@asynccontextmanager
async def bitcoin_world(local: LocalBitcoin) -> AsyncIterator[World]:
    """A fresh wallet on a running node, all faults taken back before and after."""
    node = await local.node()
    _calm(local.dice)
    key = Key.new()
    coins = FakeCoins([key.address])
    async with open_nodes([local.url], NETWORK) as nodes:
        chain = BitcoinChain(NETWORK, ASSETS, nodes, [key.address], coins)
        world = BitcoinWorld(node, local.dice, chain, coins, key)
        await world.fill()
        try:
            yield world
        finally:
            _calm(local.dice)


def _calm(dice: Dice) -> None:
    dice.faults = type(dice.faults)(hold_blocks=True)


# ---------------------------------------------------------------- words for tests
async def signed(world: BitcoinWorld, slot: Slot, price: int = 10, number: int = 1) -> Version:
    return world.sign(await world.chain.draft(slot, Fee(0, price, 0)), number)


async def sent(world: BitcoinWorld, slot: Slot, price: int = 10, number: int = 1) -> Version:
    version = await signed(world, slot, price, number)
    await world.chain.broadcast(version)
    return version


def seen(facts: Facts, version: Version) -> Inclusion | None:
    return next(sighting.inclusion for sighting in facts.sightings if sighting.txid == version.txid)


def known(facts: Facts, version: Version) -> bool:
    return next(sighting.known for sighting in facts.sightings if sighting.txid == version.txid)


def concluded(slot: Slot, versions: list[Version], facts: Facts) -> Final | None:
    """What the core makes of the facts."""
    step = decide(
        slot, versions, facts, offer=None, next_fee=None, bump_after=timedelta(hours=1), now=datetime.now(UTC)
    )
    assert step.act is not Act.HALT, step.reason
    return step.final


def raw(version: Version) -> str:
    return version.raw.removeprefix("0x")


async def draft_on_pool(world: BitcoinWorld, slot: Slot, fee: Fee) -> Draft:
    """A draft that spends what is in no block yet, or in blocks not read yet, as others may do and we never."""
    parents = {tx.outpoint(coin.outpoint)[0] for coin in slot.inputs}
    previous = {txid: bytes.fromhex(await world.node.rpc("getrawtransaction", txid)) for txid in parents}
    return tx.draft(slot, tx.planned(slot, fee, NETWORK.fees), previous)
