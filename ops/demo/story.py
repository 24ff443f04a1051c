"""What happens in the demonstration: on every network the token and the native coin are paid; on the first network of
each family one withdrawal is also approved by a quorum, one rejected and one refused. A network that pays in batches
gets one of them to pay.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from btclib.b32 import address_from_witness
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from temporalio.client import Client, RPCError

from adapters.catalogue import Catalogue
from adapters.chains.tron import address as tron_address
from domain.intent import Intent, Ruling
from domain.money import Amount
from domain.network import Network
from domain.withdrawal import ENDS, Stage, withdrawal_id, workflow_id
from ops.cli.approver import Signer
from ops.demo.door import Door

TOKEN = "USDT"  # noqa: S105  # a coin
NATIVE_TIMES = 25  # the least of the native coin that may be withdrawn, so many times
BATCH_TITLE = "in a batch"
BATCH_PAYOUTS = 24
BATCH_PAYOUTS_MIN = 20  # of those that one transaction must pay
END_WAIT_S = 180.0
LOOK_S = 0.1


class WentWrong(Exception):
    """Something ended otherwise than it should; the sentence says what."""


@dataclass(slots=True)
class Case:
    """One withdrawal of the demonstration, as it is asked for and as it ended."""

    title: str
    network: str
    asset: str
    client: str
    amount: str
    should_end: str
    recipient: str
    ref: str
    id: str | None = None
    view: dict[str, Any] = field(default_factory=dict)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    code: str = ""

    @property
    def stage(self) -> str:
        return str(self.view.get("stage", "")) or ("REFUSED" if self.code else "")


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody who acts: clients' doors by account, approvers' doors and keys by name, and a line to Temporal."""

    clients: dict[str, Door]
    approver_doors: dict[str, Door]
    approvers: dict[str, Signer]
    temporal: Callable[[], Awaitable[Client]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story, for any network that has the asset. `of_many`: told on the first network of a family."""

    title: str
    asset: str
    client: str
    amount: str
    ends: str
    of_many: bool = False


TOKEN_LINES = (
    Line("paid at once", TOKEN, "alice", "25", Stage.SETTLED),
    Line("2 of 3 approve", TOKEN, "alice", "2500", Stage.SETTLED, of_many=True),
    Line("rejected", TOKEN, "alice", "1200", Stage.REJECTED, of_many=True),
    Line("not enough funds", TOKEN, "bob", "999", "REFUSED", of_many=True),
)


def cases(run: str, catalogue: Catalogue, networks: Sequence[str], extra: int) -> list[Case]:
    """Every case of these networks, and `extra` small ones that keep a wallet of each family busy; each pays a fresh
    address.
    """
    made: list[Case] = []
    families: set[str] = set()
    for network in (catalogue.networks[id_] for id_ in networks):
        lines = _lines(catalogue, network, network.family not in families, extra)
        families.add(network.family)
        for n, line in enumerate(lines):
            recipient, ref = fresh_address(network, run, n), f"demo-{run}-{network.id}-{n}"
            made.append(
                Case(line.title, network.id, line.asset, line.client, line.amount, str(line.ends), recipient, ref)
            )
    return made


def _lines(catalogue: Catalogue, network: Network, is_first: bool, extra: int) -> list[Line]:
    native = catalogue.native(network.id)
    least = catalogue.policy.assets[native.id].minimum_units
    coins = Amount(NATIVE_TIMES * least, native).text()
    lines = [Line("native coin", native.code, "alice", coins, Stage.SETTLED)]
    if any((asset.network, asset.code) == (network.id, TOKEN) for asset in catalogue.assets.values()):
        lines += [line for line in TOKEN_LINES if is_first or not line.of_many]
        more = (Line(f"paid at once ({n + 2})", TOKEN, "alice", f"{n + 1}.5", Stage.SETTLED) for n in range(extra))
        lines += more if is_first else ()
    if network.batch_max > 1:
        amounts = (Amount((n + 2) * least, native).text() for n in range(BATCH_PAYOUTS))
        lines += (Line(BATCH_TITLE, native.code, "alice", amount, Stage.SETTLED) for amount in amounts)
    return lines


async def play(case: Case, cast: Cast) -> None:
    """Plays one case to its end. Raises WentWrong when an answer on the way is not the one that should come."""
    if case.should_end == "REFUSED":
        return await _refused(case, cast)
    await _request(case, cast)
    if case.title == "2 of 3 approve":
        await _until(case, cast, lambda: case.stage == Stage.REFERRED)
        await _decide_over_rest(case, cast, "ann", Ruling.APPROVE)
        await _decide_by_signal(case, cast, "ben", Ruling.APPROVE)
    if case.should_end == Stage.REJECTED:
        await _until(case, cast, lambda: case.stage == Stage.REFERRED)
        await _decide_over_rest(case, cast, "cat", Ruling.REJECT)
    await _until(case, cast, lambda: case.stage in ENDS)


async def _request(case: Case, cast: Cast) -> None:
    status, answer = await cast.clients[case.client].post("/v1/withdrawals", _body(case), case.ref)
    if status != 202:
        raise WentWrong(f"{case.title}: the door answered {status} {answer.get('code')}: {answer.get('detail')}")
    case.id = answer["id"]


async def _refused(case: Case, cast: Cast) -> None:
    """The door says 422 at once, and nothing of it remains: no row, no hold, no workflow."""
    door = cast.clients[case.client]
    before = (await door.get(f"/v1/accounts/{case.client}/balances"))[1]
    status, answer = await door.post("/v1/withdrawals", _body(case), case.ref)
    after = (await door.get(f"/v1/accounts/{case.client}/balances"))[1]
    case.code = str(answer.get("code", ""))
    if status != 422 or case.code != "INSUFFICIENT_FUNDS":
        raise WentWrong(f"{case.title}: the door answered {status} {case.code} instead of 422 INSUFFICIENT_FUNDS")
    if before != after:
        raise WentWrong(f"{case.title}: balances changed although nothing was accepted")
    if (await door.get(f"/v1/withdrawals/by-ref/{case.ref}"))[0] != 404:
        raise WentWrong(f"{case.title}: a row was left behind")
    client = await cast.temporal()
    try:
        await client.get_workflow_handle(workflow_id(withdrawal_id(case.client, case.ref))).describe()
    except RPCError:
        return
    raise WentWrong(f"{case.title}: a workflow was left running")


async def _decide_over_rest(case: Case, cast: Cast, who: str, ruling: Ruling) -> None:
    decision = _signed(case, cast, who, ruling)
    status, answer = await cast.approver_doors[who].post(f"/v1/withdrawals/{case.id}/{ruling.value}", decision)
    if status != 200 and answer.get("code") not in ("REPEAT", "TOO_LATE"):
        raise WentWrong(
            f"{case.title}: {who}'s word was answered {status} {answer.get('code')}: {answer.get('detail')}"
        )


async def _decide_by_signal(case: Case, cast: Cast, who: str, ruling: Ruling) -> None:
    decision = _signed(case, cast, who, ruling)
    until = time.monotonic() + END_WAIT_S
    while True:
        try:
            client = await cast.temporal()
            return await client.get_workflow_handle(workflow_id(str(case.id))).signal(ruling.value, decision)
        except (RPCError, RuntimeError) as error:
            if time.monotonic() > until:
                raise WentWrong(f"{case.title}: the signal did not reach Temporal: {error}") from error
            await asyncio.sleep(0.5)


def _signed(case: Case, cast: Cast, who: str, ruling: Ruling) -> dict[str, str]:
    """The decision of one person, signed on their side over a hash computed there."""
    return asdict(cast.approvers[who].decide(Intent(**case.view["intent"]), ruling))


async def _until(case: Case, cast: Cast, reached: Callable[[], bool]) -> None:
    """Looks at the withdrawal over REST until it is where it should be."""
    door, until = cast.clients[case.client], time.monotonic() + END_WAIT_S
    while True:
        status, view = await door.get(f"/v1/withdrawals/{case.id}")
        if status == 200:
            case.view = view
            case.timeline = (await door.get(f"/v1/withdrawals/{case.id}/timeline"))[1].get("items", case.timeline)
        if reached():
            return
        if case.stage in ENDS or time.monotonic() > until:
            raise WentWrong(f"{case.title}: it stands at {case.stage or 'nowhere'} ({view.get('reason') or status})")
        await asyncio.sleep(LOOK_S)


def _body(case: Case) -> dict[str, str]:
    return {
        "client_ref": case.ref,
        "network": case.network,
        "asset": case.asset,
        "amount": case.amount,
        "recipient": case.recipient,
    }


def fresh_address(network: Network, run: str, n: int) -> str:
    """An address that no key is known of, another one for each run and case, as the network writes it."""
    return ADDRESSES[network.family](keccak(text=f"strongroom/demo/{run}/{network.id}/{n}")[-20:])


def _bitcoin_address(account: bytes) -> str:
    return str(address_from_witness(0, account, "regtest"))


def _tron_address(account: bytes) -> str:
    return tron_address.text_of(tron_address.PREFIX + account)


# How a family's local networks write the twenty bytes of an account.
ADDRESSES: Mapping[str, Callable[[bytes], str]] = {
    "bitcoin": _bitcoin_address,
    "evm": to_checksum_address,
    "tron": _tron_address,
}
