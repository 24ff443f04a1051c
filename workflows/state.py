"""What workflows begin with, remember and show. They live beside the stories and not in them: the sandbox loads a
story's module anew for each run, and making these classes is most of what that would cost.
"""

from dataclasses import dataclass, field
from datetime import datetime

from activities.hot_wallet import ServeNote
from activities.stories import PayoutOrder
from domain.intent import Ruling
from domain.payout import Version
from domain.policy import Verdict
from domain.ports import Conclusion
from domain.procedure import Endorsed
from domain.withdrawal import Stage


@dataclass(frozen=True, slots=True)
class WithdrawalOrder:
    """Which withdrawal, and one line for people (such as "12.5 USDT on Ethereum for acme"). `asset` is the asset id.

    Everything else stands in the books; nothing here is secret.
    """

    id: str
    account: str
    network: str
    asset: str
    requester: str
    summary: str


@dataclass(frozen=True, slots=True)
class Plea:
    """Somebody asks to cancel."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PayoutStatus:
    """What an operator sees: how many versions were signed, the last one's txid, why it stands still if it does, and
    why what people ordered last could not be done.
    """

    versions: int
    txid: str | None
    halted: str | None
    unheeded: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What an operator sees when asking the workflow; the books hold the truth. `slot` while its own story is told."""

    stage: Stage
    approvals: int
    needed: int
    deadline: datetime | None
    decided: tuple[str, ...]
    malformed: int
    slot: PayoutStatus | None = None


@dataclass
class Asked:
    """A plea and, once `story` has acted on it, where the withdrawal stands."""

    plea: Plea
    answer: Conclusion | None = None


@dataclass
class WithdrawalState:
    """All that this workflow knows; the facts that handlers bring and the one place that `story` reads. `shown` is the
    stage that operators find it by; `plan` is what the hot wallet bound it to, `next_plan` what it did so since, and
    `given_up` are slots that strangers consumed.
    """

    stage: Stage = Stage.REQUESTED
    shown: Stage = Stage.REQUESTED
    verdict: Verdict | None = None
    deadline: datetime | None = None
    approvals: int = 0
    decided: dict[str, Ruling] = field(default_factory=dict)
    rejected_by: str | None = None
    quorum: bool = False
    heard: int = 0
    hearing: set[int] = field(default_factory=set)
    last_letter: datetime | None = None
    pleas: list[Asked] = field(default_factory=list)
    letters: int = 0
    malformed: int = 0
    told: Conclusion | None = None
    plan: PayoutOrder | None = None
    next_plan: PayoutOrder | None = None
    given_up: set[str] = field(default_factory=set)
    procedures: list[Endorsed] = field(default_factory=list)
    ended: Conclusion | None = None

    @property
    def needed(self) -> int:
        return self.verdict.approvals if self.verdict else 0

    @property
    def moved(self) -> bool:
        """Whether anything arrived that asks for a step."""
        return bool(self.rejected_by or self.pleas or self.quorum or self.told)


@dataclass
class PayoutState:
    """All that a slot's story knows. `refused`: the signer refused the first bytes; `hasten`: the number of the version
    that people want outbid at once; `heard` and `asked`: procedures, and those not obeyed yet; `void`: the one by which
    all further versions pay nobody; `unheeded`: why the last of them could not be obeyed; `given_up`: the books say
    that a stranger consumed the slot.
    """

    version: Version | None = None
    resumed: int = 0
    halted: str | None = None
    may_bump: bool = True
    refused: bool = False
    hasten: int = 0
    heard: list[Endorsed] = field(default_factory=list)
    asked: list[Endorsed] = field(default_factory=list)
    void: Endorsed | None = None
    unheeded: str | None = None
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class HotWalletOrder:
    """Which wallet; `last` is the note of the term before, for people to read."""

    network: str
    wallet: str
    last: ServeNote | None = None


@dataclass(frozen=True, slots=True)
class HotWalletStatus:
    """The last term's note, None in the first; `halted` is why the wallet stands still, if it does."""

    last: ServeNote | None
    halted: str | None
