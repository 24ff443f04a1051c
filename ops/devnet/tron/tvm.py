"""The TRON virtual machine: py-evm's interpreter with TRON's energy table, over our ledger.

Petersburg, CHAINID, SELFBALANCE, BASEFEE and PUSH0; no intrinsic cost, no refunds, calls for 40. TRX is the coin of the
machine, one sun its smallest unit. Addresses inside have 20 bytes. Importing this module takes a second: who needs it
imports it when the first contract is called.
"""

from collections.abc import Callable
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import InvalidInstruction, InvalidJumpDestination, OutOfGas, Revert, VMError
from eth.vm import opcode_values as op
from eth.vm.forks.byzantium.opcodes import ensure_no_static
from eth.vm.forks.petersburg.computation import PetersburgComputation
from eth.vm.forks.petersburg.opcodes import PETERSBURG_OPCODES
from eth.vm.logic import arithmetic, call, context, storage
from eth.vm.message import Message
from eth.vm.opcode import as_opcode
from eth.vm.transaction_context import BaseTransactionContext
from eth_typing import Address

from ops.devnet.tron.keys import PREFIX, keccak256
from ops.devnet.tron.ledger import Ledger
from ops.devnet.tron.machine import Call, Outcome
from ops.devnet.tron.transaction import Internal, Log

CHAIN_ID = 0x94A9059E
CALL_ENERGY, EXP_ENERGY, EXP_BYTE_ENERGY = 40, 10, 10
SLOAD_ENERGY, SSTORE_SET_ENERGY, SSTORE_RESET_ENERGY = 50, 20_000, 5_000
ACCOUNT_ENERGY, COPY_CODE_ENERGY = 20, 20
PUSH0, CHAINID, SELFBALANCE, BASEFEE = 0x5F, 0x46, 0x47, 0x48
GAS_LIMIT = 10**12
EMPTY_CODE_HASH = keccak256(b"")


def run(ledger: Ledger, order: Call) -> Outcome:
    """Executes; a failure leaves no change behind in the ledger."""
    state, mark = _State(ledger), ledger.cells.mark()
    caller, target = Address(order.caller[1:]), Address(order.to[1:])
    message = Message(
        gas=order.energy,
        to=CREATE_CONTRACT_ADDRESS if order.deploys else target,
        sender=caller,
        value=order.sun,
        data=b"" if order.deploys else order.data,
        code=order.data if order.deploys else state.get_code(target),
        create_address=target if order.deploys else None,  # type: ignore[arg-type]
    )
    origin = BaseTransactionContext(gas_price=0, origin=caller)
    apply = _Computation.apply_create_message if order.deploys else _Computation.apply_message
    try:
        done = apply(state, message, origin)  # type: ignore[arg-type]
    except VMError as error:
        ledger.cells.back_to(mark)
        return _failed(error, order.energy, order.energy, b"")
    if done.is_error:
        ledger.cells.back_to(mark)
        return _failed(done.error, order.energy - done.get_gas_remaining(), order.energy, done.output)
    entries = done.get_log_entries()
    logs = tuple(Log(at, tuple(topic.to_bytes(32, "big") for topic in topics), data) for at, topics, data in entries)
    used = order.energy - done.get_gas_remaining()
    return Outcome(used, done.output, logs=logs, internal=tuple(_moved(done)))


def _failed(error: VMError, used: int, allowed: int, output: bytes) -> Outcome:
    """Only REVERT gives back what did not run; everything else burns all that was allowed."""
    if isinstance(error, Revert):
        return Outcome(used, output, "REVERT", "REVERT opcode executed")
    if isinstance(error, OutOfGas):
        return Outcome(allowed, b"", "OUT_OF_ENERGY", f"Not enough energy for {str(error) or 'the operation'}")
    if isinstance(error, InvalidJumpDestination):
        return Outcome(allowed, b"", "BAD_JUMP_DESTINATION", str(error))
    name = "ILLEGAL_OPERATION" if isinstance(error, InvalidInstruction) else "UNKNOWN"
    return Outcome(allowed, b"", name, str(error) or type(error).__name__)


def _moved(done: Any) -> list[Internal]:
    found: list[Internal] = []
    for child in done.children:
        if not child.is_error:
            if child.msg.value and child.msg.should_transfer_value:
                found.append(Internal(child.msg.sender, child.msg.to or child.msg.storage_address, child.msg.value))
            found += _moved(child)
    return found


