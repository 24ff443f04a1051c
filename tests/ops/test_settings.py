"""What an operator may set: where it is read from, what it means, and that mistakes are named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters.catalogue import FOLDER, load
from adapters.settings import ROOT, Settings, unknown_variables
from domain.errors import Refused, Unavailable
from ops.cli.env_example import text
from ops.devnet.parts import rows


def test_env_example_is_what_the_model_says() -> None:
    assert (ROOT / ".env.example").read_text() == text(), "run: strongroom config example --write .env.example"


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_a_secret_may_come_from_a_file_and_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql+asyncpg://me:hush@db.example/name\n")
    monkeypatch.setenv("STRONGROOM_DATABASE_URL_FILE", str(path))
    settings = Settings()
    assert settings.dsn == "postgresql://me:hush@db.example/name"
    assert settings.sqlalchemy_url == "postgresql+asyncpg://me:hush@db.example/name"
    assert not settings.starts_postgres
    assert "hush" not in repr(settings)


def test_a_secret_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_DATABASE_URL_FILE", "/no/such/file")
    with pytest.raises(Refused, match="/no/such/file") as caught:
        Settings()
    assert caught.value.code == "CONFIG_INVALID"


def test_temporals_own_variables_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "back-office")
    settings = Settings()
    assert (settings.temporal_target, settings.temporal_namespace) == ("temporal.example:7233", "back-office")
    assert not settings.starts_temporal


def test_nodes_are_given_per_network_and_none_is_then_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_NODES__ETHEREUM", "http://a, http://b")
    settings = Settings()
    assert settings.node_urls("ethereum") == ("http://a", "http://b")
    assert not settings.starts_chain("ethereum")


def test_production_has_no_nodes_of_its_own() -> None:
    settings = Settings(profile="production")
    assert not settings.starts_chain("ethereum")
    with pytest.raises(Unavailable, match="STRONGROOM_NODES__ETHEREUM"):
        settings.node_urls("ethereum")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STRONGROOM_PORT_BASE", "80"),
        ("STRONGROOM_PROFILE", "staging"),
        ("STRONGROOM_NODES__ETHERIUM", "http://a"),
        ("STRONGROOM_NETWORKS", "ethereum,etherium"),
        ("STRONGROOM_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()


def test_a_misspelt_variable_is_found() -> None:
    environ = {
        "STRONGROOM_PORT_BSE": "1",
        "STRONGROOM_PORT_BASE": "1",
        "STRONGROOM_NODES__ETHEREUM": "x",
        "STRONGROOM_DATABASE_URL_FILE": "x",
        "HOME": "x",
    }
    assert unknown_variables(environ) == ["STRONGROOM_PORT_BSE"]


def test_a_child_process_gets_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        state_dir=tmp_path,
        port_base=20_000,
        database_url="postgresql://u:p@h/d",  # type: ignore[arg-type]
        nodes={"ethereum": ("http://a", "http://b")},
        networks=("ethereum", "bsc"),
        temporal_tls=True,
        block_time_s=0,
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_no_two_parts_share_a_port() -> None:
    settings = Settings(port_base=20_000)
    every = [port for row in rows(settings) for port in row.ports(settings)]
    assert len(set(every)) == len(every)
    assert max(every) < 20_050


def test_only_the_networks_that_were_asked_for_are_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_NETWORKS", "tron, polygon")
    settings = Settings()
    assert settings.served == ("polygon", "tron")
    assert settings.starts_chain("polygon")
    assert not settings.starts_chain("ethereum")
    assert Settings.on("bsc").served == ("bsc",)
    assert Settings.on(None).served == ("polygon", "tron")


def test_without_a_word_all_networks_are_worked_on() -> None:
    assert Settings().served == tuple(load("devnet").networks)


def test_a_network_without_a_local_node_is_told_how_to_get_one(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_text(path.read_text().replace("ports = [20, 21]\n", ""))
    settings = Settings(catalogue_dir=tmp_path)
    with pytest.raises(Refused, match=r"\[devnet.polygon\]"):
        settings.node_urls("polygon")
