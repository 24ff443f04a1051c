"""TRON's adapter against a local node that does its worst: what it asks, what it believes, what it refuses."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from adapters.chains.nodes import NodeSilent
from adapters.chains.tron import codec, results
from adapters.chains.tron.adapter import TronChain, open_tron
from adapters.chains.tron.costs import Parameters, Resources, costs
from adapters.chains.tron.costs import lines as price_lines
from adapters.wiring import open_chain
from domain.errors import Refused, Unavailable, Uncertain
from domain.fee import NetworkCost
from domain.money import Amount
from domain.payout import Payment, Slot, all_dead, dead
from ops.devnet.tron.genesis import DISPERSE, TREASURY
from tests.adapters.chains.tron_world import COIN, SUN, TOKEN, LocalTron, TronWorld
from tests.adapters.chains.worlds import K

FIRST_PORT = 19740
TXID = "ab" * 32
CHAIN = Parameters(100, 1000, SUN, 100_000, 15_000 * SUN)
NOTHING = Resources(0, 0, 0)


def fields(unsigned: str) -> dict[str, Any]:
    return codec.decode("raw", bytes.fromhex(unsigned[2:]))


def paying(world: TronWorld, recipient: str, asset_id: str = TOKEN.id) -> Slot:
    slot = world.slot(1)
    return replace(slot, payments=(Payment("wd_test", asset_id, "5000000", recipient),))


# ---------------------------------------------------------------- drafts
async def test_a_draft_names_a_solid_block_and_expires_by_the_chain_s_own_time(
    world: TronWorld, local: LocalTron
) -> None:
    drawn = fields((await world.chain.draft(world.slot(1), world.fee)).unsigned)
    solid, head = local.ask("walletsolidity/getnowblock"), local.ask("wallet/getnowblock")
    assert drawn["ref_block_hash"].hex() == solid["blockID"][16:32]
    assert drawn["ref_block_bytes"].hex() == solid["blockID"][12:16]
    assert drawn["expiration"] == head["block_header"]["raw_data"]["timestamp"] + world.chain.network.window_s * 1000
    assert "data" not in drawn


async def test_nodes_that_stand_apart_make_the_oldest_reference_and_the_latest_expiration(
    world: TronWorld, local: LocalTron
) -> None:
    urls = [local.url, f"{local.full}/b"]
    assets = {asset.id: asset for asset in (COIN, TOKEN)}
    young = fields((await world.chain.draft(world.slot(1), world.fee)).unsigned)
    async with open_tron(world.chain.network, assets, urls, [], None, local.now) as both:
        await world.lag(2)
        drawn = fields((await both.draft(world.slot(1), world.fee)).unsigned)
    assert drawn["expiration"] == young["expiration"]
    assert drawn["ref_block_bytes"] < young["ref_block_bytes"]


# ---------------------------------------------------------------- costs
async def test_the_fee_limit_is_the_estimate_with_a_margin_whatever_is_staked(world: TronWorld) -> None:
    slot = world.slot(1)
    fee = await world.chain.quote(slot.payments, world.wallet)
    assert isinstance(world.chain, TronChain)
    cost = await world.chain.costs(slot.payments, world.wallet)
    assert cost.energy > 20_000
    assert cost.fee_limit == -(-cost.energy * 120 // 100) * 100
    assert fee.most == cost.fee_limit + world.chain.network.fees.overhead_cap
    drawn = fields((await world.chain.draft(slot, fee)).unsigned)
    assert drawn["fee_limit"] == cost.fee_limit


async def test_a_new_account_costs_its_activation_and_no_free_bytes_pay_for_it(world: TronWorld) -> None:
    assert isinstance(world.chain, TronChain)
    fresh = paying(world, world.recipient(), COIN.id).payments
    known = paying(world, TREASURY, COIN.id).payments
    new, old = await world.chain.costs(fresh, world.wallet), await world.chain.costs(known, world.wallet)
    assert (new.activation_burn, new.bytes_burn, new.bytes_from) == (SUN, 100_000, "burned")
    assert (old.activation_burn, old.bytes_burn, old.bytes_from) == (0, 0, "free")


@pytest.mark.parametrize(
    ("has", "source", "burned", "energy_burn"),
    [
        (NOTHING, "burned", 345_000, 6_500_000),
        (Resources(65_000, 345, 0), "stake", 0, 0),
        (Resources(30_000, 344, 345), "free", 0, 3_500_000),
        (Resources(99_999, 344, 344), "burned", 345_000, 0),
    ],
)
def test_bytes_come_from_one_source_and_energy_from_stake_first(
    has: Resources, source: str, burned: int, energy_burn: int
) -> None:
    cost = costs(65_000, 345, False, has, CHAIN)
    assert (cost.bytes_from, cost.bytes_burn, cost.energy_burn) == (source, burned, energy_burn)
    assert cost.fee_limit == 7_800_000


def lines(cost: NetworkCost) -> list[tuple[str, str, int]]:
    return [(line.name, line.covered_by, line.cost) for line in cost.lines]


async def test_a_quote_names_each_source(world: TronWorld) -> None:
    assert isinstance(world.chain, TronChain)
    new = await world.chain.explain(Amount(SUN, COIN), world.recipient(), world.wallet)
    old = await world.chain.explain(Amount(SUN, COIN), TREASURY, world.wallet)
    token = await world.chain.explain(Amount(SUN, TOKEN), TREASURY, world.wallet)
    assert lines(new) == [("bandwidth", "burnt", 100_000), ("activation", "burnt", SUN)]
    assert lines(old) == [("bandwidth", "free", 0)]
    energy, bandwidth = token.lines
    assert (energy.name, energy.covered_by, energy.cost) == ("energy", "burnt", energy.units * 100)
    assert (bandwidth.name, bandwidth.units, bandwidth.covered_by) == ("bandwidth", 349, "free")


def test_energy_that_is_only_partly_staked_has_two_lines() -> None:
    cost = NetworkCost(0, price_lines(costs(65_000, 345, False, Resources(30_000, 345, 0), CHAIN)))
    assert lines(cost) == [("energy", "staked", 0), ("energy", "burnt", 3_500_000), ("bandwidth", "staked", 0)]
    assert [line.units for line in cost.lines] == [30_000, 35_000, 345]


# ---------------------------------------------------------------- clocks
@pytest.mark.parametrize("minutes", [-10, 10])
async def test_ten_minutes_between_a_node_and_us_draft_nothing_and_quote_nothing(
    world: TronWorld, local: LocalTron, minutes: int
) -> None:
    assets = {asset.id: asset for asset in (COIN, TOKEN)}
    apart = partial(clock_of, local, minutes)
    async with open_tron(world.chain.network, assets, [local.url], [], None, apart) as chain:
        with pytest.raises(Unavailable, match="NODE_CLOCK"):
            await chain.draft(world.slot(1), world.fee)
        with pytest.raises(Unavailable, match="NODE_CLOCK"):
            await chain.quote(world.slot(1).payments, world.wallet)


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_ten_minutes_between_a_node_and_us_move_no_proof(
    world: TronWorld, local: LocalTron, minutes: int
) -> None:
    """Dead is what solid time says, whatever our own clock says."""
    slot = world.slot(1)
    await world.swallow(True)
    version = world.sign(await world.chain.draft(slot, world.fee), 1)
    await world.chain.broadcast(version)
    await world.mine(K)
    assets = {asset.id: asset for asset in (COIN, TOKEN)}
    apart = partial(clock_of, local, minutes)
    async with open_tron(world.chain.network, assets, [local.url], [], None, apart) as chain:
        assert not all_dead([version], await chain.observe(slot, [version]))
        await world.pass_time()
        await world.mine(K)
        assert all_dead([version], await chain.observe(slot, [version]))


async def test_a_node_whose_head_stands_still_is_no_measure_while_another_one_s_moves(
    world: TronWorld, local: LocalTron
) -> None:
    assets = {asset.id: asset for asset in (COIN, TOKEN)}
    await world.mine(30)
    young = fields((await world.chain.draft(world.slot(1), world.fee)).unsigned)
    async with open_tron(world.chain.network, assets, [local.url, f"{local.full}/b"], [], None, local.now_b) as both:
        await world.lag(25)
        drawn = fields((await both.draft(world.slot(1), world.fee)).unsigned)
        assert drawn["expiration"] == young["expiration"]
    async with open_tron(world.chain.network, assets, [local.url], [], None, local.now_b) as stale:
        with pytest.raises(Unavailable, match="NODE_CLOCK"):
            await stale.draft(world.slot(1), world.fee)


def clock_of(local: LocalTron, minutes: int) -> datetime:
    """Our clock, so far ahead of the network's."""
    return local.now() + timedelta(minutes=minutes)


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize("asset", [COIN, TOKEN])
async def test_a_contract_is_nobody_s_wallet(world: TronWorld, asset: Any) -> None:
    with pytest.raises(Refused, match="ADDRESS_CONTRACT"):
        await world.chain.inspect(DISPERSE, asset)
    with pytest.raises(Refused, match="ADDRESS_CONTRACT"):
        await world.chain.quote(paying(world, DISPERSE, asset.id).payments, world.wallet)


