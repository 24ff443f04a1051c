"""A stranger with the wallet's key takes a coin of a batch: two people give its slot up, parts die while they do, and
each recipient is paid once by the node's own count.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

import base58
import pytest
from eth_account import Account

from adapters.crash import order_for
from adapters.settings import Settings
from adapters.vault import keystore_file, passphrase_file
from adapters.vault.keystore import read_passphrase
from domain.crash_points import ORDERED, CrashPoint
from domain.payout import Slot
from domain.procedure import Kind
from domain.withdrawal import Stage
from ops.chaos import evidence, verdict
from ops.chaos.desk import Desk
from ops.chaos.installation import Pace
from ops.chaos.people import CLIENT, Asked
from ops.chaos.run import House, house
from ops.chaos.schedule import Event, Harm, People, What
from ops.chaos.witness import BitcoinWitness
from ops.demo.story import fresh_address

PORT_BASE = 20090
PATIENCE_S = 60
PACE = Pace(block_s=0.25, bump_after_s=30, window_s=4, batch_wait_s=1)
TAKEN = Decimal("0.4")  # BTC that the stranger moves; the rest of the coin is the miner's
NETWORK, BTC = "bitcoin", "BTC-BITCOIN"

pytestmark = pytest.mark.timeout(300)


async def test_a_batch_whose_coin_a_stranger_took_is_paid_once_from_other_coins_whoever_dies_meanwhile() -> None:
    async with house(Settings(port_base=PORT_BASE), [NETWORK], PACE, crash_at=ORDERED) as there:
        crowd, desk = there.crowd("stranger"), Desk(there.settings, there.store.views, there.temporal)
        before = await there.store.views.balances(CLIENT)
        await there.terrors[NETWORK].harm({Harm.SWALLOW.value: 1.0})
        asked = await asyncio.gather(*(crowd.withdraw(Event(0, What.WITHDRAW, NETWORK, words(n))) for n in range(2)))
        await until(lambda: stand_at(there, Stage.BROADCAST, asked), "both sent")
        slot = await the_slot(there)
        assert len(slot.payments) == 2, "they are paid together"

        stranger = await somebody_else_spends(there, slot)
        await until(lambda: is_halted(there, stranger), "the wallet halted by the stranger's name")
        await death(there, CrashPoint.PROCEDURE_TAKEN, desk.carry_out(Kind.REPLAN, NETWORK, slot.id, stranger))
        assert await stand_at(there, Stage.QUEUED, asked)
        await there.terrors[NETWORK].harm({})
        [wallet] = await there.store.views.wallets()
        subject = f"{NETWORK}/{wallet.address.lower()}"
        await death(
            there, CrashPoint.SIGNATURE_KEPT, desk.carry_out(Kind.RESUME, NETWORK, subject, wallet.halted or "")
        )
        await until(lambda: stand_at(there, Stage.SETTLED, asked), "both paid")

        found = await evidence.gather(asked, there.terrors, there.catalogue, there.store.views, there.temporal, before)
        assert [verdict.judge_row(row)[0] for row in found.rows] == ["once", "once"]
        assert [paid.txid for paid in found.unasked] == [stranger]
        assert (found.open, found.broken, set(found.sums.values())) == ({}, {}, {"0"})
        lost = Decimal(slot.inputs[0].units).scaleb(-8)
        assert Decimal(found.differences[BTC]) == -lost, "what the stranger took, and nothing else"


def words(n: int) -> dict[str, object]:
    return {"n": n, "asset": "BTC", "amount": "0.001", "people": People.NOTHING.value, "after_s": 0}


async def somebody_else_spends(there: House, slot: Slot) -> str:
    """Whoever has the key moves the slot's first coin, past our node's door; the txid."""
    home, node = there.settings.state_dir / "signer", there.terrors[NETWORK].witness
    assert isinstance(node, BitcoinWitness)
    secret = bytes(Account.decrypt(keystore_file(home, NETWORK).read_text(), read_passphrase(passphrase_file(home))))
    txid, _, vout = slot.inputs[0].outpoint.partition(":")
    elsewhere = fresh_address(there.catalogue.networks[NETWORK], "elsewhere", 1)
    raw = await node.ask("createrawtransaction", [{"txid": txid, "vout": int(vout)}], {elsewhere: str(TAKEN)})
    wif = base58.b58encode_check(b"\xef" + secret + b"\x01").decode()
    signed = await node.ask("signrawtransactionwithkey", raw, [wif])
    assert signed["complete"], signed
    return str(await node.ask("sendrawtransaction", signed["hex"], 0))


async def the_slot(there: House) -> Slot:
    [wallet] = await there.store.views.wallets()
    [opened] = await there.store.books.open_slots(NETWORK, wallet.address)
    return opened.slot


async def stand_at(there: House, stage: Stage, asked: Sequence[Asked]) -> bool:
    views = [await there.store.views.withdrawal(one.id) for one in asked]
    return all(view is not None and view.stage is stage for view in views)


async def is_halted(there: House, stranger: str) -> bool:
    [wallet] = await there.store.views.wallets()
    return stranger in (wallet.halted or "")


async def death(there: House, point: CrashPoint, act: Awaitable[str]) -> None:
    """Who passes `point` while people act dies by SIGKILL; what they asked for is done all the same."""
    order = order_for(there.settings, point)
    order.touch()
    assert await act == "TAKEN"

    async def died() -> bool:
        return not await asyncio.to_thread(order.exists)

    await until(died, f"a death at {point}")


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await holds():  # noqa: ASYNC110 - looked at from outside, as people do
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None
