"""The program of the local Bitcoin: found by the machine's own apt lists, fetched once, refused in one line."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import Unavailable
from ops.devnet.bitcoin import mirrors, package
from ops.devnet.bitcoin.mirrors import Mirror, deb822, one_line

ROOT = Path(package.__file__).resolve().parents[3]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

ONE_LINE = f"""
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by={KEYRING}] http://one.example/debian bookworm main contrib # ours
deb http://one.example/debian bookworm-updates main
deb-src http://source.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
deb https://vendor.example/apt stable-ish main
deb [trusted=yes] http://two.example/debian trixie-backports main
deb http://ubuntu.example/ubuntu noble main
deb http://parts.example/debian bookworm contrib
"""

DEB822 = f"""# a comment
Types: deb deb-src
URIs: http://three.example/debian mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm
 bookworm-updates
Components: main non-free-firmware
Signed-By: {KEYRING}

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://key.example/debian
Suites: sid
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAAA
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_mirrors_are_read_from_the_one_line_style() -> None:
    assert list(one_line(ONE_LINE)) == [
        Mirror("http://one.example/debian", KEYRING),
        Mirror("http://one.example/debian"),
        Mirror("http://two.example/debian", trusted=True),
    ]


def test_mirrors_are_read_from_deb822_with_their_keys() -> None:
    first, listed, keyed = deb822(DEB822)
    assert (first, listed) == (
        Mirror("http://three.example/debian", KEYRING),
        Mirror("mirror+file:/etc/apt/mirrors/debian.list", KEYRING),
    )
    assert keyed.uri == "http://key.example/debian"
    assert list(deb822(keyed.sources(("sid",)))) == [keyed], "a key in the stanza is handed on as it stands"


def test_each_mirror_counts_once_and_files_that_are_none_of_apts_do_not(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (parts / "debian.sources").write_text(DEB822)
    (parts / "old.list.save").write_text("deb http://saved.example/debian bookworm main\n")
    (parts / "again.list").write_text("deb http://one.example/debian bookworm main\n")
    assert [mirror.uri.split("//")[-1] for mirror in mirrors.mirrors(tmp_path)] == [
        "one.example/debian",
        "two.example/debian",
        "three.example/debian",
        "mirror+file:/etc/apt/mirrors/debian.list",
        "key.example/debian",
    ]
    assert mirrors.mirrors(tmp_path / "nowhere") == []


def test_a_program_given_by_the_operator_is_used_and_a_wrong_one_named(tmp_path: Path) -> None:
    mine = tmp_path / "bitcoind"
    with pytest.raises(Unavailable, match="is no program"):
        package.bitcoind(mine)
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    assert package.bitcoind(mine) == mine


def test_where_none_can_be_had_one_line_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "occupied").write_text("")
    for name, value in (("PATH", "/nonexistent"), ("machine", "riscv64"), ("folder", "occupied/x")):
        with monkeypatch.context() as patched:
            if name == "PATH":
                patched.setenv(name, value)
            elif name == "machine":
                patched.setattr(platform, "machine", lambda value=value: value)
            with pytest.raises(Unavailable) as caught:
                package.bitcoind(folder=tmp_path / (value if name == "folder" else "cache"))
        assert caught.value.code == "BITCOIND_MISSING"
        assert package.VARIABLE in caught.value.message
        assert "\n" not in caught.value.message


# A loader and a bitcoind that only say their version, in the place where the package has them.
PACKED = """#!/bin/sh
case "$1" in
--extract) lib=$3/usr/lib/x86_64-linux-gnu; mkdir -p "$lib" "$3/usr/bin"
           printf '#!/bin/sh\\necho version\\n' > "$lib/ld-linux-x86-64.so.2"; chmod +x "$lib/ld-linux-x86-64.so.2" ;;
--field) echo 30.1-1 ;;
esac
"""
# An apt that has the package in forky only, and writes down what it was asked for.
APT = """#!/bin/sh
apt=$(dirname "$APT_CONFIG")
field() { sed -n "s/^$1: //p" "$apt/sources/debian.sources"; }
echo "$1" "$(field URIs)" "$(field Suites)" >> "$LOG"
[ "$1" = install ] || exit 0
sleep 0.3
grep -q forky "$apt/sources/debian.sources" || { echo 'E: Unable to locate package bitcoin-knots' >&2; exit 100; }
touch "$apt/cache/archives/bitcoin-knots_30.1-1_amd64.deb" "$apt/cache/archives/libc6_2.42_amd64.deb"
"""
CALL = """
import sys
from pathlib import Path
from ops.devnet.bitcoin import package
print(package.bitcoind(etc=Path(sys.argv[1]), folder=Path(sys.argv[2])))
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="only there it is fetched")
def test_two_processes_fetch_it_once_from_the_first_release_that_has_it(tmp_path: Path) -> None:
    programs, etc, cache, log = (tmp_path / name for name in ("bin", "etc", "cache", "log"))
    programs.mkdir()
    etc.mkdir()
    (etc / "sources.list").write_text("deb http://one.example/debian bookworm main\n")
    for name, text in (("apt-get", APT), ("dpkg-deb", PACKED), ("apt-config", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    torn = cache / "draft" / "ready"  # what an interrupted fetch left
    torn.mkdir(parents=True)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LOG": str(log)}
    words = (sys.executable, "-c", CALL, str(etc), str(cache))
    both = [
        subprocess.Popen(words, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert {out.strip() for out, _ in said} == {str(cache / "knots" / "bitcoind")}
    told = "".join(err for _, err in said)
    assert told.count("bitcoin-knots 30.1-1 of Debian forky") == 1, told
    asked = [line.split(maxsplit=2) for line in log.read_text().splitlines()]
    assert [(word, suites) for word, _, suites in asked] == [
        ("update", "trixie trixie-backports"),
        ("install", "trixie trixie-backports"),
        ("update", "forky"),
        ("install", "forky"),
    ]
    assert {uri for _, uri, _ in asked} == {"http://one.example/debian"}
    assert not (cache / "draft").exists()
    shutil.rmtree(cache)