async def test_a_wallet_that_was_never_activated_is_short_and_the_payment_waits(world: TronWorld) -> None:
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await world.chain.quote(world.slot(1, COIN, 1).payments, world.recipient())


async def test_a_wallet_with_usdt_and_no_trx_or_energy_waits_instead_of_burning(world: TronWorld) -> None:
    await world.empty_wallet()
    with pytest.raises(Unavailable, match="WALLET_SHORT"):
        await world.chain.quote(world.slot(1).payments, world.wallet)


@pytest.mark.parametrize("wrong", [{"getEnergyFee": 0}, {"getEnergyFee": 10**6}, {"getTransactionFee": 10**9}])
async def test_chain_parameters_out_of_bounds_make_the_payment_wait(
    world: TronWorld, local: LocalTron, wrong: dict[str, int]
) -> None:
    local.control(told_parameters=wrong)
    with pytest.raises(Refused, match="FEE_ABOVE_CAP"):
        await world.chain.quote(world.slot(1).payments, world.wallet)


async def test_a_node_of_another_chain_is_not_believed(world: TronWorld, local: LocalTron) -> None:
    foreign = replace(world.chain.network, chain_id=728126428)
    async with open_chain(foreign, {COIN.id: COIN}, [local.url]) as chain:
        with pytest.raises(Unavailable, match="NODE_WRONG_CHAIN"):
            await chain.head()


