"""Worlds in which the chain contract is tried: a network, a funded hot wallet with its key, and somebody who can do to
them what happens to networks. The suite sees only `World`; each world is a different network underneath.
"""

import itertools
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol

import rlp.codec
from eth_account import Account
from eth_utils.address import to_checksum_address

from adapters.catalogue import Catalogue
from adapters.wiring import open_chain
from domain.asset import Asset
from domain.network import FeeRules, Network
from domain.payout import Draft, Fee, Payment, Slot, Version, slot_id
from domain.ports import Chain
from ops.devnet.anvil import FALSE_CONTRACT, USDT
from ops.devnet.treasury import ADDRESS as TREASURY
from ops.devnet.treasury import call_data
from tests.fakes.chain import FakeChain, ModelChain, Tx, signed
from tests.ops.chain import CHAIN_ID, LocalChain, Spender

GWEI = 10**9
K = 4
COIN = Asset("ETH-ETHEREUM", "ETH", "ethereum", 18)
TOKEN = Asset("USDT-ETHEREUM", "USDT", "ethereum", 6, USDT)
MUTE = Asset("FALSE-ETHEREUM", "FALSE", "ethereum", 6, FALSE_CONTRACT)
ASSETS = {asset.id: asset for asset in (COIN, TOKEN, MUTE)}
RULES = FeeRules(
    price_floor=GWEI // 10, tip_floor=GWEI // 10, price_cap=300 * GWEI, network_fee_cap=3 * 10**16, bump_after_s=2
)
NETWORK = Network("ethereum", "Ethereum", "evm", CHAIN_ID, COIN.id, 1000, K, RULES, date(2026, 11, 21))
FUNDS_WEI = 10**18
FUNDS_UNITS = 1_000_000 * 10**6

_fresh = itertools.count(1)
_decode: Callable[[bytes], Any] = rlp.codec.decode


class World(Protocol):
    """One network with a hot wallet of ours that has `funds` of its coin, FUNDS_UNITS of its token and nothing of its
    mute token, whose transfers pretend to succeed. Where there are no tokens, both are the coin.
    """

    @property
    def chain(self) -> Chain: ...

    @property
    def wallet(self) -> str: ...

    @property
    def coin(self) -> Asset: ...

    @property
    def token(self) -> Asset: ...

    @property
    def mute(self) -> Asset: ...

    @property
    def funds(self) -> int:
        """Base units of the coin that the wallet begins with."""
        ...

    @property
    def fee(self) -> Fee:
        """One that pays for any of the transfers here."""
        ...

    @property
    def depth(self) -> int:
        """Blocks, the including one counted, that make a payment here final."""
        ...

    @property
    def dear_fee(self) -> Fee:
        """One above the cap."""
        ...

    def recipient(self) -> str:
        """An address nobody used."""
        ...

    def funds_of(self, asset: Asset) -> int:
        """Base units of the coin or the token that the wallet begins with."""
        ...

    def a_little_more(self, fee: Fee) -> Fee:
        """A higher fee than `fee`, but not by enough to take its place."""
        ...

    def slot(self, scarce: int, asset: Asset | None = None, units: int = 5_000_000) -> Slot:
        """A slot of the wallet that pays a fresh recipient, in TOKEN unless said otherwise."""
        ...

    def sign(self, draft: Draft, number: int) -> Version:
        """What the signer would return."""
        ...

    async def mine(self, blocks: int = 1) -> None: ...

    async def reorg_away(self, version: Version) -> None:
        """Other blocks, of the same height, take the place of those since `version` was included."""
        ...

    async def bring_back(self, version: Version) -> None:
        """A miner who still had an older version mines it instead of the newer one."""
        ...

    async def stranger_spends(self, slot: Slot) -> str:
        """Somebody else with our key uses the slot's scarce thing, in a block; returns the txid."""
        ...

    async def break_token(self, broken: bool) -> None:
        """While broken, every transfer of TOKEN reverts."""
        ...

    async def tax_token(self) -> None:
        """From now on a part of every transfer of TOKEN is kept back."""
        ...

    async def empty_wallet(self) -> None:
        """The wallet has no COIN any more."""
        ...

    async def set_base_fee(self, price: int) -> None:
        """What the next block asks per unit of gas."""
        ...

    async def lose_replies(self, on: bool) -> None: ...

    async def swallow(self, on: bool) -> None:
        """Nodes answer a transaction as if taken, and drop it."""
        ...

    async def hide_receipts(self, on: bool) -> None: ...

    async def lag(self, blocks: int) -> None: ...

    async def cut_off(self, on: bool) -> None: ...


