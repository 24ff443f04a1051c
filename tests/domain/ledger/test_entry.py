"""An entry that does not balance cannot be made, and no sequence of ours makes or loses a base unit."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Refused
from domain.ledger import chart
from domain.ledger import withdrawal as entries
from domain.ledger.chart import Account, Kind
from domain.ledger.entry import LINES_MAX, Entry, Posting, entry_of
from domain.ledger.hold import Hold, HoldState, Move
from domain.payout import Final, Payment, Slot
from domain.withdrawal import Withdrawal

USDT, ETH = "USDT-ETHEREUM", "ETH-ETHEREUM"
WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
CASH, OWED = Account("cash", Kind.ASSET, USDT), Account("owed", Kind.LIABILITY, USDT)
GAS = Account("gas", Kind.ASSET, ETH)


def postings(*lines: tuple[Account, int]) -> tuple[Posting, ...]:
    return tuple(Posting(account, units) for account, units in lines)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ((CASH, 1),),
        ((CASH, 2), (OWED, -1)),
        ((CASH, 0), (OWED, 0)),
        ((CASH, 1), (GAS, -1)),
        ((CASH, 1), (CASH, -1)),
        ((CASH, 2**256), (OWED, -(2**256))),
        ((CASH, True), (OWED, -1)),
        ((CASH, 1.0), (OWED, -1)),
        tuple((Account(f"a{i}", Kind.ASSET, USDT), 1 if i % 2 else -1) for i in range(LINES_MAX + 2)),
    ],
)
def test_what_is_not_an_entry_cannot_be_made(lines: tuple[tuple[Account, int], ...]) -> None:
    with pytest.raises(ValueError, match=r"entry|posting|account|balance"):
        Entry("key", "kind", postings(*lines))


@pytest.mark.parametrize(("key", "kind"), [("", "k"), ("k" * 201, "k"), ("k", ""), ("k", "k" * 33)])
def test_keys_and_kinds_are_bounded(key: str, kind: str) -> None:
    with pytest.raises(ValueError, match="key and kind"):
        Entry(key, kind, postings((CASH, 1), (OWED, -1)))


def test_the_digest_knows_content_and_not_the_order_of_lines() -> None:
    one = Entry("a", "kind", postings((CASH, 5), (OWED, -5)))
    turned = Entry("b", "kind", postings((OWED, -5), (CASH, 5)))
    assert one.digest() == turned.digest()
    others = [
        Entry("a", "other", one.postings),
        Entry("a", "kind", postings((CASH, 6), (OWED, -6))),
        Entry("a", "kind", postings((CASH, -5), (OWED, 5))),
    ]
    assert one.digest() not in {other.digest() for other in others}


def test_lines_on_one_account_are_added_and_nothings_left_out() -> None:
    entry = entry_of("key", "kind", ((CASH, 3), (OWED, -5), (CASH, 2), (GAS, 7), (GAS, -7)))
    assert entry.postings == postings((CASH, 5), (OWED, -5))


def test_a_hold_is_settled_or_released_at_most_once() -> None:
    hold = Hold("h", chart.available("a", USDT), chart.held("a", USDT), 5)
    for first in (HoldState.SETTLED, HoldState.RELEASED):
        closed = hold.closed(first)
        for second in HoldState:
            with pytest.raises(Refused) as caught:
                closed.closed(second)
            assert caught.value.code == "HOLD_CLOSED"
    with pytest.raises(ValueError, match="something"):
        Hold("h", hold.available, hold.held, 0)
    with pytest.raises(ValueError, match="one asset"):
        Hold("h", hold.available, chart.held("a", ETH), 1)


def test_settling_anything_but_all_of_a_hold_does_not_balance() -> None:
    hold = Hold("h", chart.available("a", USDT), chart.held("a", USDT), 5)
    with pytest.raises(ValueError, match="balance"):
        hold.settle("s", ((OWED, 4),))


# ---------------------------------------------------------------- any life of any withdrawals
@dataclass
class Books:
    """A ledger of a few lines: refuses what would go below zero, otherwise adds up."""

    balances: Counter[Account] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    holds: dict[str, Hold] = field(default_factory=dict)

    def post(self, move: Move | Entry) -> bool:
        move = move if isinstance(move, Move) else Move(move)
        after = Counter(self.balances)
        for posting in move.entry.postings:
            after[posting.account] += posting.units * posting.account.kind.normal_sign
        if any(units < 0 and not account.may_overdraw for account, units in after.items()):
            return False
        if move.hold is not None and move.becomes is not None:
            kept = self.holds.get(move.hold.key)
            self.holds[move.hold.key] = move.hold if kept is None else kept.closed(move.becomes)
        for posting in move.entry.postings:
            self.sums[posting.account.asset] += posting.units
        self.balances = after
        return True


AMOUNTS = st.integers(1, 10**24) | st.integers(1, 10**9)
# Small numbers come by themselves; with these there is enough to pay from.
COFFERS = st.integers(0, 10**25) | st.integers(10**24, 10**25)
LIVES = st.lists(
    st.tuples(
        st.integers(0, 2),  # whose
        AMOUNTS,
        st.integers(0, 10**6),  # fee
        st.sampled_from([USDT, ETH]),
        st.sampled_from(["held", "released", "in flight", "paid", "reverted", "moved", "consumed"]),
        st.integers(0, 3 * 10**16),  # what the network took
    ),
    max_size=12,
)


@given(lives=LIVES, deposits=COFFERS, coins=COFFERS)
def test_any_lives_of_withdrawals_sum_to_zero_and_leave_nothing_below_it(
    lives: list[tuple[int, int, int, str, str, int]], deposits: int, coins: int
) -> None:
    books = Books()
    for asset in (USDT, ETH):
        clients = [chart.available(f"c{i}", asset) for i in range(3)]
        for account in (*clients, chart.hot_wallet("ethereum", WALLET, asset)):
            units = (coins if account.kind is Kind.ASSET else deposits) * account.kind.normal_sign
            if units:
                opening = ((account, units), (chart.opening(asset), -units))
                assert books.post(entry_of(f"opening/{account.code}", "opening", opening))
    begun = sum(units for account, units in books.balances.items() if account.kind is Kind.ASSET)
    spent = 0

    for number, (whose, amount, fee, asset, end, took) in enumerate(lives):
        asked = Withdrawal(f"wd_{number}", f"c{whose}", "r", "ethereum", asset, str(amount), str(fee), "0x1", "olga")
        payment = Payment(asked.id, asset, asked.amount, asked.recipient)
        slot = Slot(f"ethereum/{WALLET}/{number}", "ethereum", WALLET, str(number), (payment,), str(3 * 10**16), 3)
        if not books.post(entries.hold_of(asked).place()) or end == "held":
            continue
        if end == "moved":
            assert books.post(entries.transfer(asked, f"c{took % 3}")), "what is held can be moved, to oneself too"
        elif end == "released" or not books.post(entries.dispatch(slot, ETH)):
            assert books.post(entries.release(asked)), "what is held can always be given back"
        elif end == "consumed":
            before = books.balances[chart.held(asked.account, asset)]
            assert books.post(entries.undo(slot, ETH)), "what was bound can always be freed"
            assert books.balances[chart.held(asked.account, asset)] == before, "and is owed to the client still"
            anew = replace(slot, id=f"{slot.id}/anew")
            if books.post(entries.dispatch(anew, ETH)):
                final = Final("0x2", 1, "0x3", True, str(took))
                assert books.post(entries.settle(asked))
                assert books.post(entries.close(anew, ETH, final))
                spent += took + amount
        elif end != "in flight":
            final = Final("0x2", 1, "0x3", end == "paid", str(took))
            assert books.post(entries.settle(asked) if final.paid else entries.release(asked))
            assert books.post(entries.close(slot, ETH, final)), "what is in flight can always be settled"
            spent += took + (amount if final.paid else 0)

    assert not any(books.sums.values())
    assert all(units >= 0 or account.may_overdraw for account, units in books.balances.items())
    assert sum(units for account, units in books.balances.items() if account.kind is Kind.ASSET) == begun - spent


def test_a_network_fee_above_its_cap_is_booked_as_it_was() -> None:
    """It cannot happen while the cap binds every version; if it does, the books say what the chain says."""
    slot = Slot("s", "ethereum", WALLET, "0", (), "100", 3)
    entry = entries.close(slot, ETH, Final("0x2", 1, "0x3", True, "130"))
    units = {posting.account.code: posting.units for posting in entry.postings}
    assert units[chart.network_fee("ethereum", ETH).code] == 130
    assert units[chart.hot_wallet("ethereum", WALLET, ETH).code] == -30


def test_a_transfer_gives_the_recipient_the_amount_and_the_sender_any_fee_that_was_held() -> None:
    asked = Withdrawal("wd_1", "acme", "r", "ethereum", USDT, "5", "2", "0x1", "olga")
    available = {name: chart.available(name, USDT).code for name in ("acme", "bob")}
    moved = {p.account.code: p.units for p in entries.transfer(asked, "bob").entry.postings}
    assert moved == {chart.held("acme", USDT).code: 7, available["bob"]: -5, available["acme"]: -2}
    to_oneself = {p.account.code: p.units for p in entries.transfer(asked, "acme").entry.postings}
    assert to_oneself == {chart.held("acme", USDT).code: 7, available["acme"]: -7}


def test_a_withdrawal_is_settled_on_a_chain_or_within_the_ledger_and_never_both_ways() -> None:
    asked = Withdrawal("wd_1", "acme", "r", "ethereum", USDT, "5", "2", "0x1", "olga")
    assert entries.transfer(asked, "bob").entry.key == entries.settle(asked).entry.key


def test_keys_are_derived_so_that_a_retry_names_the_same_entry() -> None:
    asked = Withdrawal("wd_1", "acme", "r", "ethereum", USDT, "5", "0", "0x1", "olga")
    assert entries.hold_of(asked).key == "withdrawal/wd_1/hold"
    assert entries.release(asked).entry.key == "withdrawal/wd_1/release"
    assert entries.settle(asked).entry.key == "withdrawal/wd_1/settle"
    assert entries.dispatch_key("s") == "slot/s/dispatch"
    assert entries.close_key("s") == "slot/s/close"
