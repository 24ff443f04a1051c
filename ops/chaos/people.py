"""Those who ask for money and those who agree to it: over REST, as anybody would, with an address of its own for each
withdrawal. What is done about a payment that is out is done at the `Desk`.
"""

import asyncio
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

from adapters.catalogue import Catalogue
from adapters.settings import Settings
from domain.intent import Intent, Ruling
from domain.procedure import Kind
from domain.withdrawal import Stage, withdrawal_id
from ops.chaos.desk import Desk
from ops.chaos.schedule import Event, People
from ops.cli.approver import Signer, read_key
from ops.demo.door import Door
from ops.demo.story import fresh_address
from ops.devnet.household import APPROVERS, CLIENTS, Household

CLIENT = CLIENTS[0]
REFERRED_WAIT_S = 60.0
LOOK_S = 0.2
QUORUM = APPROVERS[:2]
_DONE = {People.SPEED_UP: Kind.SPEED_UP, People.VOID: Kind.VOID}


@dataclass(slots=True)
class Asked:
    """One withdrawal as it was asked for. `accepted`: the door said 202; without it nothing is owed, but a lost answer
    may stand for a row all the same.
    """

    id: str
    network: str
    asset: str
    amount: str
    recipient: str
    people: People
    accepted: bool = False
    refusal: str = ""
    view: dict[str, Any] = field(default_factory=dict)


class Crowd:
    """Everybody outside. Their patience is long: a dropped connection or a 503 is answered by the same call again.
    `knocking`: how many wait at the door now.
    """

    def __init__(
        self, settings: Settings, catalogue: Catalogue, session: aiohttp.ClientSession, desk: Desk, run: str
    ) -> None:
        household = Household(settings.state_dir)
        keys = household.keys()
        self._networks = catalogue.networks
        self._desk = desk
        self._run = run
        self._client = Door(session, settings.api_url, keys[CLIENT])
        self._doors = {name: Door(session, settings.api_url, keys[name]) for name in APPROVERS}
        self._signers: dict[str, Signer] = {name: read_key(household.approver_key(name)) for name in APPROVERS}
        self.asked: list[Asked] = []
        self.knocking = 0

    async def withdraw(self, event: Event) -> Asked:
        """Asks for one withdrawal and does about it what the event says; returns when people have done their part."""
        words, ref = event.words, f"{self._run}-{event.target}-{event.words['n']}"
        recipient = fresh_address(self._networks[event.target], self._run, int(words["n"]))
        people = People(words["people"])
        asked = Asked(withdrawal_id(CLIENT, ref), event.target, words["asset"], words["amount"], recipient, people)
        self.asked.append(asked)
        body = {"client_ref": ref, "network": asked.network, "asset": asked.asset, "amount": asked.amount}
        self.knocking += 1
        try:
            status, answer = await self._client.post("/v1/withdrawals", {**body, "recipient": recipient}, ref)
        finally:
            self.knocking -= 1
        asked.accepted = status == 202
        if not asked.accepted:
            asked.refusal = f"{status} {answer.get('code', answer.get('detail', ''))}"
            return asked
        await self._take_part(asked, float(words["after_s"]))
        return asked

    async def _take_part(self, asked: Asked, after_s: float) -> None:
        match asked.people:
            case People.CANCEL:
                await asyncio.sleep(after_s)
                await self._cancel(asked)
            case People.APPROVE if await self._is_referred(asked):
                for name in QUORUM:
                    await self._decide(asked, name, Ruling.APPROVE)
            case People.REJECT if await self._is_referred(asked):
                await self._decide(asked, QUORUM[0], Ruling.REJECT)
            case People.APPROVE_AND_CANCEL if await self._is_referred(asked):
                await self._decide(asked, QUORUM[0], Ruling.APPROVE)
                await asyncio.gather(self._decide(asked, QUORUM[1], Ruling.APPROVE), self._cancel_after(asked, after_s))
            case People.SPEED_UP | People.VOID:
                await self._desk.act(_DONE[asked.people], asked.id, asked.network)

    async def _is_referred(self, asked: Asked) -> bool:
        """Whether people are asked, once they are; False when it went another way."""
        until = time.monotonic() + REFERRED_WAIT_S
        while time.monotonic() < until:
            status, view = await self._client.get(f"/v1/withdrawals/{asked.id}")
            if status == 200:
                asked.view = view
                if view["stage"] != Stage.REQUESTED:
                    return bool(view["stage"] == Stage.REFERRED)
            await asyncio.sleep(LOOK_S)
        return False

    async def _decide(self, asked: Asked, who: str, ruling: Ruling) -> None:
        """Says it until there is an answer, whatever it is: the books weigh it."""
        decision = asdict(self._signers[who].decide(Intent(**asked.view["intent"]), ruling))
        await self._doors[who].post(f"/v1/withdrawals/{asked.id}/{ruling.value}", decision)

    async def _cancel(self, asked: Asked) -> None:
        await self._client.post(f"/v1/withdrawals/{asked.id}/cancel", {"reason": "chaos"})

    async def _cancel_after(self, asked: Asked, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._cancel(asked)

    async def see_to_the_undecided(self, referred: set[str]) -> None:
        """Whoever could not reach the door before says now what was meant: nothing is left to a deadline of a day."""
        for asked in self.asked:
            if asked.id in referred and await self._is_referred(asked):
                if asked.people is People.REJECT:
                    await self._decide(asked, QUORUM[0], Ruling.REJECT)
                else:
                    for name in QUORUM:
                        await self._decide(asked, name, Ruling.APPROVE)
