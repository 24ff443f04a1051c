"""What every network promises behind the `Chain` port, tried on each world alike."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from adapters.catalogue import load
from domain.errors import Refused, Unavailable, Uncertain
from domain.money import Amount
from domain.outgoing import Outgoing, strangers
from domain.payout import Facts, Fee, Inclusion, Sighting, Slot, Version, all_dead, consumption, dead, foreign_use
from tests.adapters.chains.bitcoin_world import LocalBitcoin, bitcoin_world
from tests.adapters.chains.tron_world import TimedWorld, tron_world
from tests.adapters.chains.worlds import (
    GWEI,
    K,
    World,
    evm_world,
    fake_world,
    place_of,
)
from tests.ops.chain import FURTHER_NETWORKS

UNITS = 5_000_000
COINS = 10**6


@asynccontextmanager
async def opened(request: pytest.FixtureRequest, bitcoin: LocalBitcoin) -> AsyncIterator[World]:
    worlds: dict[str, Callable[[], AbstractAsyncContextManager[World]]] = {
        "fake": fake_world,
        "silent fake": lambda: fake_world(counts=False),
        "evm": lambda: evm_world(request.getfixturevalue("local_chain")),
        "tron": lambda: tron_world(request.getfixturevalue("local_tron")),
        "bitcoin": lambda: bitcoin_world(bitcoin),
    }
    worlds |= {network: partial(_further, request, network) for network in FURTHER_NETWORKS}
    async with worlds[request.param]() as world:
        yield world


def _further(request: pytest.FixtureRequest, network: str) -> AbstractAsyncContextManager[World]:
    chain = request.getfixturevalue("further_chains")[network]
    return evm_world(chain, place_of(network, load("devnet"), chain.facts.epoch_slots))


def on(*networks: str) -> Any:
    """A fixture that is each of these networks in turn."""

    async def world(request: pytest.FixtureRequest, local_bitcoin: LocalBitcoin) -> AsyncIterator[World]:
        async with opened(request, local_bitcoin) as world:
            yield world

    return pytest_asyncio.fixture(world, params=networks)


# Any network; `..._anywhere`: every further network of a family too, for what depends on its own row of facts.
world = on("fake", "evm", "tron", "bitcoin")
anywhere = on("fake", "evm", "tron", "bitcoin", *FURTHER_NETWORKS)
# A network of accounts that carries tokens: contracts decide, and what they did is told by receipts.
tokens = on("fake", "evm", "tron")
# A network where the slot itself excludes two versions, and the dearer one takes the other's place.
replacing = on("fake", "evm", "bitcoin")
replacing_anywhere = on("fake", "evm", "bitcoin", *FURTHER_NETWORKS)
# A network that counts a key's transactions: one for each number, the dearest of several.
counting = on("fake", "evm")
counting_anywhere = on("fake", "evm", *FURTHER_NETWORKS)
# A network that counts nothing: what a key sent is read from final blocks.
uncounted = on("silent fake", "tron")
# A network where nothing but time excludes two transactions.
timed = on("tron")


async def first_slot(world: World) -> Slot:
    latest, _ = await world.chain.next_scarce(world.wallet)
    return world.slot(latest, units=UNITS)


async def signed(world: World, slot: Slot, fee: Fee | None = None, number: int = 1) -> Version:
    fee = fee or await world.chain.quote(slot.payments, world.wallet)
    return world.sign(await world.chain.draft(slot, fee), number)


async def sent(world: World, slot: Slot, fee: Fee | None = None, number: int = 1) -> Version:
    version = await signed(world, slot, fee, number)
    await world.chain.broadcast(version)
    return version


async def bumped(world: World, slot: Slot, last: Version) -> Version:
    fee = world.chain.bump(slot, last.fee, await world.chain.market(last.fee.weight))
    assert fee is not None
    return await sent(world, slot, fee, last.number + 1)


def the_inclusion(facts: Facts, version: Version) -> Inclusion | None:
    [inclusion] = [sighting.inclusion for sighting in facts.sightings if sighting.txid == version.txid]
    return inclusion


def is_known(facts: Facts, version: Version) -> bool:
    [known] = [sighting.known for sighting in facts.sightings if sighting.txid == version.txid]
    return known


# ---------------------------------------------------------------- addresses
async def test_a_canonical_address_is_its_own_canonical_form(world: World) -> None:
    address = world.chain.check_address(world.recipient(), world.token)
    assert world.chain.check_address(address, world.token) == address


@pytest.mark.parametrize("text", ["", "nonsense", "0x12", "\n", "🏦" * 40])
async def test_what_is_no_address_is_refused(world: World, text: str) -> None:
    with pytest.raises(Refused, match="ADDRESS_MALFORMED"):
        world.chain.check_address(text, world.token)


async def test_our_own_wallet_is_nobody_s_recipient(world: World) -> None:
    with pytest.raises(Refused, match="ADDRESS_OURS"):
        world.chain.check_address(world.wallet, world.token)


async def test_a_token_s_contract_is_nobody_s_recipient(tokens: World) -> None:
    with pytest.raises(Refused, match="ADDRESS_TOKEN_CONTRACT"):
        tokens.chain.check_address(str(tokens.token.contract), tokens.coin)


# ---------------------------------------------------------------- quotes and drafts
@pytest.mark.parametrize("asset", ["coin", "token"])
async def test_a_quote_keeps_the_floors_and_the_caps(anywhere: World, asset: str) -> None:
    slot = anywhere.slot(0, getattr(anywhere, asset))
    rules = anywhere.chain.network.fees
    fee = await anywhere.chain.quote(slot.payments, anywhere.wallet)
    assert rules.price_floor <= fee.price <= rules.price_cap
    assert rules.tip_floor <= fee.tip <= fee.price
    assert 0 < fee.most <= rules.network_fee_cap


@pytest.mark.parametrize("asset", ["coin", "token"])
async def test_a_cost_is_told_line_by_line_and_stays_below_the_most_it_may_be(tokens: World, asset: str) -> None:
    amount = Amount(UNITS, getattr(tokens, asset))
    known = await tokens.chain.explain(amount, tokens.recipient(), tokens.wallet)
    unknown = await tokens.chain.explain(amount, None, tokens.wallet)
    for cost in (known, unknown):
        assert cost.lines
        assert all(line.units > 0 for line in cost.lines)
        assert all((line.cost > 0) == (line.covered_by in ("burnt", "paid")) for line in cost.lines)
        assert sum(line.cost for line in cost.lines) <= cost.most <= tokens.chain.network.fees.network_fee_cap
    apart = abs(unknown.most - known.most)
    assert apart <= known.most // 100, "somebody unknown counts as new; a byte of an address aside"


async def test_a_cost_is_explained_only_for_what_could_be_paid(tokens: World) -> None:
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await tokens.chain.explain(Amount(tokens.funds_of(tokens.token) + 1, tokens.token), None, tokens.wallet)
    await tokens.break_token(True)
    with pytest.raises(Refused, match="PAYMENT_REVERTS"):
        await tokens.chain.explain(Amount(UNITS, tokens.token), None, tokens.wallet)


async def test_a_wallet_of_somebody_passes_the_look_at_the_recipient(world: World) -> None:
    await world.chain.inspect(world.recipient(), world.token)


async def test_a_payment_that_the_network_would_reject_is_refused_before_it_is_signed(tokens: World) -> None:
    await tokens.break_token(True)
    with pytest.raises(Refused, match="PAYMENT_REVERTS"):
        await tokens.chain.quote(tokens.slot(0).payments, tokens.wallet)


@pytest.mark.parametrize("asset", ["coin", "token"])
async def test_a_short_wallet_makes_the_payment_wait_not_fail(anywhere: World, asset: str) -> None:
    wanted = getattr(anywhere, asset)
    slot = anywhere.slot(0, wanted, units=anywhere.funds_of(wanted) + 1)
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await anywhere.chain.quote(slot.payments, anywhere.wallet)


async def test_a_dear_network_makes_the_payment_wait(world: World) -> None:
    await world.set_base_fee(2000 * GWEI)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.quote(world.slot(0).payments, world.wallet)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.market(60_000)


async def test_a_draft_is_the_same_bytes_every_time(world: World) -> None:
    slot, other, fee = world.slot(7), world.slot(8), world.fee
    dearer = Fee(fee.weight + 1, fee.price, fee.tip)
    drafts = [await world.chain.draft(*words) for words in ((slot, fee), (slot, fee), (slot, dearer), (other, fee))]
    assert drafts[0] == drafts[1]
    assert len({draft.unsigned for draft in drafts}) == 3


async def test_two_slots_with_the_same_payment_never_have_the_same_bytes(world: World) -> None:
    slot = world.slot(7)
    twin = replace(world.slot(8), payments=slot.payments)
    one, two = await world.chain.draft(slot, world.fee), await world.chain.draft(twin, world.fee)
    assert one.unsigned != two.unsigned


async def test_a_draft_never_passes_its_slot_s_cap(world: World) -> None:
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.draft(world.slot(0), world.dear_fee)


# ---------------------------------------------------------------- the way of a payment
async def test_a_payment_is_seen_from_the_pool_to_its_end(anywhere: World) -> None:
    slot = await first_slot(anywhere)
    version = await sent(anywhere, slot)
    pooled = await anywhere.chain.observe(slot, [version])
    assert is_known(pooled, version)
    assert the_inclusion(pooled, version) is None
    assert not pooled.used

    await anywhere.mine(anywhere.depth - 1)
    included = await anywhere.chain.observe(slot, [version])
    inclusion = the_inclusion(included, version)
    assert inclusion is not None
    assert inclusion.succeeded
    assert inclusion.delivered
    assert not inclusion.strayed
    assert inclusion.block > included.final_block
    assert not included.used

    await anywhere.mine(1)
    final = await anywhere.chain.observe(slot, [version])
    assert final.used
    assert the_inclusion(final, version) == inclusion
    assert inclusion.block == final.final_block
    assert await anywhere.chain.balance(anywhere.token, slot.payments[0].recipient) == Amount(UNITS, anywhere.token)
    left = {asset: anywhere.funds_of(asset) for asset in (anywhere.coin, anywhere.token)}
    left[anywhere.token] -= UNITS
    left[anywhere.coin] -= int(inclusion.fee_units)
    for asset, units in left.items():
        assert await anywhere.chain.balance(asset, anywhere.wallet) == Amount(units, asset)
    assert int(inclusion.fee_units) <= version.fee.most


async def test_the_native_coin_is_paid_too(anywhere: World) -> None:
    latest, _ = await anywhere.chain.next_scarce(anywhere.wallet)
    slot = anywhere.slot(latest, anywhere.coin, units=COINS)
    version = await sent(anywhere, slot)
    await anywhere.mine(anywhere.depth)
    facts = await anywhere.chain.observe(slot, [version])
    inclusion = the_inclusion(facts, version)
    assert facts.used
    assert inclusion is not None
    assert inclusion.delivered
    assert await anywhere.chain.balance(anywhere.coin, slot.payments[0].recipient) == Amount(COINS, anywhere.coin)


async def test_a_slot_without_versions_can_be_looked_at(world: World) -> None:
    slot = await first_slot(world)
    facts = await world.chain.observe(slot, [])
    assert facts.sightings == ()
    assert not facts.used


async def test_the_same_bytes_again_change_nothing(world: World) -> None:
    slot = await first_slot(world)
    version = await sent(world, slot)
    await world.chain.broadcast(version)
    await world.mine(K)
    assert await world.chain.balance(world.token, slot.payments[0].recipient) == Amount(UNITS, world.token)


async def test_slots_are_paid_in_their_order_whatever_order_they_are_offered_in(counting_anywhere: World) -> None:
    latest, _ = await counting_anywhere.chain.next_scarce(counting_anywhere.wallet)
    slots = [counting_anywhere.slot(latest + at) for at in range(3)]
    versions = [await sent(counting_anywhere, slot) for slot in reversed(slots)]
    assert await counting_anywhere.chain.next_scarce(counting_anywhere.wallet) == (latest, latest + 3)
    await counting_anywhere.mine(counting_anywhere.depth)
    looks = [
        await counting_anywhere.chain.observe(slot, [v]) for slot, v in zip(reversed(slots), versions, strict=True)
    ]
    assert all(facts.used for facts in looks)


# ---------------------------------------------------------------- versions
async def test_a_bump_replaces_and_only_one_version_is_paid(replacing_anywhere: World) -> None:
    slot = await first_slot(replacing_anywhere)
    one = await sent(replacing_anywhere, slot)
    two = await bumped(replacing_anywhere, slot, one)
    await replacing_anywhere.mine(replacing_anywhere.depth)
    facts = await replacing_anywhere.chain.observe(slot, [one, two])
    assert facts.used
    assert the_inclusion(facts, one) is None
    assert the_inclusion(facts, two) is not None
    assert await replacing_anywhere.chain.balance(replacing_anywhere.token, slot.payments[0].recipient) == Amount(
        UNITS, replacing_anywhere.token
    )


async def test_an_older_version_may_win_after_all(replacing: World) -> None:
    slot = await first_slot(replacing)
    one = await sent(replacing, slot)
    two = await bumped(replacing, slot, one)
    await replacing.bring_back(one)
    await replacing.mine(K - 1)
    facts = await replacing.chain.observe(slot, [one, two])
    assert facts.used
    assert the_inclusion(facts, one) is not None
    assert the_inclusion(facts, two) is None


@pytest.mark.parametrize("asset", ["coin", "token"])
async def test_a_version_that_pays_nobody_takes_the_place_of_those_that_do(
    replacing_anywhere: World, asset: str
) -> None:
    world = replacing_anywhere
    latest, _ = await world.chain.next_scarce(world.wallet)
    slot = world.slot(latest, getattr(world, asset), UNITS)
    one = await sent(world, slot)
    two = world.sign(await world.chain.void(slot, one.fee), 2)
    await world.chain.broadcast(two)
    three = world.sign(await world.chain.void(slot, two.fee), 3)
    await world.chain.broadcast(three)
    assert three.fee.price > two.fee.price
    await world.mine(world.depth)
    facts = await world.chain.observe(slot, [one, two, three])
    assert facts.used
    seen = the_inclusion(facts, three)
    assert seen is not None
    assert (seen.succeeded, seen.delivered, seen.strayed) == (True, False, False)
    assert (await world.chain.balance(world.coin, slot.payments[0].recipient)).units == 0
    assert (await world.chain.balance(world.token, slot.payments[0].recipient)).units == 0


async def test_a_slot_nothing_was_signed_for_is_voided_at_the_market_s_price(replacing: World) -> None:
    slot = await first_slot(replacing)
    only = replacing.sign(await replacing.chain.void(slot, None), 1)
    await replacing.chain.broadcast(only)
    await replacing.mine(replacing.depth)
    facts = await replacing.chain.observe(slot, [only])
    seen = the_inclusion(facts, only)
    assert facts.used
    assert seen is not None
    assert not seen.delivered


async def test_nothing_above_the_slot_s_cap_voids_it(replacing: World) -> None:
    slot = await first_slot(replacing)
    one = await signed(replacing, slot)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await replacing.chain.void(replace(slot, fee_cap=str(one.fee.most // 10)), one.fee)


async def test_where_only_time_decides_nothing_voids_a_slot(timed: TimedWorld) -> None:
    with pytest.raises(Refused, match="ONLY_TIME_DECIDES"):
        await timed.chain.void(await first_slot(timed), None)


async def test_too_small_a_raise_is_called_underpriced(replacing: World) -> None:
    slot = await first_slot(replacing)
    one = await sent(replacing, slot)
    shy = await signed(replacing, slot, replacing.a_little_more(one.fee), 2)
    with pytest.raises(Refused, match="BROADCAST_UNDERPRICED"):
        await replacing.chain.broadcast(shy)


async def test_no_bump_passes_a_cap(replacing: World) -> None:
    slot, fee, cap = replacing.slot(0), replacing.fee, replacing.chain.network.fees.price_cap
    assert replacing.chain.bump(slot, replace(fee, price=cap), fee) is None
    assert replacing.chain.bump(slot, fee, replace(fee, price=cap + 1)) is None


async def test_a_used_slot_is_called_used_which_proves_nothing(replacing: World) -> None:
    slot = await first_slot(replacing)
    one = await sent(replacing, slot)
    await replacing.mine(1)
    other = await signed(replacing, slot, Fee(one.fee.weight, one.fee.price * 2, one.fee.tip * 2), 2)
    with pytest.raises(Refused, match="BROADCAST_SLOT_USED"):
        await replacing.chain.broadcast(other)


async def test_an_empty_wallet_is_said_to_be_short(tokens: World) -> None:
    latest, _ = await tokens.chain.next_scarce(tokens.wallet)
    version = await signed(tokens, tokens.slot(latest, tokens.coin, units=COINS))
    await tokens.empty_wallet()
    with pytest.raises(Refused, match="BROADCAST_WALLET_SHORT"):
        await tokens.chain.broadcast(version)


# ---------------------------------------------------------------- what goes wrong on the chain
async def test_a_reorg_before_finality_is_undone_by_the_same_bytes(world: World) -> None:
    slot = await first_slot(world)
    version = await sent(world, slot)
    await world.mine(2)
    first = the_inclusion(await world.chain.observe(slot, [version]), version)
    assert first is not None

    await world.reorg_away(version)
    gone = await world.chain.observe(slot, [version])
    assert the_inclusion(gone, version) is None
    assert not gone.used

    await world.chain.broadcast(version)
    await world.mine(K)
    facts = await world.chain.observe(slot, [version])
    again = the_inclusion(facts, version)
    assert again is not None
    assert again.block_hash != first.block_hash
    assert facts.used
    assert await world.chain.balance(world.token, slot.payments[0].recipient) == Amount(UNITS, world.token)


async def test_a_stranger_is_named_once_final_and_not_before(replacing: World) -> None:
    slot = await first_slot(replacing)
    version = await signed(replacing, slot)
    stranger = await replacing.stranger_spends(slot)
    early = await replacing.chain.observe(slot, [version])
    assert not early.used
    assert early.consumer is None
    assert consumption([version], early, stranger) == "CONSUMPTION_UNPROVEN"

    await replacing.mine(K - 1)
    facts = await replacing.chain.observe(slot, [version])
    assert facts.used
    assert facts.consumer == stranger
    assert the_inclusion(facts, version) is None
    assert consumption([version], facts, stranger) == "PROVEN"
    assert consumption([], await replacing.chain.observe(slot, []), stranger) == "PROVEN", "unsigned slots too"
    await replacing.mine(200)  # nodes have forgotten the states of then
    late = await replacing.chain.observe(slot, [version], stranger)
    assert consumption([version], late, stranger) == "PROVEN", "whoever is named is found by name"
    assert consumption([version], facts, version.txid) == "CONSUMER_OTHER"


async def test_a_stranger_shows_in_the_count_of_transactions(counting: World) -> None:
    slot = await first_slot(counting)
    await counting.stranger_spends(slot)
    latest, pending = await counting.chain.next_scarce(counting.wallet)
    assert foreign_use(int(slot.scarce), latest, pending) is not None
    assert foreign_use(int(slot.scarce) + 1, latest, pending) is None


async def test_a_foreign_use_of_the_key_shows_once_it_is_final_and_our_own_does_not(tokens: World) -> None:
    begin = (await tokens.chain.outgoing(tokens.wallet, None)).through
    slot = await first_slot(tokens)
    version = await sent(tokens, slot)
    await tokens.mine(K)
    stranger = await tokens.stranger_spends(tokens.slot(int(slot.scarce) + 1))
    await tokens.mine(K)
    latest, pending = await tokens.chain.next_scarce(tokens.wallet)
    read = await tokens.chain.outgoing(tokens.wallet, begin)
    counted = foreign_use(int(slot.scarce) + 1, latest, pending) is not None
    assert counted != (strangers(read, frozenset({version.txid})) == (stranger,)), "by one way or by the other"
    assert (read.through is None) == counted


async def test_what_a_key_sent_is_read_once_final_and_without_a_gap(uncounted: World) -> None:
    start = await uncounted.chain.outgoing(uncounted.wallet, None)
    assert start.txids == ()
    version = await sent(uncounted, await first_slot(uncounted))
    await uncounted.mine(K - 1)
    early = await uncounted.chain.outgoing(uncounted.wallet, start.through)
    assert early.txids == ()
    await uncounted.mine(1)
    found = await uncounted.chain.outgoing(uncounted.wallet, early.through)
    assert found.txids == (version.txid,)
    assert (await uncounted.chain.outgoing(uncounted.wallet, found.through)).txids == (), "each block once"
    assert (await uncounted.chain.outgoing(uncounted.recipient(), early.through)).txids == (), "nobody else's"


async def test_a_long_absence_is_read_part_by_part(uncounted: World) -> None:
    at = (await uncounted.chain.outgoing(uncounted.wallet, None)).through
    first = await uncounted.stranger_spends(uncounted.slot(0))
    await uncounted.mine(60)
    second = await uncounted.stranger_spends(uncounted.slot(1))
    await uncounted.mine(K)
    head, parts = await uncounted.chain.head(), 0
    seen: list[str] = []
    while at is not None and at < head - K + 1:
        part = await uncounted.chain.outgoing(uncounted.wallet, at)
        assert part.through is not None
        assert at < part.through, "each part goes on"
        at, parts, seen = part.through, parts + 1, [*seen, *part.txids]
    assert seen == [first, second]
    assert parts > 1


async def test_nodes_that_lag_behind_what_was_read_take_nothing_back(uncounted: World) -> None:
    await uncounted.mine(K)
    through = (await uncounted.chain.outgoing(uncounted.wallet, None)).through
    await uncounted.lag(2)
    assert await uncounted.chain.outgoing(uncounted.wallet, through) == Outgoing(through, through)


async def test_a_reverted_payment_uses_its_slot_and_delivers_nothing(tokens: World) -> None:
    slot = await first_slot(tokens)
    version = await signed(tokens, slot)
    await tokens.break_token(True)
    await tokens.chain.broadcast(version)
    await tokens.mine(K)
    facts = await tokens.chain.observe(slot, [version])
    inclusion = the_inclusion(facts, version)
    assert facts.used
    assert inclusion is not None
    assert not inclusion.succeeded
    assert not inclusion.delivered
    assert not inclusion.strayed
    assert int(inclusion.fee_units) > 0
    assert await tokens.chain.balance(tokens.token, slot.payments[0].recipient) == Amount(0, tokens.token)


async def test_success_without_delivery_is_not_delivery(tokens: World) -> None:
    latest, _ = await tokens.chain.next_scarce(tokens.wallet)
    slot = tokens.slot(latest, tokens.mute)
    version = await sent(tokens, slot, tokens.fee)
    await tokens.mine(K)
    inclusion = the_inclusion(await tokens.chain.observe(slot, [version]), version)
    assert inclusion is not None
    assert inclusion.succeeded
    assert not inclusion.delivered
    assert not inclusion.strayed


async def test_a_payment_that_arrives_in_part_is_told_apart(tokens: World) -> None:
    slot = await first_slot(tokens)
    await tokens.tax_token()
    version = await sent(tokens, slot)
    await tokens.mine(K)
    inclusion = the_inclusion(await tokens.chain.observe(slot, [version]), version)
    assert inclusion is not None
    assert inclusion.succeeded
    assert not inclusion.delivered
    assert inclusion.strayed


# ---------------------------------------------------------------- what goes wrong with the nodes
async def test_a_lost_reply_is_uncertain_and_a_look_finds_the_transaction(world: World) -> None:
    slot = await first_slot(world)
    version = await signed(world, slot)
    await world.lose_replies(True)
    with pytest.raises(Uncertain, match="BROADCAST_UNKNOWN"):
        await world.chain.broadcast(version)
    assert is_known(await world.chain.observe(slot, [version]), version)


async def test_a_swallowed_transaction_is_unknown_and_can_be_offered_again(world: World) -> None:
    slot = await first_slot(world)
    await world.swallow(True)
    version = await sent(world, slot)
    assert not is_known(await world.chain.observe(slot, [version]), version)
    await world.swallow(False)
    await world.chain.broadcast(version)
    await world.mine(K)
    assert (await world.chain.observe(slot, [version])).used


async def test_hidden_receipts_make_no_stranger_of_us(tokens: World) -> None:
    slot = await first_slot(tokens)
    version = await sent(tokens, slot)
    await tokens.mine(K)
    await tokens.hide_receipts(True)
    facts = await tokens.chain.observe(slot, [version])
    assert facts.used
    assert the_inclusion(facts, version) is None
    assert facts.consumer == version.txid
    await tokens.hide_receipts(False)
    assert the_inclusion(await tokens.chain.observe(slot, [version]), version) is not None


async def test_a_lagging_node_only_delays(world: World) -> None:
    slot = await first_slot(world)
    version = await sent(world, slot)
    await world.mine(K)
    await world.lag(2)
    late = await world.chain.observe(slot, [version])
    assert not late.used
    assert late.head == await world.chain.head()
    await world.lag(0)
    facts = await world.chain.observe(slot, [version])
    assert facts.used
    assert facts.head == late.head + 2


async def test_without_nodes_a_read_is_unavailable_and_a_broadcast_uncertain(world: World) -> None:
    slot = await first_slot(world)
    version = await signed(world, slot)
    await world.cut_off(True)
    for read in (
        world.chain.observe(slot, [version]),
        world.chain.next_scarce(world.wallet),
        world.chain.balance(world.coin, world.wallet),
        world.chain.head(),
        world.chain.market(60_000),
        world.chain.quote(slot.payments, world.wallet),
        world.chain.explain(Amount(UNITS, world.token), None, world.wallet),
    ):
        with pytest.raises(Unavailable):
            await read
    with pytest.raises(Uncertain):
        await world.chain.broadcast(version)
    await world.cut_off(False)
    assert not is_known(await world.chain.observe(slot, [version]), version)


# ---------------------------------------------------------------- where nothing but time excludes two versions
def the_sighting(facts: Facts, version: Version) -> Sighting:
    [sighting] = [sighting for sighting in facts.sightings if sighting.txid == version.txid]
    return sighting


async def test_past_its_expiration_a_version_is_not_dead_until_solid_blocks_are(timed: TimedWorld) -> None:
    slot = timed.slot(1)
    await timed.swallow(True)
    version = await sent(timed, slot)
    await timed.pass_time()
    await timed.mine(1)
    early = await timed.chain.observe(slot, [version])
    assert not dead(the_sighting(early, version))
    await timed.mine(K)
    late = await timed.chain.observe(slot, [version])
    assert dead(the_sighting(late, version))
    assert all_dead([version], late)


async def test_after_the_proof_a_new_version_pays_and_the_old_one_never_does(timed: TimedWorld) -> None:
    slot = timed.slot(1, units=UNITS)
    await timed.swallow(True)
    one = await sent(timed, slot)
    await timed.pass_time()
    await timed.mine(K + 1)
    assert all_dead([one], await timed.chain.observe(slot, [one]))
    await timed.swallow(False)
    two = await sent(timed, slot, number=2)
    with pytest.raises(Refused, match="BROADCAST_EXPIRED"):
        await timed.chain.broadcast(one)
    await timed.mine(K)
    facts = await timed.chain.observe(slot, [one, two])
    assert facts.used
    assert dead(the_sighting(facts, one))
    assert await timed.chain.balance(timed.token, slot.payments[0].recipient) == Amount(UNITS, timed.token)


async def test_a_version_that_was_paid_is_never_called_dead(timed: TimedWorld) -> None:
    slot = timed.slot(1)
    version = await sent(timed, slot)
    await timed.mine(1)
    await timed.pass_time()
    await timed.mine(K + 1)
    await timed.hide_receipts(True)
    facts = await timed.chain.observe(slot, [version])
    assert not dead(the_sighting(facts, version))
    assert facts.consumer == version.txid


async def test_a_node_without_history_proves_nothing(timed: TimedWorld) -> None:
    slot = timed.slot(1)
    await timed.swallow(True)
    version = await sent(timed, slot)
    await timed.pass_time()
    await timed.mine(2 * K)
    await timed.forget(K)
    assert not dead(the_sighting(await timed.chain.observe(slot, [version]), version))
    await timed.forget(None)
    assert dead(the_sighting(await timed.chain.observe(slot, [version]), version))
