"""Keys at rest, and the canary: no key and no passphrase is ever seen in a log, an error, a repr or a traceback."""

import asyncio
import gc
import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from adapters.vault import keystore_file, memory_file, open_vault, passphrase_file, roster_file
from adapters.vault.keystore import (
    SCRYPT_N_KNOWN_KEY,
    SigningKey,
    account_in,
    new_secret,
    open_keystore,
    read_passphrase,
    write_keystore,
)
from adapters.vault.store import Store
from domain.errors import Refused
from tests.adapters.vault.desk import NETWORK, SECRET, THIEF, WALLET, Desk, intent

PASSPHRASE = "canary-canary-canary"
# Web3 Secret Storage, test vectors: scrypt.
VECTOR = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "p": 8,
            "r": 1,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
VECTOR_SECRET = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A signer's directory as `wallet import` leaves it."""
    tmp_path.chmod(0o700)
    write_keystore(keystore_file(tmp_path, NETWORK), SECRET, PASSPHRASE, SCRYPT_N_KNOWN_KEY)
    passphrase_file(tmp_path).write_text(PASSPHRASE + "\n")
    passphrase_file(tmp_path).chmod(0o600)
    Store.open(memory_file(tmp_path), create=True).close()
    return tmp_path


def test_the_published_vector_opens(tmp_path: Path) -> None:
    path = tmp_path / "vector.json"
    path.write_text(json.dumps(VECTOR))
    path.chmod(0o600)
    assert open_keystore(path, "testpassword").address == SigningKey(VECTOR_SECRET).address


def test_a_keystore_opens_with_its_passphrase_only(home: Path) -> None:
    path = keystore_file(home, NETWORK)
    assert open_keystore(path, PASSPHRASE).address == WALLET
    assert account_in(path) == SigningKey(SECRET).account
    with pytest.raises(Refused, match="PASSPHRASE_WRONG"):
        open_keystore(path, PASSPHRASE + "x")


def test_a_key_is_never_overwritten(home: Path) -> None:
    before = keystore_file(home, NETWORK).read_bytes()
    with pytest.raises(Refused, match="KEYSTORE_EXISTS"):
        write_keystore(keystore_file(home, NETWORK), new_secret(), PASSPHRASE, SCRYPT_N_KNOWN_KEY)
    assert keystore_file(home, NETWORK).read_bytes() == before


def test_a_keystore_is_for_its_owner_alone(home: Path) -> None:
    path = keystore_file(home, NETWORK)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(Refused, match="KEYSTORE_EXPOSED"):
        open_keystore(path, PASSPHRASE)


def test_a_passphrase_everybody_can_read_is_refused(home: Path) -> None:
    passphrase_file(home).chmod(0o644)
    with pytest.raises(Refused, match="PASSPHRASE_EXPOSED"):
        read_passphrase(passphrase_file(home))


def test_a_short_passphrase_protects_nothing(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="PASSPHRASE_SHORT"):
        write_keystore(tmp_path / "k.json", new_secret(), "short", SCRYPT_N_KNOWN_KEY)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 3}', '{"version": 1, "crypto": {}}', "\x00"])
def test_what_is_no_keystore_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Refused, match=r"KEYSTORE_UNREADABLE|PASSPHRASE_WRONG"):
        open_keystore(path, PASSPHRASE)


