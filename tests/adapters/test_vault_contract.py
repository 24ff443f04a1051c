"""What every vault promises to the workflows; the fake and the real signer keep it alike."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import Refused
from domain.payout import Draft, Fee, SigningOrder
from domain.ports import Vault
from tests.adapters.vault.desk import FEE, GWEI, WALLET, Desk, intent
from tests.adapters.vault.test_voiding import void_order
from tests.fakes.vault import FakeVault

DEARER = Fee(FEE.weight, 45 * GWEI, 3 * GWEI)


@pytest.fixture(params=["fake", "signer"])
def vault(request: pytest.FixtureRequest, desk: Desk) -> Vault:
    return FakeVault(WALLET) if request.param == "fake" else desk.vault


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.vault.close()


async def test_the_same_order_gives_the_same_bytes(vault: Vault, desk: Desk) -> None:
    order = desk.order(intent())
    first = await vault.sign(order)
    assert await vault.sign(order) == first
    assert first.slot_id == order.slot.id
    assert first.fee == order.draft.fee
    assert first.raw.startswith("0x")
    assert len(first.txid) == 66


async def test_versions_are_numbered_in_the_order_they_were_signed(vault: Vault, desk: Desk) -> None:
    first = await vault.sign(desk.order(intent()))
    second = await vault.sign(desk.order(intent(), fee=DEARER))
    assert (first.number, second.number) == (1, 2)
    assert first.txid != second.txid
    assert await vault.sign(desk.order(intent())) == first, "an older version is still what it was"


async def test_a_slot_never_pays_a_second_payment(vault: Vault, desk: Desk) -> None:
    await vault.sign(desk.order(intent(1)))
    assert await refusal(vault, desk.order(intent(2))) == "SIGNER_SLOT_TAKEN"


async def test_a_withdrawal_never_takes_a_second_slot(vault: Vault, desk: Desk) -> None:
    await vault.sign(desk.order(intent(), nonce=0))
    assert await refusal(vault, desk.order(intent(), nonce=1)) == "SIGNER_SECOND_SLOT"


async def test_a_refused_order_takes_nothing(vault: Vault, desk: Desk) -> None:
    order = desk.order(intent())
    other = dataclasses.replace(order, draft=dataclasses.replace(order.draft, slot_id=order.slot.id + "1"))
    assert await refusal(vault, other) == "SIGNER_SLOT_ID"
    assert (await vault.sign(desk.order(intent(), nonce=7))).number == 1


async def test_a_fee_above_the_slots_cap_is_refused(vault: Vault, desk: Desk) -> None:
    order = desk.order(intent(), fee=Fee(80_000, 400 * GWEI, 2 * GWEI))
    assert await refusal(vault, order) == "SIGNER_FEE_ABOVE_CAP"


async def test_a_slot_of_another_wallet_is_refused(vault: Vault, desk: Desk) -> None:
    order = desk.order(intent())
    id_ = "ethereum/0x" + "11" * 20 + "/0"
    slot, draft = dataclasses.replace(order.slot, id=id_), Draft(id_, order.draft.unsigned, FEE)
    assert await refusal(vault, dataclasses.replace(order, slot=slot, draft=draft)) == "SIGNER_SLOT_ID"


async def test_what_should_pay_nobody_is_never_answered_with_a_version_that_pays(vault: Vault, desk: Desk) -> None:
    paying = await vault.sign(desk.order(intent()))
    assert await refusal(vault, void_order(desk, "anna", "boris", fee=FEE)) == "SIGNER_FEE_TAKEN"
    assert await vault.sign(desk.order(intent())) == paying
    assert (await vault.sign(desk.order(intent(), fee=DEARER))).number == 2, "a refusal voids nothing"
    above = Fee(FEE.weight, DEARER.price + GWEI, DEARER.tip + GWEI)
    assert (await vault.sign(void_order(desk, "anna", "boris", fee=above))).void


async def test_twenty_at_once_get_one_version_each(vault: Vault, desk: Desk) -> None:
    orders = [desk.order(intent(n), nonce=n) for n in range(20)]
    versions = await asyncio.gather(*(vault.sign(order) for order in orders + orders))
    assert {v.number for v in versions} == {1}
    assert len({v.txid for v in versions}) == 20
    assert versions[:20] == versions[20:]


async def refusal(vault: Vault, order: SigningOrder) -> str:
    with pytest.raises(Refused) as caught:
        await vault.sign(order)
    return caught.value.code
