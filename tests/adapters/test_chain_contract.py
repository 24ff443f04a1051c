"""What every network promises behind the `Chain` port, tried on each world alike."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from domain.errors import Refused, Unavailable, Uncertain
from domain.money import Amount
from domain.payout import Facts, Fee, Inclusion, Slot, Version, foreign_use
from tests.adapters.chains.worlds import (
    COIN,
    FUNDS_UNITS,
    FUNDS_WEI,
    GWEI,
    MUTE,
    RULES,
    TOKEN,
    K,
    World,
    evm_world,
    fake_world,
    new_recipient,
    new_slot,
)
from tests.ops.chain import LocalChain

UNITS = 5_000_000


@pytest.fixture(scope="session")
def local_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    folder: Path = tmp_path_factory.mktemp("chain")
    local = LocalChain(folder, 18300 + 4 * turn, block_time_s=0.5, kept=False)
    try:
        yield local.start()
    finally:
        local.stop()


@pytest_asyncio.fixture(params=["fake", "evm"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    worlds: dict[str, Callable[[], AbstractAsyncContextManager[World]]] = {
        "fake": fake_world,
        "evm": lambda: evm_world(request.getfixturevalue("local_chain")),
    }
    async with worlds[request.param]() as opened:
        yield opened


async def first_slot(world: World) -> Slot:
    latest, _ = await world.chain.next_scarce(world.wallet)
    return new_slot(world.wallet, latest, units=UNITS)


async def signed(world: World, slot: Slot, fee: Fee | None = None, number: int = 1) -> Version:
    fee = fee or await world.chain.quote(slot.payments, world.wallet)
    return world.sign(world.chain.draft(slot, fee), number)


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
    address = world.chain.check_address(new_recipient(), TOKEN)
    assert world.chain.check_address(address, TOKEN) == address


@pytest.mark.parametrize("text", ["", "nonsense", "0x12", "\n", "🏦" * 40])
async def test_what_is_no_address_is_refused(world: World, text: str) -> None:
    with pytest.raises(Refused, match="ADDRESS_MALFORMED"):
        world.chain.check_address(text, TOKEN)


async def test_our_own_wallet_is_nobody_s_recipient(world: World) -> None:
    with pytest.raises(Refused, match="ADDRESS_OURS"):
        world.chain.check_address(world.wallet, TOKEN)


async def test_a_token_s_contract_is_nobody_s_recipient(world: World) -> None:
    with pytest.raises(Refused, match="ADDRESS_TOKEN_CONTRACT"):
        world.chain.check_address(str(TOKEN.contract), COIN)


# ---------------------------------------------------------------- quotes and drafts
@pytest.mark.parametrize("asset", [COIN, TOKEN])
async def test_a_quote_keeps_the_floors_and_the_caps(world: World, asset: object) -> None:
    slot = new_slot(world.wallet, 0, COIN if asset is COIN else TOKEN)
    fee = await world.chain.quote(slot.payments, world.wallet)
    assert RULES.price_floor <= fee.price <= RULES.price_cap
    assert RULES.tip_floor <= fee.tip <= fee.price
    assert 0 < fee.most <= RULES.network_fee_cap


async def test_a_payment_that_the_network_would_reject_is_refused_before_it_is_signed(world: World) -> None:
    await world.break_token(True)
    with pytest.raises(Refused, match="PAYMENT_REVERTS"):
        await world.chain.quote(new_slot(world.wallet, 0).payments, world.wallet)


@pytest.mark.parametrize(("asset", "funds"), [(COIN, FUNDS_WEI), (TOKEN, FUNDS_UNITS)])
async def test_a_short_wallet_makes_the_payment_wait_not_fail(world: World, asset: object, funds: int) -> None:
    slot = new_slot(world.wallet, 0, COIN if asset is COIN else TOKEN, units=funds + 1)
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await world.chain.quote(slot.payments, world.wallet)


async def test_a_dear_network_makes_the_payment_wait(world: World) -> None:
    await world.set_base_fee(2000 * GWEI)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.quote(new_slot(world.wallet, 0).payments, world.wallet)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.market(60_000)


async def test_a_draft_is_the_same_bytes_every_time(world: World) -> None:
    slot, fee = new_slot(world.wallet, 7), Fee(60_000, 30 * GWEI, GWEI)
    assert world.chain.draft(slot, fee) == world.chain.draft(slot, fee)
    assert world.chain.draft(slot, fee).unsigned != world.chain.draft(slot, Fee(60_000, 31 * GWEI, GWEI)).unsigned
    assert world.chain.draft(slot, fee).unsigned != world.chain.draft(new_slot(world.wallet, 8), fee).unsigned


async def test_a_draft_never_passes_its_slot_s_cap(world: World) -> None:
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        world.chain.draft(new_slot(world.wallet, 0), Fee(10**6, 31 * GWEI, GWEI))


# ---------------------------------------------------------------- the way of a payment
async def test_a_payment_is_seen_from_the_pool_to_its_end(world: World) -> None:
    slot = await first_slot(world)
    version = await sent(world, slot)
    pooled = await world.chain.observe(slot, [version])
    assert is_known(pooled, version)
    assert the_inclusion(pooled, version) is None
    assert not pooled.used

    await world.mine(K - 1)
    included = await world.chain.observe(slot, [version])
    inclusion = the_inclusion(included, version)
    assert inclusion is not None
    assert inclusion.succeeded
    assert inclusion.delivered
    assert not inclusion.strayed
    assert inclusion.block > included.final_block
    assert not included.used

    await world.mine(1)
    final = await world.chain.observe(slot, [version])
    assert final.used
    assert the_inclusion(final, version) == inclusion
    assert inclusion.block == final.final_block
    assert await world.chain.balance(TOKEN, slot.payments[0].recipient) == Amount(UNITS, TOKEN)
    assert await world.chain.balance(TOKEN, world.wallet) == Amount(FUNDS_UNITS - UNITS, TOKEN)
    assert await world.chain.balance(COIN, world.wallet) == Amount(FUNDS_WEI - int(inclusion.fee_units), COIN)
    assert int(inclusion.fee_units) <= version.fee.most


async def test_the_native_coin_is_paid_too(world: World) -> None:
    latest, _ = await world.chain.next_scarce(world.wallet)
    slot = new_slot(world.wallet, latest, COIN, units=10**15)
    version = await sent(world, slot)
    await world.mine(K)
    facts = await world.chain.observe(slot, [version])
    inclusion = the_inclusion(facts, version)
    assert facts.used
    assert inclusion is not None
    assert inclusion.delivered
    assert await world.chain.balance(COIN, slot.payments[0].recipient) == Amount(10**15, COIN)


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
    assert await world.chain.balance(TOKEN, slot.payments[0].recipient) == Amount(UNITS, TOKEN)


async def test_slots_are_paid_in_their_order_whatever_order_they_are_offered_in(world: World) -> None:
    latest, _ = await world.chain.next_scarce(world.wallet)
    slots = [new_slot(world.wallet, latest + at) for at in range(3)]
    versions = [await sent(world, slot) for slot in reversed(slots)]
    assert await world.chain.next_scarce(world.wallet) == (latest, latest + 3)
    await world.mine(K)
    looks = [await world.chain.observe(slot, [v]) for slot, v in zip(reversed(slots), versions, strict=True)]
    assert all(facts.used for facts in looks)


# ---------------------------------------------------------------- versions
async def test_a_bump_replaces_and_only_one_version_is_paid(world: World) -> None:
    slot = await first_slot(world)
    one = await sent(world, slot)
    two = await bumped(world, slot, one)
    await world.mine(K)
    facts = await world.chain.observe(slot, [one, two])
    assert facts.used
    assert the_inclusion(facts, one) is None
    assert the_inclusion(facts, two) is not None
    assert await world.chain.balance(TOKEN, slot.payments[0].recipient) == Amount(UNITS, TOKEN)


async def test_an_older_version_may_win_after_all(world: World) -> None:
    slot = await first_slot(world)
    one = await sent(world, slot)
    two = await bumped(world, slot, one)
    await world.bring_back(one)
    await world.mine(K - 1)
    facts = await world.chain.observe(slot, [one, two])
    assert facts.used
    assert the_inclusion(facts, one) is not None
    assert the_inclusion(facts, two) is None


async def test_too_small_a_raise_is_called_underpriced(world: World) -> None:
    slot = await first_slot(world)
    one = await sent(world, slot)
    shy = await signed(world, slot, Fee(one.fee.weight, one.fee.price + 1, one.fee.tip + 1), 2)
    with pytest.raises(Refused, match="BROADCAST_UNDERPRICED"):
        await world.chain.broadcast(shy)


async def test_no_bump_passes_a_cap(world: World) -> None:
    slot = new_slot(world.wallet, 0)
    assert world.chain.bump(slot, Fee(60_000, RULES.price_cap, GWEI), Fee(60_000, GWEI, GWEI)) is None
    assert world.chain.bump(slot, Fee(60_000, GWEI, GWEI), Fee(60_000, RULES.price_cap + 1, GWEI)) is None


async def test_a_used_slot_is_called_used_which_proves_nothing(world: World) -> None:
    slot = await first_slot(world)
    one = await sent(world, slot)
    await world.mine(1)
    other = await signed(world, slot, Fee(one.fee.weight, one.fee.price * 2, one.fee.tip * 2), 2)
    with pytest.raises(Refused, match="BROADCAST_SLOT_USED"):
        await world.chain.broadcast(other)


async def test_an_empty_wallet_is_said_to_be_short(world: World) -> None:
    slot = await first_slot(world)
    version = await signed(world, slot)
    await world.empty_wallet()
    with pytest.raises(Refused, match="BROADCAST_WALLET_SHORT"):
        await world.chain.broadcast(version)


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
    assert await world.chain.balance(TOKEN, slot.payments[0].recipient) == Amount(UNITS, TOKEN)


async def test_a_stranger_is_named_once_final_and_not_before(world: World) -> None:
    slot = await first_slot(world)
    version = await signed(world, slot)
    stranger = await world.stranger_spends(int(slot.scarce))
    early = await world.chain.observe(slot, [version])
    assert not early.used
    assert early.consumer is None

    await world.mine(K - 1)
    facts = await world.chain.observe(slot, [version])
    assert facts.used
    assert facts.consumer == stranger
    assert the_inclusion(facts, version) is None
    latest, pending = await world.chain.next_scarce(world.wallet)
    assert foreign_use(int(slot.scarce), latest, pending) is not None
    assert foreign_use(int(slot.scarce) + 1, latest, pending) is None


async def test_a_reverted_payment_uses_its_slot_and_delivers_nothing(world: World) -> None:
    slot = await first_slot(world)
    version = await sent(world, slot)
    await world.break_token(True)
    await world.mine(K)
    facts = await world.chain.observe(slot, [version])
    inclusion = the_inclusion(facts, version)
    assert facts.used
    assert inclusion is not None
    assert not inclusion.succeeded
    assert not inclusion.delivered
    assert not inclusion.strayed
    assert int(inclusion.fee_units) > 0
    assert await world.chain.balance(TOKEN, slot.payments[0].recipient) == Amount(0, TOKEN)


async def test_success_without_delivery_is_not_delivery(world: World) -> None:
    latest, _ = await world.chain.next_scarce(world.wallet)
    slot = new_slot(world.wallet, latest, MUTE)
    version = await sent(world, slot, Fee(100_000, 30 * GWEI, GWEI))
    await world.mine(K)
    inclusion = the_inclusion(await world.chain.observe(slot, [version]), version)
    assert inclusion is not None
    assert inclusion.succeeded
    assert not inclusion.delivered
    assert not inclusion.strayed


async def test_a_payment_that_arrives_in_part_is_told_apart(world: World) -> None:
    slot = await first_slot(world)
    await world.tax_token()
    version = await sent(world, slot)
    await world.mine(K)
    inclusion = the_inclusion(await world.chain.observe(slot, [version]), version)
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


async def test_hidden_receipts_make_no_stranger_of_us(world: World) -> None:
    slot = await first_slot(world)
    version = await sent(world, slot)
    await world.mine(K)
    await world.hide_receipts(True)
    facts = await world.chain.observe(slot, [version])
    assert facts.used
    assert the_inclusion(facts, version) is None
    assert facts.consumer == version.txid
    await world.hide_receipts(False)
    assert the_inclusion(await world.chain.observe(slot, [version]), version) is not None


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
        world.chain.balance(COIN, world.wallet),
        world.chain.head(),
        world.chain.market(60_000),
        world.chain.quote(slot.payments, world.wallet),
    ):
        with pytest.raises(Unavailable):
            await read
    with pytest.raises(Uncertain):
        await world.chain.broadcast(version)
    await world.cut_off(False)
    assert not is_known(await world.chain.observe(slot, [version]), version)
