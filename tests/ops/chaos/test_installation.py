"""An installation to be broken is quick, and keeps the finality of what it stands for."""

from pathlib import Path

import pytest

from adapters.catalogue import FOLDER, load, read_rows
from adapters.settings import Settings
from domain.errors import Refused
from ops.chaos.installation import BRISK, Pace, catalogue_of, settings_for, terrain
from ops.chaos.run import schedule_for

USUAL = load("devnet")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(
        Settings(port_base=19_420), tmp_path, Pace(block_s=0.25, bump_after_s=1, window_s=4, batch_wait_s=1)
    )


@pytest.mark.parametrize("network", sorted(USUAL.networks))
def test_the_pace_changes_and_finality_does_not(network: str, settings: Settings) -> None:
    quick, usual = catalogue_of(settings).networks[network], USUAL.networks[network]
    assert (quick.block_time_ms, quick.fees.bump_after_s) == (250, 1)
    assert quick.window_s == (4 if usual.window_s else 0)
    assert quick.batch_wait_s == (1 if usual.batch_wait_s else 0)
    assert (quick.confirmations, quick.tiers) == (usual.confirmations, usual.tiers)


def test_it_is_away_from_the_installation_it_was_called_from(settings: Settings, tmp_path: Path) -> None:
    assert settings.state_dir == tmp_path / "state"
    assert settings.port_base == 19_420


@pytest.mark.parametrize("network", sorted(USUAL.networks))
def test_no_reorg_reaches_what_is_final(network: str) -> None:
    terms = terrain(USUAL, network)
    assert 1 <= terms.reorg_max < USUAL.networks[network].confirmations
    assert terms.coins[-1].code == USUAL.native(network).code
    assert len(terms.coins) == sum(asset.network == network for asset in USUAL.assets.values())
    assert terms.has_issuer is any(a.contract for a in USUAL.assets.values() if a.network == network)


def test_a_network_that_is_not_there_is_named() -> None:
    with pytest.raises(Refused, match="etherium"):
        schedule_for(1, ["etherium"], 1, 5, Settings())


def test_the_storm_is_quick_enough_to_sign_anew_within_a_minute() -> None:
    assert BRISK.window_s < 60


def test_a_wallet_of_coins_has_few_of_them_and_owes_no_more_than_it_has(settings: Settings) -> None:
    catalogue = catalogue_of(settings)
    rows = read_rows(settings.catalogue_dir / "assets.toml", "devnet")
    for network in catalogue.networks.values():
        row, usual = rows[network.native_asset], read_rows(FOLDER / "assets.toml", "devnet")[network.native_asset]
        if network.inputs_max:
            assert sum(map(int, row["opening"].values())) < int(row["coffer"]) < network.in_flight_max
        else:
            assert row == usual
