"""What you approve is what is signed: canonical form, hash and statement."""

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from domain.intent import Intent, Ruling, statement

INTENT = Intent(
    withdrawal_id="wd_a",
    account="alice",
    network="ethereum",
    asset="USDT-ETHEREUM",
    amount="1500000",
    recipient="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    fee_cap="30000000000000000",
    requester="alice-app",
    policy_version="v1",
)


def test_the_hash_of_a_known_intent_never_changes() -> None:
    assert INTENT.hash() == "184a42997f251ca6b8de8565da625e42dcb0fd3f60f6902f60fd94600b75ce03"


@given(st.sampled_from([f.name for f in fields(Intent)]), st.text(min_size=1, max_size=40))
def test_any_change_of_any_field_changes_the_hash(name: str, value: str) -> None:
    changed = replace(INTENT, **{name: value})
    assert (changed.hash() == INTENT.hash()) == (changed == INTENT)


@given(st.text(max_size=20), st.text(max_size=20))
def test_text_cannot_be_moved_between_fields_without_changing_the_hash(left: str, right: str) -> None:
    one = replace(INTENT, account=left, requester=right)
    other = replace(INTENT, account=right, requester=left)
    assert (one.hash() == other.hash()) == (left == right)


def test_an_approval_cannot_be_read_as_a_rejection_nor_as_someone_elses() -> None:
    said = {statement(who, ruling, INTENT.hash()) for who in ("ann", "bob") for ruling in Ruling}
    assert len(said) == 4
