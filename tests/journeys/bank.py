"""A whole installation that serves TRON alone, with a quick window, and what its people and its node can do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from coincurve import PrivateKey
from temporalio.client import Client

from adapters.catalogue import FOLDER, Catalogue, load
from adapters.chains.tron.address import text_of
from adapters.settings import Settings
from adapters.store.opening import Store
from adapters.wiring import connect_temporal, open_store
from domain.payout import hot_wallet_workflow_id
from domain.procedure import Endorsed, Kind, Procedure
from domain.withdrawal import ENDS, Stage
from ops.cli.approver import read_key
from ops.demo.door import Answer, Door
from ops.demo.node import TronNode
from ops.devnet.household import Household
from ops.devnet.stack import Stack
from ops.devnet.tron.keys import address_of_key

WINDOW_S = 6
BLOCK_S = 0.5
PATIENCE_S = 60
_QUICK = {
    "window_s = 60": f"window_s = {WINDOW_S}",
    "block_time_ms = 1000": f"block_time_ms = {int(BLOCK_S * 1000)}",
    "bump_after_s = 6": "bump_after_s = 2",
    'coffer = "1000000"\nopening = { alice = "100000" }': 'coffer = "500"\nopening = { alice = "100000" }',
}


@dataclass
class Bank:
    """The installation, and alice's way into it."""

    stack: Stack
    catalogue: Catalogue
    store: Store
    temporal: Client
    session: aiohttp.ClientSession
    alice: Door
    wallet: str
    since: int = 0
    refs: "count[int]" = field(default_factory=lambda: count(1))

    # ------------------------------------------------------------ what alice does
    async def asked(self, amount: str, asset: str = "USDT", recipient: str = "", **more: Any) -> Answer:
        ref = f"bad-day-{next(self.refs)}"
        body = {"client_ref": ref, "network": "tron", "asset": asset, "amount": amount}
        return await self.alice.post("/v1/withdrawals", {**body, "recipient": recipient or new_address(), **more}, ref)

    async def withdrawal(self, amount: str, asset: str = "USDT") -> str:
        """A withdrawal to somebody new, as it was accepted; its id."""
        status, answer = await self.asked(amount, asset)
        assert status == 202, answer
        return str(answer["id"])

    async def view(self, id: str) -> dict[str, Any]:
        status, answer = await self.alice.get(f"/v1/withdrawals/{id}")
        assert status == 200, answer
        return answer

    async def at(self, id: str, *stages: Stage) -> dict[str, Any]:
        """The withdrawal once it stands at one of these stages."""

        async def there() -> bool:
            view = await self.view(id)
            assert view["stage"] in stages or view["stage"] not in ENDS, view
            return view["stage"] in stages

        await self.until(there, f"{id} at {' or '.join(stages)}")
        return await self.view(id)

    async def paid_once(self, id: str) -> dict[str, Any]:
        """The withdrawal at its end, after the node's own count agreed."""
        view = await self.at(id, Stage.SETTLED)
        asset = self.catalogue.asset("tron", view["asset"])
        node = TronNode(self.session, self.full, self.since)
        assert await node.transfers_to(view["recipient"], asset.contract) == 1
        assert await node.balance(view["recipient"], asset.contract) == int(view["amount"]) * 10**asset.decimals
        return view

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE_S) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await holds():  # noqa: ASYNC110 - looked at from outside, as people do
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"never came: {what}; {await self.halted()}") from None

    # ------------------------------------------------------------ what people do
    async def halted(self) -> str | None:
        return await self.store.books.halted("tron", self.wallet)

    async def resume(self, reason: str) -> None:
        """Two people endorse that the halted wallet goes on."""
        rests_on = await self.halted() or ""
        asked = Procedure(Kind.RESUME, f"tron/{self.wallet.lower()}", reason, rests_on, datetime.now(UTC).isoformat())
        household = Household(self.stack.settings.state_dir)
        words = tuple(read_key(household.approver_key(name)).endorse(asked) for name in ("ann", "ben"))
        handle = self.temporal.get_workflow_handle(hot_wallet_workflow_id("tron", self.wallet))
        await handle.execute_update("carry_out", Endorsed(asked, words))

    def said(self, part: str) -> str:
        """What a part of the installation has logged."""
        return "".join(path.read_text() for path in self.stack.settings.log_dir.glob(f"{part}*.log"))

    # ------------------------------------------------------------ what the node does
    @property
    def full(self) -> str:
        return f"http://127.0.0.1:{self.stack.settings.local_ports('tron')[0]}"

    async def ask(self, path: str, **words: Any) -> Any:
        async with self.session.post(f"{self.full}/{path}", json=words) as answer:
            return await answer.json(content_type=None)

    async def control(self, **order: Any) -> dict[str, Any]:
        told: dict[str, Any] = await self.ask("_ctl", **order)
        return told

    async def broadcasts(self) -> int:
        """How often any bytes were offered to the node."""
        return int((await self.control())["calls"].get("wallet/broadcasthex", 0))


def new_address() -> str:
    """An address nobody used."""
    return text_of(address_of_key(PrivateKey().secret))


def in_a_hurry(folder: Path) -> None:
    """The operator's files with a window that is soon over, and a hot wallet that soon runs short of TRX."""
    for source in FOLDER.glob("*.toml"):
        text = source.read_text()
        for slow, quick in _QUICK.items():
            text = text.replace(slow, quick)
        (folder / source.name).write_text(text)


@asynccontextmanager
async def open_bank(home: Path, port_base: int) -> AsyncIterator[Bank]:
    catalogue_dir = home / "ops"
    catalogue_dir.mkdir()
    in_a_hurry(catalogue_dir)
    settings = Settings(
        state_dir=home / "state",
        port_base=port_base,
        catalogue_dir=catalogue_dir,
        block_time_s=BLOCK_S,
        networks=("tron",),
    )
    async with AsyncExitStack() as held:
        stack = await held.enter_async_context(Stack(settings))
        store = await held.enter_async_context(open_store(settings))
        session = await held.enter_async_context(aiohttp.ClientSession())
        keys = Household(settings.state_dir).keys()
        [wallet] = await store.views.wallets()
        bank = Bank(
            stack,
            load("devnet", catalogue_dir),
            store,
            await connect_temporal(settings),
            session,
            Door(session, settings.api_url, keys["alice"]),
            wallet.address,
        )
        bank.since = (await bank.control())["head"]
        yield bank
