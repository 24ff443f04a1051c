"""What the signer does with an honest order."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account

from adapters import roster
from adapters.vault import decode, keystore
from adapters.vault.keystore import SigningKey
from domain.errors import Refused
from domain.payout import Fee
from tests.adapters.vault.desk import (
    CHAIN_ID,
    ETH,
    FEE,
    GWEI,
    LARGE,
    NETWORK,
    SECRET,
    USDT_CONTRACT,
    WALLET,
    Desk,
    fields,
    intent,
)


@pytest.mark.parametrize("asset", ["USDT-ETHEREUM", ETH])
async def test_the_bytes_are_those_an_independent_library_signs(desk: Desk, asset: str) -> None:
    paid = intent(asset=asset, amount="123456789")
    version = await desk.vault.sign(desk.order(paid, nonce=7))
    _, nonce, tip, price, gas, to, value, data, _ = fields(paid, nonce=7)
    theirs = Account.from_key(SECRET).sign_transaction(
        {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "maxPriorityFeePerGas": tip, "maxFeePerGas": price}
        | {"gas": gas, "to": to, "value": value, "data": data}
    )
    assert version.raw == "0x" + bytes(theirs.raw_transaction).hex()
    assert version.txid == "0x" + bytes(theirs.hash).hex()
    assert Account.recover_transaction(version.raw) == WALLET


async def test_a_large_payment_is_signed_when_enough_people_approved(desk: Desk) -> None:
    version = await desk.vault.sign(desk.order(intent(amount=LARGE), approvers=["anna", "boris"]))
    assert version.number == 1
    assert version.signed_at == desk.clock.now


async def test_a_bump_changes_the_fee_and_nothing_else(desk: Desk) -> None:
    paid = intent(amount=LARGE)
    people = ["anna", "boris"]
    first = await desk.vault.sign(desk.order(paid, approvers=people))
    second = await desk.vault.sign(desk.order(paid, fee=Fee(FEE.weight, 45 * GWEI, 3 * GWEI), approvers=people))
    before, after = (Account.recover_transaction(v.raw) for v in (first, second))
    assert before == after == WALLET
    assert second.number == 2
    assert second.fee.price == 45 * GWEI


def test_the_address_is_the_keys(desk: Desk) -> None:
    assert desk.vault.address(NETWORK) == WALLET
    with pytest.raises(Refused, match="SIGNER_NETWORK_UNKNOWN"):
        desk.vault.address("tron")


def test_what_was_decoded_encodes_to_the_same_bytes() -> None:
    from adapters.vault import rlp

    for number in range(300):
        plain = bytes.fromhex(order_hex(number)[2:])
        tx = decode.transaction(plain)
        assert b"\x02" + rlp.encode(tx.fields()) == plain
        assert "0x" + tx.to.hex() == USDT_CONTRACT.lower()


def order_hex(number: int) -> str:
    from tests.adapters.vault.desk import unsigned

    return unsigned(intent(amount=str(1 + 7**number % 10**18)), nonce=number, fee=Fee(1 + number**3, number**5 + 9, 9))


async def test_a_signature_is_one_stroke_of_the_key_one_check_of_each_word_and_no_file_read_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signature costs, whatever the machine: everything dear is done once, or once for all orders."""
    people = ["anna", "boris", "chen"]
    orders = [desk.order(intent(n, amount=LARGE), nonce=n, approvers=people) for n in range(4)]
    await desk.vault.sign(orders[0])
    done: Counter[str] = Counter()
    for owner, name in (
        (SigningKey, "sign_digest"),
        (roster.Roster, "verify"),
        (roster, "read"),
        (keystore, "read_encrypted"),
    ):
        monkeypatch.setattr(owner, name, counted(done, getattr(owner, name)))
    for order in orders[1:]:
        await desk.vault.sign(order)
    assert done == {"sign_digest": 3, "verify": 3 * len(people)}


def counted(done: Counter[str], call: Callable[..., Any]) -> Callable[..., Any]:
    def does(*given: Any) -> Any:
        done[call.__name__] += 1
        return call(*given)

    return does


def test_a_key_never_shows_itself() -> None:
    import pickle

    key = SigningKey(SECRET)
    assert SECRET.hex() not in repr(key) + str(key) + f"{key!r}"
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(key)
