"""Stake 2.0: freezing TRX for bandwidth or energy, lending them, and getting the TRX back after two weeks."""

from collections.abc import Iterable
from dataclasses import replace

from ops.devnet.tron.actuators import Job, require
from ops.devnet.tron.keys import is_address
from ops.devnet.tron.ledger import RESOURCES, Account, Delegation, Ledger, Unfreezing
from ops.devnet.tron.parameters import (
    DELEGATION_MIN_SUN,
    LOCK_PERIOD_DEFAULT,
    LOCK_SLOT_MS,
    STAKE_MIN_SUN,
    UNFREEZES_MAX,
)
from ops.devnet.tron.resources import delegatable, use
from ops.devnet.tron.transaction import invalid

DAY_MS = 86_400_000


def freeze(job: Job) -> None:
    sun, account = job.amount("frozen_balance"), job.ledger.expect(job.owner)
    require(sun > 0, "frozenBalance must be positive")
    require(sun >= STAKE_MIN_SUN, "frozenBalance must be greater than or equal to 1 TRX")
    require(sun <= account.balance, "frozenBalance must be less than or equal to accountBalance")
    _check_resource(job)
    staked = replace(account, balance=account.balance - sun, frozen=account.frozen.plus(job.resource, sun))
    job.ledger.save(job.owner, staked)
    job.ledger.add_staked(job.resource, sun)


def unfreeze(job: Job) -> None:
    """Starts the two weeks. What is due by now is paid out with it, as java-tron does."""
    sun, account = job.amount("unfreeze_balance"), job.ledger.expect(job.owner)
    _check_resource(job)
    require(0 < sun <= account.frozen.of(job.resource), f"Invalid unfreeze_balance, [{sun}] is error")
    now_ms = job.ledger.moment.time_ms
    waiting = sum(row.due_ms > now_ms for row in account.unfreezing)
    require(waiting < UNFREEZES_MAX, "Invalid unfreeze operation, unfreezing times is over limit")
    due_ms = now_ms + job.ledger.parameter("getUnfreezeDelayDays") * DAY_MS
    paid = _paid_out(account, now_ms)
    job.record.withdrawn = paid.balance - account.balance
    row = Unfreezing(job.resource, sun, due_ms)
    frozen = paid.frozen.plus(job.resource, -sun)
    job.ledger.save(job.owner, replace(paid, frozen=frozen, unfreezing=(*paid.unfreezing, row)))
    job.ledger.add_staked(job.resource, -sun)


def withdraw_expired(job: Job) -> None:
    account, now_ms = job.ledger.expect(job.owner), job.ledger.moment.time_ms
    require(withdrawable(account, now_ms) > 0, "no unFreeze balance to withdraw ")
    paid = _paid_out(account, now_ms)
    job.record.withdrawn = paid.balance - account.balance
    job.ledger.save(job.owner, paid)


def cancel_all(job: Job) -> None:
    """What still waits is staked again, what is due is paid out."""
    account, now_ms = job.ledger.expect(job.owner), job.ledger.moment.time_ms
    require(account.unfreezing, "No unfreezeV2 list to cancel")
    paid = _paid_out(account, now_ms)
    job.record.withdrawn = paid.balance - account.balance
    frozen = paid.frozen
    for row in paid.unfreezing:
        frozen = frozen.plus(row.resource, row.sun)
        job.ledger.add_staked(row.resource, row.sun)
    job.ledger.save(job.owner, replace(paid, frozen=frozen, unfreezing=()))


def withdrawable(account: Account, at_ms: int) -> int:
    """Sun whose two weeks are over."""
    return sum(row.sun for row in account.unfreezing if row.due_ms <= at_ms)


def _paid_out(account: Account, now_ms: int) -> Account:
    rest = tuple(row for row in account.unfreezing if row.due_ms > now_ms)
    return replace(account, balance=account.balance + withdrawable(account, now_ms), unfreezing=rest)


