"""What an operator may set: where it is read from, what it means, and that mistakes are named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters.settings import ROOT, WORKER_KINDS, Settings, unknown_variables
from domain.errors import Refused, Unavailable
from ops.cli.env_example import text


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
        temporal_tls=True,
        block_time_s=0,
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_no_two_parts_share_a_port() -> None:
    ports = Settings(port_base=20_000).ports
    named = (ports.postgres, ports.temporal, ports.temporal_ui, ports.anvil, ports.node_proxy, ports.api)
    all_of_them = [*named, ports.temporal_http, ports.temporal_metrics, *map(ports.worker_metrics, WORKER_KINDS)]
    assert len(set(all_of_them)) == len(all_of_them)
    assert max(all_of_them) < 20_020
