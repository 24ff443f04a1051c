"""A withdrawal takes a second slot when two people gave its first one up to a stranger, and never else."""

import dataclasses
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.intent import Intent
from domain.payout import Fee, SigningOrder
from domain.procedure import Endorsed, Endorsement, Kind, Procedure, statement
from tests.adapters.vault.desk import FEE, GWEI, NETWORK, WALLET, Desk, intent
from tests.adapters.vault.test_voiding import code_of, void_order

STRANGER = "0x" + "5e" * 32
DEARER = Fee(FEE.weight, 60 * GWEI, 4 * GWEI)


def slot_of(nonce: int) -> str:
    return f"{NETWORK}/{WALLET.lower()}/{nonce}"


def given_up(
    desk: Desk, people: Sequence[str], nonce: int = 0, txid: str = STRANGER, kind: str = Kind.REPLAN
) -> Endorsed:
    """What these people sign of the slot `nonce`; a name nobody enrolled signs with a key of its own."""
    procedure = Procedure(kind, slot_of(nonce), "our other desk used the key", txid, "2026-11-21T12:00:00+00:00")
    words = []
    for name in people:
        key = desk.people.keys.get(name) or Ed25519PrivateKey.generate()
        words.append(Endorsement(name, procedure.hash(), key.sign(statement(name, procedure.hash())).hex()))
    return Endorsed(procedure, tuple(words))


def anew(desk: Desk, nonce: int, *shown: Endorsed, of: Intent | None = None, fee: Fee = FEE) -> SigningOrder:
    """What a healthy house sends to have a withdrawal paid from the slot `nonce` after others were given up."""
    order = desk.order(of or intent(), nonce, fee)
    return dataclasses.replace(order, items=tuple(dataclasses.replace(item, replans=shown) for item in order.items))


async def test_two_people_give_a_slot_up_and_its_withdrawal_is_signed_in_another(desk: Desk) -> None:
    first = await desk.vault.sign(desk.order(intent()))
    shown = given_up(desk, ("anna", "boris"))
    second = await desk.vault.sign(anew(desk, 1, shown))
    assert (second.slot_id, second.number, second.txid != first.txid) == (slot_of(1), 1, True)
    desk.restart()
    assert await desk.vault.sign(anew(desk, 1, shown)) == second, "asked again after a crash, it says the same"
    assert await desk.vault.sign(desk.order(intent(), 1)) == second, "it remembers, whoever shows it again"
    assert (await desk.vault.sign(anew(desk, 1, shown, fee=DEARER))).number == 2


async def test_nothing_is_ever_signed_again_for_a_slot_that_was_given_up(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    await desk.vault.sign(anew(desk, 1, given_up(desk, ("anna", "boris"))))
    desk.restart()
    for order in (desk.order(intent()), desk.order(intent(), fee=DEARER), void_order(desk, "anna", "boris")):
        assert await code_of(desk, order) == "SIGNER_SLOT_CONSUMED"
    assert await code_of(desk, desk.order(intent(2))) == "SIGNER_SLOT_CONSUMED"


@pytest.mark.parametrize(
    "people", [(), ("anna",), ("anna", "anna"), ("anna", "mallory"), ("mallory", "eve"), ("anna", "ANNA")]
)
async def test_fewer_than_two_enrolled_people_give_nothing_up(desk: Desk, people: tuple[str, ...]) -> None:
    first = await desk.vault.sign(desk.order(intent()))
    assert await code_of(desk, anew(desk, 1, given_up(desk, people))) == "SIGNER_ENDORSEMENTS"
    assert await desk.vault.sign(desk.order(intent())) == first, "the slot is as good as before"


async def test_without_endorsements_a_second_slot_stays_refused(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    assert await code_of(desk, anew(desk, 1)) == "SIGNER_SECOND_SLOT"
    elsewhere = given_up(desk, ("anna", "boris"), nonce=7)
    assert await code_of(desk, anew(desk, 1, elsewhere)) == "SIGNER_SECOND_SLOT", "they gave another slot up"
    void = given_up(desk, ("anna", "boris"), kind=Kind.VOID)
    assert await code_of(desk, anew(desk, 1, void)) == "SIGNER_PROCEDURE_OTHER"


async def test_a_procedure_that_was_changed_after_it_was_endorsed_gives_nothing_up(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    for change in ({"rests_on": "0x" + "66" * 32}, {"reason": "another"}):
        shown = given_up(desk, ("anna", "boris"))
        forged = dataclasses.replace(shown, procedure=dataclasses.replace(shown.procedure, **change))
        assert await code_of(desk, anew(desk, 1, forged)) == "SIGNER_ENDORSEMENTS"
    moved = given_up(desk, ("anna", "boris"), nonce=7)
    forged = dataclasses.replace(moved, procedure=dataclasses.replace(moved.procedure, subject=slot_of(0)))
    assert await code_of(desk, anew(desk, 1, forged)) == "SIGNER_ENDORSEMENTS"


async def test_one_procedure_moves_a_withdrawal_on_once_and_never_to_a_third_slot(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    shown = given_up(desk, ("anna", "boris"))
    await desk.vault.sign(anew(desk, 1, shown))
    assert await code_of(desk, anew(desk, 2, shown)) == "SIGNER_SECOND_SLOT"
    later = given_up(desk, ("boris", "chen"), nonce=1, txid="0x" + "77" * 32)
    assert (await desk.vault.sign(anew(desk, 2, shown, later))).slot_id == slot_of(2)
    assert await code_of(desk, anew(desk, 1, shown, later)) == "SIGNER_SLOT_CONSUMED"


async def test_what_this_signer_signed_itself_is_no_strangers_transaction(desk: Desk) -> None:
    version = await desk.vault.sign(desk.order(intent()))
    for txid in (version.txid, version.txid.removeprefix("0x")):
        shown = given_up(desk, ("anna", "boris"), txid=txid)
        assert await code_of(desk, anew(desk, 1, shown)) == "SIGNER_CONSUMER_OURS"
    for txid in ("", version.txid.upper(), "nonsense"):
        shown = given_up(desk, ("anna", "boris"), txid=txid)
        assert await code_of(desk, anew(desk, 1, shown)) == "SIGNER_PROCEDURE_OTHER"


async def test_a_slot_given_up_lets_no_other_withdrawal_and_no_other_intent_out(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    await desk.vault.sign(desk.order(intent(2), 1))
    shown = given_up(desk, ("anna", "boris"))
    assert await code_of(desk, anew(desk, 2, shown, of=intent(2))) == "SIGNER_SECOND_SLOT"
    assert await code_of(desk, anew(desk, 2, shown, of=intent(1, amount="7"))) == "SIGNER_SECOND_SLOT"


async def test_a_refused_order_gives_nothing_up(desk: Desk) -> None:
    first = await desk.vault.sign(desk.order(intent()))
    dear = Fee(10**7, 300 * GWEI, GWEI)
    shown = given_up(desk, ("anna", "boris"))
    assert await code_of(desk, anew(desk, 1, shown, fee=dear)) == "SIGNER_FEE_ABOVE_CAP"
    assert await desk.vault.sign(desk.order(intent())) == first
