"""The chain's cells with their types: accounts, contracts, tokens, delegations, parameters."""

from dataclasses import dataclass, field, replace
from typing import Any

from ops.devnet.tron import parameters
from ops.devnet.tron.world import Cells, Reader, Scratch

RESOURCES = ("BANDWIDTH", "ENERGY")
TOKEN_UNIT_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Usage:
    """Bandwidth or energy used, which comes back evenly over a day."""

    amount: int = 0
    at_ms: int = 0

    def left_at(self, now_ms: int) -> int:
        """What still counts as used."""
        return self.amount * max(0, parameters.WINDOW_MS - (now_ms - self.at_ms)) // parameters.WINDOW_MS

    def plus(self, amount: int, now_ms: int) -> "Usage":
        return Usage(max(0, self.left_at(now_ms) + amount), now_ms)


@dataclass(frozen=True, slots=True)
class Stakes:
    """Sun staked for each resource."""

    bandwidth: int = 0
    energy: int = 0

    def of(self, resource: str) -> int:
        return self.energy if resource == "ENERGY" else self.bandwidth

    def plus(self, resource: str, sun: int) -> "Stakes":
        if resource == "ENERGY":
            return replace(self, energy=self.energy + sun)
        return replace(self, bandwidth=self.bandwidth + sun)


