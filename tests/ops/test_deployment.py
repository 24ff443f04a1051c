"""The files that describe production: sound by their schemas, and in step with the code."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.settings import ROOT, WORKER_KINDS, Settings

COMPOSE = ROOT / "docker-compose.temporal.yml"
TELEMETRY = ROOT / "ops" / "telemetry"
DASHBOARDS = sorted((TELEMETRY / "grafana" / "dashboards").glob("*.json"))
SERVER_METRICS = {"up"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return told


def test_the_compose_file_follows_the_specification() -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_worker_kind_is_a_container_and_so_is_the_api(compose: dict[str, Any]) -> None:
    for kind in WORKER_KINDS:
        assert compose["services"][kind]["command"] == ["worker", "run", kind]
    assert compose["services"]["api"]["command"] == ["api"]


def test_the_signer_sees_neither_database_nor_node(compose: dict[str, Any]) -> None:
    signer = compose["services"]["signer"]
    assert not {"database", "nodes"} & set(signer["networks"])
    assert "secrets" not in signer
    assert "ports" not in signer
    assert not any("DATABASE" in name for name in signer["environment"])


def test_what_a_container_refers_to_is_defined(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, row in services.items():
        assert set(row.get("depends_on", ())) <= set(services), name
        assert set(row.get("networks", ())) <= set(compose["networks"]), name
        assert set(row.get("secrets", ())) <= set(compose["secrets"]), name
        for volume in row.get("volumes", ()):
            source = volume.split(":")[0]
            known = (ROOT / source).exists() if source.startswith("./") else source in compose["volumes"]
            assert known, f"{name}: {source}"


def test_no_secret_stands_in_the_file_and_only_loopback_is_published(compose: dict[str, Any]) -> None:
    assert not re.search(r"(?i)password: *[^/{\s]", COMPOSE.read_text())
    for row in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in row.get("ports", ()))


def test_our_containers_can_write_nowhere_but_their_volume(compose: dict[str, Any]) -> None:
    for name in (*WORKER_KINDS, "api", "migrate"):
        assert compose["services"][name]["read_only"] is True
        assert compose["services"][name]["cap_drop"] == ["ALL"]


def test_the_image_is_built_in_stages_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert sum(line.startswith("FROM ") for line in lines) == 2
    user = next(i for i, line in enumerate(lines) if line.startswith("USER 10001"))
    entry = next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    assert user < entry
    rooms = {"domain", "activities", "workflows", "adapters", "workers", "api", "ops"}
    assert rooms <= {line.split()[1] for line in lines if line.startswith("COPY ")}


def test_prometheus_reads_every_process_where_it_serves() -> None:
    jobs = {
        job["job_name"]: job for job in yaml.safe_load((TELEMETRY / "prometheus.yml").read_text())["scrape_configs"]
    }
    ports = Settings.model_construct(port_base=Settings.model_fields["port_base"].default).ports
    workers = {target for row in jobs["workers"]["static_configs"] for target in row["targets"]}
    assert workers == {f"{kind}:{ports.worker_metrics(kind)}" for kind in WORKER_KINDS}
    assert jobs["api"]["static_configs"][0]["targets"] == [f"api:{ports.api}"]


def test_the_collectors_pipelines_use_what_is_defined() -> None:
    config = yaml.safe_load((TELEMETRY / "collector.yaml").read_text())
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_shows_only_what_is_measured(path: Path) -> None:
    """Names of ours stand in the sources; those of the Temporal SDK begin with temporal_."""
    sources = "\n".join(
        file.read_text()
        for room in ("api", "activities", "workflows", "workers")
        for file in (ROOT / room).rglob("*.py")
    )
    board = json.loads(path.read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"]
        for target in panel["targets"]:
            for name in re.findall(r"\b(?:strongroom|temporal)_[a-z_]+|\bup\b", target["expr"]):
                stem = re.sub(r"_(bucket|count|sum|total)$", "", name)
                known = name in SERVER_METRICS or name.startswith("temporal_") or f'"{stem}"' in sources
                assert known, f"{panel['title']}: nobody measures {name}"


def test_dashboards_have_their_own_uid_and_title() -> None:
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert boards
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards)
