"""What the API measures: its own requests as they pass, the money from the store when somebody scrapes."""

import asyncio
import time
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from domain.asset import Asset
from domain.errors import Unavailable
from domain.money import Amount
from domain.ports import Views
from domain.withdrawal import Stage

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one says nothing that rate() does not

CACHE_S = 5.0
BROADCASTS_MAX = 1000
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TO_BROADCAST_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)


class RequestMetrics:
    """Counts and times requests by route template, never by path: a path holds ids."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "strongroom_http_request_seconds",
            "Time to answer, by route template.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._known: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        series = self._known.get((method, route, status))
        if series is None:
            series = self._seconds.labels(method, route, str(status))
            self._known[method, route, status] = series
        series.observe(seconds)


class MoneyMetrics:
    """Withdrawals by stage, seconds to broadcast, hot wallets: read from the store at most once in CACHE_S seconds."""

    def __init__(self, registry: CollectorRegistry, views: Views, assets: Mapping[str, Asset]) -> None:
        self._views = views
        self._assets = assets
        self._read_at = -CACHE_S
        self._seen_seq = 0
        self._turn = asyncio.Lock()
        self._stages = Gauge(
            "strongroom_withdrawals", "Withdrawals standing in each stage.", ("stage",), registry=registry
        )
        self._to_broadcast = Histogram(
            "strongroom_request_to_broadcast_seconds",
            "From request to first broadcast.",
            ("network",),
            buckets=_TO_BROADCAST_S,
            registry=registry,
        )
        self._balance = Gauge(
            "strongroom_hot_wallet_balance",
            "Coins free in a hot wallet, by the books; for looking, not for reckoning.",
            ("network", "wallet", "asset"),
            registry=registry,
        )
        self._slots = Gauge(
            "strongroom_hot_wallet_open_slots", "Payouts in flight.", ("network", "wallet"), registry=registry
        )
        self._halted = Gauge(
            "strongroom_hot_wallet_halted", "1 while people must look.", ("network", "wallet"), registry=registry
        )

    async def read(self) -> None:
        """Brings the figures up to date. Raises Unavailable when the store does not answer."""
        async with self._turn:
            if time.monotonic() - self._read_at < CACHE_S:
                return
            await self._read_stages()
            await self._read_wallets()
            await self._read_broadcasts()
            self._read_at = time.monotonic()

    async def _read_stages(self) -> None:
        counts = await self._views.stages()
        for stage in Stage:
            self._stages.labels(stage.value).set(counts.get(stage, 0))

    async def _read_wallets(self) -> None:
        for wallet in await self._views.wallets():
            where = (wallet.network, wallet.address)
            self._slots.labels(*where).set(wallet.open_slots)
            self._halted.labels(*where).set(1 if wallet.halted else 0)
            for asset_id, units in wallet.balances.items():
                if asset := self._assets.get(asset_id):
                    coins = Amount(int(units), asset).text()
                    # A gauge reads decimal digits by itself; nothing is reckoned with what it shows.
                    self._balance.labels(*where, asset_id).set(coins)  # type: ignore[arg-type]

    async def _read_broadcasts(self) -> None:
        while rows := await self._views.broadcasts(self._seen_seq, BROADCASTS_MAX):
            for row in rows:
                self._to_broadcast.labels(row.network).observe(row.seconds)
                self._seen_seq = row.seq


class Metrics:
    """Everything at /metrics. One registry per application: two in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics(self.registry)
        self.money: MoneyMetrics | None = None
        self.store_unread = Counter(
            "strongroom_metrics_store_unread", "Scrapes that could not read the store.", registry=self.registry
        )

        self.refused_recipients = Counter(
            "strongroom_refused_recipients",
            "Withdrawals refused for what the address book or a node knows of their recipient.",
            ("code",),
            registry=self.registry,
        )

    def watch(self, views: Views, assets: Mapping[str, Asset]) -> None:
        """From now on the money is read from `views`; said once, when the application starts."""
        self.money = self.money or MoneyMetrics(self.registry, views, assets)

    async def text(self) -> bytes:
        """The exposition. Figures of the store stay as they were, and are counted as unread, while it is silent."""
        try:
            if self.money is not None:
                await self.money.read()
        except Unavailable:
            self.store_unread.inc()
        return generate_latest(self.registry)
