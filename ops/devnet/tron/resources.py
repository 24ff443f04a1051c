"""Bandwidth and energy: what a stake is worth, what is left of it, and what is burnt when nothing is."""

from dataclasses import replace

from ops.devnet.tron.ledger import Account, Ledger
from ops.devnet.tron.parameters import MAX_RESULT_BYTES, OTHERS_STAKE_TRX, SUN
from ops.devnet.tron.transaction import Record, Transaction, starved

TOTALS = {"ENERGY": "getTotalEnergyCurrentLimit", "BANDWIDTH": "getTotalNetLimit"}


def total_weight(ledger: Ledger, resource: str) -> int:
    """Whole TRX that everybody has staked for a resource."""
    return OTHERS_STAKE_TRX[resource] + ledger.staked(resource) // SUN


def limit(ledger: Ledger, account: Account, resource: str) -> int:
    """What the account's stakes, lent ones included, give it per day."""
    total = ledger.parameter(TOTALS[resource])
    return account.stake(resource) * total // (SUN * total_weight(ledger, resource))


def left(ledger: Ledger, account: Account, resource: str) -> int:
    """What of it can be used now."""
    return max(0, limit(ledger, account, resource) - account.usage(resource).left_at(ledger.moment.time_ms))


def free_left(ledger: Ledger, account: Account) -> int:
    """Bandwidth that is given away each day and not used yet."""
    return max(0, ledger.parameter("getFreeNetLimit") - account.free_net.left_at(ledger.moment.time_ms))


def delegatable(ledger: Ledger, account: Account, resource: str) -> int:
    """Sun of a stake that can be lent: what stands for used resources cannot."""
    used = account.usage(resource).left_at(ledger.moment.time_ms)
    bound = used * SUN * total_weight(ledger, resource) // ledger.parameter(TOTALS[resource])
    return max(0, account.frozen.of(resource) - bound)


def use(ledger: Ledger, address: bytes, resource: str, amount: int) -> None:
    """Counts `amount` as used."""
    account = ledger.expect(address)
    usage = account.usage(resource).plus(amount, ledger.moment.time_ms)
    ledger.save(address, account.using(resource, usage))


def consume_bandwidth(ledger: Ledger, tx: Transaction, record: Record) -> None:
    """Pays for the bytes of a transaction: by stake, else by free bandwidth, else by burning; never by halves.

    A transaction that activates an account takes staked bandwidth or burns a fee of its own; free bandwidth is not for
    it. Raises Refusal BANDWITH_ERROR.
    """
    account, now_ms = ledger.expect(tx.owner), ledger.moment.time_ms
    size, activates = len(tx.to_bytes()) + MAX_RESULT_BYTES, _activates(ledger, tx)
    if size <= left(ledger, account, "BANDWIDTH"):
        ledger.save(tx.owner, replace(account, net=account.net.plus(size, now_ms)))
        record.receipt["net_usage"] = size
    elif not activates and size <= free_left(ledger, account):
        ledger.save(tx.owner, replace(account, free_net=account.free_net.plus(size, now_ms)))
        record.receipt["net_usage"] = size
    else:
        price = ledger.parameter("getTransactionFee") * size
        fee = ledger.parameter("getCreateAccountFee") if activates else price
        burn(ledger, tx.owner, fee, record)
        record.receipt["net_fee"] = fee


def burn(ledger: Ledger, address: bytes, sun: int, record: Record) -> None:
    """Takes a fee. Raises Refusal BANDWITH_ERROR when there is not enough."""
    if ledger.balance(address) < sun:
        raise starved()
    ledger.add(address, -sun)
    record.charge(sun)


def _activates(ledger: Ledger, tx: Transaction) -> bool:
    if tx.kind in ("TransferContract", "TransferAssetContract"):
        return ledger.account(tx.value.get("to_address", b"")) is None
    return tx.kind == "AccountCreateContract"
