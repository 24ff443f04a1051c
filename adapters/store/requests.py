"""The door's side of the books: withdrawal requests, each with its hold, and quotes."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime

from adapters.catalogue import Catalogue
from adapters.store.coalescer import Coalescer
from adapters.store.database import Database, span
from adapters.store.desk import Desk
from adapters.store.ledger import accounts_of, arrays
from domain.errors import Refused, StrongroomError, Unavailable
from domain.ledger import chart
from domain.ledger.chart import Account
from domain.ledger.withdrawal import hold_of
from domain.ports import Quote, Receipt, Request, Roster
from domain.withdrawal import Stage

LOOKS_MAX = 4
TEXT_CHARS_MAX = 128

_REQUEST = """
SELECT verdicts, found_ids, stages FROM request_withdrawals(
    $1, $2, $3, $4, $5, $6::text[]::numeric[], $7::text[]::numeric[], $8, $9, $10, $11, $12, $13,
    $14, $15, $16, $17, $18, $19, $20::text[]::numeric[])
"""
_QUOTE = """
INSERT INTO quote (id, account, network, asset, amount, fee, created_at, expires_at)
SELECT $1, name, $3, $4, $5::text::numeric, $6::text::numeric, $7, $8 FROM client WHERE name = $2 RETURNING id
"""

_REFUSALS = {
    "key_reused": ("IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key came with another body before; use a new key."),
    "in_progress": ("IDEMPOTENCY_IN_PROGRESS", "The same request is being worked on; ask again in a moment."),
    "ref_taken": ("CLIENT_REF_TAKEN", "This client_ref names another withdrawal; a reference is used once for ever."),
    "account_unknown": ("ACCOUNT_UNKNOWN", "There is no such account."),
    "quote_unknown": ("QUOTE_UNKNOWN", "There is no such quote; ask for one first."),
    "quote_mismatch": ("QUOTE_MISMATCH", "The quote was for another asset or amount; ask for a new one."),
    "quote_used": ("QUOTE_USED", "The quote was used for another withdrawal; ask for a new one."),
    "quote_expired": ("QUOTE_EXPIRED", "The quote has expired; ask for a new one."),
    "insufficient": ("INSUFFICIENT_FUNDS", "The available balance does not cover the amount and the fee."),
}
# None: ask again.
Answer = Receipt | StrongroomError | None


class Requests(Desk):
    """`request_withdrawal` and `make_quote`."""

    def __init__(self, database: Database, catalogue: Catalogue, roster: Roster, *, lanes: int = 1) -> None:
        super().__init__(database, catalogue, roster, lanes=lanes)
        self._door = Coalescer(self._request_batch, lanes=lanes)
        self._under_way: set[tuple[str, str]] = set()

    async def request_withdrawal(self, request: Request) -> Receipt:
        """Writes idempotency row, withdrawal, first timeline row and hold together, or nothing."""
        _check(request)
        ticket = (request.principal, request.idempotency_key)
        if ticket in self._under_way:
            raise _refusal("in_progress", request)
        self._under_way.add(ticket)
        try:
            with span("request_withdrawal"):
                for look in range(LOOKS_MAX):
                    answer = await self._door.submit(request)
                    if answer is None:
                        await asyncio.sleep(0.01 * look)
                        continue
                    if isinstance(answer, Receipt):
                        return answer
                    raise answer
        finally:
            self._under_way.discard(ticket)
        raise Unavailable("STORE_BUSY", "Others keep writing the same thing; try again shortly.")

    async def make_quote(
        self, account: str, asset: str, amount: str, fee: str, now: datetime, expires_at: datetime
    ) -> Quote:
        """Promises `fee` for withdrawing `amount` of `asset` until `expires_at`. Raises Refused ACCOUNT_UNKNOWN."""
        network = self._asset(asset).network
        quote = Quote(f"qt_{secrets.token_hex(13)}", account, network, asset, amount, fee, now, expires_at)
        made = await self._database.write(
            "make_quote", _QUOTE, quote.id, account, network, asset, amount, fee, now, expires_at
        )
        if made is None:
            raise Refused(*_REFUSALS["account_unknown"])
        return quote

    async def _request_batch(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """An answer for each; None where it must be asked again."""
        strangers = await self._strangers(requests)
        batch = [request for request in requests if request.withdrawal.account not in strangers]
        answers = iter(await self._answers(batch) if batch else ())
        return [
            _refusal("account_unknown", request) if request.withdrawal.account in strangers else next(answers)
            for request in requests
        ]

    async def _strangers(self, requests: Sequence[Request]) -> set[str]:
        """Accounts that are nobody's. Opens the ledger accounts of those we know on the way."""
        unknown = [r.withdrawal for r in requests if not self.ledger.knows(_accounts(r))]
        if not unknown:
            return set()
        asked = {withdrawal.account for withdrawal in unknown}
        rows = await self._database.fetch("clients", "SELECT name FROM client WHERE name = ANY($1)", list(asked))
        clients = {row["name"] for row in rows}
        await self.ledger.know(
            self._database,
            (a for r in requests if r.withdrawal.account in clients for a in _accounts(r)),
        )
        return asked - clients

    async def _answers(self, batch: Sequence[Request]) -> Sequence[Answer]:
        asked = [request.withdrawal for request in batch]
        moves = [hold_of(withdrawal).place() for withdrawal in asked]
        keys, digests, _, _, _, *lines = arrays(moves, await self.ledger.know(self._database, accounts_of(moves)))
        with self.ledger.doubting():
            row = await self._database.write(
                "request_withdrawals",
                _REQUEST,
                [w.id for w in asked],
                [w.account for w in asked],
                [w.client_ref for w in asked],
                [w.network for w in asked],
                [w.asset for w in asked],
                [w.amount for w in asked],
                [w.fee for w in asked],
                [w.recipient for w in asked],
                [w.requester for w in asked],
                [r.quote_id for r in batch],
                [r.principal for r in batch],
                [r.idempotency_key for r in batch],
                [r.body_sha256 for r in batch],
                keys,
                digests,
                *lines,
            )
        assert row is not None
        return [
            _answer(verdict, id_, stage, request)
            for verdict, id_, stage, request in zip(
                row["verdicts"], row["found_ids"], row["stages"], batch, strict=True
            )
        ]


def _accounts(request: Request) -> tuple[Account, Account]:
    account, asset = request.withdrawal.account, request.withdrawal.asset
    return chart.available(account, asset), chart.held(account, asset)


def _answer(verdict: str, withdrawal: str, stage: str, request: Request) -> Answer:
    if verdict == "again":
        return None
    if verdict in _REFUSALS:
        return _refusal(verdict, request)
    return Receipt(withdrawal, Stage(stage), replayed=verdict in ("replayed", "known"))


def _refusal(verdict: str, request: Request) -> Refused:
    return Refused(*_REFUSALS[verdict], account=request.withdrawal.account, asset=request.withdrawal.asset)


def _check(request: Request) -> None:
    """The doors checked these already; here so that no single request can spoil the batch it travels in."""
    w = request.withdrawal
    texts = [w.account, w.client_ref, w.network, w.asset, w.recipient, w.requester, request.principal]
    texts += [request.idempotency_key, request.body_sha256, request.quote_id or "-"]
    if any(not 0 < len(text) <= TEXT_CHARS_MAX or "\x00" in text for text in texts):
        raise Refused("REQUEST_MALFORMED", f"Every text of a request has 1 to {TEXT_CHARS_MAX} characters.")
