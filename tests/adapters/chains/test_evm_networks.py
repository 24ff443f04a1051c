"""What differs between EVM networks is in their rows: nodes insist on one side of it, our offers keep the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.catalogue import FOLDER, load
from domain.errors import Refused
from domain.money import Amount
from domain.payout import Fee, Slot, Version
from ops.devnet.anvil import USDT, NodeFacts
from ops.devnet.treasury import call_data
from tests.adapters.chains.worlds import EvmWorld, evm_world, place_of
from tests.ops.chain import EVM_NETWORKS, FURTHER_NETWORKS, GWEI, LocalChain, LocalChains, NodeError

CATALOGUE = load("devnet")
FINNEY = 10**15


@asynccontextmanager
async def world_on(chains: LocalChains, network: str) -> AsyncIterator[EvmWorld]:
    chain = chains[network]
    async with evm_world(chain, place_of(network, CATALOGUE, chain.facts.epoch_slots)) as world:
        yield world


def held(chain: LocalChain) -> LocalChain:
    chain.control(reset=True, hold_blocks=True)
    return chain


def refusal(chain: LocalChain, **fields: int) -> str:
    """Why the node does not take a transfer with these prices."""
    somebody = chain.spender()
    with pytest.raises(NodeError) as caught:
        chain.send(somebody.sign(0, chainId=chain.facts.chain_id, **fields))
    return caught.value.message


async def sent(world: EvmWorld, slot: Slot, fee: Fee, number: int = 1) -> Version:
    version = world.sign(await world.chain.draft(slot, fee), number)
    await world.chain.broadcast(version)
    return version


# ---------------------------------------------------------------- the rows themselves
def test_no_two_networks_share_a_chain_id() -> None:
    for profile in ("production", "devnet"):
        ids = [network.chain_id for network in load(profile).networks.values()]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("network", EVM_NETWORKS)
def test_what_we_offer_at_least_is_what_the_nodes_ask_for_at_least(network: str) -> None:
    rules, fees = NodeFacts.read(network, FOLDER).rules, CATALOGUE.networks[network].fees
    assert fees.tip_floor >= rules.tip_min
    assert fees.price_floor >= max(rules.price_min, rules.tip_min)


@pytest.mark.parametrize("network", FURTHER_NETWORKS)
def test_the_local_usdt_has_the_decimals_that_our_books_count_with(further_chains: LocalChains, network: str) -> None:
    asked = {"to": USDT, "data": "0x" + call_data("decimals()").hex()}
    told = int(further_chains[network].rpc("eth_call", asked, "latest"), 16)
    assert told == CATALOGUE.asset(network, "USDT").decimals


@pytest.mark.parametrize("network", FURTHER_NETWORKS)
def test_each_local_node_has_the_chain_id_of_its_row(further_chains: LocalChains, network: str) -> None:
    assert int(further_chains[network].rpc("eth_chainId"), 16) == CATALOGUE.networks[network].chain_id


def test_a_fault_of_one_network_is_no_other_s(further_chains: LocalChains) -> None:
    one, other = (held(further_chains[network]) for network in FURTHER_NETWORKS[:2])
    one.control(http_error=1)
    assert other.head() >= 0
    assert one.counters()["faults"]["http_error"] == 1
    assert other.counters()["faults"]["http_error"] == 0
    one.control(reset=True, hold_blocks=True)


# ---------------------------------------------------------------- what nodes insist on
def test_polygon_wants_a_tip_of_25_gwei(further_chains: LocalChains) -> None:
    chain = held(further_chains["polygon"])
    words = refusal(chain, tip=25 * GWEI - 1, cap=100 * GWEI)
    assert words == "transaction underpriced: gas tip cap 24999999999, minimum needed 25000000000"
    chain.send(chain.spender().sign(0, chainId=chain.facts.chain_id, tip=25 * GWEI, cap=100 * GWEI))


def test_bsc_has_no_base_fee_and_wants_a_twentieth_of_a_gwei_legacy_or_not(further_chains: LocalChains) -> None:
    chain = held(further_chains["bsc"])
    floor, id_ = GWEI // 20, chain.facts.chain_id
    assert refusal(chain, tip=floor - 1, cap=floor).startswith("transaction underpriced")
    modern, legacy = chain.spender(), chain.spender()
    sent = [chain.send(modern.sign(0, chainId=id_, tip=floor, cap=floor))]
    sent.append(chain.send(legacy.sign_legacy(0, chainId=id_, gasPrice=floor)))
    chain.control(mine=1)
    assert [int(chain.receipt(txid)["effectiveGasPrice"], 16) for txid in sent] == [floor, floor]
    assert int(chain.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16) == 0


def test_arbitrum_takes_no_tip_and_nothing_below_its_floor(further_chains: LocalChains) -> None:
    chain = held(further_chains["arbitrum"])
    id_, floor = chain.facts.chain_id, GWEI // 50
    assert "less than block base fee" in refusal(chain, tip=0, cap=floor - 1, gas=30_000)
    txid = chain.send(chain.spender().sign(0, chainId=id_, tip=0, cap=2 * GWEI, gas=30_000))
    chain.control(mine=1)
    assert chain.receipt(txid)["status"] == "0x1"


def test_arbitrum_s_gas_holds_the_price_of_the_bytes_below(further_chains: LocalChains) -> None:
    chain = held(further_chains["arbitrum"])
    somebody = chain.spender()
    call = {"from": somebody.address, "to": "0x" + "11" * 20, "value": "0x1"}
    estimate = int(chain.rpc("eth_estimateGas", call), 16)
    assert estimate > 21_000
    assert "intrinsic gas too low" in refusal(chain, tip=0, cap=2 * GWEI, gas=21_000)
    raw = somebody.sign(0, chainId=chain.facts.chain_id, tip=0, cap=2 * GWEI, gas=estimate)
    assert chain.send(raw) == raw[1]


# ---------------------------------------------------------------- what follows for a payout
async def test_a_second_token_payment_has_gas_for_the_day_on_which_the_first_one_never_lands(
    further_chains: LocalChains,
) -> None:
    async with world_on(further_chains, "polygon") as world:
        latest, _ = await world.chain.next_scarce(world.wallet)
        first = world.slot(latest, world.token)
        alone = await world.chain.quote(first.payments, world.wallet)
        await sent(world, first, alone)
        behind = await world.chain.quote(first.payments, world.wallet)
        assert behind.weight == alone.weight


async def test_a_version_with_too_little_gas_for_its_bytes_is_healed_by_the_next(further_chains: LocalChains) -> None:
    async with world_on(further_chains, "arbitrum") as world:
        latest, _ = await world.chain.next_scarce(world.wallet)
        slot = world.slot(latest, world.coin, units=FINNEY)
        quoted = await world.chain.quote(slot.payments, world.wallet)
        short = Fee(quoted.weight * 6 // 10, quoted.price, quoted.tip)
        with pytest.raises(Refused, match="BROADCAST_UNDERPRICED"):
            await sent(world, slot, short)
        fee = world.chain.bump(slot, short, await world.chain.market(short.weight))
        assert fee is not None
        healed = await sent(world, slot, fee, 2)
        await world.mine(world.depth)
        facts = await world.chain.observe(slot, [healed])
        assert facts.used
        assert await world.chain.balance(world.coin, slot.payments[0].recipient) == Amount(FINNEY, world.coin)


async def test_a_large_payment_waits_for_the_finalized_tag_and_a_small_one_does_not(
    further_chains: LocalChains,
) -> None:
    async with world_on(further_chains, "arbitrum") as world:
        latest, _ = await world.chain.next_scarce(world.wallet)
        large, small = (world.slot(latest + at, units=units) for at, units in enumerate((10_000_000_000, 5_000_000)))
        versions = [
            await sent(world, slot, await world.chain.quote(slot.payments, world.wallet)) for slot in (large, small)
        ]
        await world.mine(world.depth)
        looks = [await world.chain.observe(slot, [v]) for slot, v in zip((large, small), versions, strict=True)]
        assert [facts.used for facts in looks] == [False, True]
        await world.mine(2 * further_chains["arbitrum"].facts.epoch_slots + 1 - world.depth)
        assert (await world.chain.observe(large, [versions[0]])).used
