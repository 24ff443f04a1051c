"""Rules that matter, as tests that explain themselves. The floors themselves are held by import-linter."""

import ast
import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from adapters.catalogue import load

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("domain", "activities", "workflows", "adapters", "workers", "api", "ops")
MONEY_ROOMS = ("domain", "activities", "workflows", "adapters/store", "adapters/vault", "adapters/chains", "api")
BANNED_WORDS = ("manager", "service", "helper", "util", "utils", "handler", "processor", "info", "common", "misc")


def sources(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    assert found, f"no sources under {rooms}"
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_imported_from_this_repository(room: str) -> None:
    """Foreign packages named `ops` and `workflows` exist."""
    module = importlib.import_module(room)
    assert Path(str(module.__file__)).is_relative_to(ROOT), f"{room} was imported from {module.__file__}"


def test_money_is_never_a_float() -> None:
    floats = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(*MONEY_ROOMS)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "float"
        and any(word in ast.unparse(node).lower() for word in ("amount", "units", "balance", "fee", "price"))
    ]
    assert not floats, f"{floats}: money is Amount, never float; see docs/style.md, rule 2"


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [
        str(path.relative_to(ROOT))
        for path in sources(*ROOMS)
        if any(word in path.stem.split("_") for word in BANNED_WORDS)
    ]
    assert not vague, f"{vague}: name what it is, not that it is something; see docs/architecture.md, Names"


def test_no_code_knows_a_network_by_its_name() -> None:
    """A name may be an example or the default of an option; a family (a key of the registries) may bear one too, and a
    benchmark names the one workload that it measures.
    """
    rooms = [path for path in sources(*ROOMS) if not path.is_relative_to(ROOT / "ops" / "bench")]
    networks = load("production").networks
    families = {network.family for network in networks.values()}
    knowing = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}"
        for path in rooms
        for node in names_in_code(ast.parse(path.read_text()))
        if node.value in networks and node.value not in families
    ]
    compared = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in rooms
        for compare in ast.walk(ast.parse(path.read_text()))
        if isinstance(compare, ast.Compare | ast.match_case)
        for node in ast.walk(compare)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in {*networks, *families}
    ]
    assert not knowing + compared, (
        f"{knowing + compared}: what differs between networks is a row of ops/networks.toml, what differs between "
        "families a row of a registry; see docs/decisions/0005-a-seventh-network.md"
    )


def names_in_code(tree: ast.Module) -> list[ast.Constant]:
    """The strings of a module that are neither examples nor defaults of arguments."""
    spared: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("examples", "example"):
            spared |= set(ast.walk(node.value))
        if isinstance(node, ast.arguments):
            spared |= {
                inner for default in (*node.defaults, *node.kw_defaults) if default for inner in ast.walk(default)
            }
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in spared
    ]


def test_a_broad_except_never_swallows_in_silence() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(*ROOMS)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(line, ast.Pass) for line in node.body)
    ]
    assert not silent, f"{silent}: an error nobody hears of is a lost withdrawal; name it, or log what you do about it"


def test_no_workflow_loads_the_modules_beside_it_anew_for_each_run() -> None:
    """`from workflows import letters` does, passed through or not; `import workflows.letters as letters` does not."""
    anew = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("workflows")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "workflows"
    ]
    assert not anew, f"{anew}: the sandbox executes such a module for each run, which costs more than the run itself"


@pytest.mark.parametrize(("rooms", "groups"), [(ROOMS[:-1], ()), (ROOMS[-1:], ("devnet",))])
def test_nothing_is_imported_that_an_installation_for_use_does_not_have(
    rooms: tuple[str, ...], groups: tuple[str, ...]
) -> None:
    """A package that only the tests bring stands on every machine of ours and on no other."""
    owners = packages_distributions()
    installed = closure(*groups)
    strange = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(*rooms)
        for name in imported(ast.parse(path.read_text()))
        if name not in sys.stdlib_module_names
        and name not in ROOMS
        and not installed & {owner.lower().replace("_", "-") for owner in owners.get(name, ())}
    }
    assert not strange, f"{sorted(strange)}: name the package in pyproject.toml, among what runs"


def imported(tree: ast.Module) -> set[str]:
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    taken = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in plain | taken}


def closure(*groups: str) -> set[str]:
    """The distributions that the lock file puts on a machine without the developers' own."""
    locked = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    ours = locked["strongroom"]
    wanted = [*ours["dependencies"], *(row for group in groups for row in ours["dev-dependencies"][group])]
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    while wanted:
        row = wanted.pop()
        package = locked[row["name"]]
        for part in ("", *row.get("extra", ())):
            if (row["name"], part) not in seen:
                seen.add((row["name"], part))
                wanted += package["optional-dependencies"][part] if part else package.get("dependencies", [])
        found.add(row["name"])
    return found


def test_the_tests_use_no_mock_library() -> None:
    mocks = [
        str(path.relative_to(ROOT))
        for path in sources("tests")
        if path != Path(__file__).resolve()
        and any(f"{word}" in path.read_text() for word in ("unittest.mock", "MagicMock", "AsyncMock", "mocker."))
    ]
    assert not mocks, (
        f"{mocks}: a fake is a small true implementation held to the contract suite; see docs/style.md, rule 15"
    )


def test_the_floors_hold() -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
