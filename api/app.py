"""The API put together: the only file here that opens adapters. `create_app` is what uvicorn starts."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.telemetry import TelemetryConfig
from starlette.responses import HTMLResponse

from adapters import catalogue as operator_files
from adapters import crash
from adapters import telemetry as telling
from adapters.catalogue import Catalogue
from adapters.chains.addresses import RULES
from adapters.codec import Codec, decode_payloads, encode_payloads
from adapters.roster import Roster
from adapters.settings import Settings
from adapters.store.opening import Store, open_store
from adapters.wiring import connect_temporal, open_chain
from api import errors
from api.addresses import Addresses
from api.auth import Authenticator, RateLimiter
from api.commands import Commands
from api.envelope import Envelope
from api.http import accounts, catalogue, codec, docs, health, quotes, withdrawals
from api.http import addresses as addresses_page
from api.http.door import Door, Json, Payloads
from api.http.withdrawals import order_of
from api.metrics import Metrics
from api.networks import Networks
from api.openapi import VERSION, describe
from domain.errors import Unavailable
from domain.ports import Chain
from domain.withdrawal import workflow_id

log = logging.getLogger(__name__)

ROUTERS = tuple(page.router for page in (withdrawals, quotes, addresses_page, accounts, catalogue, health, codec))
STRANGERS_PER_MINUTE = 300
Opener = Callable[[Metrics], AbstractAsyncContextManager[Door]]


def create_app() -> FastAPI:
    """The API of this installation, by its settings."""
    settings = Settings()
    secrets = [secret.get_secret_value() for secret in (settings.database_url, settings.temporal_api_key) if secret]
    telemetry = telling.set_up("api", level=settings.log_level, otlp_endpoint=settings.otlp_endpoint, secrets=secrets)
    crash.arm(settings)
    return build(partial(open_door, settings, telemetry), traced=telemetry.traced)


def build(open_: Opener, *, traced: bool = False) -> FastAPI:
    """The application around a door that is opened when it starts and closed when it stops."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_(metrics) as door:
            app.state.door = door
            metrics.watch(door.views, door.catalogue.assets)
            yield

    app = FastAPI(
        title="Strongroom",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=_spans(traced),
    )
    for router in ROUTERS:
        # Taken over as they are: an included router is searched twice for each request.
        app.router.routes.extend(router.routes)
    errors.install(app)
    app.add_middleware(Envelope, metrics=metrics.requests)
    _add_reference(app)
    return app


def _spans(traced: bool) -> TelemetryConfig:
    """One span for each request that asks for something; probes and scrapes would only fill the collector."""
    quiet = ("/livez", "/readyz", "/metrics")
    return {
        "tracing": traced,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "exclude": lambda scope: scope.get("path") in quiet,
    }


def _add_reference(app: FastAPI) -> None:
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]

    async def document(request: Request) -> Response:
        return Json(app.openapi())

    async def reference(request: Request) -> Response:
        return HTMLResponse(docs.page(app.openapi()), headers={"Content-Security-Policy": docs.PAGE_POLICY})

    app.add_route("/openapi.json", document, include_in_schema=False)
    app.add_route("/docs", reference, include_in_schema=False)


# ------------------------------------------------------------ what it is opened with
@asynccontextmanager
async def open_door(settings: Settings, telemetry: telling.Telemetry, metrics: Metrics) -> AsyncIterator[Door]:
    """Everything real. Neither the database nor Temporal has to answer: until they do, calls get 503."""
    shelf = operator_files.load(settings.profile, settings.catalogue_dir)
    async with AsyncExitStack() as held:
        books = open_store(settings.dsn, shelf, Roster(settings.roster), settings.database_pool_max)
        store = await held.enter_async_context(books)
        stories = Commands(
            lambda: connect_temporal(settings, telemetry.plugins, lazy=True),
            store.views,
            partial(order_of, shelf),
        )
        addresses = Addresses(shelf, store.views, store.address_book, store.recipients, RULES)
        chains = await held.enter_async_context(open_chains(settings, shelf, store))
        door = Door(
            books=store.books,
            views=store.views,
            stories=stories,
            catalogue=shelf,
            addresses=addresses,
            networks=Networks(chains, addresses.hot_wallet),
            served=settings.served,
            authenticator=Authenticator(store.keys),
            rate=RateLimiter(settings.api_rate_per_minute),
            strangers=RateLimiter(STRANGERS_PER_MINUTE),
            payloads=_payloads(settings),
            metrics=metrics,
            history_url=partial(history_url, settings),
        )
        async with stories.running(), addresses.followed():
            yield door


@asynccontextmanager
async def open_chains(settings: Settings, shelf: Catalogue, store: Store) -> AsyncIterator[Mapping[str, Chain]]:
    """The networks whose nodes this process was told of, by id. Nothing is sent before somebody asks."""
    chains: dict[str, Chain] = {}
    async with AsyncExitStack() as held:
        for network in shelf.networks.values():
            try:
                urls = settings.chain_urls(network.id)
            except Unavailable:
                continue  # its recipients and costs are then not looked at here
            chain = open_chain(network, shelf.assets, urls, coins=store.coins(network.id))
            chains[network.id] = await held.enter_async_context(chain)
        yield chains


def _payloads(settings: Settings) -> Payloads:
    codec_ = Codec(settings.codec_keys)
    ui = settings.temporal_ui.rstrip("/")
    return Payloads(
        decode=partial(decode_payloads, codec_),
        encode=partial(encode_payloads, codec_),
        origins=frozenset({ui, ui.replace("127.0.0.1", "localhost")}),
        needs_key=settings.codec_needs_key,
    )


def history_url(settings: Settings, withdrawal_id: str) -> str:
    """Where people read the workflow of a withdrawal."""
    story = quote(workflow_id(withdrawal_id), safe="")
    return f"{settings.temporal_ui.rstrip('/')}/namespaces/{settings.temporal_namespace}/workflows/{story}"