def new_recipient() -> str:
    """An address nobody used."""
    return str(Account.from_key(next(_fresh).to_bytes(32, "big")).address)


def new_slot(
    wallet: str,
    scarce: int,
    asset: Asset = TOKEN,
    units: int = 5_000_000,
    to: str | None = None,
    network: Network = NETWORK,
) -> Slot:
    payment = Payment("wd_test", asset.id, str(units), to or new_recipient())
    name, cap = slot_id(network.id, wallet, str(scarce)), str(network.fees.network_fee_cap)
    return Slot(name, network.id, wallet, str(scarce), (payment,), cap, network.confirmations)


@dataclass(frozen=True, slots=True)
class Place:
    """A network to build a world on, with its coin, its token and its mute token. `depth`: see World."""

    network: Network
    coin: Asset
    token: Asset
    mute: Asset
    depth: int

    @property
    def assets(self) -> dict[str, Asset]:
        return {asset.id: asset for asset in (self.coin, self.token, self.mute)}


PLACE = Place(NETWORK, COIN, TOKEN, MUTE, K)


def place_of(id_: str, catalogue: Catalogue, epoch_slots: int) -> Place:
    """A network of the catalogue as its row says, with the confirmations of these tests. anvil's `finalized` lies two
    epochs behind the head.
    """
    network = replace(catalogue.networks[id_], confirmations=K)
    mute = Asset(f"FALSE-{id_.upper()}", "FALSE", id_, 6, FALSE_CONTRACT)
    depth = max(K, 2 * epoch_slots + 1) if network.needs_finalized_tag else K
    return Place(network, catalogue.native(id_), catalogue.asset(id_, "USDT"), mute, depth)


class Ethers:
    """What the worlds of one EVM network have in common."""

    wallet: str
    funds = FUNDS_WEI
    fee, dear_fee = Fee(100_000, 30 * GWEI, GWEI), Fee(10**6, 31 * GWEI, GWEI)

    def __init__(self, place: Place = PLACE) -> None:
        self.place = place
        self.coin, self.token, self.mute, self.depth = place.coin, place.token, place.mute, place.depth

    def recipient(self) -> str:
        return new_recipient()

    def funds_of(self, asset: Asset) -> int:
        return self.funds if asset == self.coin else FUNDS_UNITS

    def a_little_more(self, fee: Fee) -> Fee:
        return Fee(fee.weight, fee.price + 1, fee.tip + 1)

    def slot(self, scarce: int, asset: Asset | None = None, units: int = 5_000_000) -> Slot:
        return new_slot(self.wallet, scarce, asset or self.token, units, network=self.place.network)


