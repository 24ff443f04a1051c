"""Those who do something about a payment that is stuck: they endorse a procedure and hand it to the wallet's story."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from temporalio.client import Client

from adapters.settings import Settings
from adapters.store.database import Database
from domain.errors import Refused, Unavailable
from domain.payout import hot_wallet_workflow_id
from domain.ports import Views
from domain.procedure import NEEDED, Endorsed, Kind, Procedure
from domain.withdrawal import ENDS
from ops.cli.approver import read_key
from ops.cli.procedures import handed, wallet_on
from ops.devnet.household import APPROVERS, Household

PATIENCE_S, LOOK_S = 60.0, 0.1
_CARRIED_OUT = "SELECT kind, code, count(*) AS n FROM procedure GROUP BY kind, code ORDER BY kind, code"


class Desk:
    """Operators with approvers' keys. A silence is answered by handing the same words over again."""

    def __init__(self, settings: Settings, views: Views, temporal: Client) -> None:
        household = Household(settings.state_dir)
        self._signers = [read_key(household.approver_key(name)) for name in APPROVERS]
        self._views = views
        self._temporal = temporal

    async def act(self, kind: Kind, withdrawal_id: str, network: str) -> None:
        """Has it done to the slot that pays the withdrawal, as soon as one does."""
        if (slot := await self._slot(withdrawal_id)) is not None:
            await self.carry_out(kind, network, slot)

    async def carry_out(self, kind: Kind, network: str, subject: str, rests_on: str = "") -> str:
        """What the books said of it: TAKEN or why not; SILENCE when nobody answered for PATIENCE_S."""
        asked = Procedure(kind, subject, "chaos", rests_on, datetime.now(UTC).isoformat())
        words = tuple(signer.endorse(asked) for signer in self._signers[: NEEDED[kind]])
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                wallet = wallet_on(await self._views.wallets(), network)
                story = hot_wallet_workflow_id(network, wallet.address)
                return (await handed(self._temporal, story, Endorsed(asked, words))).code
            except Refused as refusal:
                return refusal.code
            except Unavailable:
                await asyncio.sleep(LOOK_S)
        return "SILENCE"

    async def _slot(self, withdrawal_id: str) -> str | None:
        """The slot that pays the withdrawal, once one does; None when it ended without, or never came so far."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                view = await self._views.withdrawal(withdrawal_id)
            except Unavailable:
                view = None
            if view is not None and (view.slot_id is not None or view.stage in ENDS):
                return view.slot_id
            await asyncio.sleep(LOOK_S)
        return None


async def carried_out(database: Database) -> Mapping[str, int]:
    """How many procedures the books hold, by kind and what they were worth."""
    rows = await database.fetch("procedures_carried_out", _CARRIED_OUT)
    return {f"{row['kind']} {row['code']}": row["n"] for row in rows}
