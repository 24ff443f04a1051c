"""The signer as a workflow meets it: orders and versions survive the wire, refusals carry their code and facts."""

import dataclasses
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.failures import heard, told
from activities.signing import SigningActivities
from adapters import codec
from domain.errors import Refused
from domain.payout import SigningOrder, Version
from tests.adapters.vault.desk import LARGE, NOON, THIEF, Desk, intent


async def test_an_order_and_its_version_cross_the_wire_unchanged(desk: Desk, tmp_path: Path) -> None:
    codec.create(tmp_path / "codec.json", NOON.date())
    converter = codec.data_converter(tmp_path / "codec.json")
    order = desk.order(intent(amount=LARGE), approvers=["anna", "boris"])
    [arrived] = await converter.decode(await converter.encode([order]), [SigningOrder])
    assert arrived == order
    version = await ActivityEnvironment().run(SigningActivities(desk.vault).sign, arrived)
    [back] = await converter.decode(await converter.encode([version]), [Version])
    assert back == version


async def test_a_refusal_reaches_the_workflow_with_its_code_and_facts(desk: Desk) -> None:
    order = desk.order(intent())
    stolen = dataclasses.replace(order.items[0], intent=intent(recipient=THIEF))
    with pytest.raises(Refused) as caught:
        await ActivityEnvironment().run(SigningActivities(desk.vault).sign, dataclasses.replace(order, items=(stolen,)))
    carried = told(caught.value)
    assert (carried.type, carried.non_retryable) == ("SIGNER_INTENT_MISMATCH", True)
    again = heard(carried)
    assert isinstance(again, Refused)
    assert again.facts["field"] == "recipient"
