"""Another past of Bitcoin in which replaced versions win, and what hung on the others is gone."""

from typing import Any

from ops.devnet.bitcoin.swaps import REMEMBERED_MAX, Memory, Offered, spent_by, swapped

COIN, OTHER = ("c0", 0), ("c1", 1)


def mined(name: str, *spends: tuple[str, int]) -> dict[str, Any]:
    rows = [{"txid": txid, "vout": n} for txid, n in spends]
    return {"txid": name, "hex": f"raw-{name}", "vin": rows}


def remembering(*transactions: dict[str, Any]) -> Memory:
    memory = Memory()
    for tx in transactions:
        memory.remember(Offered(tx["txid"], tx["hex"], spent_by(tx)))
    return memory


def test_the_other_version_is_mined_and_a_stranger_stays() -> None:
    old, new, stranger = mined("v1", COIN), mined("v2", COIN), mined("s", OTHER)
    assert swapped([[new], [stranger]], remembering(old, new)) == [["raw-v1"], ["raw-s"]]
    assert swapped([[old]], remembering(old, new)) == [["raw-v2"]]


def test_what_spends_the_change_of_a_version_that_lost_is_left_out_with_all_that_follows() -> None:
    old, new = mined("v1", COIN), mined("v2", COIN)
    child, grandchild = mined("child", ("v2", 1)), mined("grandchild", ("child", 0))
    assert swapped([[new, child], [grandchild]], remembering(old, new)) == [["raw-v1"], []]


def test_no_coin_is_spent_twice() -> None:
    both, one = mined("both", COIN, OTHER), mined("one", COIN)
    other = mined("other", OTHER)
    assert swapped([[one, other]], remembering(both, one)) == [["raw-both"]]


def test_the_memory_is_bounded() -> None:
    memory = remembering(*(mined(str(n), (str(n), 0)) for n in range(REMEMBERED_MAX + 5)))
    assert len(memory.sent) == REMEMBERED_MAX
    assert memory.raw("0") == "0"
    assert memory.raw("7") == "raw-7"