async def test_the_signer_opens_its_directory_and_signs(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    async with open_vault(home, "devnet") as vault:
        assert vault.address(NETWORK) == WALLET
        assert (await vault.sign(desk.order(intent()))).number == 1
    desk.vault.close()


async def test_the_passphrase_file_may_be_named_by_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = home / "elsewhere"
    passphrase_file(home).rename(elsewhere)
    monkeypatch.setenv("STRONGROOM_SIGNER_PASSPHRASE_FILE", str(elsewhere))
    async with open_vault(home, "devnet") as vault:
        assert vault.address(NETWORK) == WALLET


async def test_a_signer_without_its_memory_does_not_start(home: Path) -> None:
    memory_file(home).unlink()
    with pytest.raises(Refused, match="SIGNER_STORE_MISSING"):
        async with open_vault(home, "devnet"):
            pass


async def test_a_signer_without_a_key_does_not_start(home: Path) -> None:
    keystore_file(home, NETWORK).unlink()
    with pytest.raises(Refused, match="KEYSTORE_MISSING"):
        async with open_vault(home, "devnet"):
            pass


async def test_a_roster_that_others_may_write_is_not_trusted(home: Path) -> None:
    roster_file(home).write_text("")
    roster_file(home).chmod(0o666)
    with pytest.raises(Refused, match="SIGNER_ROSTER_EXPOSED"):
        async with open_vault(home, "devnet"):
            pass


def test_opening_a_keystore_leaves_the_recursion_limit_as_it_was(home: Path) -> None:
    """A library under the keystore's raises it a hundredfold when loaded; nested JSON then crashes the process."""
    program = (
        "import sys; from pathlib import Path; from adapters.vault.keystore import open_keystore;"
        f"open_keystore(Path({str(keystore_file(home, NETWORK))!r}), {PASSPHRASE!r}); print(sys.getrecursionlimit())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) == 1000


async def test_no_secret_is_ever_seen(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Signs, refuses and fails in every way at hand, and looks through all that was said: locals of frames too."""
    caplog.set_level(logging.DEBUG)
    heard = [repr(SigningKey(SECRET)), str(vars(type(SigningKey(SECRET))))]
    desk_home = home / "desk"
    desk_home.mkdir()
    desk = Desk(desk_home)
    async with open_vault(home, "devnet") as vault:
        heard += [repr(vault), repr(vars(vault))]
        for order in (desk.order(intent()), desk.order(intent(2)), desk.order(intent(3, recipient=THIEF), nonce=5)):
            try:
                heard.append(repr(await vault.sign(order)))
            except Refused as refusal:
                heard.append(told(refusal))
        vault._store.close()
        try:
            await vault.sign(desk.order(intent(4), nonce=9))
        except Exception as error:
            heard.append(told(error))
    desk.vault.close()

    for spoil in (
        lambda: passphrase_file(home).write_text(PASSPHRASE + "-wrong"),
        lambda: keystore_file(home, NETWORK).write_text(json.dumps({**VECTOR, "crypto": {}})),
        lambda: passphrase_file(home).chmod(0o644),
    ):
        spoil()
        try:
            async with open_vault(home, "devnet"):
                pass
        except Exception as error:
            heard.append(told(error))
    try:
        await asyncio.to_thread(write_keystore, keystore_file(home, NETWORK), SECRET, PASSPHRASE, SCRYPT_N_KNOWN_KEY)
    except Refused as refusal:
        heard.append(told(refusal, locals_=False))  # the caller of this one holds the secret anyway

    everything = "\n".join([*heard, *remembered(home), caplog.text, *(repr(vars(r)) for r in caplog.records)])
    assert len(heard) >= 9
    for canary in canaries():
        assert canary not in everything


def told(error: BaseException, *, locals_: bool = True) -> str:
    """All that a traceback with locals would show of our own frames, causes and contexts included."""
    seen: list[str] = []
    while error is not None:
        whole = traceback.TracebackException.from_exception(error, capture_locals=locals_)
        seen.append(f"{error!r} {error} {getattr(error, 'facts', '')}")
        seen += [
            f"{f.name} {f.locals}" for f in whole.stack if "/adapters/" in f.filename and "/tests/" not in f.filename
        ]
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    gc.collect()
    return "\n".join(seen)


def remembered(home: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in home.rglob("memory.sqlite3*")]


def canaries() -> list[str]:
    number = int.from_bytes(SECRET, "big")
    return [PASSPHRASE, SECRET.hex(), SECRET.hex()[2:20], str(number), repr(SECRET)[2:-1], SECRET.decode("latin-1")]
