"""Hot wallets and client accounts: opened once; a wallet is halted by a machine and resumed by people."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import datetime

from adapters.store.database import Connection
from adapters.store.desk import Desk
from adapters.store.judgement import WAKE_CHANNEL
from adapters.store.ledger import insist
from domain.errors import Refused, StrongroomError
from domain.ledger import chart
from domain.ledger.chart import Account
from domain.ledger.entry import entry_of
from domain.ledger.hold import Move
from domain.outgoing import Outgoing, foreign_transactions, strangers
from domain.procedure import endorsable

WAKE_S = 1.0
ADDRESS_CHARS_MAX = 100

_OPEN_WALLET = """INSERT INTO wallet (id, network, address, next_scarce) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO NOTHING RETURNING id"""
_LOCK_WALLET = "SELECT id, address, next_scarce, halted_reason FROM wallet WHERE id = $1 FOR NO KEY UPDATE"
_KNOWN = """
SELECT txid FROM version WHERE txid = ANY($1) UNION SELECT txid FROM consumption WHERE txid = ANY($1)
"""
_READ_ON = "UPDATE wallet SET read_through = $3 WHERE id = $1 AND read_through IS NOT DISTINCT FROM $2"
WALLET_EVENT = "INSERT INTO wallet_event (wallet_id, what, reason, actors, at) VALUES ($1, $2, $3, $4, $5)"


def wallet_id(network: str, address: str) -> str:
    return f"{network}/{address.lower()}"


async def lock_wallet(connection: Connection, network: str, address: str) -> tuple[str, int, str | None]:
    """(address as opened, next scarce, why halted) of the locked row. Raises Refused WALLET_UNKNOWN."""
    row = await connection.fetchrow(_LOCK_WALLET, wallet_id(network, address))
    if row is None:
        raise Refused("WALLET_UNKNOWN", "There is no such hot wallet; open it first.", network=network)
    return row["address"], row["next_scarce"], row["halted_reason"]


class Wallets(Desk):
    """`ensure_account`, `ensure_wallet`, `post_opening`, `halt_wallet`, `record_outgoing`, `halted` and `wake_ups`."""

    async def ensure_account(self, account: str) -> None:
        """Opens a client's accounts, one pair for every asset of the catalogue; a repeat changes nothing."""
        if not 0 < len(account) <= 64 or not account.isprintable() or "/" in account:
            raise Refused("ACCOUNT_MALFORMED", "An account's name has 1 to 64 printable characters and no slash.")
        await self._database.write(
            "ensure_account", "INSERT INTO client (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name", account
        )
        assets = self._catalogue.assets
        opened = (open_(account, asset) for asset in assets for open_ in (chart.available, chart.held))
        await self.ledger.know(self._database, opened)

    async def ensure_wallet(self, network: str, address: str, next_scarce: int) -> None:
        """Opens a hot wallet's accounts and its sequence of scarce things; a repeat changes nothing."""
        native = self._network(network).native_asset
        if not 0 < len(address) <= ADDRESS_CHARS_MAX or not address.isalnum():
            raise Refused("ADDRESS_MALFORMED", "A hot wallet's address is letters and digits.", network=network)
        await self._database.write(
            "ensure_wallet", _OPEN_WALLET, wallet_id(network, address), network, address, next_scarce
        )
        await self.ledger.know(self._database, self._wallet_accounts(network, address, native))

    async def post_opening(self, key: str, balances: Iterable[tuple[Account, int]]) -> None:
        """Enters balances (positive units on each account's normal side) that existed before the books did, once per
        key. Raises Refused ENTRY_CONFLICT when the key was used for other balances.
        """

        def lines() -> Iterable[tuple[Account, int]]:
            for account, units in balances:
                debit = units * account.kind.normal_sign
                yield account, debit
                yield chart.opening(account.asset), -debit

        move = Move(entry_of(f"opening/{key}", "opening", lines()))
        insist(await self.ledger.post(move), move)

    async def halt_wallet(self, network: str, wallet: str, reason: str, now: datetime) -> None:
        """Nothing is planned from the wallet any more. The first reason stays; each new one is recorded."""
        async with self._database.transaction("halt_wallet") as connection:
            await self._halt(connection, network, wallet, reason, now)

    async def record_outgoing(self, network: str, wallet: str, outgoing: Outgoing, now: datetime) -> str | None:
        """Halts the wallet if one of its key's transactions is neither a version of ours nor one for which people gave
        a slot up, and keeps how far was read.
        """
        if outgoing.through is None or (outgoing.through == outgoing.after and not outgoing.txids):
            return None
        async with self._database.transaction("record_outgoing") as connection:
            await lock_wallet(connection, network, wallet)
            known = await connection.fetch(_KNOWN, outgoing.txids) if outgoing.txids else ()
            foreign = strangers(outgoing, frozenset(row["txid"] for row in known))
            evidence = foreign_transactions(foreign) if foreign else None
            if evidence is not None:
                await self._halt(connection, network, wallet, evidence, now)
            await connection.execute(_READ_ON, wallet_id(network, wallet), outgoing.after, outgoing.through)
            return evidence

    async def _halt(self, connection: Connection, network: str, wallet: str, reason: str, now: datetime) -> None:
        _, _, halted = await lock_wallet(connection, network, wallet)
        said, id_ = endorsable(reason) or "HALTED", wallet_id(network, wallet)
        known = await connection.fetchval(
            "SELECT $2 IN (SELECT reason FROM wallet_event WHERE wallet_id = $1 AND id > coalesce("
            "(SELECT max(id) FROM wallet_event WHERE wallet_id = $1 AND what = 'RESUMED'), 0))",
            id_,
            said,
        )
        if halted is None or not known:
            await connection.execute(WALLET_EVENT, id_, "HALTED", said, [], now)
        await connection.execute(
            "UPDATE wallet SET halted_reason = coalesce(halted_reason, $2) WHERE id = $1", id_, said
        )

    async def halted(self, network: str, wallet: str) -> str | None:
        """Why the wallet is halted; None when it is not. Raises Refused WALLET_UNKNOWN."""
        row = await self._database.fetchrow(
            "halted", "SELECT halted_reason FROM wallet WHERE id = $1", wallet_id(network, wallet)
        )
        if row is None:
            raise Refused("WALLET_UNKNOWN", "There is no such hot wallet; open it first.", network=network)
        reason: str | None = row["halted_reason"]
        return reason

    async def wake_ups(self, network: str, wallet: str) -> AsyncIterator[None]:
        """Yields whenever something was queued for the network (and at least every second): a hint, never the truth."""
        woken = asyncio.Event()

        def hear(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            if payload == network:
                woken.set()

        connection: Connection | None = None
        try:
            while True:
                try:
                    if connection is None or connection.is_closed():
                        connection = await self._database.listen()
                        await connection.add_listener(WAKE_CHANNEL, hear)
                except (StrongroomError, OSError):
                    connection = None
                yield
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), WAKE_S)
                woken.clear()
        finally:
            if connection is not None and not connection.is_closed():
                connection.terminate()

    def _wallet_accounts(self, network: str, address: str, native: str) -> Iterable[Account]:
        for asset in self._catalogue.assets.values():
            if asset.network == network:
                yield chart.hot_wallet(network, address, asset.id)
                yield chart.in_flight(network, asset.id)
                yield chart.withdrawal_fee(asset.id)
        yield chart.network_fee(network, native)
