"""A network of a known family is rows and nothing else: these add one and pay on it. Decision 5 tells the story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.catalogue import FOLDER, load
from adapters.settings import Settings
from adapters.wiring import open_chain
from domain.money import Amount
from domain.payout import Payment, Slot, slot_id
from ops.devnet.parts import rows
from ops.devnet.treasury import fill, usdt_balance
from tests.adapters.chains.worlds import sign_evm
from tests.ops.chain import LocalChain, Spender

NETWORK = """
[base]
name = "Base"
family = "evm"
chain_id = 8453
native_asset = "ETH-BASE"
block_time_ms = 2000
confirmations = 30
needs_finalized_tag = false
in_flight_max = 16
checked_on = 2026-11-22
tiers = [{ asset = "USDT", from = "10000", blocks = 30, finalized = true }]

[base.fees]
price_floor = "5000000"
tip_floor = "1000000"
price_cap = "100000000000"
network_fee_cap = "10000000000000000"
gas_margin_percent = 20
bump_after_s = 20

[devnet.base]
ports = [30, 31]
chain_id = 31341
confirmations = 3

[devnet.base.node]
epoch_slots = 4
tip_min = "1000000"
"""
ASSETS = """
[ETH-BASE]
code = "ETH"
name = "Ether (Base)"
network = "base"
decimals = 18

[USDT-BASE]
code = "USDT"
name = "Tether USD (Base)"
network = "base"
decimals = 6
contract = "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2"

[devnet.ETH-BASE]
coffer = "5000"
opening = { alice = "500" }

[devnet.USDT-BASE]
contract = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
coffer = "10000000"
opening = { alice = "1000000", bob = "100" }
"""
POLICY = """
[assets.USDT-BASE]
minimum = "1"
fee = "0.5"
tiers = [{ from = "1000", approvals = 2 }]
account_day_max = "500000"
auto_day_max = "50000"

[assets.ETH-BASE]
minimum = "0.001"
fee = "0.0001"
tiers = [{ from = "0.5", approvals = 2 }]
account_day_max = "250"
auto_day_max = "25"
"""
SIGNER = """
[assets.USDT-BASE]
tiers = [{ from = "1000", approvals = 2 }]
auto_day_max = "60000"

[assets.ETH-BASE]
tiers = [{ from = "0.5", approvals = 2 }]
auto_day_max = "30"

[networks.base]
network_fee_cap = "10000000000000000"
fee_day_max = "3000000000000000000"
"""
ROWS = {"networks": NETWORK, "assets": ASSETS, "policy": POLICY, "signer": SIGNER}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The operator's files with one more network in them."""
    for path in FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_text(path.read_text() + ROWS.get(path.stem, ""))
    return tmp_path


@pytest.fixture
def base(folder: Path, tmp_path: Path, port_base: int) -> Iterator[LocalChain]:
    chain = LocalChain(tmp_path / "state", port_base + 8, 0.2, kept=False, network="base", catalogue=folder)
    try:
        yield chain.start()
    finally:
        chain.stop()


def test_the_rows_are_all_that_settings_catalogue_and_parts_need(folder: Path) -> None:
    settings = Settings(catalogue_dir=folder, port_base=20_000)
    assert "base" in settings.served
    assert settings.node_urls("base") == ("http://127.0.0.1:20030",)
    assert "base_node" in {row.name for row in rows(settings)}
    assert load("production", folder).networks["base"].chain_id == 8453
    every = [port for row in rows(settings) for port in row.ports(settings)]
    assert len(set(every)) == len(every)


async def test_a_seventh_network_is_paid_on(folder: Path, base: LocalChain) -> None:
    catalogue, wallet, recipient = load("devnet", folder), Spender(), Spender().address
    network, usdt = catalogue.networks["base"], catalogue.asset("base", "USDT")
    await fill(base.url, wallet.address, wei=10**18, usdt_units=100_000_000)
    async with open_chain(network, catalogue.assets, [base.url], [wallet.address]) as chain:
        payment = Payment("wd_seventh", usdt.id, "25000000", recipient)
        cap = str(network.fees.network_fee_cap)
        slot = Slot(
            slot_id("base", wallet.address, "0"), "base", wallet.address, "0", (payment,), cap, network.confirmations
        )
        version = sign_evm(await chain.draft(slot, await chain.quote([payment], wallet.address)), 1, wallet.key)
        await chain.broadcast(version)
        base.control(mine=network.confirmations)
        facts = await chain.observe(slot, [version])
        assert facts.used
        [sighting] = facts.sightings
        assert sighting.inclusion is not None
        assert sighting.inclusion.delivered
        assert await chain.balance(usdt, recipient) == Amount(25_000_000, usdt)
    assert await usdt_balance(base.url, recipient) == 25_000_000
