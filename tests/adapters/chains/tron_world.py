"""The local TRON node as a world of the chain contract: blocks are made only when the test says so."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from coincurve import PrivateKey

from adapters.chains.tron import codec
from adapters.chains.tron.adapter import open_tron
from adapters.chains.tron.address import text_of
from domain.asset import Asset
from domain.network import FeeRules, Network
from domain.payout import Draft, Fee, Payment, Slot, Version, slot_id
from domain.ports import Chain
from ops.devnet.tron import treasury
from ops.devnet.tron.genesis import USDT
from ops.devnet.tron.keys import address_of, address_of_key, contract_address, sign
from ops.devnet.tron.transaction import Transaction
from tests.adapters.chains.worlds import FUNDS_UNITS, K, World

T = TypeVar("T")
SUN = 10**6
SLOT_S = 3
RULES = FeeRules(
    price_floor=1, tip_floor=0, price_cap=1000, network_fee_cap=40 * SUN, bump_after_s=20, overhead_cap=2 * SUN
)
COIN = Asset("TRX-TRON", "TRX", "tron", 6)
TOKEN = Asset("USDT-TRON", "USDT", "tron", 6, USDT)
FUNDS_SUN = 1_000 * SUN
MUTE_CODE = bytes.fromhex("6460006000f36000526005601bf3")  # deploys "return nothing", whatever it is called with


class TimedWorld(World, Protocol):
    async def pass_time(self) -> None:
        """Every version drafted so far is past its expiration once the next block is made."""
        ...

    async def forget(self, blocks: int | None) -> None:
        """Nodes answer for no more than the last `blocks` blocks; None: for all."""
        ...


@dataclass(frozen=True)
class LocalTron:
    """A running node, halted between blocks unless it is `live`, and the control of its faults."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}|http://127.0.0.1:{self.port + 1}"

    @property
    def full(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    @contextmanager
    def running(cls, port: int, folder: Path, block_s: float = SLOT_S, *, live: bool = False) -> Iterator["LocalTron"]:
        words = ["--port", str(port), "--solidity-port", str(port + 1), "--solid-lag", str(K - 1)]
        pace = ["--block-time", str(block_s), *([] if live else ["--halted"])]
        with (folder / "node.log").open("wb") as log:
            node = subprocess.Popen([sys.executable, "-m", "ops.devnet.tron", *words, *pace], stdout=log, stderr=log)
            try:
                local = cls(port)
                local.wait()
                yield local
            finally:
                node.terminate()
                node.wait(timeout=20)

    def wait(self) -> None:
        for _ in range(200):
            try:
                self.control()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the local TRON did not come up")

    def control(self, node: str = "a", **order: Any) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.full}/{node}/_ctl", json.dumps(order).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def now(self) -> datetime:
        """The time on this chain, which runs ahead of everybody else's."""
        head = self.ask("wallet/getnowblock")["block_header"]["raw_data"]
        return datetime.fromtimestamp(head["timestamp"] / 1000, UTC)

    def now_b(self) -> datetime:
        """The same as the second node tells it."""
        head = self.ask("b/wallet/getnowblock")["block_header"]["raw_data"]
        return datetime.fromtimestamp(head["timestamp"] / 1000, UTC)

    def ask(self, path: str, **words: Any) -> Any:
        request = urllib.request.Request(f"{self.full}/{path}", json.dumps(words).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    @property
    def chain_id(self) -> int:
        return int(self.ask("wallet/getblockbynum", num=0)["blockID"][-8:], 16)


class TronWorld:
    coin, token, funds, depth = COIN, TOKEN, FUNDS_SUN, K
    fee, dear_fee = Fee(20 * SUN, 1, 0), Fee(41 * SUN, 1, 0)

    def __init__(self, local: LocalTron, chain: Chain, key: bytes, mute: Asset) -> None:
        self.chain = chain
        self.mute = mute
        self.wallet = text_of(address_of_key(key))
        self._key = key
        self._local = local

    def recipient(self) -> str:
        return new_address()

    def funds_of(self, asset: Asset) -> int:
        return FUNDS_SUN if asset == COIN else FUNDS_UNITS

    def a_little_more(self, fee: Fee) -> Fee:
        raise AssertionError("no version takes another's place here")

    def slot(self, scarce: int, asset: Asset | None = None, units: int = 5_000_000) -> Slot:
        payment = Payment("wd_test", (asset or TOKEN).id, str(units), new_address())
        name = slot_id("tron", self.wallet, str(scarce))
        return Slot(name, "tron", self.wallet, str(scarce), (payment,), str(RULES.network_fee_cap), K)

    def sign(self, draft: Draft, number: int) -> Version:
        return sign_tron(draft, number, self._key)

    async def mine(self, blocks: int = 1) -> None:
        self._local.control(mine=blocks)

    async def reorg_away(self, version: Version) -> None:
        block = self._local.ask("wallet/gettransactioninfobyid", value=version.txid)["blockNumber"]
        self._local.control(fork=self._local.control()["head"] - block + 1, fork_loses=True)

    async def bring_back(self, version: Version) -> None:
        raise AssertionError("no version takes another's place here")

    async def stranger_spends(self, slot: Slot) -> str:
        """Whatever the number: the network knows none."""
        to = {
            "owner_address": address_of(self.wallet),
            "to_address": address_of(treasury.ADDRESS),
            "amount": 1 + int(slot.scarce),
        }
        return self._send("TransferContract", to, self._key).hex()

    async def break_token(self, broken: bool) -> None:
        await self._mined(treasury.issuer(self._local.full, "pause()" if broken else "unpause()"))

    async def tax_token(self) -> None:
        await self._mined(treasury.issuer(self._local.full, "setParams(uint256,uint256)", 10, 49))

    async def empty_wallet(self) -> None:
        balance = self._local.ask("wallet/getaccount", address=address_of(self.wallet).hex())["balance"]
        to = {"owner_address": address_of(self.wallet), "to_address": address_of(treasury.ADDRESS), "amount": balance}
        self._send("TransferContract", to, self._key)

    async def set_base_fee(self, price: int) -> None:
        self._local.control(told_parameters={"getEnergyFee": price})

    async def lose_replies(self, on: bool) -> None:
        self._local.control(lose_reply=float(on))

    async def swallow(self, on: bool) -> None:
        self._local.control(drop=float(on))

    async def hide_receipts(self, on: bool) -> None:
        self._local.control(missing_info=float(on))

    async def lag(self, blocks: int) -> None:
        self._local.control(stale_head=blocks)

    async def cut_off(self, on: bool) -> None:
        self._local.control(down=on)

    async def pass_time(self) -> None:
        self._local.control(skip_slots=self.chain.network.window_s // SLOT_S + 1, mine=1)

    async def forget(self, blocks: int | None) -> None:
        self._local.control(lite=blocks)

    def deploy_mute(self) -> str:
        """A contract that takes any call and does nothing."""
        owner = address_of(treasury.ADDRESS)
        code = {"origin_address": owner, "bytecode": MUTE_CODE, "consume_user_resource_percent": 100, "name": "Mute"}
        txid = self._send("CreateSmartContract", {"owner_address": owner, "new_contract": code}, treasury.KEY)
        return text_of(contract_address(txid, owner))

    def _send(self, kind: str, value: dict[str, Any], key: bytes) -> bytes:
        head = self._local.ask("wallet/getnowblock")
        id_, now_ms = bytes.fromhex(head["blockID"]), head["block_header"]["raw_data"]["timestamp"]
        facts = {"ref_block_bytes": id_[6:8], "ref_block_hash": id_[8:16], "expiration": now_ms + 60_000}
        facts |= {"timestamp": now_ms, "fee_limit": 100 * SUN if "Smart" in kind else 0}
        tx = Transaction.build(kind, value, facts)
        told = self._local.ask("wallet/broadcasthex", transaction=tx.signed(sign(key, tx.id)).to_bytes().hex())
        assert told["code"] == "SUCCESS", told
        self._local.control(mine=1)
        return tx.id

    async def _mined(self, work: Awaitable[T]) -> T:
        """Blocks are made until it is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0.05)
            await asyncio.to_thread(self._local.control, mine=1)
        return task.result()


@asynccontextmanager
async def tron_world(local: LocalTron) -> AsyncIterator[World]:
    """A fresh wallet on a running local node, all faults taken back before and after."""
    local.control(reset=True, halted=True)
    key = PrivateKey().secret
    wallet = text_of(address_of_key(key))
    network = Network("tron", "TRON", "tron", local.chain_id, COIN.id, 3000, K, RULES, date(2026, 11, 21), window_s=60)
    maker = TronWorld(local, None, key, TOKEN)  # type: ignore[arg-type]
    mute = Asset("FALSE-TRON", "FALSE", "tron", 6, maker.deploy_mute())
    assets = {asset.id: asset for asset in (COIN, TOKEN, mute)}
    async with open_tron(network, assets, [local.url], [wallet], None, local.now) as chain:
        world = TronWorld(local, chain, key, mute)
        await world._mined(treasury.fill(local.full, wallet, sun=FUNDS_SUN, usdt_units=FUNDS_UNITS))
        local.control(mine=2 * K)
        try:
            yield world
        finally:
            local.control(reset=True, halted=True)
            paused = local.ask("wallet/triggerconstantcontract", **_paused())["constant_result"][0]
            if int(paused, 16):
                await world.break_token(False)
            await world._mined(treasury.issuer(local.full, "setParams(uint256,uint256)", 0, 0))


def _paused() -> dict[str, Any]:
    return {
        "owner_address": treasury.ADDRESS,
        "contract_address": USDT,
        "function_selector": "paused()",
        "visible": True,
    }


def new_address() -> str:
    """An address nobody used."""
    return text_of(address_of_key(PrivateKey().secret))


def sign_tron(draft: Draft, number: int, key: bytes) -> Version:
    """A signer for tests: signs exactly the bytes it is given."""
    raw = bytes.fromhex(draft.unsigned.removeprefix("0x"))
    txid = codec.txid(raw)
    signed = codec.signed(raw, sign(key, bytes.fromhex(txid)))
    return Version(draft.slot_id, number, txid, "0x" + signed.hex(), draft.fee, datetime.now(UTC))
