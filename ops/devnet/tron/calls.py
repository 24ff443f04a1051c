"""Calls and deployments of contracts: who pays for how much energy, and what a failed one costs."""

from ops.devnet.tron.actuators import Job, require
from ops.devnet.tron.keys import PREFIX, base58_of, contract_address
from ops.devnet.tron.ledger import Contract, Ledger
from ops.devnet.tron.machine import Call, Outcome, execute
from ops.devnet.tron.messages import CONTRACT_RESULTS, SMART_CONTRACT, encode
from ops.devnet.tron.resources import burn, left, use
from ops.devnet.tron.transaction import invalid
from ops.devnet.tron.wire import Message

TEN_THOUSAND = 10_000


def look(ledger: Ledger, owner: bytes, contract: bytes, data: bytes, sun: int = 0) -> Outcome:
    """A call that pays nothing and may use as much energy as the greatest fee limit buys."""
    energy = ledger.parameter("getMaxFeeLimit") // ledger.parameter("getEnergyFee")
    return execute(ledger, Call(owner, contract, data, energy, sun))


def with_penalty(energy: int, factor: int) -> int:
    """Energy as it is charged: a contract that everybody calls is made dearer by the chain."""
    return energy * (TEN_THOUSAND + factor) // TEN_THOUSAND


def trigger(job: Job) -> None:
    address = job.address("contract_address")
    contract = job.ledger.contract(address)
    if contract is None:
        raise invalid("No contract or not a valid smart contract")
    require(not job.amount("call_token_value") and not job.amount("token_id"), "tokens cannot be sent with a call here")
    _run(job, address, bytes(job.value.get("data", b"")), job.amount("call_value"), contract.factor)


def deploy(job: Job) -> None:
    described: Message = job.value.get("new_contract", {})
    require(described.get("origin_address") == job.owner, "OwnerAddress is not equals OriginAddress")
    require(described.get("bytecode"), "no bytecode")
    address = contract_address(job.tx.id, job.owner)
    taken = f"Trying to create a contract with existing contract address: {base58_of(address)}"
    require(job.ledger.account(address) is None, taken)
    job.ledger.open(address, "Contract")
    kept = {**described, "contract_address": address}
    job.ledger.save_contract(address, Contract(encode(SMART_CONTRACT, kept)))
    _run(job, address, bytes(described["bytecode"]), int(described.get("call_value", 0)), 0, deploys=True)


def _run(job: Job, address: bytes, data: bytes, sun: int, factor: int, deploys: bool = False) -> None:
    """The fee limit caps ALL energy of a call, staked energy included (VMActuator of java-tron)."""
    ledger, limit, price = job.ledger, job.tx.fee_limit, job.ledger.parameter("getEnergyFee")
    highest = ledger.parameter("getMaxFeeLimit")
    require(0 <= limit <= highest, f"feeLimit must be >= 0 and <= {highest}")
    require(0 <= sun <= job.balance, "Validate InternalTransfer error, balance is not sufficient.")
    staked = left(ledger, ledger.expect(job.owner), "ENERGY")
    allowed = min(staked + (job.balance - sun) // price, limit // price)
    mark = ledger.cells.mark()
    bare = allowed * TEN_THOUSAND // (TEN_THOUSAND + factor)
    done = execute(ledger, Call(job.owner, address, data, bare, sun, deploys))
    if done.error and deploys:
        ledger.cells.back_to(mark)
    is_burnt = bool(done.error) and done.error != "REVERT"
    total = allowed if is_burnt else min(allowed, with_penalty(done.energy, factor))
    _charge(job, total, min(staked, total), price)
    _note(job, done, address, total - total * TEN_THOUSAND // (TEN_THOUSAND + factor))


def _charge(job: Job, total: int, staked: int, price: int) -> None:
    if staked:
        use(job.ledger, job.owner, "ENERGY", staked)
    burnt = (total - staked) * price
    burn(job.ledger, job.owner, burnt, job.record)
    shares = {"energy_usage_total": total, "energy_usage": staked, "energy_fee": burnt}
    job.record.receipt |= {name: amount for name, amount in shares.items() if amount}


def _note(job: Job, done: Outcome, address: bytes, penalty: int) -> None:
    record = job.record
    if penalty:
        record.receipt["energy_penalty_total"] = penalty
    record.result = (done.error if done.error in CONTRACT_RESULTS else "UNKNOWN") if done.error else "SUCCESS"
    record.receipt["result"] = record.result
    record.output, record.contract = done.output, address
    record.failure = done.message
    record.logs, record.internal = done.logs, done.internal
    for row in done.internal:
        job.ledger.open(PREFIX + row.recipient)