def delegate(job: Job) -> None:
    ledger, receiver, sun, resource = job.ledger, job.address("receiver_address"), job.amount("balance"), job.resource
    _check_resource(job)
    account = ledger.expect(job.owner)
    require(sun >= DELEGATION_MIN_SUN, "delegateBalance must be greater than or equal to 1 TRX")
    enough = sun <= delegatable(ledger, account, resource)
    require(enough, f"delegateBalance must be less than or equal to available Freeze{resource.title()}V2 balance")
    require(is_address(receiver), "Invalid receiverAddress")
    require(receiver != job.owner, "receiverAddress must not be the same as ownerAddress")
    taker = ledger.account(receiver)
    if taker is None:
        raise invalid(f"Account[{receiver.hex()}] not exists")
    require(taker.kind != "Contract", "Do not allow delegate resources to contract addresses")
    row = _released(ledger.delegation(job.owner, receiver) or Delegation(), ledger)
    ledger.save_delegation(job.owner, receiver, _with_loan(job, row, sun))
    lent = replace(account, frozen=account.frozen.plus(resource, -sun), delegated=account.delegated.plus(resource, sun))
    ledger.save(job.owner, lent)
    ledger.save(receiver, replace(taker, acquired=taker.acquired.plus(resource, sun)))


def _with_loan(job: Job, row: Delegation, sun: int) -> Delegation:
    if not job.value.get("lock"):
        return replace(row, free=row.free.plus(job.resource, sun))
    period = job.amount("lock_period") or LOCK_PERIOD_DEFAULT
    longest = job.ledger.parameter("getMaxDelegateLockPeriod")
    told = f"The lock period of delegate resource cannot be less than 0 and cannot exceed {longest}!"
    require(0 < period <= longest, told)
    until = job.ledger.moment.time_ms + period * LOCK_SLOT_MS
    held = row.until_ms(job.resource)
    word = f"The lock period for {job.resource} this time cannot be less than the remaining time[{held}ms] of the last"
    require(until >= held, f"{word} lock period for {job.resource}!")
    locked = replace(row, locked=row.locked.plus(job.resource, sun))
    if job.resource == "ENERGY":
        return replace(locked, energy_until_ms=until)
    return replace(locked, bandwidth_until_ms=until)


def undelegate(job: Job) -> None:
    """Takes a loan back; what the receiver has used of it comes home as used."""
    ledger, receiver, sun, resource = job.ledger, job.address("receiver_address"), job.amount("balance"), job.resource
    _check_resource(job)
    found = ledger.delegation(job.owner, receiver)
    if found is None:
        raise invalid("delegated Resource does not exist")
    row = _released(found, ledger)
    free = row.free.of(resource)
    require(sun > 0, "unDelegateBalance must be more than 0 TRX")
    require(sun <= free, f"insufficient delegatedFrozenBalance({resource}), request={sun}, unlock_balance={free}")
    _return_usage(ledger, job.owner, receiver, resource, sun)
    ledger.save_delegation(job.owner, receiver, replace(row, free=row.free.plus(resource, -sun)))
    account = ledger.expect(job.owner)
    back = replace(account, frozen=account.frozen.plus(resource, sun), delegated=account.delegated.plus(resource, -sun))
    ledger.save(job.owner, back)
    taker = ledger.expect(receiver)
    ledger.save(receiver, replace(taker, acquired=taker.acquired.plus(resource, -sun)))


def _return_usage(ledger: Ledger, owner: bytes, receiver: bytes, resource: str, sun: int) -> None:
    taker = ledger.expect(receiver)
    used, stake = taker.usage(resource).left_at(ledger.moment.time_ms), taker.stake(resource)
    moved = used * sun // stake if stake else 0
    use(ledger, receiver, resource, -moved)
    use(ledger, owner, resource, moved)


def _released(row: Delegation, ledger: Ledger) -> Delegation:
    """The same, with what was locked until now set free."""
    due: Iterable[str] = [name for name in RESOURCES if 0 < row.until_ms(name) <= ledger.moment.time_ms]
    for name in due:
        sun = row.locked.of(name)
        row = replace(row, free=row.free.plus(name, sun), locked=row.locked.plus(name, -sun))
    return row


def _check_resource(job: Job) -> None:
    require(job.resource in RESOURCES, "ResourceCode error, valid ResourceCode[BANDWIDTH、ENERGY]")