@dataclass(frozen=True, slots=True)
class Unfreezing:
    """A stake on its way back."""

    resource: str
    sun: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class Account:
    """One activated account; money in sun. Permissions are kept as their protobuf bytes, None while never changed."""

    created_ms: int
    kind: str = "Normal"
    balance: int = 0
    last_ms: int = 0
    free_net: Usage = Usage()
    net: Usage = Usage()
    energy: Usage = Usage()
    frozen: Stakes = Stakes()
    delegated: Stakes = Stakes()  # of ours, working for others
    acquired: Stakes = Stakes()  # of others, working for us
    unfreezing: tuple[Unfreezing, ...] = ()
    owner_permission: bytes | None = None
    actives: tuple[bytes, ...] | None = None

    def stake(self, resource: str) -> int:
        """Sun whose share of the resource this account may use."""
        return self.frozen.of(resource) + self.acquired.of(resource)

    def usage(self, resource: str) -> Usage:
        return self.energy if resource == "ENERGY" else self.net

    def using(self, resource: str, usage: Usage) -> "Account":
        return replace(self, energy=usage) if resource == "ENERGY" else replace(self, net=usage)


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract: its description as protobuf, and the energy penalty on top of each call, in 1/10000."""

    description: bytes
    factor: int = 0


@dataclass(frozen=True, slots=True)
class Delegation:
    """What one account lends to another; `locked` cannot be taken back before `locked_until_ms`."""

    free: Stakes = Stakes()
    locked: Stakes = Stakes()
    bandwidth_until_ms: int = 0
    energy_until_ms: int = 0

    def until_ms(self, resource: str) -> int:
        return self.energy_until_ms if resource == "ENERGY" else self.bandwidth_until_ms

    @property
    def is_empty(self) -> bool:
        return not any(row.of(name) for row in (self.free, self.locked) for name in RESOURCES)


@dataclass(frozen=True, slots=True)
class Token:
    """A TRC10 token: anybody may issue one, under any name."""

    id: str
    name: str
    abbreviation: str
    owner: bytes
    supply: int
    decimals: int


@dataclass(frozen=True, slots=True)
class Moment:
    """The block in which something is executed."""

    number: int
    time_ms: int
    slot_ms: int = 3_000


@dataclass(slots=True)
class Ledger:
    """Typed access to cells. Writing needs real Cells; a Reader is enough to look."""

    cells: Cells
    moment: Moment = field(default_factory=lambda: Moment(0, 0))

    # ------------------------------------------------------------ accounts
    def account(self, address: bytes) -> Account | None:
        found: Account | None = self.cells.get(("account", address))
        return found

    def expect(self, address: bytes) -> Account:
        """An account that has to be there. Raises LookupError."""
        found = self.account(address)
        if found is None:
            raise LookupError(f"no account {address.hex()}")
        return found

    def save(self, address: bytes, account: Account) -> None:
        self.cells.put(("account", address), account)

    def open(self, address: bytes, kind: str = "Normal") -> Account:
        """The account, activated now if it was not."""
        account = self.account(address)
        if account is None:
            account = Account(self.moment.time_ms, kind)
            self.save(address, account)
        return account

    def balance(self, address: bytes) -> int:
        """Sun; 0 for an account that is not activated."""
        account = self.account(address)
        return account.balance if account else 0

    def add(self, address: bytes, sun: int) -> None:
        """Moves a balance up or down. Raises ValueError below zero, LookupError without an account."""
        account = self.expect(address)
        if account.balance + sun < 0:
            raise ValueError(f"{address.hex()} has {account.balance} sun and was to pay {-sun}")
        self.save(address, replace(account, balance=account.balance + sun))

    # ------------------------------------------------------------ contracts
    def contract(self, address: bytes) -> Contract | None:
        found: Contract | None = self.cells.get(("contract", address))
        return found

    def save_contract(self, address: bytes, contract: Contract) -> None:
        self.cells.put(("contract", address), contract)

    def code(self, address: bytes) -> bytes:
        found: bytes | None = self.cells.get(("code", address))
        return found or b""

    def save_code(self, address: bytes, code: bytes) -> None:
        self.cells.put(("code", address), code or None)

    def slot(self, address: bytes, slot: int) -> int:
        found: int | None = self.cells.get(("slot", address, slot))
        return found or 0

    def save_slot(self, address: bytes, slot: int, value: int) -> None:
        self.cells.put(("slot", address, slot), value or None)

    def created_contracts(self, address: bytes) -> int:
        """How many contracts a contract has made."""
        found: int | None = self.cells.get(("nonce", address))
        return found or 0

    def count_created(self, address: bytes) -> None:
        self.cells.put(("nonce", address), self.created_contracts(address) + 1)

    # ------------------------------------------------------------ tokens
    def token(self, id_: str) -> Token | None:
        found: Token | None = self.cells.get(("token", id_))
        return found

    def token_balance(self, address: bytes, id_: str) -> int:
        found: int | None = self.cells.get(("holding", address, id_))
        return found or 0

    def add_token(self, address: bytes, id_: str, units: int) -> None:
        """Raises ValueError below zero."""
        left = self.token_balance(address, id_) + units
        if left < 0:
            raise ValueError(f"{address.hex()} lacks {-left} of token {id_}")
        self.cells.put(("holding", address, id_), left or None)

    # ------------------------------------------------------------ stakes
    def delegation(self, owner: bytes, receiver: bytes) -> Delegation | None:
        found: Delegation | None = self.cells.get(("delegation", owner, receiver))
        return found

    def save_delegation(self, owner: bytes, receiver: bytes, delegation: Delegation) -> None:
        self.cells.put(("delegation", owner, receiver), None if delegation.is_empty else delegation)

    def staked(self, resource: str) -> int:
        """Sun that accounts of this chain have staked."""
        found: int | None = self.cells.get(("staked", resource))
        return found or 0

    def add_staked(self, resource: str, sun: int) -> None:
        self.cells.put(("staked", resource), self.staked(resource) + sun)

    # ------------------------------------------------------------ parameters
    def parameter(self, name: str) -> int:
        """Raises KeyError for a name that no chain has."""
        found: int | None = self.cells.get(("parameter", name))
        return parameters.DEFAULTS[name] if found is None else found

    def parameters(self) -> dict[str, int]:
        return {name: self.parameter(name) for name in parameters.DEFAULTS}


def looking(reader: Reader, moment: Moment) -> Ledger:
    """A ledger over something that is only read; what it writes is forgotten."""
    return Ledger(Scratch(reader), moment)


KINDS: tuple[Any, ...] = (Usage, Stakes, Unfreezing, Account, Contract, Delegation, Token)