# ---------------------------------------------------------------- in memory
class FakeWorld(Ethers):
    def __init__(self, *, counts: bool = True) -> None:
        super().__init__()
        self.wallet = new_recipient()
        self.model = ModelChain(NETWORK, ASSETS, mute={MUTE.id})
        self.chain = FakeChain(self.model, [self.wallet], counts=counts)
        self.model.fund(COIN.id, self.wallet, FUNDS_WEI)
        self.model.fund(TOKEN.id, self.wallet, FUNDS_UNITS)
        self.model.mine(2 * K)

    def sign(self, draft: Draft, number: int) -> Version:
        return signed(draft, number)

    async def mine(self, blocks: int = 1) -> None:
        self.model.mine(blocks)

    async def reorg_away(self, version: Version) -> None:
        found = self.model.find(version.txid)
        assert found is not None
        self.model.reorg(self.model.head - found[0].number + 1)

    async def bring_back(self, version: Version) -> None:
        self.model.mine(1, [Tx.read(version.raw)])

    async def stranger_spends(self, slot: Slot) -> str:
        tx = Tx(CHAIN_ID, self.wallet, int(slot.scarce), COIN.id, new_recipient(), 1, 21_000, 250 * GWEI, 9 * GWEI)
        self.model.mine(1, [tx])
        return tx.txid

    async def break_token(self, broken: bool) -> None:
        self.model.broken = {TOKEN.id} if broken else set()

    async def tax_token(self) -> None:
        self.model.taxed = {TOKEN.id}

    async def empty_wallet(self) -> None:
        self.model.fund(COIN.id, self.wallet, -FUNDS_WEI)

    async def set_base_fee(self, price: int) -> None:
        self.model.base_fee = price

    async def lose_replies(self, on: bool) -> None:
        self.chain.faults.lost_replies = 10**6 * on

    async def swallow(self, on: bool) -> None:
        self.chain.faults.black_holes = 10**6 * on

    async def hide_receipts(self, on: bool) -> None:
        self.chain.faults.hidden_receipts = 10**6 * on

    async def lag(self, blocks: int) -> None:
        self.chain.faults.lag = blocks

    async def cut_off(self, on: bool) -> None:
        self.chain.faults.down = 10**6 * on


@asynccontextmanager
async def fake_world(*, counts: bool = True) -> AsyncIterator[World]:
    yield FakeWorld(counts=counts)


