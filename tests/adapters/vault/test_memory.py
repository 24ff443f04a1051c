"""The signer's own memory: what it signed and spent outlives every restart, and nothing it holds can be unsaid."""

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.vault.store import Store
from domain.coin import Coin
from domain.errors import Refused, Unavailable
from domain.intent import Intent, Ruling
from domain.payout import Fee
from tests.adapters.vault.desk import ETH, FEE, GWEI, LARGE, NOON, SMALL, USDT, Desk, intent

ROOT = Path(__file__).resolve().parents[3]
AUTO_DAY_MAX_USDT = 60_000 * 10**6
COIN = 10**18


async def test_a_restart_forgets_nothing(desk: Desk) -> None:
    first = await desk.vault.sign(desk.order(intent()))
    desk.restart()
    assert await desk.vault.sign(desk.order(intent())) == first
    assert await refused(desk, intent(2)) == "SIGNER_SLOT_TAKEN"
    assert await refused(desk, intent(1), nonce=1) == "SIGNER_SECOND_SLOT"


async def test_a_withdrawal_id_takes_no_second_slot_under_another_intent(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent(1)))
    assert await refused(desk, intent(1, amount="1000000"), nonce=1) == "SIGNER_SECOND_SLOT"


async def test_a_slot_stays_with_its_withdrawal_even_for_an_equal_payment(desk: Desk) -> None:
    """Same recipient, same amount, same bytes; another withdrawal may not claim that it was paid."""
    await desk.vault.sign(desk.order(intent(1)))
    assert await refused(desk, intent(2)) == "SIGNER_SLOT_TAKEN"


async def test_a_slot_stays_with_its_intent(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent(1)))
    assert await refused(desk, intent(1, account="somebody-else")) == "SIGNER_SLOT_TAKEN"


async def test_the_auto_cap_rolls_over_midnight(desk: Desk) -> None:
    """24 hours are 24 hours, not a calendar day: at 23:00 the cap is spent, at 01:00 it still is."""
    desk.clock.now = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    await spend_all_usdt(desk)
    desk.clock.now = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    desk.restart()
    assert await refused(desk, intent(900, amount="1"), nonce=900) == "SIGNER_AUTO_DAY_CAP"
    desk.clock.now = datetime(2026, 11, 22, 22, 59, 59, tzinfo=UTC)
    assert await refused(desk, intent(900, amount="1"), nonce=900) == "SIGNER_AUTO_DAY_CAP"
    desk.clock.now = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
    assert (await desk.vault.sign(desk.order(intent(900, amount="1"), nonce=900))).number == 1


async def test_the_auto_cap_frees_itself_payment_by_payment(desk: Desk) -> None:
    await spend_all_usdt(desk, every=timedelta(minutes=1))
    desk.clock.now = NOON + timedelta(hours=24)
    await desk.vault.sign(desk.order(intent(901, amount=SMALL), nonce=901))
    assert await refused(desk, intent(902, amount=SMALL), nonce=902) == "SIGNER_AUTO_DAY_CAP"
    desk.clock.pass_(minutes=1)
    await desk.vault.sign(desk.order(intent(902, amount=SMALL), nonce=902))


async def test_a_clock_set_back_frees_nothing(desk: Desk) -> None:
    await spend_all_usdt(desk)
    desk.clock.now = NOON - timedelta(days=365)
    assert await refused(desk, intent(900, amount="1"), nonce=900) == "SIGNER_AUTO_DAY_CAP"


async def test_people_lift_a_small_payment_over_the_auto_cap(desk: Desk) -> None:
    await spend_all_usdt(desk)
    assert await refused(desk, intent(900), nonce=900, approvers=["anna"]) == "SIGNER_AUTO_DAY_CAP"
    await desk.vault.sign(desk.order(intent(900), nonce=900, approvers=["anna", "boris"]))


async def test_what_people_approved_does_not_use_up_the_auto_cap(desk: Desk) -> None:
    for n in range(12):
        await desk.vault.sign(desk.order(intent(n, amount=LARGE), nonce=n, approvers=["anna", "boris"]))
    await desk.vault.sign(desk.order(intent(20), nonce=20))


