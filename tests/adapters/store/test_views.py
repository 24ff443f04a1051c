"""What is shown is what is written, to those it belongs to, page by page."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.catalogue import load
from adapters.store import database as database_module
from adapters.store.opening import Store
from domain.errors import Refused
from domain.ledger import chart
from domain.ports import WithdrawalFilter
from domain.withdrawal import Stage
from tests.adapters.store.world import COIN, ETH, USDT, WALLET, World, final_of

SOON = datetime(2100, 1, 1, tzinfo=UTC)


# ---------------------------------------------------------------- one withdrawal
async def test_a_withdrawal_is_shown_whole_through_its_life(world: World, store: Store) -> None:
    await world.fund_wallet()
    asked, intent = await world.referred()
    await world.says("anna", asked, intent)
    await world.says("mallory", asked, intent)
    view = await store.views.withdrawal(asked.id)
    assert view is not None
    assert (view.stage, view.reason, view.approvals_needed, view.approvals) == (Stage.REFERRED, "tier-2", 2, ("anna",))
    assert [(d.approver, d.counted, d.code) for d in view.decisions] == [
        ("anna", True, "COUNTED"),
        ("mallory", False, "STRANGER"),
    ]
    assert view.intent is not None
    assert view.intent.hash() == view.intent_hash == intent
    assert view.expires_at == world.now + timedelta(hours=24)
    assert (view.asset_id, view.asset_code, view.amount, view.fee) == (USDT, "USDT", str(1000 * COIN), str(COIN))
    assert not view.submitted

    await world.says("boris", asked, intent)
    await world.books.queue_payout(asked.id, world.later(2))
    slot = await world.planned(asked)
    version = await world.broadcast(slot)
    await world.books.settle(slot, final_of(version, fee=123), world.later(9))
    view = await store.views.withdrawal_by_ref("acme", asked.client_ref)
    assert view is not None
    assert (view.stage, view.txid, view.slot_id, view.network_fee) == (Stage.SETTLED, version.txid, slot.id, "123")
    assert view.updated_at == world.later(9)


async def test_another_clients_withdrawal_is_not_there(world: World, store: Store) -> None:
    asked = await world.requested()
    assert await store.views.withdrawal(asked.id, "acme") is not None
    assert await store.views.withdrawal(asked.id, "other") is None
    assert await store.views.withdrawal_by_ref("other", asked.client_ref) is None
    assert await store.views.withdrawal("wd_none") is None


async def test_the_timeline_says_when_who_why_and_what_comes_next(world: World, store: Store) -> None:
    await world.fund_wallet(usdt=0 + 1)
    asked, intent = await world.referred()
    await world.says("anna", asked, intent)
    await world.says("boris", asked, intent)
    await world.books.queue_payout(asked.id, world.later(2))
    for _ in range(3):
        await world.plan([await world.item(asked)])
    await world.credit(chart.hot_wallet("ethereum", WALLET, USDT), 2000 * COIN, "refill")
    slot = await world.planned(asked)
    first, second = await world.broadcast(slot, 1), await world.broadcast(slot, 2)
    await world.broadcast(slot, 2)
    await world.books.record_facts(slot, world.facts(first, 80))
    await world.books.record_facts(slot, world.facts(first, None, 4))
    await world.books.record_facts(slot, world.facts(second, 81, 5))
    await world.books.settle(slot, final_of(second), world.later(9))
    rows = await store.views.timeline(asked.id)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [(row.stage.value, row.actor, row.reason) for row in rows] == [
        ("REQUESTED", "olga", ""),
        ("REFERRED", "policy", "tier-2"),
        ("REFERRED", "approver:anna", "APPROVED"),
        ("REFERRED", "approver:boris", "APPROVED"),
        ("QUEUED", "approvers", "QUORUM_MET"),
        ("QUEUED", "hot wallet", "HOT_WALLET_SHORT"),
        ("PLANNED", "hot wallet", ""),
        ("BROADCAST", "payout", ""),
        ("BROADCAST", "payout", "FEE_BUMPED"),
        ("CONFIRMING", "network", ""),
        ("BROADCAST", "network", "REORGANISED"),
        ("CONFIRMING", "network", ""),
        ("SETTLED", "network", ""),
    ]
    assert rows[1].deadline == world.now + timedelta(hours=24)
    assert rows[8].detail == {"txid": second.txid, "version": "2"}
    assert await store.views.timeline("wd_none") == []


# ---------------------------------------------------------------- lists
async def test_pages_are_newest_first_and_stable_while_rows_are_added(world: World, store: Store) -> None:
    ids = [(await world.requested()).id for _ in range(7)]
    page = await store.views.withdrawals(WithdrawalFilter(), None, 3)
    seen = [item.id for item in page.items]
    while page.next_cursor:
        await world.requested()
        page = await store.views.withdrawals(WithdrawalFilter(), page.next_cursor, 3)
        seen += [item.id for item in page.items]
    assert seen == ids[::-1]


async def test_a_page_of_the_very_last_rows_has_no_cursor(world: World, store: Store) -> None:
    for _ in range(4):
        await world.requested()
    first = await store.views.withdrawals(WithdrawalFilter(), None, 2)
    assert first.next_cursor is not None
    assert (await store.views.withdrawals(WithdrawalFilter(), first.next_cursor, 2)).next_cursor is None
    assert (await store.views.withdrawals(WithdrawalFilter(account="nobody"), None, 2)).items == ()


async def test_filters_join(world: World, store: Store) -> None:
    queued, waiting = await world.queued(), await world.requested()
    await world.fund(100 * COIN, account="other")
    foreign = world.ask(account="other")
    await world.books.request_withdrawal(world.request(foreign))

    async def found(**wanted: object) -> set[str]:
        page = await store.views.withdrawals(WithdrawalFilter(**wanted), None, 50)  # type: ignore[arg-type]
        return {item.id for item in page.items}

    assert await found() == {queued.id, waiting.id, foreign.id}
    assert await found(account="acme") == {queued.id, waiting.id}
    assert await found(account="acme", stage=Stage.QUEUED) == {queued.id}
    assert await found(network="ethereum", asset=USDT, stage=Stage.REQUESTED) == {waiting.id, foreign.id}
    assert await found(asset=ETH) == set()
    view = await store.views.withdrawal(waiting.id)
    assert view is not None
    assert await found(created_from=view.created_at) == {waiting.id, foreign.id}
    assert await found(created_to=view.created_at) == {queued.id}
    assert await found(created_from=SOON) == set()


@pytest.mark.parametrize("cursor", ["", "x", "\x00", "ä", "MXwy", "A" * 3000, "MXxub3RhZGF0ZXx3ZF8x"])
async def test_a_cursor_that_is_not_ours_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(Refused) as caught:
        await store.views.withdrawals(WithdrawalFilter(), cursor, 10)
    assert caught.value.code == "CURSOR_INVALID"


@pytest.mark.parametrize("limit", [0, -1, 201])
async def test_a_page_has_its_limits(store: Store, limit: int) -> None:
    with pytest.raises(Refused) as caught:
        await store.views.withdrawals(WithdrawalFilter(), None, limit)
    assert caught.value.code == "LIMIT_INVALID"


# ---------------------------------------------------------------- money
async def test_balances_show_every_asset_and_what_is_held(world: World, store: Store) -> None:
    assert not await store.views.account_known("acme")
    await world.requested(10 * COIN, COIN)
    await world.fund(5 * COIN)
    assert await store.views.account_known("acme")
    balances = {b.asset: (b.available, b.held) for b in await store.views.balances("acme")}
    assert balances.pop(USDT) == (str(5 * COIN), str(11 * COIN))
    assert balances == dict.fromkeys(set(load("devnet").assets) - {USDT}, ("0", "0"))


async def test_the_trial_balance_finds_what_was_changed_behind_the_books_back(world: World, store: Store) -> None:
    even = dict.fromkeys(load("devnet").assets, "0")
    trial = await store.views.trial_balance()
    assert (trial.sums, trial.disagreements) == (even, {})
    await world.fund(5 * COIN)
    account = chart.available("acme", USDT).code
    await store.database.write(
        "theft", "UPDATE balance SET units = units - 1 FROM account a WHERE a.id = account_id AND a.code = $1", account
    )
    trial = await store.views.trial_balance()
    assert trial.sums == even
    assert trial.disagreements == {account: "-1"}
    await store.database.write(
        "theft",
        "INSERT INTO posting (entry_id, line, account_id, units) SELECT 1, 9, id, -7 FROM account WHERE code = $1",
        account,
    )
    assert (await store.views.trial_balance()).sums[USDT] == "-7"


async def test_wallets_stages_and_broadcasts_are_what_the_metrics_count(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.store.views.SETTLING_S", 0)
    await world.fund_wallet(usdt=100 * COIN, eth=10**18)
    asked = await world.queued()
    await world.requested()
    slot = await world.planned(asked)
    await world.broadcast(slot)
    await world.books.halt_wallet("ethereum", WALLET, "look", world.now)
    (wallet,) = await store.views.wallets()
    assert (wallet.network, wallet.address, wallet.next_scarce, wallet.open_slots, wallet.halted) == (
        "ethereum",
        WALLET,
        1,
        1,
        "look",
    )
    assert wallet.balances == {USDT: str(90 * COIN), ETH: str(10**18 - 3 * 10**16)}
    house = await store.views.house()
    assert house[f"in_flight/ethereum/{USDT}"] == str(10 * COIN)
    assert house[f"hot/ethereum/{WALLET.lower()}/{USDT}"] == str(90 * COIN)
    assert not any(code.startswith("client/") for code in house)
    assert await store.views.stages() == {Stage.BROADCAST: 1, Stage.REQUESTED: 1}
    (broadcast,) = await store.views.broadcasts(0, 10)
    assert broadcast.network == "ethereum"
    assert broadcast.seconds >= 0
    assert await store.views.broadcasts(broadcast.seq, 10) == []


# ---------------------------------------------------------------- the relay
async def test_what_nobody_started_is_claimed_by_one_and_free_again_after_a_while(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [await world.requested() for _ in range(6)]
    claims = await asyncio.gather(*(store.views.unstarted(SOON, 3) for _ in range(3)))
    claimed = [view.id for views in claims for view in views]
    assert sorted(claimed) == sorted(a.id for a in asked), "each is claimed once"
    assert await store.views.unstarted(SOON, 10) == []
    assert await store.views.unstarted(datetime(2000, 1, 1, tzinfo=UTC), 10) == []
    await asyncio.gather(*(store.views.mark_started(a.id) for a in asked[1:]))
    monkeypatch.setattr("adapters.store.views.CLAIM_S", 0)
    assert [view.id for view in await store.views.unstarted(SOON, 10)] == [asked[0].id]
    view = await store.views.withdrawal(asked[1].id)
    assert view is not None
    assert view.submitted


async def test_a_quote_is_its_accounts_own(world: World, store: Store) -> None:
    await world.fund(COIN)
    made = await world.books.make_quote("acme", USDT, "5", "1", world.now, SOON)
    assert await store.views.quote(made.id, "acme") == made
    assert await store.views.quote(made.id, "other") is None


# ---------------------------------------------------------------- traces
async def test_every_call_of_the_store_is_a_span(world: World, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(database_module, "_TRACER", provider.get_tracer("test"))
    with provider.get_tracer("test").start_as_current_span("request") as request:
        asked = await world.requested()
        await store.views.withdrawal(asked.id)
    spans = {span.name: span for span in kept.get_finished_spans()}
    for name in ("store request_withdrawal", "store withdrawal"):
        attributes, parent = spans[name].attributes, spans[name].parent
        assert attributes is not None
        assert parent is not None
        assert attributes["db.system.name"] == "postgresql"
        assert parent.span_id == request.get_span_context().span_id
        assert spans[name].kind is trace.SpanKind.CLIENT
