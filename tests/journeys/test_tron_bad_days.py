"""The bad days of TRON over a whole running installation: each ends with the payment made once, or never begun."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import pytest_asyncio

from activities.stories import PayoutOrder
from adapters.chains.tron import codec
from adapters.vault import keystore_file, passphrase_file
from adapters.vault.keystore import open_keystore, read_passphrase
from domain.ledger import chart
from domain.payout import Draft, Fee, Item, Slot, payout_workflow_id
from domain.withdrawal import Stage
from ops.demo import evidence
from ops.demo.node import TronNode
from ops.devnet.tron import treasury
from ops.devnet.tron.genesis import DISPERSE
from ops.devnet.tron.keys import address_of
from ops.devnet.tron.transaction import Transaction
from tests.journeys.bank import WINDOW_S, Bank, new_address, open_bank
from workflows.options import ORCHESTRATOR_QUEUE
from workflows.payout import PayoutWorkflow

PORT_BASE = 19200
A_WHILE_S = 2.0  # several rounds of the hot wallet's server
SUN = 10**6

pytestmark = pytest.mark.timeout(180)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bank]:
    async with open_bank(tmp_path_factory.mktemp("bank"), PORT_BASE) as bank:
        yield bank


@pytest_asyncio.fixture(loop_scope="session")
async def bank(installation: Bank) -> AsyncIterator[Bank]:
    """No fault of the test before is in force, and none is left."""
    await installation.control(reset=True)
    yield installation
    await installation.control(reset=True)


# ---------------------------------------------------------------- refused at the door
async def test_a_memo_is_a_field_we_do_not_know(bank: Bank) -> None:
    status, answer = await bank.asked("10", memo="invoice 7")
    assert (status, answer["code"]) == (422, "VALIDATION")
    assert [(fault["pointer"], fault["code"]) for fault in answer["errors"]] == [("#/memo", "UNKNOWN_FIELD")]


@pytest.mark.parametrize("asset", ["USDT", "TRX"])
async def test_a_contract_is_nobody_s_wallet(bank: Bank, asset: str) -> None:
    status, answer = await bank.asked("10", asset, DISPERSE)
    assert (status, answer["code"]) == (422, "ADDRESS_CONTRACT")


# ---------------------------------------------------------------- what it costs
async def test_the_activation_of_a_new_account_is_shown_before_and_paid_once(bank: Bank) -> None:
    body = {"network": "tron", "asset": "TRX", "amount": "10"}
    _, quote = await bank.alice.post("/v1/withdrawals/quote", body)
    lines = {line["name"]: (line["covered_by"], line["cost"]) for line in quote["network_cost"]["sources"]}
    assert lines == {"bandwidth": ("burnt", "0.1"), "activation": ("burnt", "1")}
    view = await bank.paid_once(await bank.withdrawal("10", "TRX"))
    assert view["network_fee"] == "1.1"
    known = await bank.alice.post("/v1/withdrawals/quote", {**body, "recipient": view["recipient"]})
    assert "activation" not in {line["name"] for line in known[1]["network_cost"]["sources"]}


async def test_wrong_chain_parameters_have_nothing_signed_however_long_they_last(bank: Bank) -> None:
    offered = await bank.broadcasts()
    await bank.control(told_parameters={"getEnergyFee": 10**6})
    id = await bank.withdrawal("11")
    await bank.at(id, Stage.QUEUED)
    await asyncio.sleep(WINDOW_S)  # longer than any version lives: what only waits in the queue cannot expire
    assert (await bank.view(id))["stage"] == Stage.QUEUED
    assert await bank.broadcasts() == offered
    assert "FEE_ABOVE_CAP" in bank.said("chain")
    await bank.control(told_parameters={})
    view = await bank.paid_once(id)
    assert Decimal(view["network_fee"]) < 10


# ---------------------------------------------------------------- time
async def test_nothing_is_drafted_from_a_head_that_is_not_of_now(bank: Bank) -> None:
    offered = await bank.broadcasts()
    await bank.control(stale_head=20)
    id = await bank.withdrawal("12")
    await bank.at(id, Stage.QUEUED)
    await asyncio.sleep(A_WHILE_S)
    assert (await bank.view(id))["stage"] == Stage.QUEUED
    assert await bank.broadcasts() == offered
    assert await bank.halted() is None, "a lagging node is nobody's crime"
    await bank.control(stale_head=0)
    await bank.paid_once(id)


async def test_bytes_that_expired_before_they_were_signed_are_drafted_anew(bank: Bank) -> None:
    bank.stack.kill("signer", signal.SIGSTOP)
    try:
        id = await bank.withdrawal("13")
        await bank.at(id, Stage.PLANNED)
        await asyncio.sleep(WINDOW_S + 1)
    finally:
        bank.stack.kill("signer", signal.SIGCONT)
    view = await bank.paid_once(id)
    [version] = await bank.store.books.versions(await slot_of(bank, id))
    assert view["txid"] == version.txid
    assert await bank.halted() is None


async def test_a_payment_that_the_node_dropped_is_signed_again_and_made_once(bank: Bank) -> None:
    await bank.control(drop=1)
    id = await bank.withdrawal("14")
    await bank.at(id, Stage.BROADCAST)

    async def signed_again() -> bool:
        return len(await bank.store.books.versions(await slot_of(bank, id))) == 2

    await bank.until(signed_again, "a second version")
    await bank.control(drop=0, release=True)
    await bank.paid_once(id)


# ---------------------------------------------------------------- a hostile node
async def test_a_transaction_other_than_asked_is_refused_by_the_signer_and_the_payment_made_after_people_looked(
    bank: Bank,
) -> None:
    """As if our own worker had been careless enough to have the node build its transaction: while the worker stands
    still, a payout is begun with the bytes that the node answers with.
    """
    thief = new_address()
    await bank.control(substitute=thief)
    bank.stack.kill("chain", signal.SIGSTOP)
    try:
        id = await bank.withdrawal("15", "TRX")
        await bank.at(id, Stage.QUEUED)
        order = await hostile_order(bank, id)
        paid = order.slot.payments[0].recipient
        await bank.temporal.start_workflow(
            PayoutWorkflow.run, order, id=payout_workflow_id(order.slot.id), task_queue=ORCHESTRATOR_QUEUE
        )
        await bank.until(lambda: is_halted(bank), "the alarm")
    finally:
        bank.stack.kill("chain", signal.SIGCONT)
    assert "SIGNER_PAYMENT_MISMATCH" in str(await bank.halted())
    assert "SIGNER_PAYMENT_MISMATCH" in bank.said("signer")
    _, networks = await bank.alice.get("/v1/networks")
    assert [row["id"] for row in networks["items"] if row["busy"]] == ["tron"], "clients see that withdrawals wait"
    view = await bank.view(id)
    assert (view["stage"], view["recipient"], view["txid"]) == (Stage.PLANNED, paid, None)
    await bank.resume("the node was replaced")
    await bank.paid_once(id)
    node = TronNode(bank.session, bank.full, bank.since)
    assert await node.transfers_to(thief, None) == 0
    assert await node.balance(thief, None) == 0


# ---------------------------------------------------------------- everything at once
async def test_faults_and_kill_9_in_the_middle_of_it_pay_each_once(bank: Bank) -> None:
    await bank.control(lose_reply=0.3, server_busy=0.3, drop=0.2, http_error=0.03, missing_info=0.2, seed=5)
    ids = [await bank.withdrawal("3", asset) for asset in ("USDT", "TRX", "USDT", "TRX")]
    for part in ("chain", "signer", "tron_node", "books", "orchestrator"):
        await asyncio.sleep(0.5)
        bank.stack.kill(part)
    await asyncio.sleep(1)
    await bank.stack.wait_ready(30)
    await bank.control(reset=True, release=True)
    for id in ids:
        await bank.paid_once(id)
    assert await bank.halted() is None
    await bank.until(lambda: is_quiet(bank), "every slot closed")
    nodes = {"tron": TronNode(bank.session, bank.full, bank.since)}
    assert set((await evidence.trial_balance(bank.store.views)).values()) == {"0"}
    assert set((await evidence.chain_minus_ledger(nodes, bank.catalogue, bank.store.views)).values()) == {"0"}


# ---------------------------------------------------------------- the wallet
async def test_a_hot_wallet_without_trx_waits_and_pays_when_it_is_refilled(bank: Bank) -> None:
    [wallet] = await bank.store.views.wallets()
    spare = (int(wallet.balances["TRX-TRON"]) - 40 * SUN) // SUN  # then the next slot's cap is not covered
    await bank.paid_once(await bank.withdrawal(str(spare), "TRX"))
    id = await bank.withdrawal("16")

    async def waits() -> bool:
        return bool((await bank.view(id))["reason"] == "HOT_WALLET_SHORT")

    await bank.until(waits, "the reason")
    assert (await bank.view(id))["stage"] == Stage.QUEUED
    await treasury.fill(bank.full, bank.wallet, sun=200 * SUN, usdt_units=0)
    held = await TronNode(bank.session, bank.full).balance(bank.wallet, None)
    [wallet] = await bank.store.views.wallets()
    refill = held - int(wallet.balances["TRX-TRON"])
    await bank.store.books.post_opening("refill", [(chart.hot_wallet("tron", bank.wallet, "TRX-TRON"), refill)])
    await bank.paid_once(id)


async def test_a_stranger_with_the_wallet_s_key_is_named_and_stops_it_until_people_looked(bank: Bank) -> None:
    txid = await stranger_pays(bank)
    await bank.until(lambda: is_halted(bank), "the halt")
    assert txid in str(await bank.halted())
    id = await bank.withdrawal("17")
    await bank.at(id, Stage.QUEUED)
    await bank.resume("it was the old cold storage; its copy of the key is gone")
    await bank.paid_once(id)
    assert await bank.halted() is None


# ---------------------------------------------------------------- what the above is made of
async def is_halted(bank: Bank) -> bool:
    return await bank.halted() is not None


async def is_quiet(bank: Bank) -> bool:
    return not any(wallet.open_slots for wallet in await bank.store.views.wallets())


async def slot_of(bank: Bank, id: str) -> str:
    view = await bank.store.views.withdrawal(id)
    assert view is not None
    assert view.slot_id is not None
    return view.slot_id


async def hostile_order(bank: Bank, id: str) -> PayoutOrder:
    """The slot that the withdrawal takes, and bytes for it that the node has built otherwise than it was asked."""
    network = bank.catalogue.networks["tron"]
    [item] = await bank.store.books.queued("tron", bank.wallet, 10)
    assert item.payment.withdrawal_id == id
    slot = await bank.store.books.plan_slot(network, bank.wallet, [item], datetime.now(UTC))
    assert isinstance(slot, Slot)
    asked = {"owner_address": bank.wallet, "to_address": item.payment.recipient, "amount": int(item.payment.amount)}
    built = await bank.ask("wallet/createtransaction", **asked, visible=True)
    fields = codec.decode("raw", bytes.fromhex(built["raw_data_hex"])) | {"timestamp": int(slot.scarce) or None}
    raw = codec.encode("raw", {name: value for name, value in fields.items() if value is not None})
    fee = Fee(network.fees.overhead_cap, 1, 0)
    return PayoutOrder(slot, Draft(slot.id, "0x" + raw.hex(), fee), (Item(item.intent, item.decisions),))


async def stranger_pays(bank: Bank) -> str:
    """One sun leaves the hot wallet by its own key, without us."""
    home = bank.stack.settings.signer_home
    key = open_keystore(keystore_file(home, "tron"), read_passphrase(passphrase_file(home)))
    head = await bank.ask("wallet/getnowblock")
    id_, now_ms = bytes.fromhex(head["blockID"]), head["block_header"]["raw_data"]["timestamp"]
    value = {"owner_address": address_of(bank.wallet), "to_address": address_of(treasury.ADDRESS), "amount": 1}
    facts = {"ref_block_bytes": id_[6:8], "ref_block_hash": id_[8:16], "expiration": now_ms + 60_000}
    tx = Transaction.build("TransferContract", value, {**facts, "timestamp": now_ms, "fee_limit": 0})
    parity, r, s = key.sign_digest(tx.id)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    told = await bank.ask("wallet/broadcasthex", transaction=tx.signed(signature).to_bytes().hex())
    assert told["code"] == "SUCCESS", told
    return tx.id.hex()