async def test_each_asset_has_a_cap_of_its_own(desk: Desk) -> None:
    await spend_all_usdt(desk)
    await desk.vault.sign(desk.order(intent(900, asset=ETH, amount=str(COIN // 10)), nonce=900))


async def test_a_bump_is_not_a_second_payment_to_the_cap(desk: Desk) -> None:
    await spend_all_usdt(desk)
    bumped = await desk.vault.sign(desk.order(intent(0, amount=SMALL), nonce=0, fee=priced(45)))
    assert bumped.number == 2


async def test_a_refused_payment_spends_nothing(desk: Desk) -> None:
    for _ in range(3):
        assert await refused(desk, intent(1, amount=str(AUTO_DAY_MAX_USDT)), nonce=1) == "SIGNER_QUORUM"
    await spend_all_usdt(desk)


async def test_fees_nobody_approved_are_capped_too(desk: Desk) -> None:
    """0.03 ETH for a payment of one cent, again and again: whoever drives the signer could feed it to a miner."""
    fat = Fee(100_000, 300 * GWEI, 300 * GWEI)
    codes = [await refused(desk, intent(n, amount="10000"), nonce=n, fee=fat) for n in range(400)]
    affordable = 10 * COIN // (3 * COIN // 100)
    assert codes == [""] * affordable + ["SIGNER_FEE_DAY_CAP"] * (400 - affordable)
    assert await refused(desk, intent(0, amount="10000"), nonce=0, fee=fat) == "", "what was signed stays signed"


async def test_only_the_dearest_version_of_a_slot_counts_as_fee(desk: Desk) -> None:
    for price in (100, 200, 300, 250):
        await desk.vault.sign(desk.order(intent(), fee=Fee(100_000, price * GWEI, GWEI)))
    rows = sqlite3.connect(desk.home / "memory.sqlite3").execute(
        "SELECT meter FROM spend WHERE purse = 'fee/ethereum' ORDER BY number DESC LIMIT 1"
    )
    assert int(rows.fetchone()[0]) == 3 * COIN // 100


async def test_a_slot_has_an_end_of_versions(desk: Desk) -> None:
    codes = [await refused(desk, intent(), fee=Fee(FEE.weight, GWEI + n, GWEI)) for n in range(103)]
    assert codes == [""] * 100 + ["SIGNER_VERSIONS_FULL"] * 3
    assert await refused(desk, intent(), fee=Fee(FEE.weight, GWEI, GWEI)) == "", "what was signed stays signed"


@pytest.mark.parametrize("table", ["slot", "withdrawal", "version", "spend", "rejection", "refusal"])
async def test_the_memory_itself_refuses_to_change_or_forget(desk: Desk, table: str) -> None:
    order = desk.order(intent())
    await desk.vault.sign(order)
    await refused(desk, intent(2))
    no = desk.people.decide("anna", intent(3), Ruling.REJECT)
    rejected = desk.order(intent(3), nonce=3)
    rejected = dataclasses.replace(rejected, items=(dataclasses.replace(rejected.items[0], decisions=(no,)),))
    with pytest.raises(Refused, match="SIGNER_REJECTED"):
        await desk.vault.sign(rejected)
    memory = sqlite3.connect(desk.home / "memory.sqlite3")
    column = memory.execute(f"SELECT name FROM pragma_table_info('{table}') LIMIT 1").fetchone()[0]  # noqa: S608
    for command in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"):  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError, match="forgets nothing"):
            memory.execute(command)


async def test_the_memory_is_for_the_signer_alone(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    assert desk.home.stat().st_mode & 0o777 == 0o700
    for file in desk.home.glob("memory.sqlite3*"):
        assert file.stat().st_mode & 0o777 == 0o600, file.name


def test_a_directory_others_may_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(Refused, match="SIGNER_STORE_EXPOSED"):
        Store.open(tmp_path / "memory.sqlite3", create=True)


def test_a_lost_memory_is_never_replaced_by_an_empty_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(Refused, match="SIGNER_STORE_MISSING"):
        Store.open(tmp_path / "memory.sqlite3")
    assert not (tmp_path / "memory.sqlite3").exists()


def test_a_damaged_memory_opens_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "memory.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(Unavailable, match="SIGNER_STORE_UNAVAILABLE"):
        Store.open(tmp_path / "memory.sqlite3")


async def test_two_signer_processes_on_one_memory_sign_a_slot_once(desk: Desk) -> None:
    """A rolling update may overlap: the second process sees what the first has written."""
    other = Desk(desk.home)
    try:
        first = await desk.vault.sign(desk.order(intent(1)))
        assert await other.vault.sign(desk.order(intent(1))) == first
        with pytest.raises(Refused, match="SIGNER_SECOND_SLOT"):
            await other.vault.sign(desk.order(intent(1), nonce=1))
    finally:
        other.vault.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from adapters.vault import store, vault
from tests.adapters.vault.desk import Desk, intent

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv[2]
if where == "before it is stored":
    store.Page.keep = die
elif where == "stored but not committed":
    keep = store.Page.keep
    store.Page.keep = lambda page, *words: (keep(page, *words), die())
else:
    judge = vault.SigningVault._judge_and_sign
    vault.SigningVault._judge_and_sign = lambda self, order, now: (judge(self, order, now), die())

desk = Desk(Path(sys.argv[1]))
asyncio.run(desk.vault.sign(desk.order(intent())))
"""


@pytest.mark.parametrize("where", ["before it is stored", "stored but not committed", "committed but not returned"])
async def test_kill_9_gives_the_same_bytes_afterwards(tmp_path: Path, where: str) -> None:
    Desk(tmp_path).vault.close()
    run = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-c", KILLED, str(tmp_path), where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    (tmp_path / "never killed").mkdir()
    untouched, after = Desk(tmp_path / "never killed"), Desk(tmp_path)
    try:
        version = await after.vault.sign(after.order(intent()))
        assert version.number == 1
        assert version.raw == (await untouched.vault.sign(untouched.order(intent()))).raw
        assert await refused(after, intent(1), nonce=1) == "SIGNER_SECOND_SLOT"
    finally:
        after.vault.close()
        untouched.vault.close()


def priced(gwei: int) -> Fee:
    return Fee(FEE.weight, gwei * GWEI, 3 * GWEI)


async def spend_all_usdt(desk: Desk, every: timedelta = timedelta()) -> None:
    """A hundred payments of 500 USDT, the 50 000 that the signer lets pass without people."""
    for n in range(AUTO_DAY_MAX_USDT // int(SMALL)):
        await desk.vault.sign(desk.order(intent(n, amount=SMALL, asset=USDT), nonce=n))
        desk.clock.now += every


async def refused(desk: Desk, of: Intent, nonce: int = 0, fee: Fee = FEE, approvers: Sequence[str] = ()) -> str:
    """The code an order is refused with; empty when it is signed."""
    try:
        await desk.vault.sign(desk.order(of, nonce, fee, approvers))
    except Refused as refusal:
        return refusal.code
    return ""


# ---------------------------------------------------------------- memories of other releases
def test_a_memory_from_before_coins_were_remembered_is_widened_with_all_it_knows(desk: Desk) -> None:
    desk.vault.close()
    path = desk.home / "memory.sqlite3"
    with sqlite3.connect(path) as db:
        db.executescript("DROP TABLE coin; PRAGMA user_version = 0;")
        db.execute("INSERT INTO slot VALUES ('s', 'p', '{}', 0)")
    db.close()
    store = Store.open(path)
    with store.page() as page:
        assert page.bind("s", "p", {}, NOON) is False, "what it knew is still there"
        page.take("s", [Coin("aa:0", "5")])
    with pytest.raises(Refused, match="SIGNER_COIN_TAKEN"), store.page() as page:
        page.take("t", [Coin("aa:0", "5")])
    store.close()
    desk.open()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT outpoint FROM coin").fetchall() == [("aa:0",)]
        with pytest.raises(sqlite3.IntegrityError, match="forgets nothing"):
            db.execute("DELETE FROM coin")
    db.close()


def test_a_coin_that_is_worth_something_else_now_is_refused(desk: Desk) -> None:
    store = desk.vault._store
    with store.page() as page:
        page.bind("s", "p", {}, NOON)
        page.take("s", [Coin("aa:0", "5")])
        page.take("s", [Coin("aa:0", "5")])
    with pytest.raises(Refused, match="SIGNER_COIN_TAKEN"), store.page() as page:
        page.take("s", [Coin("aa:0", "6")])


def test_a_memory_that_a_later_release_wrote_is_not_touched(desk: Desk) -> None:
    path = desk.home / "memory.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Refused, match="SIGNER_STORE_NEWER"):
        Store.open(path)