# ---------------------------------------------------------------- a real node
class EvmWorld(Ethers):
    """anvil behind the node proxy. Blocks are made only when the test says so: the proxy holds them, and a miner who
    sees the proxy's pool mines on anvil directly.
    """

    def __init__(self, local: LocalChain, chain: Chain, key: Spender, place: Place = PLACE) -> None:
        super().__init__(place)
        self.chain = chain
        self.wallet = key.address
        self._local = local
        self._key = key

    def sign(self, draft: Draft, number: int) -> Version:
        return sign_evm(draft, number, self._key.key)

    async def mine(self, blocks: int = 1) -> None:
        content = self._local.rpc("txpool_contentFrom", self.wallet)
        for _, tx in sorted(content["pending"].items(), key=lambda row: int(row[0])):
            self._anvil("eth_sendRawTransaction", self._local.rpc("eth_getRawTransactionByHash", tx["hash"]))
        for _ in range(blocks):
            self._anvil("evm_mine")

    async def reorg_away(self, version: Version) -> None:
        block = int(self._anvil("eth_getTransactionReceipt", version.txid)["blockNumber"], 16)
        self._anvil("anvil_reorg", self._local.head() - block + 1, [])

    async def bring_back(self, version: Version) -> None:
        self._anvil("anvil_dropAllTransactions")
        self._anvil("eth_sendRawTransaction", version.raw)
        self._anvil("evm_mine")

    async def stranger_spends(self, slot: Slot) -> str:
        self._anvil("anvil_dropAllTransactions")
        raw, txid = self._key.sign(int(slot.scarce), cap=250 * GWEI, tip=9 * GWEI)
        self._anvil("eth_sendRawTransaction", raw)
        self._anvil("evm_mine")
        return txid

    async def break_token(self, broken: bool) -> None:
        self._as_issuer("pause()" if broken else "unpause()")

    async def tax_token(self) -> None:
        self._as_issuer("setParams(uint256,uint256)", 10, 49)

    async def empty_wallet(self) -> None:
        self._anvil("anvil_setBalance", self.wallet, "0x0")
        self._anvil("evm_mine")

    async def set_base_fee(self, price: int) -> None:
        self._anvil("anvil_setNextBlockBaseFeePerGas", hex(price * 8 // 7))  # an empty block takes an eighth off
        self._anvil("evm_mine")

    async def lose_replies(self, on: bool) -> None:
        self._local.control(lose_reply=int(on))

    async def swallow(self, on: bool) -> None:
        self._local.control(blackhole=int(on))

    async def hide_receipts(self, on: bool) -> None:
        self._local.control(null_receipt=int(on))

    async def lag(self, blocks: int) -> None:
        self._local.control(stale_head=blocks)

    async def cut_off(self, on: bool) -> None:
        self._local.control(down=on)

    def reorg(self, depth: int) -> None:
        """Empty blocks in the place of the last `depth`."""
        self._anvil("anvil_reorg", depth, [])

    def spike(self, price: int) -> None:
        """The next block asks `price`; the ones after it a little less each."""
        self._anvil("anvil_setNextBlockBaseFeePerGas", hex(price))

    def fund(self) -> None:
        self._anvil("anvil_setBalance", self.wallet, hex(FUNDS_WEI))
        self._as_issuer("transfer(address,uint256)", self.wallet, FUNDS_UNITS)
        for _ in range(2 * self.depth):
            self._anvil("evm_mine")

    def _as_issuer(self, signature: str, *arguments: Any) -> None:
        """The issuer's call, in a block of its own, whatever the base fee; what waits stays in the proxy's pool."""
        self._anvil("anvil_dropAllTransactions")
        data = "0x" + call_data(signature, *arguments).hex()
        prices = {"maxFeePerGas": hex(10_000 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
        call = {"from": TREASURY, "to": USDT, "data": data, "gas": hex(100_000)}
        txid = self._anvil("eth_sendTransaction", call | prices)
        self._anvil("evm_mine")
        assert self._anvil("eth_getTransactionReceipt", txid)["status"] == "0x1"

    def _anvil(self, method: str, *params: Any) -> Any:
        """Past the proxy, to anvil itself; a refusal is nobody's concern here."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._local.port - 1}", body)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer).get("result")


@asynccontextmanager
async def evm_world(local: LocalChain, place: Place = PLACE) -> AsyncIterator[EvmWorld]:
    """A fresh wallet on a running local chain, all faults taken back before and after."""
    calm = {"reset": True, "hold_blocks": True}
    local.control(**calm)
    key = Spender()
    async with open_chain(place.network, place.assets, [local.url], [key.address]) as chain:
        world = EvmWorld(local, chain, key, place)
        world.fund()
        snapshot = world._anvil("evm_snapshot")
        try:
            yield world
        finally:
            local.control(**calm)
            world._anvil("anvil_dropAllTransactions")
            world._anvil("evm_revert", snapshot)


def sign_evm(draft: Draft, number: int, key: str) -> Version:
    """A signer for tests: signs exactly the bytes it is given."""
    transaction = Account.sign_transaction(unsigned_fields(draft), key)
    txid, raw = "0x" + bytes(transaction.hash).hex(), "0x" + bytes(transaction.raw_transaction).hex()
    return Version(draft.slot_id, number, txid, raw, draft.fee, datetime.now(UTC))


def unsigned_fields(draft: Draft) -> dict[str, Any]:
    """The fields of an unsigned type-2 transaction, read back from its bytes (EIP-1559)."""
    data = bytes.fromhex(draft.unsigned.removeprefix("0x"))
    assert data[0] == 2
    *numbers, to, value, payload, access_list = _decode(data[1:])
    chain_id, nonce, tip, cap, gas = (int.from_bytes(number, "big") for number in numbers)
    return {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": cap,
        "gas": gas,
        "to": to_checksum_address(to),
        "value": int.from_bytes(value, "big"),
        "data": payload,
        "accessList": access_list,
    }
