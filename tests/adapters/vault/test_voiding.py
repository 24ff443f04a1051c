"""A version that pays nobody is signed for two people who endorsed it for that very slot, and for nobody else."""

import dataclasses
from collections.abc import Sequence

import pytest
import rlp.codec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import Refused
from domain.payout import Draft, Fee, SigningOrder, Version
from domain.procedure import Endorsed, Endorsement, Kind, Procedure, statement
from tests.adapters.vault.desk import CHAIN_ID, FEE, GWEI, THIEF, WALLET, Desk, intent, rlp_encode

VOID_FEE = Fee(25_200, 60 * GWEI, 4 * GWEI)


def asked(slot: str, kind: str = Kind.VOID) -> Procedure:
    return Procedure(kind, slot, "the client asked for it", "", "2026-11-21T12:00:00+00:00")


def words(desk: Desk, procedure: Procedure, names: Sequence[str]) -> tuple[Endorsement, ...]:
    """What these people sign; a name nobody enrolled signs with a key of its own."""
    found = []
    for name in names:
        key = desk.people.keys.get(name) or Ed25519PrivateKey.generate()
        found.append(Endorsement(name, procedure.hash(), key.sign(statement(name, procedure.hash())).hex()))
    return tuple(found)


def void_order(
    desk: Desk, *people: str, nonce: int = 0, fee: Fee = VOID_FEE, to: str = WALLET, value: int = 0
) -> SigningOrder:
    """What a healthy house sends to have the slot `nonce`, planned for a small payment, voided."""
    order = desk.order(intent(), nonce)
    fields = [CHAIN_ID, nonce, fee.tip, fee.price, fee.weight, bytes.fromhex(to[2:]), value, b"", []]
    draft = Draft(order.slot.id, "0x02" + rlp_encode(fields).hex(), fee)
    procedure = asked(order.slot.id)
    return dataclasses.replace(order, draft=draft, void=Endorsed(procedure, words(desk, procedure, people)))


def other(order: SigningOrder, **change: object) -> SigningOrder:
    """The order with a procedure that says something else, under the same signatures."""
    assert order.void is not None
    procedure = dataclasses.replace(order.void.procedure, **change)  # type: ignore[arg-type]
    return dataclasses.replace(order, void=dataclasses.replace(order.void, procedure=procedure))


async def code_of(desk: Desk, order: SigningOrder) -> str:
    with pytest.raises(Refused) as refused:
        await desk.vault.sign(order)
    assert refused.value.code in desk.refusals()
    return refused.value.code


def moved(version: Version) -> tuple[str, int, bytes]:
    """(recipient, coins, data) of signed bytes, by an independent library."""
    tx = rlp.codec.decode(bytes.fromhex(version.raw[4:]))  # type: ignore[no-untyped-call]
    return "0x" + tx[5].hex(), int.from_bytes(tx[6], "big"), tx[7]


async def test_two_people_void_a_slot_and_it_pays_no_more(desk: Desk) -> None:
    paying = await desk.vault.sign(desk.order(intent()))
    version = await desk.vault.sign(void_order(desk, "anna", "boris"))
    assert (version.number, version.void, paying.void) == (2, True, False)
    assert moved(version) == (WALLET.lower(), 0, b"")
    dearer = Fee(FEE.weight, 90 * GWEI, 9 * GWEI)
    assert await code_of(desk, desk.order(intent(), fee=dearer)) == "SIGNER_SLOT_VOIDED"
    assert await desk.vault.sign(desk.order(intent())) == paying, "what is out already is no secret"
    desk.restart()
    assert await code_of(desk, desk.order(intent(), fee=dearer)) == "SIGNER_SLOT_VOIDED"
    assert await desk.vault.sign(void_order(desk, "anna", "boris")) == version
    bumped = await desk.vault.sign(void_order(desk, "anna", "boris", fee=Fee(25_200, 70 * GWEI, 5 * GWEI)))
    assert (bumped.number, bumped.void) == (3, True)


async def test_a_slot_that_was_never_signed_for_is_voided_too_and_its_withdrawal_takes_no_other(desk: Desk) -> None:
    version = await desk.vault.sign(void_order(desk, "anna", "boris"))
    assert (version.number, version.void) == (1, True)
    assert await code_of(desk, desk.order(intent())) == "SIGNER_SLOT_VOIDED"


@pytest.mark.parametrize(
    "people", [(), ("anna",), ("anna", "anna"), ("anna", "mallory"), ("mallory", "eve"), ("anna", "ANNA")]
)
async def test_fewer_than_two_enrolled_people_void_nothing(desk: Desk, people: tuple[str, ...]) -> None:
    await desk.vault.sign(desk.order(intent()))
    assert await code_of(desk, void_order(desk, *people)) == "SIGNER_ENDORSEMENTS"
    await desk.vault.sign(desk.order(intent(), fee=Fee(FEE.weight, 40 * GWEI, 3 * GWEI)))


async def test_endorsements_of_anything_else_void_nothing(desk: Desk) -> None:
    await desk.vault.sign(desk.order(intent()))
    good = void_order(desk, "anna", "boris")
    assert await code_of(desk, other(good, reason="another reason")) == "SIGNER_ENDORSEMENTS"
    assert await code_of(desk, other(good, kind=Kind.SPEED_UP)) == "SIGNER_PROCEDURE_OTHER"
    elsewhere = void_order(desk, "anna", "boris", nonce=1)
    assert await code_of(desk, dataclasses.replace(good, void=elsewhere.void)) == "SIGNER_PROCEDURE_OTHER"
    assert await code_of(desk, other(dataclasses.replace(good, void=elsewhere.void), subject=good.slot.id)) == (
        "SIGNER_ENDORSEMENTS"
    )


@pytest.mark.parametrize(("to", "value"), [(THIEF, 0), (THIEF, 1), (WALLET, 1)])
async def test_what_two_people_void_pays_nobody(desk: Desk, to: str, value: int) -> None:
    assert await code_of(desk, void_order(desk, "anna", "boris", to=to, value=value)) == "SIGNER_VOID_PAYS"


async def test_voiding_stays_within_the_caps(desk: Desk) -> None:
    dear = Fee(10**7, 300 * GWEI, GWEI)
    assert await code_of(desk, void_order(desk, "anna", "boris", fee=dear)) == "SIGNER_FEE_ABOVE_CAP"


async def test_where_a_price_alone_replaces_a_version_the_price_cap_holds_what_voids_too(desk: Desk) -> None:
    dear = Fee(25_200, 301 * GWEI, 4 * GWEI)
    assert await code_of(desk, void_order(desk, "anna", "boris", fee=dear)) == "SIGNER_PRICE_ABOVE_CAP"


async def test_without_an_endorsed_procedure_nothing_that_pays_nobody_is_signed(desk: Desk) -> None:
    plain = dataclasses.replace(void_order(desk, "anna", "boris"), void=None)
    assert await code_of(desk, plain) == "SIGNER_PAYMENT_MISMATCH"