async def test_an_out_of_energy_failure_is_final_and_its_burnt_trx_are_told(world: TronWorld) -> None:
    slot = world.slot(1)
    short = replace(world.fee, weight=world.chain.network.fees.overhead_cap + 500_000)
    version = world.sign(await world.chain.draft(slot, short), 1)
    await world.chain.broadcast(version)
    await world.mine(K)
    facts = await world.chain.observe(slot, [version])
    [sighting] = facts.sightings
    assert facts.used
    assert sighting.inclusion is not None
    assert (sighting.inclusion.succeeded, sighting.inclusion.delivered) == (False, False)
    assert int(sighting.inclusion.fee_units) >= 500_000


async def test_a_silent_node_leaves_the_proof_incomplete(world: TronWorld, local: LocalTron) -> None:
    slot = world.slot(1)
    await world.swallow(True)
    version = world.sign(await world.chain.draft(slot, world.fee), 1)
    await world.chain.broadcast(version)
    await world.pass_time()
    await world.mine(K)
    assets = {asset.id: asset for asset in (COIN, TOKEN)}
    async with open_chain(world.chain.network, assets, [local.url, "http://127.0.0.1:19739"]) as chain:
        facts = await chain.observe(slot, [version])
    assert not facts.complete
    assert not all_dead([version], facts)
    assert all_dead([version], await world.chain.observe(slot, [version]))


async def test_bytes_kept_by_somebody_are_paid_late_and_never_called_dead(world: TronWorld, local: LocalTron) -> None:
    """Dropped by the node, found again just before the expiration: past it the version is paid, not dead."""
    slot = world.slot(1)
    await world.swallow(True)
    version = world.sign(await world.chain.draft(slot, world.fee), 1)
    await world.chain.broadcast(version)
    local.control(skip_slots=world.chain.network.window_s // 3 - 3, mine=1)
    local.control(drop=0.0, release=True)
    await world.mine(2)
    await world.pass_time()
    await world.mine(K)
    facts = await world.chain.observe(slot, [version])
    [sighting] = facts.sightings
    assert sighting.inclusion is not None
    assert not dead(sighting)


# ---------------------------------------------------------------- replies to a broadcast
@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ({"result": True, "txid": TXID}, None, ""),
        ({"result": False, "code": "DUP_TRANSACTION_ERROR", "txid": TXID}, None, ""),
        ({"result": True, "txid": "cd" * 32}, Uncertain, "BROADCAST_UNKNOWN"),
        ({"result": True}, Uncertain, "BROADCAST_UNKNOWN"),
        ({"code": "SERVER_BUSY", "txid": TXID}, Uncertain, "BROADCAST_UNKNOWN"),
        ({"code": "OTHER_ERROR", "txid": TXID}, Uncertain, "BROADCAST_UNKNOWN"),
        ({"code": "BLOCK_UNSOLIDIFIED", "txid": TXID}, Uncertain, "BROADCAST_UNKNOWN"),
        ([], Uncertain, "BROADCAST_UNKNOWN"),
        (NodeSilent("NODE_SLOW", "late"), Uncertain, "BROADCAST_UNKNOWN"),
        ({"code": "TRANSACTION_EXPIRATION_ERROR", "txid": TXID}, Refused, "BROADCAST_EXPIRED"),
        ({"code": "BANDWITH_ERROR", "txid": TXID}, Refused, "BROADCAST_WALLET_SHORT"),
        ({"code": "TAPOS_ERROR", "txid": TXID, "message": b"Tapos".hex()}, Refused, "BROADCAST_REFUSED"),
        ({"code": "SIGERROR", "txid": TXID}, Refused, "BROADCAST_REFUSED"),
        (
            {"code": "CONTRACT_VALIDATE_ERROR", "txid": TXID, "message": b"balance is not sufficient.".hex()},
            Refused,
            "BROADCAST_WALLET_SHORT",
        ),
    ],
)
def test_each_reply_is_worth_so_much(answer: Any, kind: type[Exception] | None, code: str) -> None:
    if kind is None:
        results.judge([answer], TXID)
        return
    with pytest.raises(kind, match=code):
        results.judge([answer], TXID)
    results.judge([answer, {"result": True, "txid": TXID}], TXID)
