"""Whoever asks what is known of a recipient hears of that one, however many ask at once."""

import asyncio

from adapters.store.opening import Store
from domain.ports import Recipient
from tests.adapters.store.world import T0, World

KEPT = "0xabc" + "1" * 34 + "def"
ALIKE = "0xABC" + "2" * 34 + "def"
STRANGER = "0x" + "5" * 40
NOTHING = Recipient(None, None)


async def test_many_who_ask_at_once_each_hear_of_their_own(world: World, store: Store) -> None:
    for name in ("acme", "bob"):
        await world.books.ensure_account(name)
    await world.addresses.assign("bob", "ethereum", STRANGER, T0)
    entry = await store.address_book.add("acme", "ethereum", KEPT, "our desk", "acme-bot", T0)
    expected = {
        ("ethereum", STRANGER, "acme"): Recipient("bob", None),
        ("ethereum", STRANGER, None): Recipient("bob", None),
        ("bsc", STRANGER, "acme"): NOTHING,
        ("ethereum", ALIKE, "acme"): Recipient(None, entry),
        ("polygon", ALIKE, "acme"): Recipient(None, entry),
        ("ethereum", ALIKE, "bob"): NOTHING,
        ("ethereum", ALIKE, None): NOTHING,
        ("ethereum", KEPT.upper(), "acme"): NOTHING,
        ("ethereum", KEPT, "acme"): NOTHING,
    }
    asked = list(expected) * 20
    answers = await asyncio.gather(*(store.recipients.known(*one) for one in asked))
    assert [expected[one] for one in asked] == list(answers)


async def test_what_was_taken_back_warns_nobody_and_what_was_compared_is_itself(world: World, store: Store) -> None:
    await world.books.ensure_account("acme")
    kept = await store.address_book.add("acme", "ethereum", KEPT, "our desk", "acme-bot", T0)
    await store.address_book.add("acme", "ethereum", ALIKE, "compared", "acme-bot", world.later(1))
    assert await store.recipients.known("ethereum", ALIKE, "acme") == NOTHING
    await store.address_book.retire("acme", kept.id, "acme-bot", world.later(2))
    other = "0xabc" + "3" * 34 + "def"
    known = await store.recipients.known("ethereum", other, "acme")
    assert known.alike is not None
    assert known.alike.label == "compared"