class _State:
    """The part of py-evm's state that an interpreter touches, kept in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        moment = ledger.moment
        seconds = moment.time_ms // 1000
        self.timestamp, self.block_number = seconds, moment.number
        self.coinbase, self.difficulty, self.gas_limit = bytes(20), 0, GAS_LIMIT
        self.base_fee = ledger.parameter("getEnergyFee")

    def get_ancestor_hash(self, number: int) -> bytes:
        return bytes(32)

    def snapshot(self) -> int:
        return self._ledger.cells.mark()

    def revert(self, mark: int) -> None:
        self._ledger.cells.back_to(mark)

    def commit(self, mark: int) -> None:
        """Nothing to do: what was written stays."""

    # ------------------------------------------------------------ accounts
    def get_balance(self, address: bytes) -> int:
        return self._ledger.balance(PREFIX + address)

    def delta_balance(self, address: bytes, change: int) -> None:
        self._ledger.open(PREFIX + address)
        self._ledger.add(PREFIX + address, change)

    def set_balance(self, address: bytes, balance: int) -> None:
        self.delta_balance(address, balance - self.get_balance(address))

    def account_exists(self, address: bytes) -> bool:
        return self._ledger.account(PREFIX + address) is not None

    def account_is_empty(self, address: bytes) -> bool:
        return not self.account_exists(address)

    def touch_account(self, address: bytes) -> None:
        """Nothing to do: only TRX activates an account."""

    def get_nonce(self, address: bytes) -> int:
        return self._ledger.created_contracts(PREFIX + address)

    def increment_nonce(self, address: bytes) -> None:
        self._ledger.count_created(PREFIX + address)

    # ------------------------------------------------------------ code and storage
    def get_code(self, address: bytes) -> bytes:
        return self._ledger.code(PREFIX + address)

    def set_code(self, address: bytes, code: bytes) -> None:
        self._ledger.open(PREFIX + address, "Contract")
        self._ledger.save_code(PREFIX + address, code)

    def get_code_hash(self, address: bytes) -> bytes:
        code = self.get_code(address)
        return keccak256(code) if code else EMPTY_CODE_HASH

    def has_code_or_nonce(self, address: bytes) -> bool:
        return bool(self.get_code(address)) or self.get_nonce(address) > 0

    def delete_storage(self, address: bytes) -> None:
        """Nothing to do: a new contract has no storage yet."""

    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        return self._ledger.slot(PREFIX + address, slot)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self._ledger.save_slot(PREFIX + address, slot, value)


def _sstore(computation: Any) -> None:
    slot, value = computation.stack_pop1_int(), computation.stack_pop1_int()
    state, address = computation.state, computation.msg.storage_address
    is_new = value and not state.get_storage(address, slot)
    computation.consume_gas(SSTORE_SET_ENERGY if is_new else SSTORE_RESET_ENERGY, reason="SSTORE")
    state.set_storage(address, slot, value)


def _pushes(value: Callable[[Any], int]) -> Callable[[Any], None]:
    return lambda computation: computation.stack_push_int(value(computation))


def _op(logic: Callable[[Any], None], name: str, energy: int) -> Any:
    return as_opcode(logic, name, energy)


def _calls(kind: Any, name: str) -> Any:
    return kind.configure(__name__=f"opcode:{name}", mnemonic=name, gas_cost=CALL_ENERGY)()


_OPCODES = {
    **PETERSBURG_OPCODES,
    op.SLOAD: _op(storage.sload, "SLOAD", SLOAD_ENERGY),
    op.SSTORE: _op(ensure_no_static(_sstore), "SSTORE", 0),
    op.BALANCE: _op(context.balance, "BALANCE", ACCOUNT_ENERGY),
    op.EXTCODESIZE: _op(context.extcodesize, "EXTCODESIZE", ACCOUNT_ENERGY),
    op.EXTCODECOPY: _op(context.extcodecopy, "EXTCODECOPY", COPY_CODE_ENERGY),
    op.EXP: _op(arithmetic.exp(gas_per_byte=EXP_BYTE_ENERGY), "EXP", EXP_ENERGY),
    op.CALL: _calls(call.CallByzantium, "CALL"),
    op.CALLCODE: _calls(call.CallCodeEIP150, "CALLCODE"),
    op.DELEGATECALL: _calls(call.DelegateCallEIP150, "DELEGATECALL"),
    op.STATICCALL: _calls(call.StaticCall, "STATICCALL"),
    CHAINID: _op(_pushes(lambda _: CHAIN_ID), "CHAINID", 2),
    SELFBALANCE: _op(_pushes(lambda c: int(c.state.get_balance(c.msg.storage_address))), "SELFBALANCE", 5),
    BASEFEE: _op(_pushes(lambda c: int(c.state.base_fee)), "BASEFEE", 2),
    PUSH0: _op(_pushes(lambda _: 0), "PUSH0", 2),
}


class _Computation(PetersburgComputation):
    opcodes = _OPCODES
