"""The books in memory: every promise of `domain.ports.Books`, kept by the same pure rules as the real ones.

No method waits in its middle, so each is atomic as a transaction is. `failures[method]` are raised first, one for each
call; `lost_answers[method]` counts calls that do their work and then fail, as when a connection breaks after the
commit.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from domain import procedure as procedures
from domain.asset import Asset
from domain.coin import Coin
from domain.errors import Refused, StrongroomError, Unavailable
from domain.hot_wallet import fee_shares
from domain.intent import Decision, Intent, Ruling
from domain.ledger import chart
from domain.ledger import withdrawal as entries
from domain.ledger.chart import Account
from domain.ledger.entry import Entry, entry_of
from domain.money import Amount
from domain.network import Network
from domain.outgoing import Outgoing, foreign_transactions, strangers
from domain.payout import Consumption, Facts, Final, Payment, Slot, Version, inclusion, slot_id
from domain.policy import Outcome, Policy, Usage, Verdict, judge
from domain.ports import (
    Conclusion,
    DecisionNote,
    DepositAddress,
    OpenSlot,
    PayoutItem,
    PlanRefusal,
    ProcedureNote,
    Quote,
    Receipt,
    Request,
    Roster,
    WalletView,
)
from domain.procedure import Circumstances, Endorsed, Kind, Procedure, endorsable
from domain.withdrawal import INTERNAL, NEXT, Stage, Withdrawal, check_step
from tests.fakes.coins import FakeCoins

T = TypeVar("T")
DAY = timedelta(hours=24)
WAKE_S = 0.2
QUEUED_MAX = 500
RETURNED = frozenset({Stage.DECLINED, Stage.REJECTED, Stage.EXPIRED, Stage.CANCELLED, Stage.FAILED})


@dataclass
class Row:
    """A withdrawal as it stands, with everything that happened to it."""

    withdrawal: Withdrawal
    stage: Stage
    timeline: list[tuple[Stage, str, str]]
    reason: str = ""
    txid: str | None = None
    verdict: Verdict | None = None
    intent: Intent | None = None
    judged_at: datetime | None = None
    queued_at: datetime | None = None
    tried_at: datetime | None = None
    counted: list[Decision] = field(default_factory=list)
    told: dict[tuple[Decision, str, datetime], str] = field(default_factory=dict)
    notes: list[DecisionNote] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    requested_at: datetime | None = None
    network_fee: str | None = None

    @property
    def approvals(self) -> tuple[Decision, ...]:
        return tuple(decision for decision in self.counted if decision.ruling is Ruling.APPROVE)

    @property
    def rejected(self) -> bool:
        return any(decision.ruling is Ruling.REJECT for decision in self.counted)


@dataclass
class Wallet:
    next_scarce: int
    halted: str | None = None
    read_through: int | None = None
    events: list[tuple[str, str]] = field(default_factory=list)


class FakeBooks:
    """Implements `domain.ports.Books` and `DepositAddresses`, and `wallets` of the views. `coins`: where wallets that
    are many coins have them, by network.
    """

    def __init__(
        self,
        policy: Policy,
        networks: Mapping[str, Network],
        assets: Mapping[str, Asset],
        roster: Roster,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policy = policy
        self._networks = networks
        self._assets = assets
        self._roster = roster
        self._clock = clock
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}
        self._clients: set[str] = set()
        self._wallets: dict[tuple[str, str], Wallet] = {}
        self._slots: dict[str, tuple[Slot, Final | None]] = {}
        self._versions: dict[str, list[Version]] = defaultdict(list)
        self._quotes: dict[str, Quote] = {}
        self._spent: dict[str, str] = {}
        self._deposit_addresses: dict[tuple[str, str], DepositAddress] = {}
        self._bells: set[asyncio.Event] = set()
        self.coins: defaultdict[str, FakeCoins] = defaultdict(FakeCoins)
        self.rows: dict[str, Row] = {}
        self.entries: dict[str, Entry] = {}
        self.balances: Counter[Account] = Counter()
        self.facts: list[Facts] = []
        self.suspects: dict[str, str] = {}
        self.consumed: dict[str, Consumption] = {}
        self.procedures: list[tuple[Procedure, str, datetime]] = []
        self.taken: list[Endorsed] = []
        self.calls: Counter[str] = Counter()
        self.failures: dict[str, list[StrongroomError]] = defaultdict(list)
        self.lost_answers: Counter[str] = Counter()

    # ------------------------------------------------------------ accounts and wallets
    async def ensure_account(self, account: str) -> None:
        self._clients.add(account)

    async def ensure_wallet(self, network: str, address: str, next_scarce: int) -> None:
        self._wallets.setdefault((network, address.lower()), Wallet(next_scarce))
        self.coins[network].open_wallet(address)

    async def assign(self, account: str, network: str, address: str, now: datetime) -> DepositAddress:
        if account not in self._clients:
            raise Refused("ACCOUNT_UNKNOWN", "There is no account of this name.", account=account)
        if any(wallet == address.lower() for _, wallet in self._wallets):
            raise Refused("ADDRESS_OURS", "This is a hot wallet.", address=address)
        if any(one.address == address and one.account != account for one in self._deposit_addresses.values()):
            raise Refused("ADDRESS_ASSIGNED", "This address is another account's.", address=address)
        given = DepositAddress(network, address, account, now)
        return self._deposit_addresses.setdefault((network, address), given)

    async def addresses_of(self, account: str) -> Sequence[DepositAddress]:
        mine = [one for one in self._deposit_addresses.values() if one.account == account]
        return sorted(mine, key=lambda one: (one.assigned_at, one.network, one.address))

    def credit(self, account: Account, units: int, key: str) -> None:
        """Coins that were there before the books: a client's deposit, or coins under a wallet's key."""
        sign = account.kind.normal_sign
        self._post(entry_of(key, "opening", ((account, sign * units), (chart.opening(account.asset), -sign * units))))

    async def wallets(self) -> Sequence[WalletView]:
        self._enter("wallets")
        return [
            WalletView(
                network,
                address,
                wallet.next_scarce,
                {
                    asset.id: str(self.balances[chart.hot_wallet(network, address, asset.id)])
                    for asset in self._assets.values()
                    if asset.network == network
                },
                len(self._open(network, address)),
                wallet.halted,
                wallet.read_through,
            )
            for (network, address), wallet in self._wallets.items()
        ]

    def trial_balance(self) -> dict[str, int]:
        """The sum of all postings of each asset; anything but zeros is a broken ledger."""
        sums: Counter[str] = Counter()
        for entry in self.entries.values():
            for posting in entry.postings:
                sums[posting.account.asset] += posting.units
        return dict(sums)

    # ------------------------------------------------------------ the door
    async def request_withdrawal(self, request: Request) -> Receipt:
        self._enter("request_withdrawal")
        asked, key = request.withdrawal, (request.principal, request.idempotency_key)
        if key in self._keys:
            body, first = self._keys[key]
            if body != request.body_sha256:
                raise Refused("IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key came with another body before.")
            return Receipt(first, self.rows[first].stage, replayed=True)
        if asked.account not in self._clients:
            raise Refused("ACCOUNT_UNKNOWN", "There is no such account.", account=asked.account)
        if (row := self.rows.get(asked.id)) is not None:
            if _content(row.withdrawal) != _content(asked):
                raise Refused("CLIENT_REF_TAKEN", "This client_ref belongs to another withdrawal for ever.")
            self._keys[key] = (request.body_sha256, asked.id)
            return Receipt(asked.id, row.stage, replayed=True)
        if request.quote_id is not None:
            self._check_quote(request)
        try:
            self._post(entries.hold_of(asked).place().entry)
        except _Short as short:
            raise Refused(
                "INSUFFICIENT_FUNDS", "The account has too little of the asset.", account=asked.account
            ) from short
        if request.quote_id is not None:
            self._spent[request.quote_id] = asked.id
        opening = [(Stage.REQUESTED, asked.requester, "")]
        self.rows[asked.id] = Row(asked, Stage.REQUESTED, opening, requested_at=self._clock())
        self._keys[key] = (request.body_sha256, asked.id)
        return self._leave("request_withdrawal", Receipt(asked.id, Stage.REQUESTED, replayed=False))

    async def make_quote(
        self, account: str, asset: str, amount: str, fee: str, now: datetime, expires_at: datetime
    ) -> Quote:
        self._enter("make_quote")
        if account not in self._clients:
            raise Refused("ACCOUNT_UNKNOWN", "There is no such account.", account=account)
        id_ = (
            "qt_"
            + hashlib.sha256(f"{account}\n{asset}\n{amount}\n{now}\n{len(self._quotes)}".encode()).hexdigest()[:26]
        )
        quote = Quote(id_, account, self._assets[asset].network, asset, amount, fee, now, expires_at)
        self._quotes[id_] = quote
        return quote

    def _check_quote(self, request: Request) -> None:
        asked, quote = request.withdrawal, self._quotes.get(request.quote_id or "")
        if quote is None or quote.account != asked.account:
            raise Refused("QUOTE_UNKNOWN", "There is no such quote.")
        if (quote.asset, quote.amount, quote.fee) != (asked.asset, asked.amount, asked.fee):
            raise Refused("QUOTE_MISMATCH", "The quote was for something else.")
        if quote.id in self._spent:
            raise Refused("QUOTE_USED", "The quote was used for another withdrawal.")
        if self._clock() > quote.expires_at:
            raise Refused("QUOTE_EXPIRED", "The quote has expired; ask for a new one.")

    # ------------------------------------------------------------ judgement
    async def judge(self, withdrawal_id: str, now: datetime) -> Verdict:
        self._enter("judge")
        row = self._row(withdrawal_id)
        if row.verdict is None:
            if row.stage is not Stage.REQUESTED:
                raise Refused("WITHDRAWAL_STAGE", f"It is {row.stage} already.", stage=row.stage.value)
            row.intent = self._intent(row.withdrawal)
            amount = Amount(int(row.withdrawal.amount), self._assets[row.withdrawal.asset])
            row.verdict = judge(self._policy, amount, self._usage(row, now), row.intent.hash(), now)
            row.judged_at = now
            match row.verdict.outcome:
                case Outcome.ACCEPT:
                    self._queue(row, now, "policy", row.verdict.rule)
                case Outcome.REFER:
                    self._step(row, Stage.REFERRED, "policy", row.verdict.rule)
                case Outcome.DECLINE:
                    self._release(row, Stage.DECLINED, "policy", row.verdict.rule)
        settled = row.verdict.outcome is Outcome.ACCEPT and (row.stage, row.reason) == (Stage.SETTLED, INTERNAL)
        return self._leave("judge", replace(row.verdict, settled=settled))

    async def record_decision(self, withdrawal_id: str, decision: Decision, source: str, now: datetime) -> DecisionNote:
        self._enter("record_decision")
        row = self._row(withdrawal_id)
        call = (decision, source, now)
        if call not in row.told:
            row.told[call] = self._worth(row, decision, now)
            if not row.told[call]:
                row.counted.append(decision)
            row.notes.append(self._note(row, decision, row.told[call]))
        note = self._note(row, decision, row.told[call])
        return self._leave("record_decision", note)

    def _worth(self, row: Row, decision: Decision, now: datetime) -> str:
        """Why the decision does not count; empty when it does."""
        verdict = row.verdict
        if code := self._roster.verify(decision):
            return code
        if decision.approver.casefold() == row.withdrawal.requester.casefold():
            return "FOUR_EYES"
        if verdict is None or decision.intent_hash != verdict.intent_hash:
            return "INTENT_CHANGED"
        if any(d.approver == decision.approver for d in row.counted):
            return "REPEAT"
        decided = row.rejected or len(row.approvals) >= verdict.approvals
        expired = verdict.expires_at is not None and now >= verdict.expires_at
        if decided or expired or row.stage is not Stage.REFERRED:
            return "TOO_LATE"
        return ""

    def _note(self, row: Row, decision: Decision, code: str) -> DecisionNote:
        needed = row.verdict.approvals if row.verdict else 0
        return DecisionNote(
            decision.approver, decision.ruling.value, not code, code or "COUNTED", len(row.approvals), needed
        )

    async def record_malformed(self, withdrawal_id: str, source: str, why: str, now: datetime) -> None:
        self._enter("record_malformed")
        self._row(withdrawal_id).malformed.append(f"{source}: {why}")

    async def queue_payout(self, withdrawal_id: str, now: datetime) -> Conclusion:
        self._enter("queue_payout")
        row = self._row(withdrawal_id)
        if row.stage is Stage.REFERRED:
            if row.verdict is None or row.rejected or len(row.approvals) < row.verdict.approvals:
                raise Refused("QUORUM_UNMET", "Too few approvals count.", approvals=len(row.approvals))
            self._queue(row, now, "approvers", "quorum")
        elif row.queued_at is None:
            raise Refused("TOO_LATE", f"The withdrawal is {row.stage}.", stage=row.stage.value)
        return self._leave("queue_payout", self._standing(row))

    async def return_hold(self, withdrawal_id: str, stage: Stage, reason: str, actor: str, now: datetime) -> Conclusion:
        self._enter("return_hold")
        row = self._row(withdrawal_id)
        if row.stage is not stage:
            if stage not in NEXT[row.stage]:
                raise Refused("TOO_LATE", f"The withdrawal is {row.stage}.", stage=row.stage.value)
            self._release(row, stage, actor, reason)
        return self._leave("return_hold", self._standing(row))

    async def concluded(self, withdrawal_id: str) -> Conclusion:
        self._enter("concluded")
        return self._standing(self._row(withdrawal_id))

    # ------------------------------------------------------------ payouts
    async def queued(self, network: str, wallet: str, limit: int) -> Sequence[PayoutItem]:
        self._enter("queued")
        waiting = [r for r in self.rows.values() if r.stage is Stage.QUEUED and r.withdrawal.network == network]
        never = datetime.max.replace(tzinfo=UTC)
        waiting.sort(key=lambda row: (row.tried_at or never, row.queued_at or never, row.withdrawal.id))
        return [self._item(row) for row in waiting[: min(limit, QUEUED_MAX)]]

    async def put_off(self, withdrawal_ids: Sequence[str], now: datetime) -> None:
        self._enter("put_off")
        for row in map(self._row, withdrawal_ids):
            if row.stage is Stage.QUEUED:
                row.tried_at = now
        self._leave("put_off", None)

    async def plan_slot(
        self, network: Network, wallet: str, items: Sequence[PayoutItem], now: datetime, inputs: Sequence[Coin] = ()
    ) -> Slot | PlanRefusal:
        self._enter("plan_slot")
        kept = self._wallet(network.id, wallet)
        if kept.halted:
            return PlanRefusal("WALLET_HALTED", kept.halted)
        if len(self._open(network.id, wallet)) >= network.in_flight_max:
            return PlanRefusal("IN_FLIGHT_FULL")
        rows = [self._row(item.payment.withdrawal_id) for item in items]
        for row in rows:
            if row.stage is not Stage.QUEUED:
                return PlanRefusal("NOT_QUEUED", row.withdrawal.id)
        unspent, taken = self.coins[network.id].unspent(wallet), self.coins[network.id].taken
        for coin in inputs:
            if coin.outpoint not in unspent or coin.outpoint in taken:
                return PlanRefusal("COIN_TAKEN", coin.outpoint)
        coins = tuple(Coin(name, str(unspent[name])) for name in dict.fromkeys(coin.outpoint for coin in inputs))
        slot = self._slot(network, wallet, rows, coins, kept)
        try:
            self._post(entries.dispatch(slot, network.native_asset))
        except _Short as short:
            for row in rows:
                row.reason, row.tried_at = "HOT_WALLET_SHORT", now
            return PlanRefusal("HOT_WALLET_SHORT", str(short))
        kept.next_scarce += 0 if coins else 1
        taken.update(coin.outpoint for coin in coins)
        self._slots[slot.id] = (slot, None)
        for row in rows:
            self._step(row, Stage.PLANNED, "hot wallet", "")
        return self._leave("plan_slot", slot)

    def _slot(self, network: Network, wallet: str, rows: list[Row], coins: tuple[Coin, ...], kept: Wallet) -> Slot:
        payments = tuple(self._item(row).payment for row in rows)
        scarce = coins[0].outpoint if coins else str(kept.next_scarce)
        depth = max(network.confirmations_for(Amount(int(p.amount), self._assets[p.asset])) for p in payments)
        cap = str(min([network.fees.network_fee_cap, *(int(row.intent.fee_cap) for row in rows if row.intent)]))
        id_ = slot_id(network.id, wallet, scarce)
        return Slot(id_, network.id, wallet, scarce, payments, cap, depth, coins)

    async def open_slots(self, network: str, wallet: str) -> Sequence[OpenSlot]:
        self._enter("open_slots")
        return [
            OpenSlot(
                slot,
                tuple(self._item(self._row(payment.withdrawal_id)) for payment in slot.payments),
                tuple(self._versions[slot.id]),
                next((e for e in self.taken if (e.procedure.kind, e.procedure.subject) == ("VOID", slot.id)), None),
            )
            for slot in self._open(network, wallet)
        ]

    async def begin_delivery(self, version: Version, now: datetime) -> Sequence[Version]:
        self._enter("begin_delivery")
        if version.slot_id not in self._slots:
            raise Refused("SLOT_UNKNOWN", "There is no such slot.", slot=version.slot_id)
        slot, closed = self._slots[version.slot_id]
        if version.slot_id in self.consumed:
            raise Refused("SLOT_CONSUMED", "People gave this slot up: a stranger consumed it.", slot=version.slot_id)
        stored = self._versions[version.slot_id]
        known = next((v for v in stored if version.number == v.number or version.txid == v.txid), None)
        if known is None:
            if closed is not None:
                raise Refused("SLOT_CLOSED", "Nothing is added to a slot whose end is proven.", slot=version.slot_id)
            stored.append(version)
        for row in self._rows_of(slot):
            if row.stage is Stage.PLANNED:
                row.txid = (known or version).txid
                self._step(row, Stage.BROADCAST, "payout", "")
        return self._leave("begin_delivery", sorted(stored, key=lambda one: one.number))

    async def versions(self, slot_id: str) -> Sequence[Version]:
        self._enter("versions")
        return sorted(self._versions[slot_id], key=lambda version: version.number)

    async def record_facts(self, slot: Slot, facts: Facts) -> None:
        self._enter("record_facts")
        self.facts.append(facts)
        if slot.id in self.consumed:
            return
        if facts.consumer is not None:
            self.suspects[slot.id] = facts.consumer
        seen = inclusion(facts)
        target = Stage.CONFIRMING if seen else Stage.BROADCAST
        for row in self._rows_of(slot):
            if seen:
                row.txid = seen[0]
            if target in NEXT[row.stage]:
                self._step(row, target, "network", "" if seen else "REORGANISED")

    async def settle(self, slot: Slot, final: Final, now: datetime) -> Sequence[Conclusion]:
        self._enter("settle")
        known, closed = self._slots[slot.id]
        if slot.id in self.consumed:
            raise Refused("SLOT_CLOSED", "The slot was closed with another proof.", slot=slot.id)
        if closed is None:
            self._check_version(slot.id, final.txid)
            native = self._networks[slot.network].native_asset
            for row, share in zip(self._rows_of(known), fee_shares(final, known.payments), strict=True):
                move = entries.settle(row.withdrawal) if final.paid else entries.release(row.withdrawal)
                self._post(move.entry)
                row.txid, row.network_fee = final.txid, share
                void = any(version.void for version in self._versions[slot.id] if version.txid == final.txid)
                unpaid = "VOIDED" if void else "PAYMENT_REVERTED"
                stage, reason = (Stage.SETTLED, "") if final.paid else (Stage.FAILED, unpaid)
                self._step(row, stage, "network", reason)
            self._post(entries.close(known, native, final))
            self._slots[slot.id] = (known, final)
        elif closed.txid != final.txid:
            raise Refused("SLOT_CLOSED", "The slot was closed with another proof.", slot=slot.id)
        return self._leave("settle", [self._standing(row) for row in self._rows_of(known)])

    def _check_version(self, slot_id: str, txid: str) -> None:
        if all(version.txid != txid for version in self._versions[slot_id]):
            raise Refused("VERSION_UNKNOWN", "These bytes were never stored.", slot=slot_id)

    # ------------------------------------------------------------ halts and hints
    async def halt_wallet(self, network: str, wallet: str, reason: str, now: datetime) -> None:
        self._enter("halt_wallet")
        kept = self._wallet(network, wallet)
        if kept.halted is None:
            kept.halted = endorsable(reason)
            kept.events.append(("HALTED", reason))

    async def record_outgoing(self, network: str, wallet: str, outgoing: Outgoing, now: datetime) -> str | None:
        self._enter("record_outgoing")
        kept = self._wallet(network, wallet)
        if outgoing.through is None:
            return None
        ours = {version.txid for versions in self._versions.values() for version in versions}
        foreign = strangers(outgoing, frozenset(ours | {proof.txid for proof in self.consumed.values()}))
        evidence = foreign_transactions(foreign) if foreign else None
        if evidence is not None and kept.halted is None:
            kept.halted = evidence
            kept.events.append(("HALTED", evidence))
        if kept.read_through == outgoing.after:
            kept.read_through = outgoing.through
        return self._leave("record_outgoing", evidence)

    async def take_procedure(
        self, network: str, wallet: str, endorsed: Endorsed, now: datetime, proof: Consumption | None = None
    ) -> ProcedureNote:
        self._enter("take_procedure")
        kept, asked = self._wallet(network, wallet), endorsed.procedure
        worth = procedures.worths(endorsed, self._roster.verify)
        people = procedures.endorsers(endorsed, worth)
        taken_at = next((at for one, code, at in self.procedures if code == "TAKEN" and one == asked), None)
        circumstances = Circumstances(
            f"{network}/{wallet.lower()}",
            frozenset(slot.id for slot in self._open(network, wallet)),
            kept.halted,
            self._networks[network].window_s > 0,
            taken_at is not None,
            self._proof(asked, proof),
        )
        code = "TAKEN" if taken_at == now else procedures.code(endorsed, worth, circumstances)
        if taken_at != now:
            self.procedures.append((asked, code, now))
            self.taken += [endorsed] if code == "TAKEN" else []
            if code == "TAKEN" and asked.kind == Kind.RESUME:
                kept.halted = None
                kept.events.append(("RESUMED", f"{asked.reason} ({', '.join(people)})"))
            elif code == "TAKEN" and asked.kind == Kind.REPLAN and proof is not None:
                self._give_up(kept, proof, ", ".join(people), now)
        note = ProcedureNote(asked.hash(), code, tuple(people), procedures.needed(asked) or 0)
        return self._leave("take_procedure", note)

    async def consumer(self, slot_id: str) -> str | None:
        self._enter("consumer")
        return self._leave("consumer", self.consumed[slot_id].txid if slot_id in self.consumed else None)

    async def suspect(self, slot_id: str) -> str | None:
        self._enter("suspect")
        return self._leave("suspect", self.suspects.get(slot_id))

    def _proof(self, asked: Procedure, proof: Consumption | None) -> str:
        if proof is None or (proof.slot.id, proof.txid) != (asked.subject, asked.rests_on):
            return ""
        ours = {version.txid for versions in self._versions.values() for version in versions}
        return "CONSUMER_OURS" if proof.txid in ours else proof.code

    def _give_up(self, kept: Wallet, proof: Consumption, people: str, now: datetime) -> None:
        slot, _ = self._slots[proof.slot.id]
        self._post(entries.undo(slot, self._networks[slot.network].native_asset))
        self.consumed[slot.id] = proof
        kept.next_scarce = max(kept.next_scarce, proof.counted)
        for row in self._rows_of(slot):
            row.tried_at, row.txid = now, None
            self._step(row, Stage.QUEUED, people, "SLOT_CONSUMED")
        for bell in self._bells:
            bell.set()

    async def halted(self, network: str, wallet: str) -> str | None:
        self._enter("halted")
        return self._wallet(network, wallet).halted

    async def wake_ups(self, network: str, wallet: str) -> AsyncIterator[None]:
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            while True:
                yield
                with suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), WAKE_S)
                bell.clear()
        finally:
            self._bells.discard(bell)

    # ------------------------------------------------------------ below the methods
    def _enter(self, method: str) -> None:
        self.calls[method] += 1
        if self.failures[method]:
            raise self.failures[method].pop(0)

    def _leave(self, method: str, answer: T) -> T:
        if self.lost_answers[method] > 0:
            self.lost_answers[method] -= 1
            raise Unavailable("DATABASE_UNAVAILABLE", "The connection broke after the commit.")
        return answer

    def _row(self, withdrawal_id: str) -> Row:
        if withdrawal_id not in self.rows:
            raise Refused("WITHDRAWAL_UNKNOWN", "There is no such withdrawal.", withdrawal=withdrawal_id)
        return self.rows[withdrawal_id]

    def _rows_of(self, slot: Slot) -> list[Row]:
        return [self._row(payment.withdrawal_id) for payment in slot.payments]

    def _wallet(self, network: str, address: str) -> Wallet:
        if (network, address.lower()) not in self._wallets:
            raise Refused("WALLET_UNKNOWN", "The books hold no such hot wallet.", wallet=address)
        return self._wallets[network, address.lower()]

    def _open(self, network: str, address: str) -> list[Slot]:
        ours = (network, address.lower())
        return [
            slot
            for slot, final in self._slots.values()
            if final is None and slot.id not in self.consumed and (slot.network, slot.wallet.lower()) == ours
        ]

    def _step(self, row: Row, stage: Stage, actor: str, reason: str) -> None:
        check_step(row.stage, stage)
        row.stage, row.reason = stage, reason
        row.timeline.append((stage, actor, reason))

    def _queue(self, row: Row, now: datetime, actor: str, reason: str) -> None:
        self._step(row, Stage.QUEUED, actor, reason)
        row.queued_at = row.tried_at = now
        asked = row.withdrawal
        if found := self._deposit_addresses.get((asked.network, asked.recipient)):
            self._post(entries.transfer(asked, found.account).entry)
            row.withdrawal = replace(asked, fee="0")
            self._step(row, Stage.SETTLED, "books", INTERNAL)
            return
        for bell in self._bells:
            bell.set()

    def _release(self, row: Row, stage: Stage, actor: str, reason: str) -> None:
        self._post(entries.release(row.withdrawal).entry)
        self._step(row, stage, actor, reason)

    def _standing(self, row: Row) -> Conclusion:
        return Conclusion(row.withdrawal.id, row.stage, row.reason, row.txid)

    def _intent(self, asked: Withdrawal) -> Intent:
        cap = str(self._networks[asked.network].fees.network_fee_cap)
        return Intent(
            asked.id,
            asked.account,
            asked.network,
            asked.asset,
            asked.amount,
            asked.recipient,
            cap,
            asked.requester,
            self._policy.version,
        )

    def _item(self, row: Row) -> PayoutItem:
        asked = row.withdrawal
        assert row.intent is not None
        payment = Payment(asked.id, asked.asset, asked.amount, asked.recipient)
        given_up = {
            slot_id for slot_id, proof in self.consumed.items() if payment in proof.slot.payments
        }  # of this very withdrawal: a payment names it
        replans = tuple(e for e in self.taken if e.procedure.kind == Kind.REPLAN and e.procedure.subject in given_up)
        return PayoutItem(payment, row.intent, row.approvals, row.requested_at, row.queued_at, replans)

    def _usage(self, row: Row, now: datetime) -> Usage:
        """What left, or may still leave, in the 24 h before `now`: what was returned counts no more."""
        day = [
            other
            for other in self.rows.values()
            if other is not row
            and other.withdrawal.asset == row.withdrawal.asset
            and other.judged_at is not None
            and other.judged_at > now - DAY
            and other.stage not in RETURNED
        ]
        own = sum(int(o.withdrawal.amount) for o in day if o.withdrawal.account == row.withdrawal.account)
        auto = sum(int(o.withdrawal.amount) for o in day if o.verdict and o.verdict.outcome is Outcome.ACCEPT)
        return Usage(own, auto)

    def _post(self, entry: Entry) -> None:
        """The entry whole or not at all; once for ever under its key."""
        if (known := self.entries.get(entry.key)) is not None:
            assert known.digest() == entry.digest(), f"{entry.key} was posted with other lines"
            return
        after = {
            posting.account: self.balances[posting.account] + posting.account.kind.normal_sign * posting.units
            for posting in entry.postings
        }
        if short := next((a for a, units in after.items() if units < 0 and not a.may_overdraw), None):
            raise _Short(short.code)
        self.balances.update({account: units - self.balances[account] for account, units in after.items()})
        self.entries[entry.key] = entry


def _content(asked: Withdrawal) -> tuple[str, ...]:
    """What a client_ref stands for; today's fee is not part of it."""
    return (asked.network, asked.asset, asked.amount, asked.recipient)


class _Short(Exception):
    """An account has too little; its code is the message."""
